"""The Trainer interface: what a family says about its own training, and nothing about loops, optimizers or devices."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import ClassVar

from torch import Tensor, nn

from zoo_core.data.dataset import Batch
from zoo_core.interfaces import Rng, TrainerConfig

__all__ = ["Batch", "Loss", "Trainer", "is_loops_own", "only"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Loss:
    """What a phase minimises: ``value`` () with its graph, and detached ``logs`` () to show beside it."""

    value: Tensor
    logs: Mapping[str, Tensor] = field(default_factory=dict)


class Trainer(nn.Module, ABC):
    """Turns batches into losses. A plain ``nn.Module``: ``self.model`` is what gets published; a critic, say, is the trainer's own.

    A step is one batch. Each of its phases has an optimizer of its own, which the loop owns: it calls ``forward(phase, batch, rng)``, goes
    backward into ``parameters_of(phase)`` and steps. The loss is a mean over the batch's rows, which may be a part of the whole batch where
    processes share it, or where its gradient is accumulated.
    """

    average_buffers: ClassVar[bool] = False
    """Whether the moving average of the weights averages the model's floating-point buffers too, or takes them as they are.

    As they are is right for the vectors of spectral norm and for whatever is computed once; a family that wants the running statistics of
    batch norm averaged says so.
    """

    def __init__(self, model: nn.Module, config: TrainerConfig) -> None:
        super().__init__()
        self.model = model
        self.config = config

    def phases(self, step: int) -> tuple[str, ...]:
        """The phases of a step (from 0), in order. ``phases(0)`` names all that there are."""
        return ("model",)

    def parameters_of(self, phase: str) -> Iterable[nn.Parameter]:
        """The parameters that a phase trains."""
        return self.model.parameters()

    @abstractmethod
    def forward(self, phase: str, batch: Batch, rng: Rng) -> Loss:
        """The loss of a phase. All randomness but dropout comes from ``rng``, whose rows are the batch's."""

    def prepare(self, batch: Batch, rng: Rng) -> None:
        """Called once with the first batch, before the first step of a new run and without gradients: data-dependent initialisation."""

    def compilable(self) -> Iterable[nn.Module]:
        """The nets that ``fit.compile`` may compile: none that is differentiated twice, as by a gradient penalty. None by default."""
        return ()

    def after(self, phase: str) -> None:
        """Called after each optimizer step of a phase: the place of weight clipping."""


def is_loops_own(name: str) -> bool:
    """Whether the loop itself logs under that name: ``step``, ``seconds``, ``loss.*`` and ``gradient.*``, which a trainer leaves alone."""
    return name in ("step", "seconds") or name.startswith(("loss.", "gradient."))


@contextmanager
def only(trainer: nn.Module, parameters: Sequence[nn.Parameter]) -> Iterator[None]:
    """Gradients for ``parameters`` alone: a generator's phase runs through the critic without training it."""
    wanted = {id(parameter) for parameter in parameters}
    others = [parameter for parameter in trainer.parameters() if parameter.requires_grad and id(parameter) not in wanted]
    for parameter in others:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in others:
            parameter.requires_grad_(True)
