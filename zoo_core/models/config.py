"""Configs of the base classes of models: denoisers that derive from ``DenoisingModel``, U-Nets, and convolutional generators."""

from dataclasses import dataclass
from typing import Literal

from zoo_core.config import check_range
from zoo_core.errors import ConfigError
from zoo_core.interfaces import ModelConfig, Scheduler
from zoo_core.schedulers import Karras

__all__ = ["MOST_BLOCKS", "DenoisingConfig", "UNetConfig", "UpsamplingConfig", "check_block_count", "check_blocks"]

MOST_BLOCKS = 12
"""The most residual blocks of a net."""


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


@dataclass(frozen=True, kw_only=True, slots=True)
class UNetConfig(ModelConfig):
    """Images, classes and layers of a :class:`zoo_core.models.unet.UNet`. A family derives its config from this one and adds options.

    >>> @dataclass(frozen=True, kw_only=True, slots=True)
    ... class CatsConfig(UNetConfig):
    ...     sigma_max: float = 80.0
    >>> CatsConfig(image_size=16, multipliers=(1, 2), linear_attention=(8,)).dim
    16

    Args:
        image_size: side of the square images; a multiple of 2 ** (len(multipliers) - 1).
        channels: number of channels of an image.
        dim: width of the first level; level i has the width dim * multipliers[i] and half the side of level i - 1.
        blocks: residual blocks of each level on the way down; one more on the way up.
        attention: sides of the levels with softmax attention after each block; the middle always has it.
        linear_attention: sides of the levels with linear attention after each block.
        heads: number of heads of every attention.
        resample_conv: resamples with 3x3 convolutions instead of average pooling and nearest-neighbour repetition.
        dropout: rate of dropout in the residual blocks.
        num_classes: number of classes; 0 for a model without labels.
        guidance_embeds: the net takes the scale of classifier-free guidance as an input, so that guidance costs one pass a step (Meng et
            al. 2023, arXiv:2210.03142); for students that are trained with guided teachers.

    Raises:
        ConfigError: if a value is out of range, guidance_embeds is set without classes, or image_size, dim and heads do not divide as
            they must.
    """

    image_size: int = 32
    channels: int = 3
    dim: int = 16
    multipliers: tuple[int, ...] = (1, 2, 4, 8)
    blocks: int = 1
    attention: tuple[int, ...] = ()
    linear_attention: tuple[int, ...] = (32, 16, 8)
    heads: int = 4
    resample_conv: bool = False
    dropout: float = 0.0
    num_classes: int = 0
    guidance_embeds: bool = False

    def __post_init__(self) -> None:
        check_range(self, image_size=(1, 4096), channels=(1, 64), dim=(2, 4096), multipliers=(1, 64), blocks=(1, 32), heads=(1, 256))
        check_range(self, dropout=(0.0, 0.999), num_classes=(0, 10**6), attention=(1, 4096), linear_attention=(1, 4096))
        if not 1 <= len(self.multipliers) <= 12:
            raise ConfigError(f"multipliers must be 1 to 12 numbers, not {len(self.multipliers)}")
        if self.image_size % 2 ** (len(self.multipliers) - 1):
            raise ConfigError(f"image_size must be a multiple of {2 ** (len(self.multipliers) - 1)} for {len(self.multipliers)} levels")
        if self.dim % self.heads:
            raise ConfigError(f"heads must divide dim, but {self.heads} does not divide {self.dim}")
        if self.guidance_embeds and not self.num_classes:
            raise ConfigError("guidance_embeds needs classes", "set num_classes, or leave guidance_embeds out")
        if self.dim % 2:
            raise ConfigError("dim must be even: one half of the time embedding is sines, the other cosines")


@dataclass(frozen=True, kw_only=True, slots=True)
class UpsamplingConfig(ModelConfig):
    """A :class:`zoo_core.models.convolutional.UpsamplingGenerator`. A family derives its config from this one.

    Args:
        shape: shape of an image, (channels, side, side).
        latent: dimension of z.
        width: channels of the finest feature maps; each coarser stage has twice as many.
        stages: number of times that the generator doubles the side. Halves are rounded up: 4 -> 7 -> 14 -> 28.
        kernel: side of the convolutions' kernels: 5, as in the authors' code, or 4, which with a stride of 2 covers all pixels equally
            often, but needs even sides.

    Raises:
        ConfigError: if a value is out of range, or the stages or the kernel do not suit the side.

    Example:
        >>> config = UpsamplingConfig(shape=(1, 28, 28), width=32, stages=3)
        >>> config.sides, config.widths
        ((28, 14, 7, 4), (32, 64, 128))
    """

    shape: tuple[int, int, int] = (1, 28, 28)
    latent: int = 100
    width: int = 32
    stages: int = 3
    kernel: Literal[4, 5] = 5

    def __post_init__(self) -> None:
        check_range(self, shape=(1, 1024), latent=(1, 65_536), width=(1, 1024), stages=(1, 8))
        if self.shape[1] != self.shape[2]:
            raise ConfigError(f"shape must be (channels, side, side), not {self.shape}")
        if self.sides[-2] < 3:
            raise ConfigError(f"stages must be fewer than {self.stages} for a side of {self.shape[1]}")
        if self.kernel == 4 and any(side % 2 for side in self.sides[:-1]):
            raise ConfigError(f"kernel must be 5 for the sides {', '.join(map(str, self.sides))}: 4 needs even sides")

    @property
    def sides(self) -> tuple[int, ...]:
        """The sides of the image and of the feature maps, the finest first."""
        return tuple(-(-self.shape[1] // 2**stage) for stage in range(self.stages + 1))

    @property
    def widths(self) -> tuple[int, ...]:
        """The channels of the feature maps, the finest (of half the image's side) first."""
        return tuple(self.width << stage for stage in range(self.stages))


def check_blocks(shape: tuple[int, int, int], multipliers: tuple[int, ...], halvings: int) -> None:
    """Checks that images of a shape can pass the residual blocks of a net, see :mod:`zoo_core.models.residual`.

    Args:
        shape: shape of an image, (channels, side, side).
        multipliers: one number for each block.
        halvings: number of blocks that halve or double the side.

    Raises:
        ConfigError: if there are no blocks or too many, the image is not square, or its side does not halve ``halvings`` times.
    """
    check_block_count(multipliers)
    if shape[1] != shape[2]:
        raise ConfigError("shape must be (channels, side, side)")
    if shape[1] % 2**halvings:
        raise ConfigError(f"shape must have a side that halves {halvings} times, once for each block that changes it, not {shape[1]}")


def check_block_count(multipliers: tuple[int, ...]) -> None:
    """Checks that there are 1 to :data:`MOST_BLOCKS` blocks.

    Raises:
        ConfigError: if there are not.
    """
    if not 1 <= len(multipliers) <= MOST_BLOCKS:
        raise ConfigError(f"multipliers must be 1 to {MOST_BLOCKS} numbers, not {len(multipliers)}")
