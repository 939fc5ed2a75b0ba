"""Configs of the stylegan family."""

from dataclasses import dataclass
from typing import Literal

from zoo_core.config import check_range
from zoo_core.errors import ConfigError
from zoo_core.interfaces import ModelConfig, TrainerConfig

__all__ = ["StyleGANConfig", "StyleGANTrainerConfig"]


@dataclass(frozen=True, kw_only=True, slots=True)
class StyleGANConfig(ModelConfig):
    """A style-based generator with modulated convolutions (Karras et al. 2020, arXiv:1912.04958). The defaults suit 32x32 photographs.

    Args:
        shape: shape of an image, (channels, side, side).
        latent: dimension of z.
        style: dimension of w, and width of the mapping network.
        mapping_layers: number of layers of the mapping network.
        mapping_lr: factor on the learning rate of the mapping network.
        width: channels of the finest feature maps; each coarser level has twice as many.
        most: largest number of channels of a level.
        stages: number of times that the side doubles. Halves are rounded up: 4 -> 7 -> 14 -> 28.
        taps: one dimension of the low-pass filter of all up- and downsampling, which is separable: (1, 3, 3, 1) as in the paper, or
            (1, 1), which repeats or averages 2x2 pixels.

    Raises:
        ConfigError: if a value is out of range, the image is not square, there are too many stages for its side, or the filter is not one.

    Example:
        >>> config = StyleGANConfig(shape=(1, 28, 28), width=16, most=64, stages=3)
        >>> config.sides, config.widths, config.styles
        ((4, 7, 14, 28), (64, 64, 32, 16), 8)
    """

    shape: tuple[int, int, int] = (3, 32, 32)
    latent: int = 64
    style: int = 64
    mapping_layers: int = 4
    mapping_lr: float = 0.01
    width: int = 16
    most: int = 512
    stages: int = 3
    taps: tuple[int, ...] = (1, 3, 3, 1)

    def __post_init__(self) -> None:
        check_range(self, shape=(1, 4096), latent=(1, 65_536), style=(1, 65_536), mapping_layers=(1, 64), mapping_lr=(1e-6, 1.0))
        check_range(self, width=(1, 4096), most=(1, 65_536), stages=(1, 10), taps=(1, 1000))
        if self.shape[1] != self.shape[2]:
            raise ConfigError(f"shape must be (channels, side, side), not {self.shape}")
        if self.sides[1] < 3:
            raise ConfigError(f"stages must be fewer than {self.stages} for a side of {self.shape[1]}")
        if len(self.taps) not in (2, 4, 6) or self.taps != self.taps[::-1]:
            raise ConfigError(f"taps must be 2, 4 or 6 numbers that read the same backwards, not {self.taps}")

    @property
    def sides(self) -> tuple[int, ...]:
        """The sides of the levels, the coarsest first; the last one is that of the image."""
        return tuple(-(-self.shape[1] // 2**stage) for stage in reversed(range(self.stages + 1)))

    @property
    def widths(self) -> tuple[int, ...]:
        """The channels of the levels, the coarsest first."""
        return levels_of(self.width, self.most, self.stages)

    @property
    def styles(self) -> int:
        """Number of places at which w enters: the convolutions, and the last layer of colours."""
        return 2 * self.stages + 2

    @property
    def noises(self) -> tuple[int, ...]:
        """The sides of the noise maps, one for each convolution."""
        return (self.sides[0], *(side for side in self.sides[1:] for _ in range(2)))

    @property
    def row(self) -> int:
        """Dimension of a latent row: z, then all noise maps."""
        return self.latent + sum(side**2 for side in self.noises)


@dataclass(frozen=True, kw_only=True, slots=True)
class StyleGANTrainerConfig(TrainerConfig):
    """The non-saturating loss with lazy regularisation (arXiv:1912.04958, section 3), against a residual critic.

    Args:
        width: channels of the critic's finest feature maps, counted as the model's.
        most: largest number of channels of a level of the critic.
        group: number of consecutive rows of which the critic sees the standard deviation; 0 for none. If it does not divide a batch, the
            batch is one group.
        mixing: probability that a training image has the styles of two latents (Karras et al. 2019, arXiv:1812.04948, section 3.1).
        r1: weight gamma of the penalty of the critic's gradient at real images (Mescheder et al. 2018, arXiv:1801.04406, eq. 9).
        r1_every: number of steps between these penalties, each as many times as strong.
        path_length: weight of the path-length penalty; 0 for none.
        path_every: number of steps between path-length penalties, each as many times as strong.
        growing: number of steps that each level fades in, and that it then stays alone (Karras et al. 2018, arXiv:1710.10196); 0 trains
            all levels from the start.
        augment: differentiable augmentations of what the critic sees (Zhao et al. 2020, arXiv:2006.10738), for few images.

    Raises:
        ConfigError: if a value is out of range, or an augmentation is named twice.

    Example:
        >>> StyleGANTrainerConfig(growing=2000, augment=("translation", "cutout")).mixing
        0.9
    """

    width: int = 16
    most: int = 512
    group: int = 4
    mixing: float = 0.9
    r1: float = 1.0
    r1_every: int = 16
    path_length: float = 0.0
    path_every: int = 4
    growing: int = 0
    augment: tuple[Literal["colour", "translation", "cutout"], ...] = ()

    def __post_init__(self) -> None:
        check_range(self, width=(1, 4096), most=(1, 65_536), group=(0, 1024), mixing=(0.0, 1.0))
        check_range(self, r1=(0.0, 1e6), r1_every=(1, 10_000), path_length=(0.0, 1e6), path_every=(1, 10_000), growing=(0, 10**9))
        if len(set(self.augment)) < len(self.augment):
            raise ConfigError(f"augment must name each augmentation once, not {', '.join(self.augment)}")


def levels_of(width: int, most: int, stages: int) -> tuple[int, ...]:
    """The channels of the levels, the coarsest first: ``width`` at the finest one, doubled at each coarser one up to ``most``."""
    return tuple(min(width << stage, most) for stage in reversed(range(stages + 1)))
