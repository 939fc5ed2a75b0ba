"""Configs of the flow-matching family and its trainers."""

from dataclasses import dataclass
from typing import Literal

from zoo_core.config import check_range
from zoo_core.errors import ConfigError
from zoo_core.interfaces import Sampler, Scheduler, Teacher, TrainerConfig
from zoo_core.models.config import UNetConfig
from zoo_core.samplers import DPMSolver2M
from zoo_core.schedulers import Karras
from zoo_flow_matching.schedulers import Flow

__all__ = ["FlowMatchingConfig", "FlowMatchingTrainerConfig", "ReflowConfig", "TimesConfig"]


@dataclass(frozen=True, kw_only=True, slots=True)
class FlowMatchingConfig(UNetConfig):
    """A net for the velocity from samples to noise, and the noise levels at which it is used.

    The images, the classes and the layers of the U-Net are options of :class:`zoo_core.models.config.UNetConfig`.

    Args:
        points: dimension of points, for a net of ``blocks`` hidden layers of the width ``dim``; 0 for images and the U-Net.
        sigma_min: smallest noise level; the time sigma / (1 + sigma) of 0.001 is about 0.001.
        sigma_max: largest noise level, from which samples are drawn; the time of 1000 is 0.999, that of pure noise is 1.
        scheduler: places the levels of samplers by default.

    Raises:
        ConfigError: if a value is out of range, or guidance_embeds is set for points.

    Example:
        >>> FlowMatchingConfig(points=2, dim=64, blocks=3).sigma_max
        1000.0
    """

    points: int = 0
    sigma_min: float = 0.001
    sigma_max: float = 1000.0
    scheduler: Scheduler = Flow()

    def __post_init__(self) -> None:
        UNetConfig.__post_init__(self)
        check_range(self, points=(0, 4096), sigma_min=(1e-6, 1e6), sigma_max=(1e-6, 1e6))
        if self.points and self.guidance_embeds:
            raise ConfigError("the net of points does not take a guidance scale", "leave guidance_embeds out")
        if self.sigma_min >= self.sigma_max:
            raise ConfigError(f"sigma_min must be less than sigma_max, not {self.sigma_min:g} >= {self.sigma_max:g}")


@dataclass(frozen=True, kw_only=True, slots=True)
class TimesConfig(TrainerConfig):
    """Base class of the trainers' configs: the distribution of the times t in (0, 1).

    Args:
        times: ``uniform``, or ``logit-normal``: t = 1 / (1 + exp(-u)) with u from N(log_mean, log_std^2), so that sigma = t / (1 - t) is
            log-normal (Esser et al. 2024, arXiv:2403.03206, section 3.1).
        log_mean: mean of log sigma, for ``logit-normal``; values above 0 favour high noise.
        log_std: standard deviation of log sigma, for ``logit-normal``.

    Raises:
        ConfigError: if a value is out of range.

    Example:
        >>> FlowMatchingTrainerConfig(times="logit-normal").log_std
        1.0
    """

    times: Literal["uniform", "logit-normal"] = "uniform"
    log_mean: float = 0.0
    log_std: float = 1.0

    def __post_init__(self) -> None:
        check_range(self, log_mean=(-20.0, 20.0), log_std=(1e-6, 20.0))


@dataclass(frozen=True, kw_only=True, slots=True)
class FlowMatchingTrainerConfig(TimesConfig):
    """The distribution of the times, and the rate at which labels are withheld.

    Args:
        times, log_mean, log_std: as for :class:`TimesConfig`.
        p_uncond: probability that the label of a row is withheld, which classifier-free guidance needs; for models with classes.

    Raises:
        ConfigError: if a value is out of range.

    Example:
        >>> FlowMatchingTrainerConfig().times
        'uniform'
    """

    p_uncond: float = 0.1

    def __post_init__(self) -> None:
        TimesConfig.__post_init__(self)
        check_range(self, p_uncond=(0.0, 1.0))


@dataclass(frozen=True, kw_only=True, slots=True)
class ReflowConfig(TimesConfig):
    """Pairs of noise and samples that a teacher's ODE connects, and the distribution of the times.

    Args:
        teacher: checkpoint of a denoiser of any family.
        sampler: solver of the teacher's ODE; one that draws no noise.
        scheduler: noise levels of the solver.
        pool: number of pairs that are kept; a batch is drawn from them. A multiple of ``part``.
        part: number of pairs that the teacher draws at once.
        every: number of training steps after which the oldest ``part`` of the pool is drawn anew.
        seed: seed of the pairs. Pair i is the noise of image i of this seed and the teacher's sample of it.
        guidance: scale of classifier-free guidance of a teacher with classes; None for none.
        times, log_mean, log_std: as for :class:`TimesConfig`.

    Raises:
        ConfigError: if a value is out of range, or pool is no multiple of part.

    Example:
        >>> ReflowConfig(teacher=Teacher(reference="ddpm-afhq-cat"), pool=512).parts
        8
    """

    teacher: Teacher
    sampler: Sampler = DPMSolver2M(steps=16, clip=False)
    scheduler: Scheduler = Karras(sigma_max=80.0)
    pool: int = 1024
    part: int = 64
    every: int = 16
    seed: int = 1
    guidance: float | None = None

    def __post_init__(self) -> None:
        TimesConfig.__post_init__(self)
        check_range(self, pool=(1, 10**7), part=(1, 65_536), every=(1, 10**9), seed=(0, 2**64 - 1), guidance=(-100.0, 100.0))
        if self.pool % self.part:
            raise ConfigError(f"pool must be a multiple of part, not {self.pool} for {self.part}")

    @property
    def parts(self) -> int:
        """Number of parts of the pool."""
        return self.pool // self.part
