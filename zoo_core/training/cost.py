"""The cost of a training step, estimated on tensors without memory."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException, FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode
from torch.utils.module_tracker import ModuleTracker

from zoo_core.data.dataset import Data
from zoo_core.errors import PluginError
from zoo_core.hardware.precision import auto_precision
from zoo_core.interfaces import Decoder, Denoiser
from zoo_core.recipes import Recipe, with_precision
from zoo_core.rng import StepRng
from zoo_core.training.compatibility import check_fits
from zoo_core.training.loop import AUTOCAST, build, loss_of
from zoo_core.training.teachers import without_weights
from zoo_core.training.trainer import Batch, Trainer, only

__all__ = ["Estimate", "UnknownCost", "check_data", "estimate"]

_BY_VALUE = (DataDependentOutputException, DynamicOutputShapeException)


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """The cost of a step that runs each phase once.

    >>> from zoo_core.recipes import FitConfig
    >>> from zoo_core.testing import fake_zoo
    >>> from zoo_core.testing.fake_config import FakeConfig, FakeTrainerConfig
    >>> with fake_zoo():
    ...     cost = estimate(Recipe(model=FakeConfig(), trainer=FakeTrainerConfig(), fit=FitConfig(batch_size=4)))
    >>> cost.published, list(cost.trained)
    (10, ['critic', 'generator'])

    Args:
        published: number of parameters of the model.
        trained: number of parameters that each phase trains.
        flops: floating-point operations of matrix products and convolutions, forward and backward; a multiply-add counts as two.
        weights: bytes of weights, gradients, two moments per weight, and the moving average.
        activations: bytes that the largest phase keeps for its backward pass, for the part of a batch that is computed at once.
    """

    published: int
    trained: dict[str, int]
    flops: int
    weights: int
    activations: int


class UnknownCost(Exception):
    """The cost of a step cannot be estimated without its numbers.

    >>> issubclass(UnknownCost, Exception)
    True
    """


class _Unwatched(ModuleTracker):
    """A tracker without hooks: torch does not allow them when a gradient penalty is differentiated."""

    def __enter__(self) -> "_Unwatched":
        return self

    def __exit__(self, *args: object) -> None:
        pass


@contextmanager
def _without_values() -> Iterator[None]:
    """Inside a ``with`` block, tensors have shapes but no values, and teachers no weights."""
    with FakeTensorMode(allow_non_fake_inputs=True), without_weights(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Accessing the data pointer of FakeTensor")  # by copy.deepcopy of a net
        yield


def estimate(recipe: Recipe) -> Estimate:
    """The cost of a step of a recipe, traced on the CPU with tensors that have shapes but no values.

    Raises:
        UnknownCost: if the step depends on values of tensors, as ``.item()`` and ``.tolist()`` do, or a phase has no optimizer.
    """
    try:
        return _traced(recipe)
    except (*_BY_VALUE, PluginError) as error:
        if isinstance(error, _BY_VALUE) or isinstance(error.__cause__, _BY_VALUE):
            raise UnknownCost("it depends on the values of tensors, as .item() and .tolist() do") from error
        raise


def _traced(recipe: Recipe) -> Estimate:
    recipe = with_precision(recipe, auto_precision("cpu"))
    with _without_values():
        trainer = _built(recipe)
        batch = _batch(recipe, trainer)
        phases = trainer.phases(0)
        trained = {phase: _count(trainer.parameters_of(phase)) for phase in phases}
        if solved := [phase for phase in phases if not trained[phase]]:
            raise UnknownCost(f"the phase {solved[0]} has no optimizer: it takes its step itself")
        flops = kept = 0
        for phase in phases:
            counter = FlopCounterMode(display=False)
            counter.mod_tracker = _Unwatched()
            with counter:
                kept = max(kept, _phase(recipe, trainer, phase, batch))
            flops += recipe.fit.accumulate * counter.get_total_flops()
    published = _count(trainer.model.parameters())
    frozen = sum(_count(net.parameters()) for net in trainer.frozen.values())
    bytes_of_weights = 4 * (frozen + _count(trainer.parameters()) + 3 * sum(trained.values()) + (published if recipe.fit.ema else 0))
    return Estimate(published=published, trained=trained, flops=flops, weights=bytes_of_weights, activations=kept)


def check_data(recipe: Recipe, data: Data) -> None:
    """Checks that the data fits the recipe's model, as :func:`zoo_core.training.compatibility.check_fits` does.

    Raises:
        ConfigError: if it does not.
    """
    with _without_values():
        model = _built(recipe).model
    check_fits(model, data, begun=recipe.start_from is not None)


def _built(recipe: Recipe) -> Trainer:
    # The layout does not matter for the cost, and fake tensors cannot change it.
    return build(replace(recipe, fit=replace(recipe.fit, channels_last=False)))


def _count(parameters: Any) -> int:
    return sum(parameter.numel() for parameter in parameters)


def _batch(recipe: Recipe, trainer: Trainer) -> Batch:
    n = max(recipe.fit.batch_size // recipe.fit.accumulate, 1)
    model = cast(Denoiser | Decoder, trainer.model)
    labels = torch.zeros(n, dtype=torch.int64) if getattr(model, "num_classes", 0) else None
    captions = ("",) * n if trainer.reads_captions else ()
    return Batch(x=torch.zeros(n, *trainer.input_shape), labels=labels, index=torch.arange(n), captions=captions)


def _phase(recipe: Recipe, trainer: Trainer, phase: str, batch: Batch) -> int:
    """Runs a phase forward and backward; returns the bytes that autograd kept in between, with shared memory counted once."""
    nets = (trainer, *trainer.frozen.values())
    weights = {parameter.untyped_storage()._cdata for net in nets for parameter in net.parameters()}
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        place = tensor.untyped_storage()._cdata
        if place not in weights:
            kept[place] = tensor
        return tensor

    rng = StepRng(recipe.fit.seed, 0, len(batch.x))
    with (
        only(trainer, list(trainer.parameters_of(phase))),
        torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
        torch.autocast("cpu", AUTOCAST[recipe.fit.precision], enabled=recipe.fit.precision != "no"),
    ):
        loss = loss_of(trainer, phase, trainer(phase, batch, rng))
        torch.autograd.backward(loss.value)
    return sum(tensor.untyped_storage().nbytes() for tensor in kept.values())
