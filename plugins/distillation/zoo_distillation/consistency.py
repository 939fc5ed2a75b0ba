"""Consistency models (Song et al. 2023, arXiv:2303.01469): distillation from a teacher, and training without one."""

from copy import deepcopy

import torch
from torch import Tensor, nn

from zoo_core.interfaces import Rng, Sampler
from zoo_core.training.trainer import Batch, Loss
from zoo_distillation.config import ConsistencyConfig
from zoo_distillation.ode import Condition, broadcast, estimate, guided_estimate, heun_step
from zoo_distillation.student import StudentTrainer

__all__ = ["ConsistencyTrainer", "distance"]


def distance(a: Tensor, b: Tensor, huber: float) -> Tensor:
    """The pseudo-Huber distance sqrt(|a - b|^2 + c^2) - c with c = huber sqrt(d), d values a row (Song & Dhariwal 2023, arXiv:2310.14189).

    >>> distance(torch.tensor([[3.0, 4.0]]), torch.zeros(1, 2), huber=0.0)
    tensor([5.])

    Args:
        a, b: tensors (n, ...).
        huber: constant relative to sqrt(d); 0 gives the Euclidean distance, and large values its square over 2 c.

    Returns:
        (n,).
    """
    difference = (a - b).flatten(1)
    c = huber * difference.shape[1] ** 0.5
    return (difference.square().sum(1) + c**2).sqrt() - c


class ConsistencyTrainer(StudentTrainer):
    """Algorithm 2 (with a teacher) and Algorithm 3 (without one) of the paper.

    For neighbouring levels sigma > sigma' and x = x_0 + sigma z,

        loss = d(D(x, sigma), D-(x', sigma'))    if sigma' > 0
        loss = d(D(x, sigma), x')                if sigma' = 0

    D- is a moving average of D. x' is a Heun step of the teacher from x, or x_0 + sigma' z without a teacher. At the lowest level the
    target is the end of the path itself, in the place of the paper's boundary condition. With ``sampler`` it is that end at every level, as
    in Luhman & Luhman 2021 (arXiv:2101.02388), where the student has one level.

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
        self.average = deepcopy(model).requires_grad_(False)

    def place(self, step: int, steps: int) -> None:
        super().place(step, steps)
        if step == 0:  # the weights may be those of a teacher or of a checkpoint by now
            self.average.load_state_dict(self.model.state_dict())

    def forward(self, phase: str, batch: Batch, rng: Rng) -> Loss:
        condition = self.condition(batch, rng)
        if self.config.sampler is not None:
            return self._ends(self.config.sampler, condition, rng, batch.x.device)
        x0 = batch.x
        levels = self.levels(self.config.levels, x0.device)
        i = rng.integers(0, self.config.levels)
        sigma, below = levels[i], levels[i + 1]
        z = rng.normal(*x0.shape[1:])
        x = x0 + broadcast(sigma, x0) * z
        with torch.no_grad():
            if "teacher" in self.frozen:
                near = heun_step(guided_estimate(self.frozen["teacher"], condition), x, sigma, below)
            else:
                near = x0 + broadcast(below, x0) * z
            positive = torch.where(below > 0, below, sigma)  # a level at which the model is defined
            taught = torch.where(broadcast(below, x0) > 0, estimate(self.average, condition)(near, positive), near)
        return Loss(value=distance(estimate(self.model, condition)(x, sigma), taught, self.config.huber).mean())

    def _ends(self, sampler: Sampler, condition: Condition, rng: Rng, device: torch.device) -> Loss:
        """The distance from the ends of the teacher's paths, at every level of the student on each path."""
        count, substeps = self.config.levels, self.config.substeps
        levels = self.levels(count * substeps, device)
        teacher = self.frozen["teacher"]
        with torch.no_grad():
            *states, end = self.path(teacher, guided_estimate(teacher, condition), sampler, levels, rng)
        sigma = levels[:-1:substeps].repeat_interleave(len(end))
        estimated = estimate(self.model, condition.repeat(count))(torch.cat(states[::substeps]), sigma)
        return Loss(value=distance(estimated, torch.cat([end] * count), self.config.huber).mean())

    def after(self, phase: str) -> None:
        for mean, value in zip(self.average.state_dict().values(), self.model.state_dict().values(), strict=True):
            mean.copy_(mean.lerp(value, 1 - self.config.decay) if mean.is_floating_point() else value)
