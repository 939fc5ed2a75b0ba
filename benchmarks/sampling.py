"""The sampling loop against the bare network's forward passes."""

from collections.abc import Iterator

import torch

import zoo_core
from benchmarks.timing import Ratio, compare
from zoo_core.registry import registry
from zoo_core.specs import SamplerSpec

NAME, BATCH, STEPS = "ddpm-afhq-cat", 16, 50


def measure() -> Iterator[Ratio]:
    """Every sampler that can sample a denoiser, at batch 16."""
    cats = zoo_core.load(NAME)
    net, shape = cats.model.net, (BATCH, *cats.model.event.shape)  # type: ignore[union-attr,misc]
    x, times = torch.randn(shape), torch.linspace(50, 1, STEPS)

    def floor() -> None:
        with torch.inference_mode():
            for t in times:
                net(x, t.expand(BATCH))  # type: ignore[operator]

    for key, claims in registry().claims(SamplerSpec).items():
        spec = claims[0].spec
        if isinstance(spec, SamplerSpec) and spec.requires == "denoise":
            yield compare(
                f"{key}, {STEPS} steps, batch {BATCH}",
                lambda key=key: cats.sample(BATCH, sampler={"name": key, "steps": STEPS}),  # type: ignore[misc]
                f"{STEPS} bare forwards",
                floor,
                budget=1.02,
                rounds=7,
            )
