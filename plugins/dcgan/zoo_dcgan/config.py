"""Configs of the dcgan family."""

from dataclasses import dataclass
from typing import Literal

from zoo_core.config import check_range
from zoo_core.interfaces import TrainerConfig
from zoo_core.models.config import UpsamplingConfig

__all__ = ["DCGANConfig", "DCGANTrainerConfig"]


@dataclass(frozen=True, kw_only=True, slots=True)
class DCGANConfig(UpsamplingConfig):
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
