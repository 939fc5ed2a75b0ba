"""Theorems about training a score network."""

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

import zoo_core
from zoo_core.data.dataset import load_data
from zoo_core.datasets import GaussianMixtureConfig
from zoo_core.recipes import EMAConfig, FitConfig, OptimizerConfig, Recipe
from zoo_core.rng import StepRng
from zoo_core.samplers import Heun
from zoo_core.testing import assert_resumes, fake_zoo
from zoo_core.testing.fake_config import FakeDataConfig
from zoo_core.training.fit import fit
from zoo_core.training.trainer import Batch
from zoo_ncsn_langevin.config import NCSNConfig, NCSNTrainerConfig
from zoo_ncsn_langevin.trainer import NCSNTrainer

MIXTURE = GaussianMixtureConfig(weights=(0.3, 0.7), means=((-2.0, 0.0), (2.0, 1.0)), std=0.5, count=4000)
POINTS = Recipe(
    model=NCSNConfig(shape=(2,), net="mlp", width=32, blocks=1, levels=10, sigma_min=0.3, sigma_max=20.0, sigma_data=2.0),
    trainer=NCSNTrainerConfig(),
    fit=FitConfig(
        steps=600,
        batch_size=256,
        optimizer=OptimizerConfig(lr=5e-3),
        lr_schedule="cosine",
        ema=EMAConfig(decay=0.98),
        sample_every=0,
        log_every=50,
    ),
    data=MIXTURE,
    sampler=Heun(steps=12),
)
IMAGES = Recipe(
    model=NCSNConfig(shape=(1, 8, 8), width=4, multipliers=(1, 2), dilations=(1, 1), blocks=1, levels=5),
    trainer=NCSNTrainerConfig(weight="output", noise="log-normal"),
    fit=FitConfig(steps=12, batch_size=8, save_every=6, sample_every=0, log_every=3),
    data=FakeDataConfig(shape=(1, 8, 8), count=64),
    sampler=Heun(steps=3),
)


@pytest.fixture(autouse=True, scope="module")
def _zoo() -> Iterator[None]:
    with fake_zoo("zoo-ncsn-langevin"):
        yield


def true_score(x: Tensor, sigma: Tensor) -> Tensor:
    """The score of the mixture under noise in closed form, at ``x`` (n, 2) and ``sigma`` (n,)."""
    means = torch.tensor(MIXTURE.means)
    variance = (MIXTURE.std**2 + sigma**2).float()[:, None]
    offsets = means - x[:, None]
    share = (torch.tensor(MIXTURE.weights).log() - (offsets**2).sum(2) / (2 * variance)).softmax(dim=1)
    return (share[:, :, None] * offsets).sum(1) / variance


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "points"
    fit(POINTS, out)
    return out


def test_training_comes_near_the_least_loss_that_there_is(run: Path) -> None:
    net = zoo_core.load(f"local:{run}").model
    n = 20_000
    x0 = load_data(replace(MIXTURE, seed=1, count=n)).rows(torch.arange(n))
    trainer = NCSNTrainer(net, NCSNTrainerConfig())  # type: ignore[arg-type]

    def loss(**change: object) -> float:
        with torch.no_grad(), pytest.MonkeyPatch.context() as patch:
            for name, value in change.items():
                patch.setattr(net, name, value)
            return trainer("model", Batch(x=x0, labels=None, index=torch.arange(n)), StepRng(5, 0, n)).value.item()

    def perfect(x: Tensor, sigma: Tensor) -> Tensor:
        """The output of a net with the true score."""
        c_skip, c_out, _ = (c.float() for c in trainer.model.scalings(sigma[:, None]))
        return (x + (sigma[:, None] ** 2).float() * true_score(x, sigma) - c_skip * x) / c_out

    least = loss(output=perfect)
    reached = loss()
    untrained = loss(output=lambda x, sigma: torch.zeros_like(x))
    assert 0 < reached - least < 0.02 * (untrained - least)


def test_the_trained_score_is_that_of_the_mixture(run: Path) -> None:
    net = zoo_core.load(f"local:{run}").model
    x0 = load_data(replace(MIXTURE, seed=2, count=2000)).rows(torch.arange(2000))
    for sigma in (0.4, 2.0, 10.0):
        level = torch.full((2000,), sigma, dtype=torch.float64)
        x = x0 + sigma * StepRng(3, 0, 2000).normal(2)
        truth = true_score(x, level)
        with torch.no_grad():
            error = net.score(x, level) - truth  # type: ignore[operator]
        assert (error**2).mean() < 0.03 * (truth**2).mean()


def test_samples_have_the_weights_means_and_spreads_of_the_mixture(run: Path) -> None:
    points = zoo_core.load(f"local:{run}").sample(2000, seed=0, batch_size=2000)
    right = points[:, 0] > 0
    assert right.float().mean() == pytest.approx(0.7, abs=0.06)
    for chosen, mean in ((~right, MIXTURE.means[0]), (right, MIXTURE.means[1])):
        assert points[chosen].mean(0).tolist() == pytest.approx(mean, abs=0.15)
        assert points[chosen].std(0).tolist() == pytest.approx([0.5, 0.5], abs=0.12)


@pytest.mark.parametrize("loss", ["ism", "ssm"])
def test_training_without_the_noise_that_was_added_learns_the_same_score(loss: str, tmp_path: Path) -> None:
    trainer = NCSNTrainerConfig(loss=loss, slices=2)  # type: ignore[arg-type]
    recipe = replace(POINTS, trainer=trainer, fit=replace(POINTS.fit, steps=400))
    net = zoo_core.load(f"local:{fit(recipe, tmp_path / 'run')}").model
    x0 = load_data(replace(MIXTURE, seed=2, count=2000)).rows(torch.arange(2000))
    level = torch.full((2000,), 2.0, dtype=torch.float64)
    x = x0 + 2.0 * StepRng(3, 0, 2000).normal(2)
    with torch.no_grad():
        error = net.score(x, level) - true_score(x, level)  # type: ignore[operator]
    assert (error**2).mean() < 0.1 * (true_score(x, level) ** 2).mean()


@pytest.mark.parametrize(("precision", "form"), [("no", "score"), ("bf16", "edm"), ("bf16", "scaled")])
def test_a_run_that_was_stopped_and_resumed_ends_with_the_same_weights_to_the_bit(tmp_path: Path, precision: str, form: str) -> None:
    assert isinstance(IMAGES.model, NCSNConfig)
    recipe = replace(IMAGES, model=replace(IMAGES.model, form=form), fit=replace(IMAGES.fit, precision=precision))  # type: ignore[arg-type]
    assert_resumes(recipe, tmp_path, after=6)


def test_a_fresh_preconditioned_net_has_the_loss_of_unit_variance() -> None:
    assert isinstance(IMAGES.model, NCSNConfig)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        from zoo_ncsn_langevin.model import NCSN

        net = NCSN(replace(IMAGES.model, sigma_data=0.6))
    for parameter in net.net.leave.parameters():  # type: ignore[union-attr]
        torch.nn.init.zeros_(parameter)
    trainer = NCSNTrainer(net, IMAGES.trainer)  # type: ignore[arg-type]
    n = 256
    x0 = 0.6 * StepRng(0, 0, n).normal(1, 8, 8)
    value = trainer("model", Batch(x=x0, labels=None, index=torch.arange(n)), StepRng(0, 1, n)).value
    assert value.item() == pytest.approx(0.5, abs=4 * math.sqrt(0.5 / (n * 64)))
