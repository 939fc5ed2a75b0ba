"""An unconditional latent pipeline of diffusers: a ``UNet2DModel`` in the latents of a ``VQModel`` or ``AutoencoderKL``."""

from typing import Any, cast

from torch import Tensor, nn

from zoo_core.errors import ConfigError
from zoo_core.interfaces import Event
from zoo_diffusers.config import DiffusersLatentConfig
from zoo_diffusers.library import module_of
from zoo_diffusers.model import DiffusersUNet

__all__ = ["DiffusersLatent", "FirstStage"]


class FirstStage(nn.Module):
    """An autoencoder of diffusers. A latent z is scale (latent - shift), as its pipelines scale it.

    >>> stage = FirstStage("VQModel", {"block_out_channels": [8], "norm_num_groups": 4, "scaling_factor": 0.5})
    >>> import torch
    >>> z = stage.encode(torch.zeros(2, 3, 8, 8))
    >>> z.shape, stage.decode(z).shape
    (torch.Size([2, 3, 8, 8]), torch.Size([2, 3, 8, 8]))

    Args:
        name: name of its class.
        config: its config.

    Raises:
        ConfigError: if its scale is no number, or diffusers does not build it.
    """

    def __init__(self, name: str, config: Any) -> None:
        super().__init__()
        self.net = module_of(name, config)
        options = cast(Any, self.net).config
        self.scale = _number("scaling_factor", options.scaling_factor)
        self.shift = _number("shift_factor", getattr(options, "shift_factor", None) or 0.0)

    def encode(self, x: Tensor) -> Tensor:
        """Latents (n, channels, h, w) of samples ``x`` (n, channels, height, width) in [-1, 1]: the posterior's mean, if there is one."""
        encoded = cast(Any, self.net).encode(x.to(self._dtype))
        latent = encoded.latents if hasattr(encoded, "latents") else encoded.latent_dist.mean
        z: Tensor = (latent.to(x.dtype) - self.shift) * self.scale
        return z

    def decode(self, z: Tensor) -> Tensor:
        """Samples (n, channels, height, width) in [-1, 1] of latents ``z`` (n, channels, h, w)."""
        out: Tensor = cast(Any, self.net).decode((z / self.scale + self.shift).to(self._dtype)).sample
        return out.to(z.dtype).clamp(-1, 1)

    @property
    def _dtype(self) -> Any:
        return next(self.net.parameters()).dtype


class DiffusersLatent(nn.Module):
    """Samples x = decode(z), where a net of diffusers denoises z. Its latents have no range.

    Example:
        >>> from zoo_diffusers.config import DiffusersUNetConfig
        >>> unet = {"sample_size": 4, "block_out_channels": [8], "down_block_types": ["DownBlock2D"], "up_block_types": ["UpBlock2D"]}
        >>> prior = DiffusersUNetConfig(unet={**unet, "norm_num_groups": 4, "layers_per_block": 1})
        >>> stage = {"block_out_channels": [8], "norm_num_groups": 4}
        >>> model = DiffusersLatent(DiffusersLatentConfig(first_stage=stage, first_stage_class="VQModel", prior=prior))
        >>> model.event.shape, model.latent.event.shape
        ((3, 4, 4), (3, 4, 4))

    Raises:
        ConfigError: if the channels of a latent differ between the two.
    """

    def __init__(self, config: DiffusersLatentConfig) -> None:
        super().__init__()
        self.config = config
        self.latent = DiffusersUNet(config.prior, bounded=False)
        self.first_stage = FirstStage(config.first_stage_class, config.first_stage)
        self.event = Event(shape=config.shape, range=(-1.0, 1.0))
        channels = cast(Any, self.first_stage.net).config.latent_channels
        if channels != config.prior.shape[0]:
            raise ConfigError(f"the latents have {channels} channels, and the net of latents {config.prior.shape[0]}", "they must agree")

    @property
    def num_classes(self) -> int:
        return self.latent.num_classes

    @property
    def needs_labels(self) -> bool:
        """Whether the net takes classes."""
        return self.latent.needs_labels

    def encode(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.first_stage.encode(x)

    def decode(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.first_stage.decode(z)


def _number(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not -1e6 < value < 1e6:
        raise ConfigError(f"first_stage.{name} must be a number, not {str(value)[:40]!r}")
    return float(value)
