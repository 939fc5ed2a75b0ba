"""Theorems about phases without an optimizer, which take their steps themselves."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from zoo_core.cli import main
from zoo_core.errors import ConfigError, ZooError
from zoo_core.interfaces import Rng
from zoo_core.recipes import EMAConfig, OptimizerConfig, Recipe
from zoo_core.testing import assert_resumes, fake_zoo, start_loop
from zoo_core.testing.fake import FakeDenoiserTrainer
from zoo_core.testing.fake_config import NOISE
from zoo_core.training.cost import UnknownCost, estimate
from zoo_core.training.fit import fit
from zoo_core.training.trainer import Batch, Loss

PLAIN = replace(NOISE, fit=replace(NOISE.fit, ema=None, steps=8, batch_size=16))
SEEN: list[tuple[int, bool, bool]] = []


def solve(self: FakeDenoiserTrainer, phase: str, batch: Batch, rng: Rng) -> Loss:
    """The mean moves to that of the batch, by a share that shrinks as batches go by."""
    SEEN.append((len(batch.x), torch.is_grad_enabled(), torch.is_autocast_enabled("cpu")))
    before = (batch.x - self.model.mean).square().mean()
    self.model.mean += (batch.x.mean(0) + 0.01 * rng.normal(*self.model.event.shape).mean(0) - self.model.mean) / (self.step + 1)
    return Loss(value=before, logs={"moved": before.sqrt()})


@pytest.fixture(autouse=True)
def _zoo(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    SEEN.clear()
    monkeypatch.setattr(FakeDenoiserTrainer, "forward", solve)
    monkeypatch.setattr(FakeDenoiserTrainer, "parameters_of", lambda self, phase: ())
    with fake_zoo():
        yield


def with_fit(**changes: object) -> Recipe:
    return replace(PLAIN, fit=replace(PLAIN.fit, **changes))  # type: ignore[arg-type]  # names of fields, by hand


def test_it_gets_the_whole_batch_without_gradients_in_float32() -> None:
    loop = start_loop(with_fit(accumulate=4, precision="bf16"))
    loop.advance()
    assert SEEN == [(16, False, False)]
    assert sorted(loop.logs()) == ["loss.model", "moved"]


def test_a_resumed_run_ends_as_a_whole_one(tmp_path: Path) -> None:
    state = assert_resumes(PLAIN, tmp_path, after=3)
    assert {name.split("/")[0] for name in state} == {"model"}


def test_a_phase_with_an_optimizer_may_stand_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def parameters_of(self: FakeDenoiserTrainer, phase: str) -> Iterable[nn.Parameter]:
        return [self.model.log_std] if phase == "width" else []

    def forward(self: FakeDenoiserTrainer, phase: str, batch: Batch, rng: Rng) -> Loss:
        if phase == "width":
            spread = (batch.x - self.model.mean.detach()).square().mean()
            return Loss(value=((2 * self.model.log_std).exp().mean() - spread).square())
        return solve(self, phase, batch, rng)

    monkeypatch.setattr(FakeDenoiserTrainer, "phases", lambda self, step: ("mean", "width"))
    monkeypatch.setattr(FakeDenoiserTrainer, "parameters_of", parameters_of)
    monkeypatch.setattr(FakeDenoiserTrainer, "forward", forward)
    loop = start_loop(with_fit(ema=EMAConfig(), optimizer=OptimizerConfig(lr=0.05)))
    before = {name: value.clone() for name, value in loop.trainer.model.state_dict().items()}
    loop.advance()
    assert list(loop.optimizers) == ["width"]
    assert all(not torch.equal(value, before[name]) for name, value in loop.trainer.model.state_dict().items())
    assert sorted(loop.logs()) == ["gradient.width", "loss.mean", "loss.width", "moved"]


def test_a_loss_that_is_not_finite_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeDenoiserTrainer, "forward", lambda self, phase, batch, rng: Loss(value=torch.tensor(torch.nan)))
    with pytest.raises(ZooError, match="the loss of phase 'model' is not finite at step 1"):
        fit(PLAIN, tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ema": EMAConfig()}, r"fit\.ema: no optimizer trains the model, so there are no steps to average -- pass -o fit\.ema=null"),
        ({"optimizers": {"model": OptimizerConfig()}}, r"fit\.optimizers\.model: this phase has no optimizer"),
    ],
)
def test_options_of_optimizers_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        start_loop(with_fit(**changes))


def test_a_step_has_no_estimate_and_a_dry_run_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UnknownCost):
        estimate(PLAIN)
    with pytest.raises(SystemExit, match="0"):
        main(["train", "fake-denoiser", "--dry-run"])
    assert "a step       of unknown cost: the phase model has no optimizer" in capsys.readouterr().err
