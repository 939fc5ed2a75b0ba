"""Training runs in tests: a started loop, a run that is stopped after a step, and the check that a resumed run equals a whole one."""

import signal
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from zoo_core.checkpoint.files import WEIGHTS
from zoo_core.data.dataset import load_data
from zoo_core.distributed import Processes
from zoo_core.errors import ConfigError, Interrupted
from zoo_core.recipes import Recipe
from zoo_core.training.checkpoints import newest
from zoo_core.training.fit import fit
from zoo_core.training.loop import Loop, build

__all__ = ["assert_resumes", "interrupt", "run_state", "start_loop", "stop_after"]


def start_loop(recipe: Recipe) -> Loop:
    """A loop on the CPU that has started: the next ``advance()`` is the first step of a new run.

    Args:
        recipe: recipe with data; its plugins must be registered (:func:`zoo_core.testing.fake_zoo`).

    Raises:
        ConfigError: if the recipe names no data.
    """
    if recipe.data is None:
        raise ConfigError("the recipe names no data", "pass Recipe(..., data=FakeDataConfig())")
    loop = Loop(recipe, build(recipe), load_data(recipe.data), Processes("cpu"))
    loop.start()
    return loop


def stop_after(step: int, signum: int = signal.SIGINT) -> Callable[[], AbstractContextManager[Callable[[], int]]]:
    """The argument ``stopping`` of :func:`zoo_core.training.fit.fit` that ends a run after ``step`` more steps.

    >>> with stop_after(2)() as stop:
    ...     [stop(), stop()]
    [0, 2]
    """
    signals = iter([0] * (step - 1) + [int(signum)])
    return lambda: nullcontext(lambda: next(signals))


def interrupt(recipe: Recipe, out: Path, *, after: int) -> None:
    """Trains in the run folder ``out`` and stops after ``after`` steps, as Ctrl-C does: the folder holds a snapshot, and no export.

    Raises:
        AssertionError: if the run ends without being interrupted.
    """
    try:
        fit(recipe, out, device="cpu", stopping=stop_after(after))
    except Interrupted as stop:
        assert stop.exit_code == 128 + signal.SIGINT, f"an interrupted run exits with 130, not {stop.exit_code}"
        return
    raise AssertionError(f"the run ended before step {after}: choose fewer steps to stop after, or a longer recipe")


def run_state(out: Path) -> dict[str, Tensor]:
    """All tensors of the newest snapshot of the run folder ``out``, by ``PART/NAME``: ``model/...``, ``ema/...``, ``optimizer-...``."""
    snapshot = newest(out / "steps")
    assert snapshot is not None, f"{out} holds no snapshot"
    return {f"{part}/{name}": value for part, values in snapshot.parts.items() for name, value in values.items()}


def assert_resumes(recipe: Recipe, folder: Path, *, after: int) -> Mapping[str, Tensor]:
    """Checks that a run that is interrupted and resumed ends as one that is not, to the bit: published weights and whole state.

    Trains the recipe twice on the CPU, in ``folder/whole`` and in ``folder/parts``::

        def test_a_resumed_run_ends_as_a_whole_one(tmp_path):
            state = assert_resumes(TINY, tmp_path, after=5)
            assert {name.split("/")[0] for name in state} >= {"model", "ema", "optimizer-model-exp_avg"}

    Args:
        recipe: tiny recipe with data.
        folder: empty folder.
        after: number of steps after which the run is interrupted; less than ``recipe.fit.steps``.

    Returns:
        The final state of the run, as :func:`run_state` gives it, for checks of what it holds.

    Raises:
        AssertionError: if a tensor differs, with the names of the first ones that do.
    """
    whole = load_file(fit(recipe, folder / "whole", device="cpu") / WEIGHTS)
    interrupt(recipe, folder / "parts", after=after)
    parts = load_file(fit(recipe, folder / "parts", device="cpu") / WEIGHTS)
    _assert_equal(whole, parts, "published weights")
    state = run_state(folder / "whole")
    _assert_equal(state, run_state(folder / "parts"), "state")
    return state


def _assert_equal(whole: Mapping[str, Tensor], parts: Mapping[str, Tensor], kind: str) -> None:
    differing = sorted(whole.keys() ^ parts.keys()) or [name for name in whole if not torch.equal(whole[name], parts[name])]
    assert not differing, f"{kind} of the resumed run differ in {', '.join(differing[:4])}"
