"""The helpers for training runs in tests: they pass for a run that resumes, and fail for one that forgets something."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from zoo_core.errors import ConfigError, UnknownNameError
from zoo_core.recipes import EMAConfig, FitConfig, Recipe
from zoo_core.samplers import Latent
from zoo_core.testing import assert_resumes, fake_zoo, interrupt, run_state, start_loop
from zoo_core.testing.fake_config import FakeConfig, FakeDataConfig, FakeTrainerConfig
from zoo_core.training.checkpoints import Snapshot
from zoo_core.training.loop import Loop

TINY = Recipe(
    model=FakeConfig(),
    trainer=FakeTrainerConfig(),
    fit=FitConfig(steps=8, batch_size=8, ema=EMAConfig(), save_every=4, sample_every=0, log_every=4),
    data=FakeDataConfig(count=32),
    sampler=Latent(),
)


@pytest.fixture(autouse=True, scope="module")
def _zoo() -> Iterator[None]:
    with fake_zoo():
        yield


def test_a_run_that_resumes_passes_and_gives_its_whole_state(tmp_path: Path) -> None:
    state = assert_resumes(TINY, tmp_path, after=5)
    assert {name.split("/")[0] for name in state} > {"model", "trainer", "ema"}
    assert all(torch.equal(value, state[name]) for name, value in run_state(tmp_path / "parts").items())


@pytest.mark.parametrize("part", ["ema", "trainer", "optimizer-generator-exp_avg"])
def test_a_run_that_forgets_a_part_of_its_state_fails(part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    restore = Loop.restore

    def forget(self: Loop, snapshot: Snapshot, *, options: bool = True) -> None:
        zeros = {name: torch.zeros_like(value) for name, value in snapshot.parts[part].items()}
        restore(self, Snapshot(step=snapshot.step, parts={**snapshot.parts, part: zeros}, facts=snapshot.facts), options=options)

    monkeypatch.setattr(Loop, "restore", forget)
    with pytest.raises(AssertionError, match="of the resumed run differ in "):
        assert_resumes(TINY, tmp_path, after=5)


def test_an_interrupted_run_holds_a_snapshot_and_no_export(tmp_path: Path) -> None:
    interrupt(TINY, tmp_path, after=3)
    assert run_state(tmp_path)
    assert not (tmp_path / "export").exists()


def test_a_run_that_ends_before_it_is_interrupted_fails(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="ended before step 20"):
        interrupt(TINY, tmp_path, after=20)


def test_a_started_loop_takes_its_first_step() -> None:
    loop = start_loop(TINY)
    loop.advance()
    assert loop.step == 1


def test_a_loop_without_data_is_refused() -> None:
    with pytest.raises(ConfigError, match="names no data"):
        start_loop(replace(TINY, data=None))


def test_the_fake_zoo_holds_the_installed_plugins_that_are_named_and_no_others() -> None:
    with fake_zoo("zoo-ddpm") as registry:
        assert [plugin.dist for plugin in registry.plugins] == ["zoo-core", "zoo-fake", "zoo-ddpm"]
    with pytest.raises(UnknownNameError), fake_zoo("zoo-nothing"):
        pass
