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
        shape: of an image, (channels, side, side). The side is 4 or 7, doubled once or more: 32, 64; 28 (7, 14, 28, as in InfoGAN).
        latent: dimension of z.
        width: channels of the finest feature maps; each coarser stage has twice as many.
        kernel: side of the convolutions' kernels: 5, as the authors have it, or 4, which no two steps of a stride of 2 cover unevenly.
    """

    shape: tuple[int, int, int] = (1, 28, 28)
    latent: int = 100
    width: int = 64
    kernel: Literal[4, 5] = 4

    def __post_init__(self) -> None:
        check_range(self, shape=(1, 128), latent=(1, 65_536), width=(1, 1024))
        if self.shape[1] != self.shape[2]:
            raise ConfigError(f"shape must be (channels, side, side), not {self.shape}")
        if self.shape[1] < 8 or self.coarsest not in (4, 7):
            raise ConfigError(f"shape must have a side of 4 or 7 doubled, such as 28, 32 or 64, not {self.shape[1]}")

    @property
    def coarsest(self) -> int:
        """The side of the coarsest feature maps."""
        side = self.shape[1]
        while side > 7 and side % 2 == 0:
            side //= 2
        return side

    @property
    def widths(self) -> tuple[int, ...]:
        """The channels of the feature maps, the finest (of half the image's side) first."""
        stages = (self.shape[1] // self.coarsest).bit_length() - 1
        return tuple(self.width << stage for stage in range(stages))


@dataclass(frozen=True, kw_only=True, slots=True)
class DCGANTrainerConfig(TrainerConfig):
    """What generator and discriminator minimise, and the discriminator.

    Args:
        loss: one of :data:`zoo_core.training.adversarial.LOSSES`.
        width: channels of the discriminator's finest feature maps; each coarser stage has twice as many.
    """

    loss: Literal["non-saturating", "minimax", "least-squares", "hinge", "reverse-kl"] = "non-saturating"
    width: int = 64

    def __post_init__(self) -> None:
        check_range(self, width=(1, 1024))
