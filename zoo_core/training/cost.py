"""What a training step will cost, found without doing it: no memory is taken and nothing is computed."""

from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode
from torch.utils.module_tracker import ModuleTracker

from zoo_core.data.dataset import Data
from zoo_core.hardware.precision import auto_precision
from zoo_core.interfaces import Decoder, Denoiser
from zoo_core.recipes import Recipe, with_precision
from zoo_core.rng import StepRng
from zoo_core.training.fit import check_fits
from zoo_core.training.loop import AUTOCAST, build, loss_of
from zoo_core.training.trainer import Batch, Trainer, only

__all__ = ["Estimate", "check_data", "estimate"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """Numbers of a step, every phase once.

    Args:
        published: parameters of the model.
        trained: parameters that each phase trains.
        flops: floating-point operations of matrix products and convolutions, forward and backward, counting a multiply-add as two.
        weights: bytes of weights, gradients, two moments a weight, and the moving average.
        activations: bytes that the largest phase keeps for its backward pass, of the part of a batch that is computed at once.
    """

    published: int
    trained: dict[str, int]
    flops: int
    weights: int
    activations: int


class _Unwatched(ModuleTracker):
    """Does not ask which module is running, for torch refuses its hooks where a gradient penalty goes backward."""

    def __enter__(self) -> "_Unwatched":
        return self

    def __exit__(self, *args: object) -> None:
        pass


def estimate(recipe: Recipe) -> Estimate:
    """Traces a step of a recipe, on the CPU, with tensors that have shapes and no values."""
    recipe = with_precision(recipe, auto_precision("cpu"))
    with FakeTensorMode(allow_non_fake_inputs=True):
        trainer = _built(recipe)
        batch, phases = _batch(recipe, trainer), trainer.phases(0)
        trained = {phase: _count(trainer.parameters_of(phase)) for phase in phases}
        flops, kept = 0, 0
        for phase in phases:
            counter = FlopCounterMode(display=False)
            counter.mod_tracker = _Unwatched()
            with counter:
                kept = max(kept, _phase(recipe, trainer, phase, batch))
            flops += recipe.fit.accumulate * counter.get_total_flops()
    published = _count(trainer.model.parameters())
    bytes_of_weights = 4 * (_count(trainer.parameters()) + 3 * sum(trained.values()) + (published if recipe.fit.ema else 0))
    return Estimate(published=published, trained=trained, flops=flops, weights=bytes_of_weights, activations=kept)


def check_data(recipe: Recipe, data: Data) -> None:
    """Raises ConfigError unless the data fits the recipe's model; see :func:`zoo_core.training.fit.check_fits`."""
    with FakeTensorMode(allow_non_fake_inputs=True):
        model = _built(recipe).model
    check_fits(model, data, begun=recipe.start_from is not None)


def _built(recipe: Recipe) -> Trainer:
    # A layout costs nothing, and fake tensors cannot change theirs.
    return build(replace(recipe, fit=replace(recipe.fit, channels_last=False)))


def _count(parameters: Any) -> int:
    return sum(parameter.numel() for parameter in parameters)


def _batch(recipe: Recipe, trainer: Trainer) -> Batch:
    n, model = max(recipe.fit.batch_size // recipe.fit.accumulate, 1), cast(Denoiser | Decoder, trainer.model)
    labels = torch.zeros(n, dtype=torch.int64) if getattr(model, "num_classes", 0) else None
    return Batch(x=torch.zeros(n, *model.event.shape), labels=labels, index=torch.arange(n))


def _phase(recipe: Recipe, trainer: Trainer, phase: str, batch: Batch) -> int:
    """One phase forward and backward; returns the bytes that autograd kept in between, each memory counted once."""
    weights = {parameter.untyped_storage()._cdata for parameter in trainer.parameters()}
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
