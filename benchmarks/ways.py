"""``python -m benchmarks.ways [STEPS] [small]``: times and losses of training with each precision, layout and compilation.

Trains ddpm's course recipe in every combination of float32 or bfloat16, contiguous or channels-last, eager or compiled, ten steps of each
in turn; prints the median seconds of a step, its ratio to eager float32, and the mean loss of the last fifty steps. The variable AFHQ names
the folder of the cats; without it, the data is noise, from which a model can learn nothing. 500 steps take half an hour on two cores.

``small`` compares only the precisions, including ``auto``, on 16x16 images with half the width and batches of 16.
"""

import os
import statistics
import sys
from dataclasses import replace
from itertools import product

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as `zoo` does; read when torch is imported

import torch  # see above

from benchmarks.timing import clock, machine
from zoo_core.data.dataset import Data, load_data
from zoo_core.distributed import Processes
from zoo_core.recipes import Recipe
from zoo_core.training.loop import Loop, build
from zoo_ddpm.recipes import COURSE

BLOCK = 10


class Way:
    """One combination, its training loop, and the seconds and losses of its steps."""

    def __init__(self, precision: str, channels_last: bool, compiled: bool, data: Data, base: Recipe) -> None:
        self.name = " ".join([{"no": "float32"}.get(precision, precision), *["channels-last"] * channels_last, *["compiled"] * compiled])
        changed = replace(base.fit, precision=precision, channels_last=channels_last, compile=compiled)  # type: ignore[arg-type]  # "no" or "bf16"
        recipe = replace(base, fit=changed)
        self.loop = Loop(recipe, build(recipe), data, Processes("cpu"))
        self.loop.start()
        self.seconds: list[float] = []
        self.losses: list[float] = []

    def go(self) -> None:
        """Trains for ten steps."""
        for _ in range(BLOCK):
            start = clock()
            self.loop.advance()
            self.seconds.append(clock() - start)
            self.losses.append(self.loop.logs()["loss.model"])


def small() -> Recipe:
    """The course recipe for 16x16 images, in batches of 16, with half the width."""
    model = replace(COURSE.model, image_size=16, dim=8)  # type: ignore[type-var]
    data = replace(COURSE.data, size=16)  # type: ignore[type-var]
    return replace(COURSE, model=model, data=data, fit=replace(COURSE.fit, batch_size=16))


def main(steps: int, base: Recipe = COURSE) -> None:
    side = base.model.image_size  # type: ignore[attr-defined]  # the config of a DDPM
    noise = Data(x=torch.randint(256, (1024, 3, side, side), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)), flip=True)
    data = load_data(base.data) if "AFHQ" in os.environ and base.data is not None else noise
    if base is COURSE:
        choices = product(("no", "bf16"), (False, True), (False, True))
    else:
        choices = product(("no", "bf16", "auto"), (False,), (False,))
    ways = [Way(*choice, data, base) for choice in choices]
    for _ in range(0, steps, BLOCK):
        for way in ways:
            way.go()
    print(f"{machine()}; {'cats' if data is not noise else 'noise'}, {steps} steps")
    print(f"{'way':32} {'s/step':>7} {'ratio':>6} {'loss':>7} {'first step':>10}")
    baseline = statistics.median(ways[0].seconds[1:])
    for way in ways:
        step = statistics.median(way.seconds[1:])
        print(f"{way.name:32} {step:7.3f} {step / baseline:6.2f} {statistics.mean(way.losses[-50:]):7.4f} {way.seconds[0]:9.1f}s")


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 500, small() if "small" in sys.argv[2:] else COURSE)
