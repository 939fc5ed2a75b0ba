"""``python -m benchmarks.layouts [CHECKPOINT...]``: the fastest memory layout and precision of each family on this machine.

For each image checkpoint of the installed plugins it measures a training step of the checkpoint's recipe, on noise instead of the data,
and one pass over 16 images: contiguous and channels-last, in float32 and, where it is native, bfloat16. Seconds are those of contiguous
float32; the other numbers are ratios to it in the same run. It takes ten minutes on one core.
"""

import os
import statistics
import sys
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from typing import Any, cast

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as `zoo` does; read when torch is imported

import torch  # see above

import zoo_core
from benchmarks.timing import clock, machine
from zoo_core.config import load_json
from zoo_core.data.dataset import Data
from zoo_core.distributed import Processes
from zoo_core.hardware.precision import is_native
from zoo_core.recipes import Recipe
from zoo_core.rng import ImageRng
from zoo_core.training.loop import Loop, build

ROUNDS, BATCH = 7, 16
WAYS = tuple(product(("no", "bf16") if is_native("bfloat16") else ("no",), (False, True)))


def medians(runs: dict[Any, Callable[[], object]]) -> dict[Any, float]:
    """Median seconds of each run; the runs take turns, and their first calls do not count."""
    seconds: dict[Any, list[float]] = {name: [] for name in runs}
    for _ in range(ROUNDS):
        for name, run in runs.items():
            start = clock()
            run()
            seconds[name].append(clock() - start)
    return {name: statistics.median(each[1:]) for name, each in seconds.items()}


def training(recipe: Recipe) -> dict[Any, float]:
    """Seconds of a training step with each precision and layout."""
    event = cast(Any, build(recipe).model).event
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(10, (512,), generator=generator)
    data = Data(x=torch.randint(256, (512, *event.shape), dtype=torch.uint8, generator=generator), labels=labels)
    runs: dict[Any, Callable[[], object]] = {}
    for precision, channels_last in WAYS:
        changed = replace(recipe, fit=replace(recipe.fit, precision=precision, channels_last=channels_last))  # type: ignore[arg-type]
        loop = Loop(changed, build(changed), data, Processes("cpu"))
        loop.start()
        runs[precision, channels_last] = loop.advance
    return medians(runs)


def drawing(name: str) -> dict[Any, float]:
    """Seconds of a pass over a batch with each precision and layout."""
    runs: dict[Any, Callable[[], object]] = {}
    for precision, channels_last in WAYS:
        model: Any = zoo_core.load(name).model
        model.to(memory_format=torch.channels_last if channels_last else torch.contiguous_format)
        runs[precision, channels_last] = _forward(model, bf16=precision == "bf16")
    return medians(runs)


def _forward(model: Any, *, bf16: bool) -> Callable[[], object]:
    x = ImageRng(0, range(BATCH)).normal(*model.event.shape)
    labels = torch.arange(BATCH) % 10 if getattr(model, "num_classes", 0) else None
    sigma = torch.full((BATCH,), 0.5, dtype=torch.float64)
    z = model.prior(ImageRng(0, range(BATCH))) if hasattr(model, "prior") else None

    def run() -> object:
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            if hasattr(model, "denoise"):
                return model.denoise(x, sigma, labels)
            return model.decode(z, labels) if z is not None else model.features(x)

    return run


def main(names: list[str]) -> None:
    print(machine())
    heads = [f"{'float32' if precision == 'no' else precision}{', channels-last' * last}" for precision, last in WAYS]
    print(f"| | seconds | {' | '.join(heads)} |\n|---|---:|{'---:|' * len(WAYS)}")
    for name in names or zoo_core.checkpoints():
        model = zoo_core.load(name)
        if len(cast(Any, model.model).event.shape) != 3:  # points have no layout
            continue
        recipe = Recipe.from_dict(load_json(model.files.folder / "training.json")["recipe"])
        for label, seconds in ((f"{name}: a training step", training(recipe)), (f"{name}: {BATCH} images, one pass", drawing(name))):
            baseline = seconds[WAYS[0]]
            print(f"| {label} | {baseline:.4f} | {' | '.join(f'{seconds[way] / baseline:.2f}' for way in WAYS)} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
