"""Fixtures: a folder of small pictures, a trained first stage, and a small recipe of the second stage."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from zoo_core.datasets import FolderConfig
from zoo_core.interfaces import Teacher
from zoo_core.recipes import Recipe, load_recipe
from zoo_core.samplers import DPMSolver2M
from zoo_core.testing import write_checkpoint
from zoo_ddpm.config import DDPMConfig
from zoo_latent_diffusion.autoencoder import Autoencoder
from zoo_latent_diffusion.config import AutoencoderConfig, LatentDiffusionConfig, LatentDiffusionTrainerConfig

SMALL = AutoencoderConfig(image_size=8, latent_channels=2, width=4)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of eight plain pictures of 8x8 pixels, in two classes."""
    folder = tmp_path / "photos"
    for i in range(8):
        path = folder / "ab"[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (30 * i, 255 - 30 * i, 60 * (i % 4))).save(path)
    return folder


@pytest.fixture
def write_first(tmp_path: Path) -> Callable[..., Path]:
    """``write_first(name, seed=0, config=SMALL)`` writes the checkpoint of an untrained first stage, and gives its folder."""

    def write(name: str = "first", seed: int = 0, config: AutoencoderConfig = SMALL) -> Path:
        torch.manual_seed(seed)
        return write_checkpoint(tmp_path / name, Autoencoder(config), config)

    return write


@pytest.fixture
def second(photos: Path, write_first: Callable[..., Path]) -> Recipe:
    """The recipe of 64x64 cats with a ddpm of 2x2x2 latents, on the small pictures, mirrored."""
    recipe = load_recipe("latent-diffusion/afhq-cat")
    return replace(
        recipe,
        model=LatentDiffusionConfig(
            first_stage=SMALL, prior=DDPMConfig(image_size=2, channels=2, dim=8, multipliers=(1,), linear_attention=(), num_classes=2)
        ),
        trainer=LatentDiffusionTrainerConfig(first_stage=Teacher(reference=f"local:{write_first()}")),
        fit=replace(recipe.fit, steps=6, batch_size=4, precision="no", sample_every=0),
        data=FolderConfig(path=str(photos), size=8, flip=True),
        sampler=DPMSolver2M(steps=3),
    )
