"""Configs of the ncsn-langevin family."""

from dataclasses import dataclass
from typing import Literal

from zoo_core.config import check_range
from zoo_core.errors import ConfigError
from zoo_core.interfaces import ModelConfig, Scheduler, TrainerConfig
from zoo_core.schedulers import Geometric

__all__ = ["NCSNConfig", "NCSNTrainerConfig"]


@dataclass(frozen=True, kw_only=True, slots=True)
class NCSNConfig(ModelConfig):
    """A score network with its noise levels and the parameterisation of its output.

    x_sigma = x_0 + sigma * eps with images in [-1, 1]: sigmas double against papers whose pixels are in [0, 1].

    Args:
        shape: shape of a sample: (channels, side, side) for a RefineNet, (dimension,) for an MLP.
        net: ``refinenet`` (Lin et al. 2016, arXiv:1611.06612, as in Song & Ermon 2019), or ``mlp`` for points.
        form: meaning of the net's output F, and conditioning on sigma.
            ``score``: F is the score; the level's index chooses the affine part of each norm (NCSN, arXiv:1907.05600, appendix A). An MLP
            is conditioned on log sigma.
            ``scaled``: F is sigma times the score, without conditioning (NCSNv2, arXiv:2006.09011, section 3.3).
            ``edm``: F is combined with x so that its input and its target have unit variance at every sigma, conditioned on log sigma
            (Karras et al. 2022, arXiv:2206.00364, table 1).
        width: channels of the first stage, or of an MLP's layers.
        multipliers: stage i of a RefineNet has width * multipliers[i] channels.
        dilations: dilations of the convolutions of each stage. A stage after the first halves the side if its dilation is 1, and keeps the
            side otherwise.
        blocks: residual blocks of a stage, or of the MLP.
        units: residual convolution units for each input of a RefineNet's fusion.
        levels: number of noise levels that ``scheduler`` places from sigma_max to sigma_min, both included.
        sigma_min: the smallest noise level.
        sigma_max: the largest noise level; about the largest distance between two samples (arXiv:2006.09011, section 3.1).
        sigma_data: standard deviation of the data, for the form ``edm``.
        scheduler: scheduler that places the levels.

    Raises:
        ConfigError: if a value is out of range, or shape, net and stages do not suit each other.

    Example:
        >>> config = NCSNConfig(shape=(2,), net="mlp", width=64)
        >>> config.form, config.levels
        ('edm', 50)
    """

    shape: tuple[int, ...] = (1, 28, 28)
    net: Literal["refinenet", "mlp"] = "refinenet"
    form: Literal["score", "scaled", "edm"] = "edm"
    width: int = 32
    multipliers: tuple[int, ...] = (1, 2, 2)
    dilations: tuple[int, ...] = (1, 1, 1)
    blocks: int = 2
    units: int = 1
    levels: int = 50
    sigma_min: float = 0.02
    sigma_max: float = 20.0
    sigma_data: float = 0.6
    scheduler: Scheduler = Geometric()

    def __post_init__(self) -> None:
        check_range(self, shape=(1, 4096), width=(2, 4096), multipliers=(1, 64), dilations=(1, 64), blocks=(1, 32), units=(1, 32))
        check_range(self, levels=(2, 100_000), sigma_min=(1e-9, 1e9), sigma_max=(1e-9, 1e9), sigma_data=(1e-9, 1e9))
        if self.sigma_min >= self.sigma_max:
            raise ConfigError(f"sigma_min must be less than sigma_max, not {self.sigma_min:g} >= {self.sigma_max:g}")
        if self.net == "mlp" and len(self.shape) != 1:
            raise ConfigError("shape must be one number, the dimension, for an mlp")
        if self.net == "refinenet":
            self._check_stages()

    def _check_stages(self) -> None:
        if len(self.shape) != 3 or self.shape[1] != self.shape[2]:
            raise ConfigError("shape must be (channels, side, side) for a refinenet")
        if not 1 <= len(self.multipliers) <= 12 or len(self.dilations) != len(self.multipliers):
            raise ConfigError("multipliers and dilations must have the same length, 1 to 12")
        halvings = sum(dilation == 1 for dilation in self.dilations[1:])
        if self.shape[1] % 2**halvings or self.shape[1] < 2 ** (halvings + 1):
            raise ConfigError(f"shape must have a side of {2 ** (halvings + 1)} or more that halves {halvings} times")


@dataclass(frozen=True, kw_only=True, slots=True)
class NCSNTrainerConfig(TrainerConfig):
    """The loss of score matching, and the distribution and weights of the noise levels.

    Args:
        loss: ``dsm`` denoising (Vincent 2011), ``ism`` implicit with the exact trace of the Jacobian (Hyvarinen 2005; few dimensions only),
            ``ssm`` sliced, with reduced variance (Song et al. 2019, arXiv:1905.07088). All have the same optimum.
        weight: weight of a level: ``variance`` is sigma^2 (arXiv:1907.05600, eq. 6); ``output`` makes ``dsm`` the squared error of the
            net's output (arXiv:2206.00364, eq. 8). They are the same for the form ``scaled``.
        noise: distribution of sigma: ``levels`` are the model's own with equal probabilities; ``log-normal`` is
            exp(N(log_mean, log_std^2)), clamped to the model's range (arXiv:2206.00364, table 1).
        log_mean: mean of log sigma, for ``log-normal``.
        log_std: standard deviation of log sigma, for ``log-normal``.
        slices: number of directions for each sample, for ``ssm``.

    Raises:
        ConfigError: if a value is out of range.

    Example:
        >>> NCSNTrainerConfig(weight="output", noise="log-normal").loss
        'dsm'
    """

    loss: Literal["dsm", "ism", "ssm"] = "dsm"
    weight: Literal["variance", "output"] = "variance"
    noise: Literal["levels", "log-normal"] = "levels"
    log_mean: float = -0.5
    log_std: float = 1.5
    slices: int = 1

    def __post_init__(self) -> None:
        check_range(self, log_mean=(-20.0, 20.0), log_std=(1e-6, 20.0), slices=(1, 4096))
