"""Reflow (Liu et al. 2022, arXiv:2209.03003, section 2.2): straighter lines from pairs that a teacher's ODE connects."""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from zoo_core.errors import ConfigError
from zoo_core.interfaces import Denoiser, Rng
from zoo_core.rng import ImageRng, Stream
from zoo_core.samplers import Guided
from zoo_core.training.teachers import begin_as, load_teacher
from zoo_core.training.trainer import Batch, Loss
from zoo_flow_matching.config import ReflowConfig
from zoo_flow_matching.trainer import LineTrainer

__all__ = ["Pairs", "ReflowTrainer"]


class _NoNoise:
    """The Rng of a solver of an ODE, which draws nothing."""

    def __init__(self, rows: int) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return self.rows

    def normal(self, *shape: int) -> Tensor:
        raise ConfigError("trainer.sampler adds noise, and reflow needs a solver of the ODE", "choose dpmpp-2m, ddim, euler or heun")

    def uniform(self, *shape: int) -> Tensor:
        return self.normal(*shape)

    def integers(self, low: int, high: int, *shape: int) -> Tensor:
        return self.normal(*shape)


class Pairs:
    """A pool of pairs (z, x_0) that a teacher's ODE connects; the oldest part is drawn anew in turn.

    Part k = 0, 1, 2, ... holds the pairs k part ... (k + 1) part - 1, which depend on the teacher and their numbers alone. At training step
    s the pool holds the parts s // every ... s // every + parts - 1, so that a resumed run draws the same pool again, and no snapshot
    holds it.

    Example:
        >>> from zoo_core.interfaces import Teacher
        >>> from zoo_core.testing.gaussian_mixture import mixture
        >>> pairs = Pairs(mixture(), ReflowConfig(teacher=Teacher(reference="x"), pool=8, part=4, every=2), num_classes=0)
        >>> pairs.update(step=5, device=torch.device("cpu"))
        >>> z, x0, labels = pairs.take(torch.tensor([0, 7]))
        >>> z.shape, x0.shape, pairs.numbers.tolist()
        (torch.Size([2, 2]), torch.Size([2, 2]), [8, 9, 10, 11, 12, 13, 14, 15])

    Args:
        teacher: denoiser.
        config: config of the trainer.
        num_classes: number of classes of the pairs, which have class i modulo num_classes; 0 for none.

    Attributes:
        numbers: the numbers of the pairs in the pool, int64 (pool,); -1 at first.
    """

    def __init__(self, teacher: Denoiser, config: ReflowConfig, num_classes: int) -> None:
        self.teacher = teacher if config.guidance is None else Guided(teacher, config.guidance)
        self.config = config
        self.num_classes = num_classes
        self.numbers = torch.full((config.pool,), -1)
        self._pool: tuple[Tensor, Tensor] | None = None

    def update(self, step: int, device: torch.device) -> None:
        """Draws the parts that the pool holds at a training step and does not hold yet."""
        size = self.config.part
        oldest = step // self.config.every
        for k in range(oldest, oldest + self.config.parts):
            rows = slice(k % self.config.parts * size, (k % self.config.parts + 1) * size)
            if self.numbers[rows][0] == k * size:
                continue
            part = self.draw(range(k * size, (k + 1) * size), device)
            if self._pool is None:
                shape = (self.config.pool, *part[0].shape[1:])
                self._pool = part[0].new_zeros(shape), part[1].new_zeros(shape)
            for pool, values in zip(self._pool, part, strict=True):
                pool[rows] = values
            self.numbers[rows] = torch.arange(k * size, (k + 1) * size)

    def take(self, rows: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """The noise, the samples and the classes of some pairs.

        Args:
            rows: places in the pool, int64 (n,), in [0, pool). Before the first ``update``, they are taken from as many pairs as are drawn
                for a step on average, so that the cost of a step can be estimated.
        """
        if self._pool is None:
            few = max(self.config.part // self.config.every, 1)
            rows = rows % few
            z, x0 = self.draw(range(few), rows.device)
            numbers = torch.arange(few, device=rows.device)
        else:
            z, x0 = self._pool
            numbers = self.numbers.to(rows.device)
        return z[rows], x0[rows], numbers[rows] % self.num_classes if self.num_classes else None

    @torch.no_grad()
    def draw(self, images: Sequence[int], device: torch.device) -> tuple[Tensor, Tensor]:
        """The noise and the samples of the pairs with the numbers ``images``, (n, ...) each, in float32 whatever the run's precision."""
        sigmas = self.config.sampler.noise_levels(self.teacher, self.config.scheduler)
        labels = torch.tensor(images, device=device) % self.num_classes if self.num_classes else None
        with torch.autocast(device.type, enabled=False):
            x = self.teacher.start(ImageRng(self.config.seed, images, device, stream=Stream.NOISE), sigmas[0])
            x0 = self.config.sampler(self.teacher, _NoNoise(len(images)), sigmas=sigmas, x=x, labels=labels)
        return x / sigmas[0], x0


class ReflowTrainer(LineTrainer):
    """The loss of flow matching on pairs (z, x_0) of noise and the sample to which the teacher's ODE carries it.

    Lines of independent pairs cross, and a net learns their mean; these do not, so that the student's ODE is straighter and needs fewer
    steps. Teacher and student may be of any families that can ``denoise``; a student of the teacher's family and config begins with its
    weights. The run uses no data but their shape.

    Raises:
        ConfigError: if the teacher's samples have another shape or other classes than the student's, or guidance is asked of a teacher
            without classes.

    Example:
        >>> from zoo_core.interfaces import Teacher
        >>> ReflowConfig(teacher=Teacher(reference="ddpm-afhq-cat")).every
        16
    """

    config: ReflowConfig

    def __init__(self, model: nn.Module, config: ReflowConfig) -> None:
        super().__init__(model, config)
        self.freeze("teacher", load_teacher(config.teacher, requires="denoise"))
        teacher = cast(Denoiser, self.frozen["teacher"])
        classes = int(getattr(teacher, "num_classes", 0))
        if teacher.event.shape != self.student.event.shape:
            shapes = f"{tuple(teacher.event.shape)} and {tuple(self.student.event.shape)}"
            raise ConfigError(f"samples of teacher and student must have the same shape, not {shapes}")
        if self.num_classes and classes != self.num_classes:
            raise ConfigError(f"teacher and student must have the same classes, not {classes} and {self.num_classes}")
        if config.guidance is not None and not self.num_classes:
            raise ConfigError("guidance needs a teacher and a student with classes", "leave trainer.guidance out")
        self.pairs = Pairs(teacher, config, self.num_classes)

    def prepare(self, batch: Batch, rng: Rng) -> None:
        begin_as(self.model, self.frozen["teacher"])

    def place(self, step: int, steps: int) -> None:
        super().place(step, steps)
        self.pairs.update(step, next(self.model.parameters()).device)

    def forward(self, phase: str, batch: Batch, rng: Rng) -> Loss:
        z, x0, labels = self.pairs.take(rng.integers(0, self.config.pool))
        return Loss(value=self.line_loss(x0, z, labels, rng))
