"""The sampling loop against the same number of bare forward passes, and decoders against the bare decoder.

The loop cannot avoid one cost: numpy's draw of noise takes 1 % of the time of this small network's pass.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any

import torch

import zoo_core
from benchmarks.timing import Ratio, compare
from zoo_core.pretrained import Pretrained
from zoo_core.rng import ImageRng
from zoo_core.testing.gaussian_mixture import names, passes, within

NAME = "ddpm-afhq-cat"
BATCH = 16
PASSES = 50
DECODERS = ("dcgan-mnist", "wgan-gp-fashion-mnist", "projection-cgan-fashion-mnist", "vae-mnist", "realnvp-mnist")
MANY = 64


def measure() -> Iterator[Ratio]:
    """Every sampler that can sample a denoiser, at batch 16, with as many steps as 50 passes allow."""
    cats = zoo_core.load(NAME)
    net: Any = cats.model.net
    shape = (BATCH, *cats.event.shape)
    x = torch.randn(shape)
    times = torch.linspace(50, 1, PASSES)

    def forwards(count: int) -> None:
        with torch.inference_mode():
            for t in times[:count]:
                net(x, t.expand(BATCH))

    for name in names()[0]:
        sampler = within(name, PASSES)
        count = passes(sampler)
        yield compare(
            f"{name}, {count} passes, batch {BATCH}",
            partial(cats.sample, BATCH, sampler=sampler),
            f"{count} bare forwards",
            partial(forwards, count),
            budget=1.02,
            rounds=7,
        )
    for name in DECODERS:
        yield _decoder(zoo_core.load(name))


def _decoder(checkpoint: Pretrained) -> Ratio:
    model: Any = checkpoint.model
    z = model.prior(ImageRng(0, range(MANY)))
    labels = torch.arange(MANY) % model.num_classes if "labels" in checkpoint.capabilities else None

    def bare() -> None:
        with torch.inference_mode():
            model.decode(z, labels)

    name = f"{checkpoint.name}, batch {MANY}"
    return compare(name, lambda: checkpoint.sample(MANY), "the bare decoder, without drawing latents", bare, budget=1.05, rounds=15)
