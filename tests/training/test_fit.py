"""Theorems about the training loop, with the fake families: one phase, and two."""

import json
import math
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from zoo_core.cards.metrics_log import curve, read_metrics
from zoo_core.config import dump_json
from zoo_core.data.dataset import Data, load_data
from zoo_core.distributed import Processes
from zoo_core.errors import ConfigError, IncompatibleCheckpoint, Interrupted, LockTimeout, ResourceError, UsageError, ZooError
from zoo_core.interfaces import Rng
from zoo_core.recipes import EMAConfig, FitConfig, OptimizerConfig, Recipe
from zoo_core.rng import StepRng
from zoo_core.testing import fake_zoo
from zoo_core.testing.fake import FakeDenoiser, FakeDenoiserTrainer, FakeTrainer
from zoo_core.testing.fake_config import IMAGES, NOISE, TINY, FakeConfig, FakeDataConfig, FakeDenoiserConfig, FakeTrainerConfig
from zoo_core.training.checkpoints import locked, newest, save_snapshot
from zoo_core.training.compatibility import check_fits
from zoo_core.training.fit import Report, fit
from zoo_core.training.loop import Loop, build, learning_rate
from zoo_core.training.trainer import Batch, Loss

TWO_PHASES, ONE_PHASE = TINY, NOISE


@pytest.fixture(autouse=True)
def _zoo() -> Iterator[None]:
    with fake_zoo():
        yield


def weights(folder: Path) -> dict[str, Tensor]:
    return load_file(folder / "model.safetensors")


def state(out: Path) -> dict[str, Tensor]:
    """Everything that the last snapshot holds."""
    snapshot = newest(out / "steps")
    assert snapshot is not None
    return {f"{part}/{name}": value for part, values in snapshot.parts.items() for name, value in values.items()}


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def with_fit(recipe: Recipe, **changes: object) -> Recipe:
    return replace(recipe, fit=replace(recipe.fit, **changes))  # type: ignore[arg-type]


@pytest.mark.parametrize("recipe", [ONE_PHASE, TWO_PHASES], ids=["one phase", "two phases"])
def test_thirty_steps_equal_fifteen_and_fifteen_to_the_bit(tmp_path: Path, recipe: Recipe) -> None:
    whole = fit(recipe, tmp_path / "whole")
    stops = iter([0] * 14 + [15])
    with pytest.raises(Interrupted) as stopped:
        fit(recipe, tmp_path / "parts", stopping=lambda: nullcontext(lambda: next(stops)))
    assert stopped.value.exit_code == 143
    snapshot = newest(tmp_path / "parts" / "steps")
    assert snapshot is not None
    assert snapshot.step == 15
    parts = fit(recipe, tmp_path / "parts")
    assert same(weights(whole), weights(parts))
    assert same(state(tmp_path / "whole"), state(tmp_path / "parts"))


def test_more_steps_can_be_asked_of_a_finished_run(tmp_path: Path) -> None:
    fit(with_fit(TWO_PHASES, steps=15), tmp_path / "parts")
    parts = fit(TWO_PHASES, tmp_path / "parts")
    assert same(weights(parts), weights(fit(TWO_PHASES, tmp_path / "whole")))


def test_the_seed_decides_the_result(tmp_path: Path) -> None:
    results = [weights(fit(with_fit(TWO_PHASES, seed=seed), tmp_path / name)) for name, seed in [("a", 1), ("b", 1), ("c", 2)]]
    assert same(results[0], results[1])
    assert not same(results[0], results[2])


def test_training_leaves_the_global_rng_alone(tmp_path: Path) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    fit(with_fit(TWO_PHASES, steps=3), tmp_path)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_phase_trains_its_own_parameters_and_no_others() -> None:
    loop = Loop(TWO_PHASES, build(TWO_PHASES), load_data(TWO_PHASES.data), Processes("cpu"))  # type: ignore[arg-type]
    loop.start()
    loop.step = 1  # the second step has a critic's phase alone
    before = {name: value.clone() for name, value in loop.trainer.state_dict().items()}
    loop.advance()
    changed = {name.split(".")[0] for name, value in loop.trainer.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"critic"}
    assert all(parameter.grad is None and parameter.requires_grad for parameter in loop.trainer.parameters())


def longhand(recipe: Recipe, decay: float | None) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The loop written out: plain Adam, and an average by hand; returns raw and averaged weights."""
    trainer, fit, data = build(recipe), recipe.fit, load_data(recipe.data)  # type: ignore[arg-type]
    optimizer = torch.optim.Adam(trainer.model.parameters(), fit.optimizer.lr)
    average: dict[str, Tensor] = {}
    for step in range(fit.steps):
        optimizer.zero_grad()
        trainer("model", data.batch(fit.seed, step, fit.batch_size), StepRng(fit.seed, step, fit.batch_size)).value.backward()
        optimizer.step()
        raw = {name: value.detach().clone() for name, value in trainer.model.state_dict().items()}
        keep = 0.0 if step == 0 else (decay if decay is not None else 1 - (1 + step) ** (-2 / 3))
        average = {name: keep * average.get(name, value) + (1 - keep) * value for name, value in raw.items()}
    return raw, average


@pytest.mark.parametrize(
    "ema", [None, EMAConfig(decay=0.8, warmup=False), EMAConfig(decay=0.9999, warmup=True)], ids=["none", "plain", "warm"]
)
def test_the_published_weights_are_the_average_that_the_recipe_names(tmp_path: Path, ema: EMAConfig | None) -> None:
    recipe = with_fit(ONE_PHASE, ema=ema)
    published = weights(fit(recipe, tmp_path))
    raw, average = longhand(recipe, 0.8 if ema and not ema.warmup else None)
    expected = average if ema else raw
    for name, value in expected.items():
        torch.testing.assert_close(published[name], value, rtol=1e-5, atol=1e-6)
    if ema:
        assert any(not torch.allclose(published[name], raw[name], rtol=1e-3) for name in raw)


def test_learning_rates_warm_up_and_decay_as_named() -> None:
    fit = FitConfig(steps=100, warmup=10)
    assert [learning_rate(fit, 1.0, step) for step in (0, 4, 9, 50, 99)] == pytest.approx([0.1, 0.5, 1, 1, 1])
    assert learning_rate(replace(fit, lr_schedule="linear"), 2.0, 75) == pytest.approx(0.5)
    assert learning_rate(replace(fit, lr_schedule="cosine"), 2.0, 50) == pytest.approx(1.0)
    assert learning_rate(replace(fit, lr_schedule="cosine", warmup=0), 1.0, 25) == pytest.approx(0.5 * (1 + math.cos(math.pi / 4)))


def test_the_schedule_of_the_learning_rate_starts_again_in_each_cycle() -> None:
    whole = FitConfig(steps=30, warmup=4, lr_schedule="cosine", lr_cycles=3)
    part = replace(whole, steps=10, lr_cycles=1)
    assert [learning_rate(whole, 1.0, step) for step in range(30)] == 3 * [learning_rate(part, 1.0, step) for step in range(10)]


def test_cycles_of_unequal_length_begin_with_the_warm_up_and_end_near_0() -> None:
    fit = FitConfig(steps=11, warmup=2, lr_schedule="linear", lr_cycles=2)
    rates = [learning_rate(fit, 1.0, step) for step in range(11)]
    assert rates == pytest.approx([1 / 2, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6, 1 / 2, 4 / 5, 3 / 5, 2 / 5, 1 / 5])


def test_gradients_are_clipped_to_the_norm_of_the_recipe(tmp_path: Path) -> None:
    plain = with_fit(
        ONE_PHASE, steps=1, ema=None, optimizer=OptimizerConfig(name="sgd", lr=1.0, options={"momentum": 0.0, "nesterov": False})
    )
    start = {name: value.clone() for name, value in build(plain).model.state_dict().items()}
    moved = weights(fit(with_fit(plain, clip_norm=0.01), tmp_path))
    norm = torch.cat([(moved[name] - start[name]).flatten() for name in start]).norm()
    assert norm.item() == pytest.approx(0.01, rel=1e-3)


def test_metrics_of_a_resumed_run_are_those_of_one_run(tmp_path: Path) -> None:
    def losses(out: Path) -> list[tuple[int, float]]:
        rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
        return [(row["step"], row["loss.generator"]) for row in rows]

    fit(TWO_PHASES, tmp_path / "whole")
    fit(with_fit(TWO_PHASES, steps=25, save_every=10), tmp_path / "parts")
    shutil_rmtree(tmp_path / "parts" / "steps" / "step-25")  # as if the run had been killed at step 25 with a checkpoint at 20
    fit(TWO_PHASES, tmp_path / "parts")
    assert losses(tmp_path / "whole") == losses(tmp_path / "parts")
    assert [step for step, _ in losses(tmp_path / "parts")] == [1, 5, 10, 15, 20, 25, 30]


def shutil_rmtree(path: Path) -> None:
    import shutil

    shutil.rmtree(path)


def test_another_recipe_in_the_folder_is_refused_with_the_difference(tmp_path: Path) -> None:
    fit(with_fit(TWO_PHASES, steps=3), tmp_path)
    with pytest.raises(IncompatibleCheckpoint, match=r"fit\.batch_size: 16 -> 8"):
        fit(with_fit(TWO_PHASES, steps=3, batch_size=8), tmp_path)


def test_other_data_under_the_same_recipe_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fit(with_fit(TWO_PHASES, steps=3), tmp_path)
    monkeypatch.setattr(
        "zoo_core.training.fit.load_data", lambda config: replace(load_data(config), labels=load_data(config).labels.flip(0))
    )
    with pytest.raises(IncompatibleCheckpoint, match="data"):
        fit(TWO_PHASES, tmp_path)


def test_a_folder_with_a_run_is_refused_when_resuming_is(tmp_path: Path) -> None:
    fit(with_fit(TWO_PHASES, steps=3), tmp_path)
    with pytest.raises(UsageError, match="holds a run"):
        fit(TWO_PHASES, tmp_path, resume=False)


def test_two_trainers_in_one_folder_are_one_too_many(tmp_path: Path) -> None:
    with locked(tmp_path), pytest.raises(LockTimeout):
        fit(TWO_PHASES, tmp_path)


def test_a_recipe_without_data_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no data"):
        fit(replace(TWO_PHASES, data=None), tmp_path)


def test_a_loss_that_is_not_finite_ends_the_run_naming_step_phase_and_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = FakeTrainer.forward

    def broken(self: FakeTrainer, phase: str, batch: Batch, rng: Rng) -> Loss:
        loss = original(self, phase, batch, rng)
        broken.calls[phase] = broken.calls.get(phase, 0) + 1
        return replace(loss, value=loss.value * math.nan) if phase == "generator" and broken.calls[phase] == 4 else loss

    broken.calls = {}  # type: ignore[attr-defined]
    monkeypatch.setattr(FakeTrainer, "forward", broken)
    # Generator phases are those of steps 1, 3, 5 and 7; the line of the log that would show it comes at step 10.
    recipe = with_fit(TWO_PHASES, save_every=6, log_every=10)
    with pytest.raises(ZooError, match=r"phase 'generator' is not finite at step 7 -- the last good checkpoint is that of step 6"):
        fit(recipe, tmp_path)
    monkeypatch.undo()
    fit(recipe, tmp_path)


def test_weights_that_are_not_finite_are_never_saved(tmp_path: Path) -> None:
    recipe = with_fit(ONE_PHASE, ema=None, optimizer=OptimizerConfig(name="sgd", lr=99.0), save_every=1)
    with pytest.raises(ZooError, match=r"(weights are|loss of phase 'model' is) not finite"):
        fit(with_fit(recipe, steps=200), tmp_path)
    for path in tmp_path.glob("steps/step-*/model.safetensors"):
        assert all(value.isfinite().all() for value in load_file(path).values())


def test_running_out_of_memory_names_the_batch_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def greedy(self: FakeTrainer, phase: str, batch: Batch, rng: Rng) -> Loss:
        return Loss(value=torch.empty(2**60).sum())

    monkeypatch.setattr(FakeTrainer, "forward", greedy)
    with pytest.raises(ResourceError, match=r"batches of 16 -- try --batch-size 8"):
        fit(TWO_PHASES, tmp_path)


def test_reports_come_every_so_many_steps_and_at_the_end(tmp_path: Path) -> None:
    reports: list[Report] = []
    fit(with_fit(TWO_PHASES, steps=12), tmp_path, on_report=reports.append)
    assert [report.step for report in reports] == [1, 5, 10, 12]
    of_phases = {f"{what}.{phase}" for what in ("loss", "gradient") for phase in ("critic", "generator")}
    assert reports[0].logs.keys() == of_phases | {"critic.real", "critic.fake", "critic.gap"}


def test_a_run_is_repeated_by_its_recipe_file(tmp_path: Path) -> None:
    first = fit(with_fit(IMAGES, steps=5), tmp_path / "a")
    again = Recipe.from_dict(json.loads((tmp_path / "a" / "recipe.json").read_text()))
    assert dump_json(again.to_dict()) == (tmp_path / "a" / "recipe.json").read_text()
    assert same(weights(first), weights(fit(again, tmp_path / "b")))


def test_bf16_and_channels_last_train_like_float32(tmp_path: Path) -> None:
    plain = weights(fit(IMAGES, tmp_path / "a"))
    fast = weights(fit(with_fit(IMAGES, channels_last=True), tmp_path / "b"))
    assert same(plain, fast)
    coarse = weights(fit(with_fit(IMAGES, precision="bf16"), tmp_path / "c"))
    assert all(value.dtype == torch.float32 for value in coarse.values())
    for name, value in plain.items():
        torch.testing.assert_close(coarse[name], value, rtol=0.2, atol=0.05)


@pytest.mark.parametrize("name", ["adamw", "sgd", "lion", "radam", "adafactor", "adan", "lamb", "adabelief", "lookahead_adam", "mars"])
def test_every_optimizer_resumes_to_the_bit(tmp_path: Path, name: str) -> None:
    recipe = with_fit(TWO_PHASES, steps=12, save_every=7, optimizer=OptimizerConfig(name=name, lr=1e-2))
    whole = weights(fit(recipe, tmp_path / "whole"))
    fit(with_fit(recipe, steps=7), tmp_path / "parts")
    assert same(whole, weights(fit(recipe, tmp_path / "parts")))


@pytest.mark.parametrize(
    ("optimizer", "words"),
    [
        (OptimizerConfig(name="nothing"), "no optimizer 'nothing'"),
        (OptimizerConfig(name="adam", options={"colour": 1}), "colour"),
        (OptimizerConfig(name="kron"), "cannot hold the state"),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
@pytest.mark.filterwarnings("ignore:It is highly recommended:UserWarning")
def test_an_optimizer_that_cannot_be_made_or_saved_is_refused(tmp_path: Path, optimizer: OptimizerConfig, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        fit(with_fit(ONE_PHASE, steps=2, optimizer=optimizer), tmp_path)


def test_an_optimizer_for_a_phase_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"fit\.optimizers\.generator: the trainer has no such phase -- it has model"):
        fit(with_fit(ONE_PHASE, optimizers={"generator": OptimizerConfig()}), tmp_path)


@pytest.mark.parametrize(
    ("model", "data", "words"),
    [
        (FakeConfig(shape=(3,)), FakeDataConfig(shape=(2,)), r"samples of \[2\], the model of \[3\]"),
        (FakeConfig(classes=2), FakeDataConfig(classes=3), "the data has 3 classes, and model.num_classes is 2"),
    ],
)
def test_data_that_does_not_fit_the_model_is_refused_and_nothing_is_written(
    tmp_path: Path, model: FakeConfig, data: FakeDataConfig, words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        fit(replace(TWO_PHASES, model=model, data=data), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_float_images_must_be_in_the_range_of_the_model() -> None:
    """And a set of them that fills half of it, such as one in [0, 1], is told of."""
    model, x = FakeDenoiser(FakeDenoiserConfig(shape=(1, 4, 4), bounded=True)), torch.rand(5, 1, 4, 4)
    assert model.event.range == (-1, 1)
    check_fits(model, Data(x=2 * x - 1))
    with pytest.raises(ConfigError, match=r"the data goes from [\d.]+ to [\d.e+]+, the model's samples from -1 to 1"):
        check_fits(model, Data(x=255 * x))
    with pytest.warns(RuntimeWarning, match=r"only the upper half of the model's range \[-1.0, 1.0\]"):
        check_fits(model, Data(x=x))
    check_fits(FakeDenoiser(FakeDenoiserConfig(shape=(2,))), Data(x=100 * torch.rand(5, 2)))


def test_data_of_another_size_names_the_options_that_make_it_fit() -> None:
    model = FakeDenoiser(FakeDenoiserConfig(shape=(3, 8, 8)))
    with pytest.raises(ConfigError, match=r"must agree, as by -o data.size=8$"):
        check_fits(model, Data(x=torch.zeros(5, 1, 4, 4)))
    model.config = SimpleNamespace(channels=3)  # type: ignore[assignment]
    with pytest.raises(ConfigError, match=r"as by -o data.size=8 -o model.channels=1$"):
        check_fits(model, Data(x=torch.zeros(5, 1, 4, 4)))
    with pytest.raises(ConfigError, match=r"must agree$"):
        check_fits(FakeDenoiser(FakeDenoiserConfig(shape=(2,))), Data(x=torch.zeros(5, 3)))


@pytest.mark.parametrize("name", ["step", "seconds", "loss.model", "gradient.own"])
def test_a_trainer_may_not_log_under_the_names_of_the_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    forward = FakeDenoiserTrainer.forward

    def logging(self: FakeDenoiserTrainer, phase: str, batch: Batch, rng: Rng) -> Loss:
        return replace(forward(self, phase, batch, rng), logs={name: torch.zeros(())})

    monkeypatch.setattr(FakeDenoiserTrainer, "forward", logging)
    with pytest.raises(ConfigError, match=f"the trainer logs '{name}', which is a name of the loop's own logs"):
        fit(ONE_PHASE, tmp_path / "run")


def test_preparing_a_model_draws_from_its_own_stream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def prepare(self: FakeTrainer, batch: Batch, rng: Rng) -> None:
        assert not torch.is_grad_enabled()
        self.model.shift.copy_(rng.normal(2).mean(dim=0) + torch.randn(2))

    monkeypatch.setattr(FakeTrainer, "prepare", prepare)
    results = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        before = torch.get_rng_state()
        results.append(weights(fit(with_fit(TWO_PHASES, steps=2), tmp_path / str(seed))))
        assert torch.equal(torch.get_rng_state(), before)
    assert same(*results)
    monkeypatch.undo()
    assert not same(results[0], weights(fit(with_fit(TWO_PHASES, steps=2), tmp_path / "unprepared")))


def test_the_recorded_curve_is_of_the_steps_at_which_a_phase_ran(tmp_path: Path) -> None:
    recipe = replace(TWO_PHASES, trainer=FakeTrainerConfig(every=3), fit=replace(TWO_PHASES.fit, steps=6, log_every=1))
    record = json.loads((fit(recipe, tmp_path) / "training.json").read_text())["curve"]
    assert record["step"] == [1, 2, 3, 4, 5, 6]
    assert [value is None for value in record["loss.generator"]] == [False, True, True, False, True, True]
    assert None not in record["loss.critic"]


def test_a_mean_over_steps_leaves_out_those_that_did_not_log() -> None:
    rows = [{"step": step, "a": float(step), **({"b": 4.0} if step == 3 else {})} for step in range(1, 7)]
    assert curve(rows, points=2) == {"step": [3, 6], "a": [2.0, 5.0], "b": [4.0, None]}


def test_broken_lines_of_metrics_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"step": 1, "a": 2}\n[1]\n\xff\n{"a": 3}\n{"step": NaN}\n{"step": 2, "a"')
    assert read_metrics(path) == [{"step": 1, "a": 2}]


def test_a_card_that_somebody_edited_survives_another_export(tmp_path: Path) -> None:
    card = fit(with_fit(TWO_PHASES, steps=2), tmp_path) / "README.md"
    first = card.read_text()
    fit(with_fit(TWO_PHASES, steps=3), tmp_path)
    assert "3 steps" in card.read_text() != first
    card.write_text(card.read_text() + "\nMine.\n")
    fit(with_fit(TWO_PHASES, steps=4), tmp_path)
    assert card.read_text().endswith("Mine.\n")


def test_samples_that_are_no_pictures_are_written_as_numbers(tmp_path: Path) -> None:
    recipe = replace(
        TWO_PHASES, model=FakeConfig(shape=(5,)), data=FakeDataConfig(shape=(5,)), fit=replace(TWO_PHASES.fit, steps=2, sample_every=1)
    )
    export = fit(recipe, tmp_path)
    assert (export / "samples.npz").exists()
    assert (tmp_path / "samples" / "step-1.npz").exists()


def test_a_device_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no device 'blah' here -- use cpu"):
        fit(TWO_PHASES, tmp_path, device="blah")


def test_a_checkpoint_of_another_version_is_incompatible(tmp_path: Path) -> None:
    fit(with_fit(TWO_PHASES, steps=15), tmp_path)
    snapshot = newest(tmp_path / "steps")
    assert snapshot is not None
    save_snapshot(tmp_path / "steps", replace(snapshot, step=16, facts={"data_digest": snapshot.facts["data_digest"]}), keep=1)
    with pytest.raises(IncompatibleCheckpoint, match="another version"):
        fit(TWO_PHASES, tmp_path)
