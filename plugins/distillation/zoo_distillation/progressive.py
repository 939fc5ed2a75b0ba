"""Progressive distillation (Salimans & Ho 2022, arXiv:2202.00512)."""

from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from zoo_core.errors import ConfigError
from zoo_core.interfaces import Rng, Sampler
from zoo_core.samplers import Ancestral
from zoo_core.training.trainer import Batch, Loss
from zoo_distillation.config import ProgressiveConfig
from zoo_distillation.ode import Condition, broadcast, ddim_step, estimate, guided_estimate, heun_step, walk
from zoo_distillation.student import StudentTrainer

__all__ = ["ProgressiveTrainer", "target"]


def target(x: Tensor, end: Tensor, sigma: Tensor, below: Tensor) -> Tensor:
    """The estimate of the clean sample by which one DDIM step leads from ``x`` to ``end``.

        x~ = (x'' - (sigma'' / sigma) x) / (1 - sigma'' / sigma)

    This is Algorithm 2 of the paper in the coordinate x_sigma = x_0 + sigma eps.

    Args:
        x: states at ``sigma``, (n, ...).
        end: states at ``below``, the end of the teacher's steps, (n, ...).
        sigma, below: noise levels (n,), float64, with 0 <= below < sigma.

    Example:
        >>> levels = torch.tensor([2.0, 1.0], dtype=torch.float64)
        >>> target(torch.tensor([[3.0]]), torch.tensor([[2.0]]), levels[:1], levels[1:])
        tensor([[1.]])
    """
    share = broadcast(below / sigma, x)
    return (end - share * x) / (1 - share)


@dataclass(frozen=True, kw_only=True, slots=True)
class Steps:
    """Steps that a student is to take: from ``x`` (n, ...) at ``sigma`` (n,) to ``end`` at ``below``, under a condition of n rows."""

    x: Tensor
    end: Tensor
    sigma: Tensor
    below: Tensor
    condition: Condition


class ProgressiveTrainer(StudentTrainer):
    """Algorithm 2 of the paper, in stages; the loss is max(1 / sigma^2, 1) |D(x, sigma) - x~|^2, truncated SNR weighting (section 4).

    At the beginning of each stage but the first, the student is copied. The copy is the teacher of the stage, and a part of the state of
    the run, which so is resumed exactly within a stage and across its end.

    Example:
        >>> from zoo_core.interfaces import Teacher
        >>> ProgressiveConfig(teacher=Teacher(reference="ddpm-afhq-cat")).stages
        (16, 8, 4)
    """

    uses_steps = True
    config: ProgressiveConfig

    def __init__(self, model: nn.Module, config: ProgressiveConfig) -> None:
        super().__init__(model, config)
        self.previous = deepcopy(model).eval().requires_grad_(False)
        for count in config.stages:
            substeps = config.substeps if count == config.first_steps else 2
            self._check_nested(count, substeps)

    def _check_nested(self, count: int, substeps: int) -> None:
        """Refuses a scheduler by which a student's steps would not begin and end where its teacher's do."""
        bounds = self.student.sigma_range
        scheduler = self.config.scheduler
        if scheduler.sigmas(substeps * count, *bounds)[::substeps] != scheduler.sigmas(count, *bounds):
            what = (
                f"the levels of {count} steps must be levels of {substeps * count} steps, and those of {type(scheduler).__name__} are not"
            )
            raise ConfigError(what, "choose trainer.scheduler=nested")

    def train(self, mode: bool = True) -> "ProgressiveTrainer":
        super().train(mode)
        self.previous.eval()
        return self

    def stage(self, step: int) -> int:
        """The number, from 0, of the stage of a training step."""
        count = len(self.config.stages)
        return min(step * count // self.steps, count - 1)

    def place(self, step: int, steps: int) -> None:
        super().place(step, steps)
        if step and self.stage(step) != self.stage(step - 1):
            self.previous.load_state_dict(self.model.state_dict())

    def forward(self, phase: str, batch: Batch, rng: Rng) -> Loss:
        condition = self.condition(batch, rng)
        sampler = self.config.sampler
        with torch.no_grad():
            steps = self._noised(batch.x, condition, rng) if sampler is None else self._path(sampler, condition, rng, batch.x.device)
            taught = target(steps.x, steps.end, steps.sigma, steps.below)
        error = (estimate(self.model, steps.condition)(steps.x, steps.sigma) - taught).square().flatten(1).mean(1)
        return Loss(value=((steps.sigma**-2).clamp(min=1.0).to(error) * error).mean())

    def _noised(self, x0: Tensor, condition: Condition, rng: Rng) -> Steps:
        """A random step of each row, which begins at noised data."""
        stage = self.stage(self.step)
        substeps = self.config.substeps if stage == 0 else 2
        count = self.config.stages[stage]
        fine = self.levels(substeps * count, x0.device)
        begin = substeps * rng.integers(0, count)
        levels = [fine[begin + i] for i in range(substeps + 1)]
        x = x0 + broadcast(levels[0], x0) * rng.normal(*x0.shape[1:])
        if stage == 0:
            step = {"ddim": ddim_step, "heun": heun_step}[self.config.solver]
            end = walk(guided_estimate(self.frozen["teacher"], condition), x, levels, step)
        else:
            end = walk(estimate(self.previous, condition), x, levels, ddim_step)
        return Steps(x=x, end=end, sigma=levels[0], below=levels[-1], condition=condition)

    def _path(self, sampler: Sampler, condition: Condition, rng: Rng, device: torch.device) -> Steps:
        """All steps of the student along the path of each row from pure noise."""
        stage = self.stage(self.step)
        count = self.config.stages[stage]
        substeps = self.config.substeps if stage == 0 else 2
        levels = self.levels(substeps * count, device)
        if stage == 0:
            states = self.path(self.frozen["teacher"], guided_estimate(self.frozen["teacher"], condition), sampler, levels, rng)
        else:
            states = self.path(self.previous, estimate(self.previous, condition), Ancestral(eta=0.0, clip=False), levels, rng)
        kept = states[::substeps]
        rows = len(kept[0])
        return Steps(
            x=torch.cat(kept[:-1]),
            end=torch.cat(kept[1:]),
            sigma=levels[:-1:substeps].repeat_interleave(rows),
            below=levels[substeps::substeps].repeat_interleave(rows),
            condition=condition.repeat(count),
        )
