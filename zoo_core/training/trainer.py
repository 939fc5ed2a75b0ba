"""The Trainer interface: the losses of a family, without loops, optimizers or devices."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Self, cast

from torch import Tensor, nn

from zoo_core.data.dataset import Batch, Data
from zoo_core.interfaces import Decoder, Denoiser, Rng, TrainerConfig

__all__ = ["Batch", "Loss", "Trainer", "is_loops_own", "only"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Loss:
    """The loss of a phase.

    >>> import torch
    >>> loss = Loss(value=torch.tensor(0.5), logs={"bits_per_dim": torch.tensor(3.1)})
    >>> loss.value.item()
    0.5

    Args:
        value: loss to minimise, () with its graph.
        logs: detached numbers to log beside it, () each.
    """

    value: Tensor
    logs: Mapping[str, Tensor] = field(default_factory=dict)


class Trainer(nn.Module, ABC):
    """Base class of trainers, which turn batches into losses. ``self.model`` is published; other nets, such as a critic, are not.

    A step takes one batch. Each of its phases has an optimizer, which the loop owns: it calls ``forward(phase, batch, rng)``, computes the
    gradients of ``parameters_of(phase)`` and takes a step. The loss is a mean over the rows of ``batch``; this may be a part of the whole
    batch, if processes share it or its gradient is accumulated.

    A phase whose ``parameters_of`` is empty has no optimizer: its ``forward`` takes the step itself, by a closed form or a step of EM. It
    runs without gradients, in float32, on the whole batch, and in every process alike. All that its next step depends on is in parameters
    or buffers, so that snapshots hold it; parameters that no optimizer trains have ``requires_grad=False``.

    >>> import torch
    >>> from zoo_core.rng import StepRng
    >>> class MeanTrainer(Trainer):
    ...     def forward(self, phase, batch, rng):
    ...         return Loss(value=(batch.x - self.model(batch.x)).square().mean())
    >>> trainer = MeanTrainer(nn.Identity(), TrainerConfig())
    >>> batch = Batch(x=torch.ones(4, 2), labels=None, index=torch.arange(4))
    >>> trainer("model", batch, StepRng(0, 0, 4)).value.item()
    0.0

    Args:
        model: network that is published.
        config: config of the trainer.
    """

    average_buffers: ClassVar[bool] = False
    """Whether the moving average of the weights includes the model's floating-point buffers, or copies them.

    Copies are right for the vectors of spectral norm and for constants; the running statistics of batch norm are better averaged.
    """

    uses_steps: ClassVar[bool] = False
    """Whether a step depends on ``steps``. A run of such a trainer cannot be resumed for more or fewer steps without ``--fork``."""

    reads_captions: ClassVar[bool] = False
    """Whether the data must have captions, of which the model's ``vocabulary`` has all words."""

    def __init__(self, model: nn.Module, config: TrainerConfig) -> None:
        super().__init__()
        self.model = model
        self.config = config
        self.step = 0
        """Number of steps done, which the loop sets before each step."""
        self._steps = 1
        self._frozen: dict[str, nn.Module] = {}
        self._frozen_parts: list[nn.Module] = []

    @property
    def steps(self) -> int:
        """Number of steps of the whole run, which the loop sets.

        Raises:
            RuntimeError: if the class does not declare ``uses_steps = True``.
        """
        if not self.uses_steps:
            raise RuntimeError(f"{type(self).__qualname__} reads steps: it must declare uses_steps = True")
        return self._steps

    def place(self, step: int, steps: int) -> None:
        """Sets ``step`` and ``steps``; called by the loop."""
        self.step = step
        self._steps = steps

    def freeze(self, name: str, net: nn.Module) -> None:
        """Adds a net that is used but not trained, such as a teacher.

        It moves to the trainer's device, stays in eval mode without gradients of its parameters, and is no part of ``parameters()``, the
        moving average or the snapshots of a run.
        """
        self._frozen[name] = net.eval().requires_grad_(False)

    @property
    def frozen(self) -> Mapping[str, nn.Module]:
        """The nets that :meth:`freeze` added, by name."""
        return MappingProxyType(self._frozen)

    def freeze_part(self, part: nn.Module) -> None:
        """Keeps a part of the model, such as the first stage of latent diffusion, in eval mode and without gradients of its parameters.

        The part is saved with the model. ``parameters_of`` may name its parameters or not: they are not trained.
        """
        self._frozen_parts.append(part.eval().requires_grad_(False))

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        for part in self._frozen_parts:
            part.eval()
        return self

    def _apply(self, fn: Any, recurse: bool = True) -> "Trainer":
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]  # torch's own: .to() and the like come here
        for net in self._frozen.values():
            net._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of a row of the batches that :meth:`forward` gets from :meth:`inputs`: by default that of a sample."""
        return cast(Denoiser | Decoder, self.model).event.shape

    def inputs(self, data: Data, folder: Path) -> Data:
        """The data from which batches are drawn: ``data`` itself, or what is computed from it once, such as latents.

        Called after the start of a new run, or after an old one was restored, before its next step; ``prepare`` gets a batch of ``data``.

        Args:
            data: data of the recipe.
            folder: run folder, in which results may be kept. Of several processes the first one is called alone, and then all of them.
        """
        return data

    def phases(self, step: int) -> tuple[str, ...]:
        """The phases of a step (from 0), in order. ``phases(0)`` returns all of them."""
        return ("model",)

    def parameters_of(self, phase: str) -> Iterable[nn.Parameter]:
        """The parameters that a phase trains by its optimizer; none for a phase that takes its step itself."""
        return self.model.parameters()

    @abstractmethod
    def forward(self, phase: str, batch: Batch, rng: Rng) -> Loss:
        """The loss of a phase; one without an optimizer also takes its step.

        Args:
            phase: one of ``phases(step)``.
            batch: samples, labels and their places in the data.
            rng: random numbers, a row for each of the batch; the only source of randomness besides dropout.
        """

    def prepare(self, batch: Batch, rng: Rng) -> None:
        """Data-dependent initialisation: called once with the first batch, before the first step of a new run, without gradients."""

    def compilable(self) -> Iterable[nn.Module]:
        """The nets that ``fit.compile`` may compile: not those that are differentiated twice, as by a gradient penalty."""
        return ()

    def after(self, phase: str) -> None:
        """Called after each step of a phase, for weight clipping for example."""


def is_loops_own(name: str) -> bool:
    """Whether the loop itself logs under a name: ``step``, ``seconds``, ``loss.*`` and ``gradient.*``, which a trainer must not use."""
    return name in ("step", "seconds") or name.startswith(("loss.", "gradient."))


@contextmanager
def only(trainer: nn.Module, parameters: Sequence[nn.Parameter]) -> Iterator[None]:
    """Inside a ``with`` block, only ``parameters`` require gradients: a generator's phase runs through the critic without training it."""
    wanted = {id(parameter) for parameter in parameters}
    others = [parameter for parameter in trainer.parameters() if parameter.requires_grad and id(parameter) not in wanted]
    for parameter in others:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in others:
            parameter.requires_grad_(True)
