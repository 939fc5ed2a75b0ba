"""Theorems about training a variational autoencoder."""

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import zoo_core
from zoo_core.data.dataset import load_data
from zoo_core.datasets import GaussianMixtureConfig
from zoo_core.recipes import EMAConfig, FitConfig, OptimizerConfig, Recipe
from zoo_core.samplers import Latent
from zoo_core.testing import assert_resumes, fake_zoo
from zoo_core.testing.fake_config import FakeDataConfig
from zoo_core.training.fit import fit
from zoo_vae.config import VAEConfig, VAETrainerConfig

CLOUD = GaussianMixtureConfig(weights=(1.0,), means=((1.0, -2.0),), std=0.5, count=4000)
POINTS = Recipe(
    model=VAEConfig(shape=(2,), latent=1, hidden=(), likelihood="gaussian", initial_scale=1.0),
    trainer=VAETrainerConfig(),
    fit=FitConfig(
        steps=250,
        batch_size=128,
        optimizer=OptimizerConfig(lr=5e-2),
        lr_schedule="cosine",
        ema=None,
        sample_every=0,
        log_every=50,
    ),
    data=CLOUD,
    sampler=Latent(),
)
IMAGES = Recipe(
    model=VAEConfig(shape=(1, 8, 8), latent=2, hidden=(16,)),
    trainer=VAETrainerConfig(),
    fit=FitConfig(steps=12, batch_size=8, ema=EMAConfig(), save_every=6, sample_every=0, log_every=3),
    data=FakeDataConfig(shape=(1, 8, 8), count=64),
    sampler=Latent(),
)


@pytest.fixture(autouse=True, scope="module")
def _zoo() -> Iterator[None]:
    with fake_zoo("zoo-vae"):
        yield


def test_training_finds_the_entropy_of_a_gaussian(tmp_path: Path) -> None:
    """A linear VAE with a learned scale can be any isotropic Gaussian exactly, posterior collapsed: its ELBO is then -entropy."""
    model = zoo_core.load(f"local:{fit(POINTS, tmp_path / 'run')}")
    x = load_data(replace(CLOUD, seed=1, count=4000)).rows(torch.arange(4000))
    entropy = math.log(2 * math.pi * math.e * 0.5**2)
    bounds = [-model.log_prob(x, k=k).value.mean().item() for k in (1, 20)]
    error = 5 / math.sqrt(4000)  # the log-density of a Gaussian in the plane has the variance 1
    assert entropy - error < bounds[1] <= bounds[0] + 1e-3 < entropy + 0.05 + error


def test_training_raises_the_elbo_of_images_and_reconstructs_them(tmp_path: Path) -> None:
    recipe = replace(IMAGES, fit=replace(IMAGES.fit, steps=150, batch_size=64, save_every=300, optimizer=OptimizerConfig(lr=1e-2)))
    untrained, trained = (zoo_core.load(f"local:{fit(each, tmp_path / name)}") for name, each in (("a", IMAGES), ("b", recipe)))
    x = load_data(IMAGES.data).rows(torch.arange(64))  # type: ignore[arg-type]
    before, after = (model.log_prob(x, k=10).value.mean() for model in (untrained, trained))
    assert after > before + 1
    assert (trained.reconstruct(x) - x).square().mean() < 0.5 * x.var()
    path = trained.interpolate(x[0], x[1], steps=4)
    torch.testing.assert_close(path[[0, -1]], trained.reconstruct(x[:2]), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("precision", "model"),
    [
        ("no", IMAGES.model),
        ("bf16", VAEConfig(shape=(1, 8, 8), net="conv", latent=2, width=4, likelihood="discretised-logistic", scale="predicted")),
    ],
)
def test_a_run_that_was_stopped_and_resumed_ends_with_the_same_weights_to_the_bit(tmp_path: Path, precision: str, model: VAEConfig) -> None:
    recipe = replace(IMAGES, model=model, fit=replace(IMAGES.fit, precision=precision))  # type: ignore[arg-type]
    assert_resumes(recipe, tmp_path, after=6)
