"""A training step of latent diffusion's prior on 4x16x16 latents against one of the same net on 3x64x64 images."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from benchmarks.timing import Ratio, clock, compare
from zoo_core.data.dataset import Data
from zoo_core.distributed import Processes
from zoo_core.recipes import Recipe
from zoo_core.training.loop import Loop, build
from zoo_ddpm.config import DDPMConfig, DDPMTrainerConfig
from zoo_latent_diffusion.second_stage import AFHQ_CAT

__all__ = ["measure"]


def measure() -> Iterator[Ratio]:
    """One step at a time, on noise instead of cats; the latents are computed before."""
    images = torch.randint(256, (128, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    config = AFHQ_CAT.model.prior  # type: ignore[attr-defined]  # the config of a LatentDiffusion
    assert isinstance(config, DDPMConfig)
    pixels = replace(AFHQ_CAT, model=replace(config, image_size=64, channels=3), trainer=DDPMTrainerConfig())
    latent, pixel = _ready(AFHQ_CAT, images), _ready(pixels, images)
    with TemporaryDirectory() as folder:
        latent.read_inputs(Path(folder))
    yield compare(
        "a training step on latents", latent.advance, "the same net on 64x64 images", pixel.advance, budget=1 / 3, rounds=5, now=clock
    )


def _ready(recipe: Recipe, images: torch.Tensor) -> Loop:
    """A loop before its first step, with initial weights."""
    loop = Loop(recipe, build(recipe), Data(x=images), Processes("cpu"))
    loop.start(prepared=True)
    return loop
