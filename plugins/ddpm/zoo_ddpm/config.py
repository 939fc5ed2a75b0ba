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
    """A U-Net that removes the noise of the levels of ``scheduler``.

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
        scheduler: the noise levels of training; the weights are valid for these alone.
        prediction: the net's output: the noise eps, the clean image x_0, or v = sqrt(abar) eps - sqrt(1 - abar) x_0 (Salimans & Ho 2022,
            arXiv:2202.00512, section 4). An error of v has about the same effect on x_0 at every level; an error of eps is multiplied by
            sigma.
        num_classes: number of classes; 0 for a model without labels.
        guidance_embeds: the net takes the scale of classifier-free guidance as an input, so that guidance costs one pass a step (Meng et
            al. 2023, arXiv:2210.03142); for students that are trained with guided teachers.

    Raises:
        ConfigError: if a value is out of range, guidance_embeds is set without classes, or image_size, dim and heads do not divide as
            they must.

    Example:
        >>> DDPMConfig(image_size=16, multipliers=(1, 2), linear_attention=(8,)).prediction
        'eps'
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
class DDPMTrainerConfig(TrainerConfig):
    """The loss, and the rate at which labels are withheld.

    With SNR_t = 1 / sigma_t^2 and e = x_0 - D(x_sigma, sigma_t), the weights of level t = 1 ... T are

        simple    the error of the prediction itself, unweighted
        bound     T (SNR_(t-1) - SNR_t) / 2 |e|^2 for t > 1, and T SNR_1 / 2 |e|^2 for t = 1
        min-snr   min(SNR_t, 5) |e|^2

    ``bound`` gives the terms that depend on the net in the variational bound with the variance beta-tilde (Ho et al. 2020,
    arXiv:2006.11239, eqs. 5 and 8), in nats per dimension. Its first term is that of a normal decoder of variance sigma_1^2, instead of the
    discrete one, up to a constant. ``min-snr`` is Hang et al. 2023 (arXiv:2303.09556, section 3.4) with gamma = 5.

    Args:
        loss: absolute (``l1``) or squared (``mse``, the paper's L_simple, eq. 14) error between prediction and target.
        weight: weight of the levels, ``simple``, ``bound`` or ``min-snr``; the last two need ``mse``.
        p_uncond: probability that the label of a row is withheld, which classifier-free guidance needs; for models with classes.

    Raises:
        ConfigError: if a value is out of range, or another weight than ``simple`` is given with ``l1``.

    Example:
        >>> DDPMTrainerConfig(loss="l1").p_uncond
        0.1
    """

    loss: Literal["l1", "mse"] = "mse"
    weight: Literal["simple", "bound", "min-snr"] = "simple"
    p_uncond: float = 0.1

    def __post_init__(self) -> None:
        check_range(self, p_uncond=(0.0, 1.0))
        if self.loss == "l1" and self.weight != "simple":
            raise ConfigError(f"weight {self.weight} is defined for squared errors: loss must be mse, not l1")
