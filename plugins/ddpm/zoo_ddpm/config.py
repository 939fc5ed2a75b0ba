"""Configs of the ddpm family."""

from dataclasses import dataclass
from typing import Literal

from zoo_core.config import check_range
from zoo_core.errors import ConfigError
from zoo_core.interfaces import DiscreteScheduler, ModelConfig, TrainerConfig
from zoo_core.schedulers import Cosine

__all__ = ["DDPMConfig", "DDPMTrainerConfig"]


@dataclass(frozen=True, kw_only=True, slots=True)
class DDPMConfig(ModelConfig):
    """A U-Net that was trained to undo the noise of ``scheduler``.

    Args:
        image_size: side of the square images; a multiple of 2 ** (len(multipliers) - 1).
        channels: of an image.
        dim: width of the first level; level i has the width dim * multipliers[i] and half the side of level i - 1.
        blocks: residual blocks a level on the way down; one more on the way up.
        attention: sides of the levels with softmax attention after each block (the middle has it always).
        linear_attention: sides of the levels with linear attention after each block.
        heads: of every attention.
        resample_conv: whether a 3x3 convolution goes with each change of resolution, or average pooling and repetition alone.
        dropout: in the residual blocks.
        scheduler: the noise levels of training; part of what the weights mean.
        prediction: what the net's output is: the noise eps, the clean image x_0, or v = sqrt(abar) eps - sqrt(1 - abar) x_0 (Salimans & Ho
            2022, arXiv:2202.00512, section 4), from which x_0 is found equally well at every level: an error of eps counts sigma times.
        num_classes: 0 for a model without labels.
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
    scheduler: DiscreteScheduler = Cosine(T=50)
    prediction: Literal["eps", "x0", "v"] = "eps"
    num_classes: int = 0

    def __post_init__(self) -> None:
        check_range(self, image_size=(1, 4096), channels=(1, 64), dim=(2, 4096), multipliers=(1, 64), blocks=(1, 32), heads=(1, 256))
        check_range(self, dropout=(0.0, 0.999), num_classes=(0, 10**6), attention=(1, 4096), linear_attention=(1, 4096))
        if not 1 <= len(self.multipliers) <= 12:
            raise ConfigError(f"multipliers must be 1 to 12 numbers, not {len(self.multipliers)}")
        if self.image_size % 2 ** (len(self.multipliers) - 1):
            raise ConfigError(f"image_size must be a multiple of {2 ** (len(self.multipliers) - 1)} for {len(self.multipliers)} levels")
        if self.dim % self.heads:
            raise ConfigError(f"heads must divide dim, and {self.heads} does not divide {self.dim}")
        if self.dim % 2:
            raise ConfigError("dim must be even: half of the time embedding are sines, half cosines")


@dataclass(frozen=True, kw_only=True, slots=True)
class DDPMTrainerConfig(TrainerConfig):
    """How the net is trained.

    Args:
        loss: ``l1`` or ``mse`` (the paper's L_simple, eq. 14) between prediction and target.
        p_uncond: share of rows whose label is withheld, so that guidance is possible; for models with classes.
    """

    loss: Literal["l1", "mse"] = "mse"
    p_uncond: float = 0.1

    def __post_init__(self) -> None:
        check_range(self, p_uncond=(0.0, 1.0))
