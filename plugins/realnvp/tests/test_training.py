"""Theorems about training a flow."""

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import zoo_core
from zoo_core.data.dataset import load_data
from zoo_core.datasets import GaussianMixtureConfig
from zoo_core.interfaces import ModelConfig
from zoo_core.recipes import EMAConfig, FitConfig, OptimizerConfig, Recipe
from zoo_core.rng import StepRng
from zoo_core.samplers import Latent
from zoo_core.testing import assert_resumes, fake_zoo
from zoo_core.testing.fake_config import FakeDataConfig
from zoo_core.training.fit import fit
from zoo_core.training.loop import build
from zoo_core.training.trainer import Batch
from zoo_realnvp.config import FlowTrainerConfig, MAFConfig, RealNVPConfig
from zoo_realnvp.norms import ActNorm
from zoo_realnvp.trainer import FlowTrainer

MIXTURE = GaussianMixtureConfig(weights=(0.3, 0.7), means=((-2.0, 0.0), (2.0, 1.0)), std=0.5, count=4000)
POINTS = Recipe(
    model=RealNVPConfig(shape=(2,), couplings=6, blocks=1, width=16),
    trainer=FlowTrainerConfig(),
    fit=FitConfig(
        steps=400,
        batch_size=256,
        optimizer=OptimizerConfig(lr=5e-3),
        lr_schedule="cosine",
        ema=EMAConfig(decay=0.98),
        sample_every=0,
        log_every=50,
    ),
    data=MIXTURE,
    sampler=Latent(),
)
IMAGES = Recipe(
    model=RealNVPConfig(shape=(1, 8, 8), scales=2, couplings=1, blocks=1, width=4),
    trainer=FlowTrainerConfig(),
    fit=FitConfig(steps=12, batch_size=8, save_every=6, sample_every=0, log_every=3),
    data=FakeDataConfig(shape=(1, 8, 8), count=64),
    sampler=Latent(),
)
MAF = MAFConfig(shape=(2,), layers=5, width=32)
MODELS: dict[str, ModelConfig] = {
    "realnvp-batch": POINTS.model,
    "realnvp-act": RealNVPConfig(shape=(2,), couplings=6, blocks=1, width=16, norm="act"),
    "maf-batch": MAF,
    "maf-act": replace(MAF, norm="act"),
}


@pytest.fixture(autouse=True, scope="module")
def _zoo() -> Iterator[None]:
    with fake_zoo("zoo-realnvp"):
        yield


def trainer(recipe: Recipe, **changes: object) -> FlowTrainer:
    """A trainer around a fresh model, prepared for the first batch."""
    built = build(replace(recipe, **changes))  # type: ignore[arg-type]
    assert isinstance(built, FlowTrainer)
    with torch.no_grad():
        built.prepare(batch(recipe), StepRng(0, 0, 64))
    return built


def batch(recipe: Recipe) -> Batch:
    assert recipe.data is not None
    return load_data(recipe.data).batch(0, 0, 64)


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_training_comes_near_the_entropy_of_the_data_and_never_below(model: ModelConfig, tmp_path: Path) -> None:
    flow = zoo_core.load(f"local:{fit(replace(POINTS, model=model), tmp_path / 'run')}")
    n = 10_000
    data = load_data(replace(MIXTURE, seed=1, count=n))
    x = data.rows(torch.arange(n))
    means, weights = torch.tensor(MIXTURE.means), torch.tensor(MIXTURE.weights)
    squares = ((x[:, None] - means) ** 2).sum(2) / (2 * 0.5**2)
    truth = (weights.log() - squares).logsumexp(1) - math.log(2 * math.pi * 0.5**2)
    worse = truth - flow.log_prob(x).value  # its mean is the divergence of the flow from the mixture
    assert -3 * worse.std() / math.sqrt(n) < worse.mean() < 0.05
    points = flow.sample(4000, seed=0, batch_size=4000)
    assert (points[:, 0] > 0).float().mean().item() == pytest.approx(0.7, abs=0.05)


@pytest.mark.parametrize("recipe", [POINTS, IMAGES, replace(POINTS, model=MAF)], ids=["points", "images", "maf"])
def test_training_reports_what_the_model_gives_for_the_same_batch_in_eval_mode(recipe: Recipe) -> None:
    it = trainer(recipe).train()
    given = batch(recipe)
    for step in range(3):
        reported = it("model", given, StepRng(0, step, 64)).logs
        it.eval()
        with torch.no_grad():
            found = it.model.log_prob(given.x, rng=StepRng(0, step, 64)).value.mean()
        it.train()
        assert reported["nats"].item() == pytest.approx(-found.item(), rel=1e-6)
        d = given.x[0].numel()
        assert reported["bits_per_dim"].item() == pytest.approx(-found.item() / (d * math.log(2)), rel=1e-6)


def test_the_loss_is_nats_a_dimension_and_the_squared_scales_of_weight_norm() -> None:
    it = trainer(IMAGES, trainer=FlowTrainerConfig(scale_decay=0.5))
    given = batch(IMAGES)
    loss = it("model", given, StepRng(0, 0, 64))
    squares = 0.0
    for module in it.model.modules():
        if isinstance(module, nn.Conv2d) and hasattr(module, "parametrizations"):
            squares += (module.weight.flatten(1).norm(dim=1) ** 2).sum().item()
    assert squares > 0
    assert loss.value.item() == pytest.approx((loss.logs["nats"].item() + 0.5 * squares) / 64, rel=1e-5)


def test_preparing_sets_the_norms_and_a_step_begins_near_the_entropy_of_a_gaussian() -> None:
    it = trainer(POINTS)
    given = batch(POINTS)
    with torch.no_grad():
        found = it("model", given, StepRng(0, 0, 64)).logs["nats"]
    spread = given.x.std(dim=0, correction=0).log().sum()
    assert found.item() == pytest.approx((spread + math.log(2 * math.pi) + 1).item(), abs=0.01)


def test_every_norm_of_images_is_prepared_on_dequantised_ones() -> None:
    model = replace(IMAGES.model, norm="act")  # type: ignore[call-arg]
    it = build(replace(IMAGES, model=model))
    black = Batch(x=torch.full((64, 1, 8, 8), -1.0), labels=None, index=torch.arange(64))
    with torch.no_grad():
        it.prepare(black, StepRng(0, 0, 64))
    first = next(module for module in it.modules() if isinstance(module, ActNorm))
    # Without noise, black pixels would have no spread; dequantised, they have that of one level times the logit's slope at alpha.
    assert 0.5 < first.log_scale.exp().item() * 0.9 / (0.05 * 0.95) / 256 * math.sqrt(1 / 12) < 2


@pytest.mark.parametrize(
    "recipe",
    [
        IMAGES,
        replace(IMAGES, model=replace(IMAGES.model, norm="act"), fit=replace(IMAGES.fit, channels_last=True)),  # type: ignore[call-arg]
        replace(IMAGES, model=MAFConfig(shape=(1, 8, 8), layers=2, hidden=1, width=64), fit=replace(IMAGES.fit, precision="bf16")),
    ],
    ids=["batch", "act-channels-last", "maf-bf16"],
)
def test_a_run_that_was_stopped_and_resumed_ends_with_the_same_weights_to_the_bit(tmp_path: Path, recipe: Recipe) -> None:
    assert_resumes(recipe, tmp_path, after=6)


def test_the_moving_average_takes_the_running_statistics_along(tmp_path: Path) -> None:
    recipe = replace(IMAGES, fit=replace(IMAGES.fit, ema=EMAConfig(decay=0.5, warmup=False)))
    raw = load_file(fit(replace(recipe, fit=replace(recipe.fit, ema=None)), tmp_path / "raw") / "model.safetensors")
    averaged = load_file(fit(recipe, tmp_path / "averaged") / "model.safetensors")
    name = next(name for name in raw if name.endswith("variance"))
    assert not torch.equal(raw[name], averaged[name])
