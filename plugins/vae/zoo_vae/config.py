"""Configs of the vae family."""

from dataclasses import dataclass
from typing import Literal

from zoo_core.config import check_range
from zoo_core.errors import ConfigError
from zoo_core.interfaces import ModelConfig, TrainerConfig

__all__ = ["VAEConfig", "VAETrainerConfig"]

_MOST_LAYERS = 12


@dataclass(frozen=True, kw_only=True, slots=True)
class VAEConfig(ModelConfig):
    """A variational autoencoder: q(z | x) = N(mu(x), diag sigma(x)^2), p(z) = N(0, I), and a likelihood p(x | z).

    Args:
        shape: shape of a sample: (channels, side, side), or any shape for an MLP.
        net: ``mlp`` (Kingma & Welling 2013, arXiv:1312.6114, appendix C), or ``conv``, strided convolutions and their transposes.
        latent: dimension of z.
        hidden: widths of the hidden layers of an MLP encoder; the decoder has them in reverse. An empty tuple makes both linear.
        width: channels of the first convolution.
        multipliers: convolution i has width * multipliers[i] channels, and halves the side.
        activation: activation between layers.
        likelihood: distribution of x given z.
            ``bernoulli``: of a binary image, drawn from the grey levels (space ``binary``).
            ``discretised-logistic``: of an 8-bit image (space ``uint8``; Salimans et al. 2017, arXiv:1701.05517, section 2.1, with one
            component).
            ``gaussian``: of a point (space ``continuous``).
        scale: kind of the logistic's scale, or of the Gaussian's standard deviation: ``fixed`` at initial_scale, ``learned``, one for each
            channel, or ``predicted`` by the decoder for each value.
        initial_scale: fixed or initial value of the scale, in the units of x.

    Raises:
        ConfigError: if a value is out of range, or the shape does not suit the net.

    Example:
        >>> VAEConfig(latent=2, hidden=(256, 128)).likelihood
        'bernoulli'
    """

    shape: tuple[int, ...] = (1, 28, 28)
    net: Literal["mlp", "conv"] = "mlp"
    latent: int = 40
    hidden: tuple[int, ...] = (400,)
    width: int = 32
    multipliers: tuple[int, ...] = (1, 2)
    activation: Literal["elu", "relu", "silu", "softplus", "tanh"] = "relu"
    likelihood: Literal["bernoulli", "discretised-logistic", "gaussian"] = "bernoulli"
    scale: Literal["fixed", "learned", "predicted"] = "learned"
    initial_scale: float = 0.1

    def __post_init__(self) -> None:
        check_range(self, shape=(1, 4096), latent=(1, 65_536), hidden=(1, 65_536), width=(1, 4096), multipliers=(1, 64))
        check_range(self, initial_scale=(1e-3, 1e3))
        if not self.shape or len(self.shape) > 8:
            raise ConfigError("shape must have 1 to 8 numbers")
        if len(self.hidden) > _MOST_LAYERS:
            raise ConfigError(f"hidden must have at most {_MOST_LAYERS} layers")
        if self.net == "conv":
            self._check_convolutions()

    def _check_convolutions(self) -> None:
        if len(self.shape) != 3 or self.shape[1] != self.shape[2]:
            raise ConfigError("shape must be (channels, side, side) for convolutions")
        if not 1 <= len(self.multipliers) <= _MOST_LAYERS:
            raise ConfigError(f"multipliers must be 1 to {_MOST_LAYERS} numbers, not {len(self.multipliers)}")
        if self.shape[1] % 2 ** len(self.multipliers):
            raise ConfigError(f"shape must have a side that halves {len(self.multipliers)} times, once for each multiplier")


@dataclass(frozen=True, kw_only=True, slots=True)
class VAETrainerConfig(TrainerConfig):
    """The objective E log p(x | z) - beta KL(q(z | x) || p(z)), with one draw of z for each row.

    Args:
        beta: weight of the KL; 1 is the evidence lower bound, larger values favour independent latents (Higgins et al. 2017, beta-VAE,
            eq. 4).
        free_bits: nats of KL, averaged over a batch, that are free in each latent dimension: a dimension counts as max(free_bits, KL)
            (Kingma et al. 2016, arXiv:1606.04934, eq. 15).

    Raises:
        ConfigError: if a value is out of range.

    Example:
        >>> VAETrainerConfig(beta=4.0).free_bits
        0.0
    """

    beta: float = 1.0
    free_bits: float = 0.0

    def __post_init__(self) -> None:
        check_range(self, beta=(0.0, 1e6), free_bits=(0.0, 1e6))
