"""The zoo: a registry of deep generative models.

>>> import zoo_core
>>> cats = zoo_core.load("ddpm-afhq-cat")       # doctest: +SKIP
>>> images = cats.sample(16, seed=0)            # doctest: +SKIP

Names are imported when they are first used, so that ``import zoo_core`` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zoo_core import errors, interfaces, specs
    from zoo_core.catalogue import checkpoints, info
    from zoo_core.hookspecs import hookimpl
    from zoo_core.hub import pull
    from zoo_core.loading import load
    from zoo_core.pretrained import Pretrained
    from zoo_core.publishing import publish
    from zoo_core.verifying import verify

__version__ = "0.1.0"
__all__ = ["Pretrained", "checkpoints", "errors", "hookimpl", "info", "interfaces", "load", "publish", "pull", "specs", "verify"]

_HOMES = {
    "Pretrained": "zoo_core.pretrained",
    "checkpoints": "zoo_core.catalogue",
    "errors": "",
    "hookimpl": "zoo_core.hookspecs",
    "info": "zoo_core.catalogue",
    "interfaces": "",
    "load": "zoo_core.loading",
    "publish": "zoo_core.publishing",
    "pull": "zoo_core.hub",
    "specs": "",
    "verify": "zoo_core.verifying",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'zoo_core' has no attribute {name!r}")
    return getattr(import_module(home), name) if home else import_module(f"zoo_core.{name}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
