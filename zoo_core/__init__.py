"""The zoo: a registry of deep generative models.

    import zoo_core

    zoo_core.checkpoints("ddpm*")                           # names of what is installed; also names("samplers")
    cats = zoo_core.load("ddpm-afhq-cat")                   # or a folder, or ORG/NAME on the Hub
    images = cats.sample(16, seed=0)                        # (16, 3, 32, 32) float32 in [-1, 1]
    zoo_core.images.save_png("cats.png", images)            # to_pil(images) is a picture, as notebooks show

``Pretrained``, which ``load`` returns, also has ``inpaint``, ``interpolate``, ``encode``, ``decode``, ``log_prob``, ``denoise`` and more.

Names are imported when they are first used, so that ``import zoo_core`` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zoo_core import errors, images, interfaces, samplers, schedulers, specs
    from zoo_core.checkpoint.build import model_of
    from zoo_core.hookspecs import hookimpl
    from zoo_core.hub.fetch import pull
    from zoo_core.hub.verify import verify
    from zoo_core.loading import info, load
    from zoo_core.pretrained import Pretrained
    from zoo_core.publishing import publish
    from zoo_core.registry.listing import checkpoints, names

__version__ = "0.1.0"
__all__ = [
    "Pretrained",
    "checkpoints",
    "errors",
    "hookimpl",
    "images",
    "info",
    "interfaces",
    "load",
    "model_of",
    "names",
    "publish",
    "pull",
    "samplers",
    "schedulers",
    "specs",
    "verify",
]

_HOMES = {
    "Pretrained": "zoo_core.pretrained",
    "checkpoints": "zoo_core.registry.listing",
    "errors": "",
    "hookimpl": "zoo_core.hookspecs",
    "images": "",
    "info": "zoo_core.loading",
    "interfaces": "",
    "load": "zoo_core.loading",
    "model_of": "zoo_core.checkpoint.build",
    "names": "zoo_core.registry.listing",
    "publish": "zoo_core.publishing",
    "pull": "zoo_core.hub.fetch",
    "samplers": "",
    "schedulers": "",
    "specs": "",
    "verify": "zoo_core.hub.verify",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        from zoo_core.suggestions import MODULE, attribute_error

        raise attribute_error("module 'zoo_core'", name, MODULE, __all__)
    return getattr(import_module(home), name) if home else import_module(f"zoo_core.{name}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
