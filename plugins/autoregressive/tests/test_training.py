"""Theorems about training autoregressive models: runs resume to the bit, and learning finds what pixels say of each other."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from zoo_autoregressive.config import PixelCNNConfig, PixelTransformerConfig
from zoo_core.data.dataset import Batch
from zoo_core.recipes import EMAConfig, FitConfig, OptimizerConfig, Recipe
from zoo_core.rng import StepRng
from zoo_core.samplers import Latent
from zoo_core.testing import assert_resumes, fake_zoo
from zoo_core.testing.fake_config import FakeDataConfig
from zoo_core.training.loop import build

FIT = FitConfig(steps=8, batch_size=8, optimizer=OptimizerConfig(lr=1e-2), ema=EMAConfig(), save_every=4, sample_every=0)
RECIPES = {
    "pixelcnn": Recipe(
        model=PixelCNNConfig(shape=(1, 4, 4), layers=2, channels=4, hidden=8, kernel=3, first_kernel=3),
        fit=replace(FIT, precision="bf16"),
        data=FakeDataConfig(shape=(1, 4, 4), count=64),
        sampler=Latent(),
    ),
    "transformer": Recipe(
        model=PixelTransformerConfig(shape=(3, 2, 2), layers=1, width=8, heads=2, likelihood="categorical"),
        fit=FIT,
        data=FakeDataConfig(shape=(3, 2, 2), count=64),
        sampler=Latent(),
    ),
}


@pytest.fixture(autouse=True, scope="module")
def _zoo() -> Iterator[None]:
    with fake_zoo("zoo-autoregressive"):
        yield


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_a_run_that_was_stopped_and_resumed_ends_with_the_same_weights_to_the_bit(tmp_path: Path, name: str) -> None:
    assert_resumes(RECIPES[name], tmp_path, after=5)


@pytest.mark.parametrize("model", [RECIPES["pixelcnn"].model, PixelTransformerConfig(shape=(1, 4, 4), layers=1, width=16, heads=2)])
def test_training_finds_that_every_pixel_repeats_the_first_one(model: PixelCNNConfig | PixelTransformerConfig) -> None:
    """Images that are white or black as a whole have one bit: the best loss is log 2 nats, and guessing costs 16 log 2."""
    trainer = build(replace(RECIPES["pixelcnn"], model=model))
    optimizer = torch.optim.Adam(trainer.parameters(), lr=1e-2)
    x = torch.tensor([-1.0, 1.0]).repeat(8).view(-1, 1, 1, 1).expand(-1, 1, 4, 4)
    nats = []
    for step in range(150):
        loss = trainer("model", Batch(x=x, labels=None, index=torch.arange(16)), StepRng(0, step, 16))
        optimizer.zero_grad()
        loss.value.backward()
        optimizer.step()
        nats.append(float(loss.logs["nats"]))
    assert nats[0] > 8
    assert 0.69 < nats[-1] < 0.9
