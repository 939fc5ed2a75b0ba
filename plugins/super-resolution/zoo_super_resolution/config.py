"""Configs of the super-resolution family."""

from dataclasses import dataclass

from zoo_core.config import check_range
from zoo_core.errors import ConfigError
from zoo_core.interfaces import ModelConfig, TrainerConfig
from zoo_core.models.config import UNetConfig

__all__ = ["SuperResolutionConfig", "SuperResolutionTrainerConfig", "net_config"]


@dataclass(frozen=True, kw_only=True, slots=True)
class SuperResolutionConfig(ModelConfig):
    """A U-Net that denoises images given their versions of lower resolution.

    The net works on patches of pixels: an image of side s and c channels is one of side s / patch and c * patch^2 channels to it.

    >>> SuperResolutionConfig(image_size=32, factor=2, dim=8).factor
    2

    Args:
        image_size: side of the square images.
        channels: number of channels of an image.
        factor: side of an image divided by that of its condition.
        patch: side of the patches of pixels that are one pixel of the net.
        dim: width of the first level of the net, see :class:`zoo_core.models.config.UNetConfig`.
        multipliers: widths of its levels as multiples of ``dim``.
        blocks: residual blocks of each level.
        attention: sides of the levels, in patches, with softmax attention.
        condition_noise: standard deviation of the noise that is added to conditions when samples are drawn (Saharia et al. 2022,
            arXiv:2205.11487, section 2.3). It hides what a first stage does wrong, and details of the condition too.
        sigma_min: smallest noise level.
        sigma_max: largest noise level.

    Raises:
        ConfigError: if a value is out of range, or image_size is no multiple of the factor and the patch.
    """

    image_size: int = 64
    channels: int = 3
    factor: int = 2
    patch: int = 2
    dim: int = 24
    multipliers: tuple[int, ...] = (1, 2)
    blocks: int = 1
    attention: tuple[int, ...] = ()
    condition_noise: float = 0.05
    sigma_min: float = 0.002
    sigma_max: float = 20.0

    def __post_init__(self) -> None:
        check_range(self, image_size=(2, 4096), channels=(1, 64), factor=(2, 64), patch=(1, 16), condition_noise=(0.0, 10.0))
        check_range(self, sigma_min=(1e-9, 1e9), sigma_max=(1e-9, 1e9))
        if self.sigma_min >= self.sigma_max:
            raise ConfigError(f"sigma_min must be less than sigma_max, not {self.sigma_min:g} >= {self.sigma_max:g}")
        for name in ("factor", "patch"):
            if self.image_size % getattr(self, name):
                raise ConfigError(f"image_size must be a multiple of {name}, but {getattr(self, name)} does not divide {self.image_size}")
        net_config(self)


def net_config(config: SuperResolutionConfig) -> UNetConfig:
    """The config of the net: its inputs are patches of the noisy image and of the enlarged condition, and the noise of the condition.

    >>> net_config(SuperResolutionConfig()).channels
    25
    """
    return UNetConfig(
        image_size=config.image_size // config.patch,
        channels=2 * config.channels * config.patch**2 + 1,
        dim=config.dim,
        multipliers=config.multipliers,
        blocks=config.blocks,
        attention=config.attention,
        linear_attention=(),
        heads=4 if config.dim % 4 == 0 else 1,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class SuperResolutionTrainerConfig(TrainerConfig):
    """Noise on conditions, and the rate at which they are withheld.

    >>> SuperResolutionTrainerConfig().p_uncond
    0.1

    Args:
        condition_noise: the standard deviation of the noise on each condition is uniform in [0, condition_noise].
        p_uncond: probability that the condition of a row is withheld, which classifier-free guidance needs.
        log_sigma_mean: mean of log(sigma / s), where s is the standard deviation of what the net estimates.
        log_sigma_std: standard deviation of log sigma (Karras et al. 2022, arXiv:2206.00364, table 1).

    Raises:
        ConfigError: if a value is out of range.
    """

    condition_noise: float = 0.2
    p_uncond: float = 0.1
    log_sigma_mean: float = -0.5
    log_sigma_std: float = 1.2

    def __post_init__(self) -> None:
        check_range(self, condition_noise=(0.0, 10.0), p_uncond=(0.0, 1.0), log_sigma_mean=(-10.0, 10.0), log_sigma_std=(1e-3, 10.0))
