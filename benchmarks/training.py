"""A training step against a hand-written loop with the same precision and layout, for the course recipe of ddpm."""

from collections.abc import Iterator
from copy import deepcopy

import torch

from benchmarks.timing import Ratio, compare
from zoo_core.training.data import Data
from zoo_core.training.loop import Loop, build
from zoo_core.training.processes import Processes
from zoo_ddpm.recipes import COURSE

STEPS = 4


def measure() -> Iterator[Ratio]:
    """Several steps at a time, on noise in the place of cats."""
    images = torch.randint(256, (1024, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    loop = Loop(COURSE, build(COURSE), Data(x=images, flip=True), Processes("cpu"))
    loop.start()
    yield compare(
        f"{STEPS} training steps, ddpm course",
        lambda: [loop.advance() for _ in range(STEPS)],
        "hand-written loop",
        _by_hand(images),
        budget=1.05,
        rounds=9,
    )


def _by_hand(images: torch.Tensor):  # type: ignore[no-untyped-def]  # a benchmark's closure
    model = build(COURSE).model
    average = deepcopy(model).requires_grad_(False)
    optimizer = torch.optim.Adam(model.parameters(), COURSE.fit.optimizer.lr)
    abar = torch.tensor(COURSE.model.scheduler.alpha_bars)  # type: ignore[attr-defined]

    def steps() -> None:
        for _ in range(STEPS):
            x = images[torch.randint(len(images), (COURSE.fit.batch_size,))].float() / 127.5 - 1
            x = torch.where(torch.rand(len(x), 1, 1, 1) < 0.5, x.flip(-1), x)
            t, eps = torch.randint(50, (len(x),)), torch.randn_like(x)
            a = abar[t].view(-1, 1, 1, 1)
            with torch.autocast("cpu", torch.bfloat16):
                out = model.net(a.sqrt() * x + (1 - a).sqrt() * eps, t + 1)  # type: ignore[operator]
            (out.float() - eps).abs().mean().backward()
            optimizer.step()
            optimizer.zero_grad()
            torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), 0.001)

    return steps
