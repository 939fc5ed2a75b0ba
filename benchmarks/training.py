"""A training step of ddpm's course recipe against a hand-written loop with the same precision and layout, and the shares of its parts."""

from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from benchmarks.timing import Ratio, compare
from zoo_core.data.dataset import Data
from zoo_core.distributed import Processes
from zoo_core.rng import StepRng
from zoo_core.training.checkpoints import save_snapshot
from zoo_core.training.loop import Loop, build
from zoo_ddpm.recipes import COURSE

STEPS = 4


def measure() -> Iterator[Ratio]:
    """Four steps at a time, on noise instead of cats."""
    images = torch.randint(256, (1024, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    loop = Loop(COURSE, build(COURSE), Data(x=images, flip=True), Processes("cpu"))
    loop.start()
    name = f"{STEPS} training steps, ddpm course"
    floor = "hand-written loop"
    yield compare(name, lambda: _advance(loop), floor, _by_hand(images, loop.recipe.fit.precision), budget=1.05)
    with TemporaryDirectory() as folder:
        for name, part, share in _parts(loop, Path(folder)):
            yield compare(name, part, "one training step", loop.advance, budget=share)


def _advance(loop: Loop) -> None:
    for _ in range(STEPS):
        loop.advance()


def _parts(loop: Loop, folder: Path) -> Iterator[tuple[str, Callable[[], object], float]]:
    fit = COURSE.fit

    def draw() -> None:
        loop.data.batch(fit.seed, loop.step, fit.batch_size)
        StepRng(fit.seed, loop.step, fit.batch_size).normal(3, 32, 32)

    yield "share: data and noise", draw, 0.05
    yield "share: moving average", lambda: loop.ema.update(loop.trainer.model, step=loop.step + 1), 0.05
    # A checkpoint is written every fit.save_every steps, so its share of a step is a thousandth of this.
    yield "a checkpoint, in steps", lambda: save_snapshot(folder, loop.snapshot({}), keep=fit.keep), 5.0


def _by_hand(images: torch.Tensor, precision: str) -> Callable[[], None]:
    model = build(COURSE).model
    average = deepcopy(model).requires_grad_(False)
    optimizer = torch.optim.Adam(model.parameters(), COURSE.fit.optimizer.lr, fused=True)
    abar = torch.tensor(COURSE.model.scheduler.alpha_bars)  # type: ignore[attr-defined]  # the config of a DDPM

    def steps() -> None:
        for _ in range(STEPS):
            x = images[torch.randint(len(images), (COURSE.fit.batch_size,))].float() / 127.5 - 1
            x = torch.where(torch.rand(len(x), 1, 1, 1) < 0.5, x.flip(-1), x)
            t = torch.randint(50, (len(x),))
            eps = torch.randn_like(x)
            a = abar[t].view(-1, 1, 1, 1)
            with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
                out = model.net(a.sqrt() * x + (1 - a).sqrt() * eps, t + 1)  # type: ignore[operator]  # a DDPM
            (out.float() - (a.sqrt() * eps - (1 - a).sqrt() * x)).square().mean().backward()
            optimizer.step()
            optimizer.zero_grad()
            torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), 0.001)

    return steps
