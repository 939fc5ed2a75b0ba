"""A ``UNet2DModel`` of diffusers as a denoiser in the coordinate x_sigma = x_0 + sigma * eps."""

from torch import Tensor, nn

from zoo_core.arguments import levels_like
from zoo_core.interfaces import DiscreteScheduler, Event, Rng
from zoo_diffusers.config import DiffusersUNetConfig
from zoo_diffusers.library import module_of
from zoo_diffusers.noise import LevelTimes, clean

__all__ = ["DiffusersUNet"]


class DiffusersUNet(nn.Module):
    """A net of diffusers, with the noise levels of its scheduler.

    x_t = x_sigma / sqrt(1 + sigma^2) with sigma_t = sqrt((1 - abar_t) / abar_t), t = 0 ... T - 1. A sigma between two levels is mapped to a
    fractional t, linear in sigma. Samples are images in [-1, 1] if they are ``bounded``, and latents otherwise.

    Example:
        >>> from zoo_core.rng import ImageRng
        >>> unet = {"sample_size": 8, "block_out_channels": [8], "down_block_types": ["DownBlock2D"], "up_block_types": ["UpBlock2D"]}
        >>> model = DiffusersUNet(DiffusersUNetConfig(unet={**unet, "norm_num_groups": 4, "layers_per_block": 1}))
        >>> x = model.start(ImageRng(0, range(2)), sigma=1.0)
        >>> model.denoise(x, sigma=1.0).shape
        torch.Size([2, 3, 8, 8])
    """

    def __init__(self, config: DiffusersUNetConfig, *, bounded: bool = True) -> None:
        super().__init__()
        self.config = config
        self.event = Event(shape=config.shape, range=(-1.0, 1.0) if bounded else None)
        self.times = LevelTimes(config.scheduler.levels)
        self.net = module_of("UNet2DModel", config.unet)
        classes = config.unet.get("num_class_embeds")
        self.num_classes = classes if isinstance(classes, int) else 0

    @property
    def needs_labels(self) -> bool:
        """Whether the net takes classes: it has none for "no class"."""
        return self.num_classes > 0

    @property
    def sigma_range(self) -> tuple[float, float]:
        return self.times.levels[0], self.times.levels[-1]

    @property
    def scheduler(self) -> DiscreteScheduler:
        return self.config.scheduler

    def start(self, rng: Rng, sigma: float) -> Tensor:
        # x_T is standard normal, so x_sigma = sqrt(1 + sigma^2) x_T. Some schedulers of diffusers begin with sigma x_T.
        return rng.normal(*self.event.shape) * (1 + sigma**2) ** 0.5

    def denoise(self, x: Tensor, sigma: Tensor | float, labels: Tensor | None = None) -> Tensor:
        sigma = levels_like(sigma, x)
        x_t = x * self._over((1 + sigma**2).rsqrt()).to(x.dtype)
        dtype = next(self.net.parameters()).dtype
        out: Tensor = self.net(x_t.to(dtype), self.times(sigma), class_labels=labels, return_dict=False)[0]
        # A net that also learned the variance of a step has twice the channels; the mean comes first.
        return clean(self.config.prediction, x, self._over(sigma), out[:, : x.shape[1]].to(x.dtype))

    @staticmethod
    def _over(values: Tensor) -> Tensor:
        return values.view(-1, 1, 1, 1)
