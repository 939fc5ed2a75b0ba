"""The classes of diffusers whose modules are built, by name, from plain configs. No code of a repository is run, and nothing is fetched."""

import inspect
import logging
import warnings
from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from zoo_core.errors import ConfigError

if TYPE_CHECKING:
    from torch import nn

__all__ = ["module_of"]

_HOMES = {
    "AutoencoderKL": "diffusers.models.autoencoders.autoencoder_kl",
    "UNet2DConditionModel": "diffusers.models.unets.unet_2d_condition",
    "UNet2DModel": "diffusers.models.unets.unet_2d",
    "VQModel": "diffusers.models.autoencoders.vq_model",
}
_log = logging.getLogger(__name__)


def module_of(name: str, config: Mapping[str, Any]) -> "nn.Module":
    """Builds a module of diffusers from its config; keys that this version does not know are left out with a warning, as diffusers does.

    >>> type(module_of("VQModel", {"block_out_channels": [8], "norm_num_groups": 4})).__name__
    'VQModel'

    Args:
        name: name of the class.
        config: its arguments; keys that begin with an underscore say what wrote it, and are ignored.

    Raises:
        ConfigError: if the class refuses them.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of numpy's and torch's, in diffusers
        cls: Any = getattr(import_module(_HOMES[name]), name)
        known = inspect.signature(cls.__init__).parameters
        arguments = {key: value for key, value in config.items() if key in known and key != "self"}
        if ignored := sorted(key for key in config if key not in arguments and not key.startswith("_")):
            _log.warning("zoo: warning: this version of diffusers has no option %s of %s", ", ".join(ignored)[:200], name)
        try:
            module: nn.Module = cls(**arguments)
        except (ArithmeticError, AttributeError, LookupError, NotImplementedError, RuntimeError, TypeError, ValueError) as error:
            reason = " ".join(str(error).split())[:200]
            raise ConfigError(f"diffusers builds no {name} from its config: {reason}", "is it of this version of diffusers?") from error
    return module
