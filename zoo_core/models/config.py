"""The config of denoisers that derive from :class:`zoo_core.models.denoising.DenoisingModel`."""

from dataclasses import dataclass

from zoo_core.config import check_range
from zoo_core.errors import ConfigError
from zoo_core.interfaces import ModelConfig, Scheduler
from zoo_core.schedulers import Karras

__all__ = ["DenoisingConfig"]


@dataclass(frozen=True, kw_only=True, slots=True)
class DenoisingConfig(ModelConfig):
    """Shape, classes and noise levels of a denoiser. A family derives its config from this one and adds the options of its net.

    >>> @dataclass(frozen=True, kw_only=True, slots=True)
    ... class PointsConfig(DenoisingConfig):
    ...     width: int = 64
    >>> PointsConfig(num_classes=2).sigma_max
    20.0

    Args:
        shape: shape of a sample: (channels, height, width) for images in [-1, 1], (dimension,) for points.
        num_classes: number of classes; 0 for a model without labels.
        sigma_min: smallest noise level.
        sigma_max: largest noise level; at least some multiples of the largest distance between two samples.
        sigma_data: standard deviation of the data.
        scheduler: places the levels of samplers by default.

    Raises:
        ConfigError: if a value is out of range.
    """

    shape: tuple[int, ...] = (2,)
    num_classes: int = 0
    sigma_min: float = 0.02
    sigma_max: float = 20.0
    sigma_data: float = 0.5
    scheduler: Scheduler = Karras()

    def __post_init__(self) -> None:
        check_range(self, shape=(1, 4096), num_classes=(0, 100_000))
        check_range(self, sigma_min=(1e-9, 1e9), sigma_max=(1e-9, 1e9), sigma_data=(1e-9, 1e9))
        if not self.shape:
            raise ConfigError("shape must have at least one number")
        if self.sigma_min >= self.sigma_max:
            raise ConfigError(f"sigma_min must be less than sigma_max, not {self.sigma_min:g} >= {self.sigma_max:g}")
