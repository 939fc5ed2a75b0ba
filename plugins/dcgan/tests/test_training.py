"""Theorems about training a DCGAN with the loop, and about the published generator."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import zoo_core
from zoo_core.data.dataset import load_data
from zoo_core.pretrained import Pretrained
from zoo_core.recipes import EMAConfig, FitConfig, OptimizerConfig, Recipe
from zoo_core.rng import ImageRng
from zoo_core.samplers import Latent
from zoo_core.testing import assert_resumes, fake_zoo, start_loop
from zoo_core.testing.fake_config import FakeDataConfig
from zoo_core.training.fit import Report, fit
from zoo_dcgan.config import DCGANConfig, DCGANTrainerConfig
from zoo_dcgan.model import DCGAN

ADAM = OptimizerConfig(lr=2e-3, options={"betas": [0.5, 0.999], "fused": True})
TINY = Recipe(
    model=DCGANConfig(shape=(1, 16, 16), latent=4, width=4, stages=2, kernel=4),
    trainer=DCGANTrainerConfig(width=4),
    fit=FitConfig(steps=12, batch_size=8, optimizer=ADAM, save_every=6, sample_every=0, log_every=3),
    data=FakeDataConfig(shape=(1, 16, 16), count=64),
    sampler=Latent(),
)


@pytest.fixture(autouse=True, scope="module")
def _zoo() -> Iterator[None]:
    with fake_zoo("zoo-dcgan"):
        yield


@pytest.fixture(scope="module")
def run(_zoo: None, tmp_path_factory: pytest.TempPathFactory) -> Pretrained:
    """A tiny generator, trained until its images differ."""
    recipe = with_fit(steps=60, batch_size=16, save_every=100)
    return zoo_core.load(f"local:{fit(recipe, tmp_path_factory.mktemp('run') / 'tiny')}")


def with_fit(**changes: Any) -> Recipe:
    return replace(TINY, fit=replace(TINY.fit, **changes))


OPTIMIZERS = {"critic": OptimizerConfig(lr=1e-3), "generator": OptimizerConfig(name="rmsprop")}


@pytest.mark.parametrize(
    "recipe",
    [TINY, with_fit(precision="bf16", channels_last=True, optimizers=OPTIMIZERS)],
    ids=["adam", "an optimizer each, bf16"],
)
def test_a_run_that_was_stopped_and_resumed_ends_with_the_same_state_to_the_bit(tmp_path: Path, recipe: Recipe) -> None:
    state = assert_resumes(recipe, tmp_path, after=5)
    assert {"model", "trainer", "ema"} < {name.split("/")[0] for name in state}
    assert {name.split("-")[1] for name in state if name.startswith("optimizer-")} == {"critic", "generator"}


def test_the_moving_average_holds_the_statistics_of_batch_norm_with_the_weights() -> None:
    recipe = with_fit(ema=EMAConfig(decay=0.8, warmup=False))
    decay = 0.8
    loop = start_loop(recipe)
    expected = {name: value.clone() for name, value in loop.trainer.model.state_dict().items()}
    for step in range(6):
        loop.advance()
        keep = decay if step else 0.0  # the average begins at the first step's weights
        for name, value in loop.trainer.model.state_dict().items():
            expected[name] = keep * expected[name] + (1 - keep) * value if value.is_floating_point() else value.clone()
    published = loop.published.state_dict()
    raw = loop.trainer.model.state_dict()
    torch.testing.assert_close(published, expected)
    statistics = [name for name in raw if "running" in name]
    assert len(statistics) == 2 * sum(isinstance(each, torch.nn.modules.batchnorm._BatchNorm) for each in loop.trainer.model.modules())
    assert not any(torch.allclose(published[name], raw[name]) for name in statistics)


def test_published_images_are_finite_and_those_of_the_average_in_eval_mode(run: Pretrained) -> None:
    model = run.model
    z = ImageRng(0, range(8)).normal(4)
    assert isinstance(model, DCGAN)
    images = run.sample(8, seed=0)
    assert images.isfinite().all()
    assert images.abs().max() <= 1
    with torch.no_grad():
        torch.testing.assert_close(images, model.decode(z), rtol=0, atol=1e-5)
        before = {name: value.clone() for name, value in model.state_dict().items()}
        try:
            of_the_batch = model.train().decode(z)
        finally:
            model.eval().load_state_dict(before)
    assert (images - of_the_batch).abs().max() > 0.05


# Generator against discriminator


def trained(recipe: Recipe, folder: Path) -> tuple[Pretrained, list[dict[str, float]]]:
    reports: list[Report] = []
    exported = fit(recipe, folder, on_report=reports.append)
    return zoo_core.load(f"local:{exported}"), [dict(report.logs) for report in reports]


STILL = OptimizerConfig(name="sgd", lr=0.0)


def test_a_discriminator_alone_learns_to_tell_real_from_generated(tmp_path: Path) -> None:
    _, logs = trained(with_fit(steps=60, batch_size=32, log_every=15, optimizers={"generator": STILL}), tmp_path)
    assert [sorted(each["critic.gap"] for each in logs)] == [[each["critic.gap"] for each in logs]]
    assert logs[-1]["critic.real"] > 0.9
    assert logs[-1]["critic.fake"] < 0.15


def test_a_generator_alone_learns_to_be_taken_for_real(tmp_path: Path) -> None:
    _, logs = trained(with_fit(steps=60, batch_size=32, log_every=15, optimizers={"critic": STILL}), tmp_path)
    fake = [each["critic.fake"] for each in logs]
    assert sorted(fake) == fake
    assert fake[-1] > fake[0] + 0.1
    assert logs[-1]["loss.generator"] < logs[0]["loss.generator"]
    assert logs[-1]["critic.real"] == pytest.approx(logs[0]["critic.real"], abs=0.01)


def test_together_they_come_near_every_class_of_the_data_and_the_discriminator_stays_in_doubt(tmp_path: Path) -> None:
    recipe = with_fit(steps=300, batch_size=32, log_every=100, save_every=1000, ema=EMAConfig(decay=0.95))
    model, logs = trained(recipe, tmp_path)
    assert recipe.data is not None
    data = load_data(recipe.data)
    assert data.labels is not None
    x = data.rows(torch.arange(64)).flatten(1)
    centres = torch.stack([x[data.labels == each].mean(0) for each in range(3)])
    distances, classes = torch.cdist(model.sample(64, seed=0).flatten(1), centres).min(1)
    assert classes.bincount(minlength=3).min() >= 6
    assert distances.mean() < 0.6 * torch.cdist(centres, centres)[0, 1]
    assert 0.5 < logs[-1]["critic.real"] < 0.9
    assert 0.1 < logs[-1]["critic.fake"] < 0.5


# Latents


@pytest.mark.parametrize("spherical", [True, False])
def test_a_path_has_its_ends_and_goes_round_or_straight_between_them(run: Pretrained, spherical: bool) -> None:
    path = run.interpolate(0, 1, steps=3, seed=7, spherical=spherical)
    torch.testing.assert_close(path[[0, -1]], run.sample(2, seed=7), rtol=0, atol=1e-5)
    a, b = ImageRng(7, range(2)).normal(4)
    middle = (a + b) / 2
    if spherical:  # sin(w / 2) / sin(w) = 1 / (2 cos(w / 2)): the middle, made longer
        middle /= torch.cos(torch.acos(a @ b / (a.norm() * b.norm())) / 2)
    with torch.no_grad():
        torch.testing.assert_close(path[1], run.model.decode(middle[None])[0], rtol=0, atol=1e-5)  # type: ignore[operator]  # a DCGAN


def test_temperature_scales_latents_and_at_zero_all_images_are_that_of_zero(run: Pretrained) -> None:
    model = run.model
    assert isinstance(model, DCGAN)
    with torch.no_grad():
        centre = model.decode(torch.zeros(1, 4))
        half = model.decode(0.5 * ImageRng(3, range(5)).normal(4))
    torch.testing.assert_close(run.sample(5, seed=3, sampler={"temperature": 0.0}), centre.expand(5, -1, -1, -1), rtol=0, atol=1e-5)
    torch.testing.assert_close(run.sample(5, seed=3, sampler=Latent(temperature=0.5)), half, rtol=0, atol=1e-5)
    assert (half - centre).abs().max() > 0.05
