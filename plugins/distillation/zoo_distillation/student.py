"""The base class of both trainers: a student that begins as its teacher."""

from typing import Protocol, cast

import torch
from torch import Tensor, nn

from zoo_core.arguments import level_dtype
from zoo_core.errors import ConfigError
from zoo_core.interfaces import Denoiser, Rng, Sampler, Scheduler, Teacher, TrainerConfig
from zoo_core.samplers.wrappers import DenoiserWrapper
from zoo_core.training.teachers import begin_as, load_teacher
from zoo_core.training.trainer import Batch, Trainer
from zoo_distillation.ode import Condition, Estimate

__all__ = ["DistillationConfig", "StudentTrainer"]


class DistillationConfig(Protocol):
    """The options that both trainers have.

    >>> from zoo_distillation.config import ConsistencyConfig
    >>> options: DistillationConfig = ConsistencyConfig()
    >>> options.teacher is None
    True
    """

    teacher: Teacher | None
    sampler: Sampler | None
    scheduler: Scheduler
    guidance: tuple[float, float] | None


class _Conditioned(DenoiserWrapper):
    """A denoiser with the classes and guidance scales of a batch, for a sampler."""

    def __init__(self, model: nn.Module, estimate: Estimate) -> None:
        super().__init__(cast(Denoiser, model))
        self.estimate = estimate

    def denoise(self, x: Tensor, sigma: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.estimate(x, sigma)


class StudentTrainer(Trainer):
    """Base class of the trainers of denoisers that may have a teacher.

    A new run begins with the teacher's weights, if the student has the teacher's family and config; ``start_from`` begins with others.

    >>> from zoo_core.testing.fake import FakeDenoiser
    >>> from zoo_core.testing.fake_config import FakeDenoiserConfig
    >>> from zoo_distillation.config import ConsistencyConfig
    >>> from zoo_distillation.consistency import ConsistencyTrainer
    >>> trainer: StudentTrainer = ConsistencyTrainer(FakeDenoiser(FakeDenoiserConfig()), ConsistencyConfig())
    >>> trainer.levels(4, torch.device("cpu")).shape
    torch.Size([5])

    Args:
        model: the student, a denoiser.
        config: config of the trainer.

    Raises:
        ConfigError: if the teacher's samples have another shape or other classes than the student's; or guidance is asked of a model
            without classes, or drawn from an interval for a student whose net does not take the scale.
    """

    def __init__(self, model: nn.Module, config: TrainerConfig) -> None:
        super().__init__(model, config)
        self.student = cast(Denoiser, model)
        self.options = cast(DistillationConfig, config)
        self.num_classes = int(getattr(model, "num_classes", 0))
        if self.options.teacher is not None:
            self.freeze("teacher", load_teacher(self.options.teacher, requires="denoise"))
            self._check(cast(Denoiser, self.frozen["teacher"]))

    def _check(self, teacher: Denoiser) -> None:
        if teacher.event.shape != self.student.event.shape:
            shapes = f"{tuple(teacher.event.shape)} and {tuple(self.student.event.shape)}"
            raise ConfigError(f"samples of teacher and student must have the same shape, not {shapes}")
        if (classes := int(getattr(teacher, "num_classes", 0))) not in (0, self.num_classes):
            raise ConfigError(f"teacher and student must have the same classes, not {classes} and {self.num_classes}")
        guidance = self.options.guidance
        if guidance is not None and not classes:
            raise ConfigError("guidance needs a teacher with classes", "leave trainer.guidance out")
        if guidance is not None and guidance[0] < guidance[1] and not getattr(self.model, "guidance_embeds", False):
            hint = "choose one scale, such as trainer.guidance=[2, 2]"
            raise ConfigError("the student's net does not take a guidance scale", hint)

    def prepare(self, batch: Batch, rng: Rng) -> None:
        if "teacher" in self.frozen:
            begin_as(self.model, self.frozen["teacher"])

    def levels(self, steps: int, device: torch.device) -> Tensor:
        """The noise levels of ``steps`` steps, decreasing to 0, float64 (steps + 1,)."""
        sigmas = self.options.scheduler.sigmas(steps, *self.student.sigma_range)
        return torch.tensor(sigmas, dtype=level_dtype(device), device=device)

    def condition(self, batch: Batch, rng: Rng) -> Condition:
        """The classes of a batch, if the student has classes, and its guidance scales."""
        return Condition.draw(batch.labels if self.num_classes else None, self.options.guidance, rng)

    def path(self, model: nn.Module, estimate: Estimate, sampler: Sampler, levels: Tensor, rng: Rng) -> list[Tensor]:
        """The states (n, ...) at each of ``levels`` of a sampler that begins at pure noise.

        Args:
            model: denoiser.
            estimate: its estimate under the condition of the batch.
            sampler: deterministic sampler.
            levels: decreasing noise levels to 0, (steps + 1,).
            rng: random numbers of the noise, a row for each row of the batch.
        """
        states: list[Tensor] = []
        walker = _Conditioned(model, estimate)
        sigmas = tuple(levels.tolist())
        start = walker.start(rng, sigmas[0])
        sampler(walker, rng, sigmas=sigmas, x=start, on_step=lambda step, sigma, x, x0: states.append(x))
        return states
