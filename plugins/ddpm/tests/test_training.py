"""Theorems about training a ddpm."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.torch import load_file

from zoo_core.cards.metrics_log import read_metrics
from zoo_core.recipes import FitConfig, Recipe
from zoo_core.samplers import Ancestral
from zoo_core.testing import assert_resumes, fake_zoo
from zoo_core.testing.fake_config import FakeDataConfig
from zoo_core.training.fit import Report, fit
from zoo_ddpm.config import DDPMConfig, DDPMTrainerConfig

TINY = Recipe(
    model=DDPMConfig(image_size=8, dim=8, multipliers=(1, 2), linear_attention=(8,), heads=2, dropout=0.1, num_classes=3),
    trainer=DDPMTrainerConfig(loss="l1"),
    fit=FitConfig(steps=30, batch_size=8, save_every=15, sample_every=0, log_every=5, channels_last=True),
    data=FakeDataConfig(shape=(3, 8, 8), count=64),
    sampler=Ancestral(steps=5),
)


@pytest.fixture(autouse=True)
def _zoo() -> Iterator[None]:
    with fake_zoo("zoo-ddpm"):
        yield


@pytest.mark.parametrize("precision", ["no", "bf16"])
def test_thirty_steps_equal_fifteen_and_fifteen_to_the_bit(tmp_path: Path, precision: str) -> None:
    recipe = replace(TINY, fit=replace(TINY.fit, precision=precision))  # type: ignore[arg-type]
    assert_resumes(recipe, tmp_path, after=15)


def test_training_lowers_the_loss(tmp_path: Path) -> None:
    reports: list[Report] = []
    fit(replace(TINY, fit=replace(TINY.fit, steps=60)), tmp_path, on_report=reports.append)
    losses = [report.logs["loss.model"] for report in reports]
    assert losses[-1] < 0.85 * losses[0]


@pytest.mark.slow
def test_a_compiled_net_trains_as_the_plain_one(tmp_path: Path) -> None:
    small = DDPMConfig(image_size=8, dim=8, multipliers=(1,), linear_attention=(8,), heads=1)  # compilers are slow
    plain = replace(TINY, model=small, fit=replace(TINY.fit, steps=10, log_every=1, save_every=5, channels_last=False))
    compiled = replace(plain, fit=replace(plain.fit, compile=True))
    folders = {name: fit(recipe, tmp_path / name) for name, recipe in (("plain", plain), ("compiled", compiled))}
    losses = {name: [row["loss.model"] for row in read_metrics(tmp_path / name / "metrics.jsonl")] for name in folders}
    assert losses["compiled"] == pytest.approx(losses["plain"], rel=1e-4)
    weights = {name: load_file(folder / "model.safetensors") for name, folder in folders.items()}
    assert weights["plain"].keys() == weights["compiled"].keys()
