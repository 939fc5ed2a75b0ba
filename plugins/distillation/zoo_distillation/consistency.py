"""Consistency models (Song et al. 2023, arXiv:2303.01469): distillation from a teacher, and training without one."""

from collections.abc import Iterable
from copy import deepcopy
from typing import cast

import torch
from torch import Tensor, nn

from zoo_core.arguments import level_dtype
from zoo_core.interfaces import Denoiser, Rng
from zoo_core.training.teachers import load_teacher
from zoo_core.training.trainer import Batch, Loss, Trainer
from zoo_distillation.config import ConsistencyConfig
from zoo_distillation.ode import broadcast, denoiser_of, heun_step

__all__ = ["ConsistencyTrainer"]


class ConsistencyTrainer(Trainer):
    """Algorithms 2 (with a teacher) and 3 (without one) of the paper.

    For neighbouring levels sigma > sigma' and x = x_0 + sigma z,

        loss = d(D(x, sigma), D-(x', sigma'))    sigma' > 0
        loss = d(D(x, sigma), x')                sigma' = 0

    D- is a moving average of D. x' is a step of the teacher's ODE from x, by Heun's method, or x_0 + sigma' z without a teacher. At the
    lowest level the target is the end of the path itself, which takes the place of the paper's boundary condition.

    Example:
        >>> from zoo_core.rng import StepRng
        >>> from zoo_core.testing.fake import FakeDenoiser
        >>> from zoo_core.testing.fake_config import FakeDenoiserConfig
        >>> model = FakeDenoiser(FakeDenoiserConfig(shape=(2,)))
        >>> batch = Batch(x=torch.zeros(4, 2), labels=None, index=torch.arange(4))
        >>> ConsistencyTrainer(model, ConsistencyConfig(levels=4))("model", batch, StepRng(0, 0, 4)).value.shape
        torch.Size([])
    """

    config: ConsistencyConfig

    def __init__(self, model: nn.Module, config: ConsistencyConfig) -> None:
        super().__init__(model, config)
        if config.teacher is not None:
            self.freeze("teacher", load_teacher(config.teacher, requires="denoise"))
        self.average = deepcopy(model).requires_grad_(False)
        self.student = cast(Denoiser, model)

    def parameters_of(self, phase: str) -> Iterable[nn.Parameter]:
        return self.model.parameters()

    def prepare(self, batch: Batch, rng: Rng) -> None:
        if "teacher" in self.frozen:
            taught = self.frozen["teacher"].state_dict()
            own = self.model.state_dict()
            if {name: value.shape for name, value in taught.items()} == {name: value.shape for name, value in own.items()}:
                self.model.load_state_dict(taught)

    def place(self, step: int, steps: int) -> None:
        super().place(step, steps)
        if step == 0:
            self.average.load_state_dict(self.model.state_dict())

    def forward(self, phase: str, batch: Batch, rng: Rng) -> Loss:
        x0 = batch.x
        levels = torch.tensor(
            self.config.scheduler.sigmas(self.config.levels, *self.student.sigma_range),
            dtype=level_dtype(x0.device),
            device=x0.device,
        )
        i = rng.integers(0, self.config.levels)
        sigma, below = levels[i], levels[i + 1]
        labels = batch.labels if getattr(self.model, "num_classes", 0) else None
        z = rng.normal(*x0.shape[1:])
        x = x0 + broadcast(sigma, x0) * z
        with torch.no_grad():
            if "teacher" in self.frozen:
                teacher = denoiser_of(self.frozen["teacher"], self.config.guidance)
                near = heun_step(teacher, x, sigma, below, labels)
            else:
                near = x0 + broadcast(below, x0) * z
            positive = torch.where(below > 0, below, sigma)
            estimate = cast(Denoiser, self.average).denoise(near, positive, labels)
            taught = torch.where(broadcast(below, x0) > 0, estimate, near)
        return Loss(value=self.distance(self.student.denoise(x, sigma, labels), taught).mean())

    def distance(self, one: Tensor, other: Tensor) -> Tensor:
        """The distance of each row, divided by the number of values for the squared one, (n,)."""
        squared = (one - other).square().flatten(1)
        if not self.config.huber:
            return squared.mean(1)
        c = self.config.huber * squared.shape[1] ** 0.5
        return (squared.sum(1) + c**2).sqrt() - c

    def after(self, phase: str) -> None:
        with torch.no_grad():
            for mean, value in zip(self.average.state_dict().values(), self.model.state_dict().values(), strict=True):
                mean.copy_(mean.lerp(value, 1 - self.config.decay) if mean.is_floating_point() else value)
