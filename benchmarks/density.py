"""``log_prob``, ``encode`` and ``decode`` of loaded checkpoints against the bare modules, both under ``torch.no_grad``.

``torch.inference_mode`` would make nets of many small operations a few percent faster, but forbids gradients inside a model, which a score
that is the gradient of an energy needs.
"""

from collections.abc import Callable, Iterator
from typing import Any

import torch

import zoo_core
from benchmarks.timing import Ratio, compare
from zoo_core.pretrained import Pretrained
from zoo_core.rng import ImageRng

BATCH, POINTS = 64, 4096


def measure() -> Iterator[Ratio]:
    """Flows of points and of images, and a variational autoencoder, each in one batch."""
    for name, n in (("realnvp-moons", POINTS), ("maf-moons", POINTS), ("realnvp-mnist", BATCH), ("vae-mnist", BATCH)):
        yield from _ratios(zoo_core.load(name), n)


def _ratios(checkpoint: Pretrained, n: int) -> Iterator[Ratio]:
    x = checkpoint.sample(n, batch_size=n)
    if checkpoint.event.range:
        x = ((x + 1) * 127.5).round() / 127.5 - 1  # levels of 8-bit images
    z = checkpoint.encode(x)
    model: Any = checkpoint.model

    def bare(function: Callable[[], object]) -> Callable[[], None]:
        def run() -> None:
            with torch.no_grad():
                function()

        return run

    pairs: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
        "log_prob": (lambda: checkpoint.log_prob(x, batch_size=n), lambda: model.log_prob(x, rng=ImageRng(0, range(n)))),
        "encode": (lambda: checkpoint.encode(x), lambda: model.encode(x)),
        "decode": (lambda: checkpoint.decode(z), lambda: model.decode(z)),
    }
    for method, (ours, floor) in pairs.items():
        yield compare(f"{method} of {checkpoint.name}, batch {n}", ours, "the bare module", bare(floor), budget=1.05, rounds=31)
