"""Configs of the dcgan family."""

from dataclasses import dataclass
from typing import Literal

from zoo_core.config import check_range
from zoo_core.errors import ConfigError
from zoo_core.interfaces import ModelConfig, TrainerConfig

__all__ = ["DCGANConfig", "DCGANTrainerConfig"]


@dataclass(frozen=True, kw_only=True, slots=True)
class DCGANConfig(ModelConfig):
    """A generator of strided transposed convolutions (Radford et al. 2015, arXiv:1511.06434, figure 1).

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
        >>> config = DCGANConfig(shape=(1, 28, 28), width=32, stages=3)
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


@dataclass(frozen=True, kw_only=True, slots=True)
class DCGANTrainerConfig(TrainerConfig):
    """The losses of generator and discriminator, and the width of the discriminator.

    Args:
        loss: name of one of :data:`zoo_core.training.adversarial.LOSSES`.
        width: channels of the discriminator's finest feature maps; each coarser stage has twice as many.

    Raises:
        ConfigError: if a value is out of range.

    Example:
        >>> DCGANTrainerConfig(loss="hinge").width
        32
    """

    loss: Literal["non-saturating", "minimax", "least-squares", "hinge", "reverse-kl"] = "non-saturating"
    width: int = 32

    def __post_init__(self) -> None:
        check_range(self, width=(1, 1024))
