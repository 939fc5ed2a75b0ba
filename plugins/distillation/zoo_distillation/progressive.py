"""Progressive distillation (Salimans & Ho 2022, arXiv:2202.00512)."""

from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from typing import cast

import torch
from torch import Tensor, nn

from zoo_core.arguments import level_dtype
from zoo_core.interfaces import Denoiser, Rng
from zoo_core.training.teachers import load_teacher
from zoo_core.training.trainer import Batch, Loss, Trainer
from zoo_distillation.config import ProgressiveConfig
from zoo_distillation.ode import broadcast, ddim_step, denoiser_of, heun_step

__all__ = ["ProgressiveTrainer", "target"]

Step = Callable[[Denoiser, Tensor, Tensor, Tensor, Tensor | None], Tensor]


def target(x: Tensor, end: Tensor, sigma: Tensor, below: Tensor) -> Tensor:
    """The estimate of the clean sample by which one DDIM step leads from ``x`` to ``end``.

        x~ = (x'' - (sigma'' / sigma) x) / (1 - sigma'' / sigma)

    This is Algorithm 2 of the paper in the coordinate x_sigma = x_0 + sigma eps.

    Args:
        x: states at ``sigma``, (n, ...).
        end: states at ``below``, where the teacher's steps lead, (n, ...).
        sigma, below: noise levels (n,), float64, with 0 <= below < sigma.

    Example:
        >>> levels = torch.tensor([2.0, 1.0], dtype=torch.float64)
        >>> target(torch.tensor([[3.0]]), torch.tensor([[2.0]]), levels[:1], levels[1:])
        tensor([[1.]])
    """
    share = broadcast(below / sigma, x)
    return (end - share * x) / (1 - share)


class ProgressiveTrainer(Trainer):
    """Algorithm 2 of the paper, in stages; the loss is max(1 / sigma^2, 1) |D(x, sigma) - x~|^2 (ibid., eq. 9).

    A new run begins with the teacher's weights if the student has the same net; ``start_from`` begins with others. At the beginning of
    each later stage the student is copied: that copy is the teacher of the stage, and a part of the run's state.

    Example:
        >>> from zoo_core.interfaces import Teacher
        >>> ProgressiveConfig(teacher=Teacher(reference="ddpm-afhq-cat")).stages
        (16, 8, 4)
    """

    uses_steps = True
    config: ProgressiveConfig

    def __init__(self, model: nn.Module, config: ProgressiveConfig) -> None:
        super().__init__(model, config)
        self.freeze("teacher", load_teacher(config.teacher, requires="denoise"))
        self.previous = deepcopy(model).eval().requires_grad_(False)
        self.student = cast(Denoiser, model)

    def parameters_of(self, phase: str) -> Iterable[nn.Parameter]:
        return self.model.parameters()

    def train(self, mode: bool = True) -> "ProgressiveTrainer":
        super().train(mode)
        self.previous.eval()
        return self

    def prepare(self, batch: Batch, rng: Rng) -> None:
        taught = self.frozen["teacher"].state_dict()
        own = self.model.state_dict()
        if {name: value.shape for name, value in taught.items()} == {name: value.shape for name, value in own.items()}:
            self.model.load_state_dict(taught)

    def stage(self, step: int) -> int:
        """The number of the stage of a training step, from 0."""
        count = len(self.config.stages)
        return min(step * count // self.steps, count - 1)

    def place(self, step: int, steps: int) -> None:
        super().place(step, steps)
        if step and self.stage(step) != self.stage(step - 1):
            self.previous.load_state_dict(self.model.state_dict())

    def forward(self, phase: str, batch: Batch, rng: Rng) -> Loss:
        stage = self.stage(self.step)
        first = stage == 0
        substeps = self.config.substeps if first else 2
        student_steps = self.config.stages[stage]
        lo, hi = self.student.sigma_range
        fine = self.config.scheduler.sigmas(substeps * student_steps, lo, hi)
        levels = torch.tensor(fine, dtype=level_dtype(batch.x.device), device=batch.x.device)
        begin = substeps * rng.integers(0, student_steps)
        labels = batch.labels if getattr(self.model, "num_classes", 0) else None
        x = batch.x + broadcast(levels[begin], batch.x) * rng.normal(*batch.x.shape[1:])
        teacher = denoiser_of(self.frozen["teacher"], self.config.guidance) if first else cast(Denoiser, self.previous)
        step = heun_step if first and self.config.solver == "heun" else ddim_step
        path = [levels[begin + i] for i in range(substeps + 1)]
        with torch.no_grad():
            taught = target(x, walked(teacher, x, path, step, labels), path[0], path[-1])
        error = (self.student.denoise(x, path[0], labels) - taught).square().flatten(1).mean(1)
        return Loss(value=(path[0].to(error) ** -2).clamp(min=1.0).mul(error).mean())

    def compilable(self) -> tuple[nn.Module, ...]:
        return ()


def walked(teacher: Denoiser, x: Tensor, path: Sequence[Tensor], step: Step, labels: Tensor | None = None) -> Tensor:
    """The state at the last level of ``path``, by steps of the teacher from ``x`` at the first.

    Args:
        teacher: the denoiser.
        x: states (n, ...).
        path: decreasing noise levels, each float64 (n,).
        step: :func:`zoo_distillation.ode.ddim_step` or ``heun_step``.
        labels: int64 (n,), or None.
    """
    for sigma, below in zip(path[:-1], path[1:], strict=True):
        x = step(teacher, x, sigma, below, labels)
    return x
