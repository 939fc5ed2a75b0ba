"""Configs of the trainers."""

from dataclasses import dataclass
from typing import Literal

from zoo_core.config import check_range
from zoo_core.errors import ConfigError
from zoo_core.interfaces import Sampler, Scheduler, Teacher, TrainerConfig
from zoo_distillation.schedulers import Nested

__all__ = ["ConsistencyConfig", "ProgressiveConfig"]


def _check_interval(guidance: tuple[float, float] | None) -> None:
    if guidance is not None and guidance[0] > guidance[1]:
        raise ConfigError(f"guidance must be an interval [low, high] of scales, not {list(guidance)}")


@dataclass(frozen=True, kw_only=True, slots=True)
class ProgressiveConfig(TrainerConfig):
    """Stages in which a student learns to take two steps of its teacher at once.

    Stage k = 1, 2, ... trains a student of ``first_steps / 2^(k-1)`` steps; the last one takes ``last_steps``. All stages have the same
    number of training steps. The teacher of the first stage is ``teacher``, that of each later one is the student of the stage before.

    Args:
        teacher: checkpoint of a denoiser.
        first_steps: number of sampling steps of the first student.
        last_steps: number of sampling steps of the last student: first_steps over a power of 2.
        substeps: number of steps that ``teacher`` takes for one of the first student, at least 2; the later teachers take 2.
        solver: solver of ``teacher``'s steps: ``ddim`` (Euler's method, one pass a step) as in the paper, or ``heun`` (two passes).
        sampler: deterministic sampler of ``teacher``, such as ``dpmpp-2m``, in the place of ``solver``. Then the student learns all of its
            steps along the path of each row from pure noise, as it walks it when it samples, and not single steps from noised data; the
            number of steps is first_steps times substeps. None for the paper's way.
        scheduler: noise levels; those of n steps must be every second one of 2 n.
        guidance: interval from which the scale of classifier-free guidance of ``teacher`` is drawn for each row; the student's net takes
            the scale as an input (Meng et al. 2023, arXiv:2210.03142), or learns a single one, such as (2, 2). None for no guidance.

    Raises:
        ConfigError: if a value is out of range, or first_steps / last_steps is not a power of 2.

    Example:
        >>> ProgressiveConfig(teacher=Teacher(reference="ddpm-afhq-cat"), first_steps=8, last_steps=2).stages
        (8, 4, 2)
    """

    teacher: Teacher
    first_steps: int = 16
    last_steps: int = 4
    substeps: int = 2
    solver: Literal["ddim", "heun"] = "ddim"
    sampler: Sampler | None = None
    scheduler: Scheduler = Nested(sigma_max=80.0)
    guidance: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        check_range(self, first_steps=(1, 4096), last_steps=(1, 4096), substeps=(2, 64), guidance=(-100.0, 100.0))
        _check_interval(self.guidance)
        ratio, rest = divmod(self.first_steps, self.last_steps)
        if rest or ratio & (ratio - 1):
            raise ConfigError(f"first_steps must be last_steps times a power of 2, not {self.first_steps} for {self.last_steps}")

    @property
    def stages(self) -> tuple[int, ...]:
        """Number of sampling steps of the student of each stage."""
        count = (self.first_steps // self.last_steps).bit_length()
        return tuple(self.first_steps >> k for k in range(count))


@dataclass(frozen=True, kw_only=True, slots=True)
class ConsistencyConfig(TrainerConfig):
    """Neighbouring noise levels, whose estimates are made equal.

    Args:
        teacher: checkpoint of a denoiser, for consistency distillation; None for consistency training without a teacher.
        levels: number of noise levels N above 0.
        sampler: deterministic sampler of ``teacher``, such as ``dpmpp-2m``. Then the student learns at all N levels of the path of each row
            from pure noise the end of that path itself, and not its own average at the next level. None for the paper's way.
        substeps: number of steps of ``sampler`` between two of the N levels.
        scheduler: the noise levels.
        decay: decay of the moving average of the student that gives the targets; 0 takes the student itself, without its gradient.
        huber: constant of the pseudo-Huber distance of samples with d values, sqrt(|a - b|^2 + huber^2 d) - huber sqrt(d) (Song & Dhariwal
            2023, arXiv:2310.14189, section 3.3); the larger, the more it is like the squared distance.
        guidance: as for :class:`ProgressiveConfig`.

    Raises:
        ConfigError: if a value is out of range, or guidance or a sampler is given without a teacher.

    Example:
        >>> ConsistencyConfig(levels=32).teacher is None
        True
    """

    teacher: Teacher | None = None
    levels: int = 18
    sampler: Sampler | None = None
    substeps: int = 1
    scheduler: Scheduler = Nested(sigma_max=80.0)
    decay: float = 0.95
    huber: float = 0.03
    guidance: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        check_range(self, levels=(1, 4096), substeps=(1, 64), decay=(0.0, 1.0), huber=(1e-6, 100.0), guidance=(-100.0, 100.0))
        _check_interval(self.guidance)
        if self.guidance is not None and self.teacher is None:
            raise ConfigError("guidance is that of a teacher: name one, or leave guidance out")
        if self.sampler is not None and self.teacher is None:
            raise ConfigError("trainer.sampler is that of a teacher: name one, or leave it out")
        if self.substeps > 1 and self.sampler is None:
            raise ConfigError("trainer.substeps are those of trainer.sampler: choose one, or leave substeps out")
