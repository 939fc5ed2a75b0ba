"""Configs of the ddpm family."""

from dataclasses import dataclass
from typing import Literal

from zoo_core.config import check_range
from zoo_core.errors import ConfigError
from zoo_core.interfaces import DiscreteScheduler, TrainerConfig
from zoo_core.models.config import UNetConfig
from zoo_core.schedulers import Cosine

__all__ = ["DDPMConfig", "DDPMTrainerConfig"]


@dataclass(frozen=True, kw_only=True, slots=True)
class DDPMConfig(UNetConfig):
    """A U-Net that removes the noise of the levels of ``scheduler``.

    The images, the classes and the layers are options of :class:`zoo_core.models.config.UNetConfig`.

    Args:
        scheduler: the noise levels of training; the weights are valid for these alone.
        prediction: the net's output: the noise eps, the clean image x_0, or v = sqrt(abar) eps - sqrt(1 - abar) x_0 (Salimans & Ho 2022,
            arXiv:2202.00512, section 4). An error of v has about the same effect on x_0 at every level; an error of eps is multiplied by
            sigma.

    Raises:
        ConfigError: if a value is out of range.

    Example:
        >>> DDPMConfig(image_size=16, multipliers=(1, 2), linear_attention=(8,)).prediction
        'eps'
    """

    scheduler: DiscreteScheduler = Cosine(T=50)
    prediction: Literal["eps", "x0", "v"] = "eps"


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
