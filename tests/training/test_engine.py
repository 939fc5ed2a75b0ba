"""Theorems about what the training engine offers beside the plain step: precisions, forks, other beginnings, averages, trackers."""

import gc
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

import zoo_core.distributed
from zoo_core.cards.metrics_log import read_metrics
from zoo_core.cli.progress import Progress
from zoo_core.cli.train import _Reports
from zoo_core.errors import ConfigError, IncompatibleCheckpoint, IntegrityError, ResourceError, UsageError
from zoo_core.interfaces import Rng
from zoo_core.recipes import EMAConfig, OptimizerConfig, Recipe
from zoo_core.testing import fake_zoo
from zoo_core.testing.fake import Fake, FakeDenoiser, FakeDenoiserTrainer, FakeTrainer
from zoo_core.testing.fake_config import NOISE, TINY, FakeConfig, FakeDenoiserConfig
from zoo_core.training.checkpoints import newest
from zoo_core.training.fit import Report, fit
from zoo_core.training.loop import build
from zoo_core.training.trainer import Batch, Loss


@pytest.fixture(autouse=True)
def _zoo() -> Iterator[None]:
    with fake_zoo():
        yield


def weights(folder: Path) -> dict[str, Tensor]:
    return load_file(folder / "model.safetensors")


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def with_fit(recipe: Recipe, **changes: object) -> Recipe:
    return replace(recipe, fit=replace(recipe.fit, **changes))  # type: ignore[arg-type]  # names of fields, by hand


# Half precision, layout, learning rate


@pytest.mark.parametrize(("precision", "dtype"), [("no", torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.float16)])
def test_products_are_computed_in_the_precision_of_the_recipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, precision: str, dtype: torch.dtype
) -> None:
    seen, logits = set(), FakeTrainer.judge

    def look(self: FakeTrainer, x: Tensor, labels: Tensor | None) -> Tensor:
        seen.add((made := logits(self, x, labels)).dtype)
        return made

    monkeypatch.setattr(FakeTrainer, "judge", look)
    fit(with_fit(TINY, precision=precision, steps=1), tmp_path)
    assert seen == {dtype}


@pytest.mark.parametrize("precision", ["no", "fp16"])
@pytest.mark.parametrize("accumulate", [1, 4])
def test_the_true_gradient_is_clipped_and_not_a_scaled_or_partial_one(tmp_path: Path, precision: str, accumulate: int) -> None:
    sgd = OptimizerConfig(name="sgd", lr=1.0, options={"momentum": 0.0, "nesterov": False})
    plain = with_fit(NOISE, steps=1, ema=None, optimizer=sgd, precision=precision, accumulate=accumulate)
    start = build(plain).model.state_dict()
    moved = weights(fit(with_fit(plain, clip_norm=0.01), tmp_path))
    norm = torch.cat([(moved[name] - start[name]).flatten() for name in start]).norm()
    assert norm.item() == pytest.approx(0.01, rel=1e-2)


def test_the_loop_steps_by_the_learning_rate_of_the_schedule(tmp_path: Path) -> None:
    sgd = OptimizerConfig(name="sgd", lr=1e-3, options={"momentum": 0.0, "nesterov": False})
    constant = with_fit(NOISE, steps=1, ema=None, optimizer=sgd)
    start = build(constant).model.state_dict()
    full, warm = (weights(fit(recipe, tmp_path / name)) for name, recipe in (("a", constant), ("b", with_fit(constant, warmup=10))))
    for name, value in start.items():
        torch.testing.assert_close(10 * (warm[name] - value), full[name] - value, rtol=1e-3, atol=1e-6)


def test_weights_lie_in_memory_as_the_recipe_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = Fake.__init__

    def with_convolution(self: Fake, config: FakeConfig) -> None:
        made(self, config)
        self.convolution = nn.Conv2d(4, 4, 3)

    monkeypatch.setattr(Fake, "__init__", with_convolution)
    for channels_last in (False, True):
        weight = build(with_fit(TINY, channels_last=channels_last)).model.get_parameter("convolution.weight")
        assert weight.is_contiguous(memory_format=torch.channels_last) is channels_last


def test_a_run_in_fp16_goes_on_exactly_scale_included(tmp_path: Path) -> None:
    recipe = with_fit(TINY, precision="fp16")
    whole = fit(recipe, tmp_path / "whole")
    fit(with_fit(recipe, steps=15), tmp_path / "parts")
    assert same(weights(whole), weights(fit(recipe, tmp_path / "parts")))
    snapshots = [newest(tmp_path / name / "steps") for name in ("whole", "parts")]
    scalers = [snapshot.facts["scalers"] for snapshot in snapshots if snapshot]
    assert scalers[0] == scalers[1]
    assert scalers[0]["critic"]["_growth_tracker"] > 20


def test_a_step_whose_scaled_gradient_overflows_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forward = FakeDenoiserTrainer.forward

    def steep(self: FakeDenoiserTrainer, phase: str, batch: Batch, rng: Rng) -> Loss:
        loss = forward(self, phase, batch, rng)
        return replace(loss, value=loss.value * 1e34)  # times the first scale, 65536, this is past float32

    monkeypatch.setattr(FakeDenoiserTrainer, "forward", steep)
    recipe = with_fit(NOISE, precision="fp16", ema=None, steps=1)
    before = build(recipe).model.state_dict()
    assert same(weights(fit(recipe, tmp_path)), before)
    snapshot = newest(tmp_path / "steps")
    assert snapshot is not None
    assert snapshot.facts["scalers"]["model"]["scale"] == 32768.0
    assert "gradient.model" not in json.loads((tmp_path / "metrics.jsonl").read_text())


def test_a_family_that_allows_no_net_to_be_compiled_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"fit.compile: the family allows it for none of its nets"):
        fit(with_fit(TINY, compile=True), tmp_path)


# Averages


def test_the_average_begins_with_what_prepare_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fill(self: FakeTrainer, batch: Batch, rng: Rng) -> None:
        self.model.shift.fill_(5.0)

    monkeypatch.setattr(FakeTrainer, "prepare", fill)
    published = weights(fit(with_fit(TINY, ema=EMAConfig(decay=0.999999, warmup=False), steps=3), tmp_path))
    torch.testing.assert_close(published["shift"], torch.full((2,), 5.0), rtol=0, atol=0.1)


@pytest.mark.parametrize(("average", "expected"), [(False, 3.0), (True, 2.25)])
def test_buffers_are_taken_as_they_are_unless_the_family_averages_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, average: bool, expected: float
) -> None:
    made, forward = FakeDenoiser.__init__, FakeDenoiserTrainer.forward

    def with_buffer(self: FakeDenoiser, config: FakeDenoiserConfig) -> None:
        made(self, config)
        self.register_buffer("seen", torch.zeros(()))

    def count(self: FakeDenoiserTrainer, phase: str, batch: Batch, rng: Rng) -> Loss:
        self.model.get_buffer("seen").add_(1)
        return forward(self, phase, batch, rng)

    monkeypatch.setattr(FakeDenoiser, "__init__", with_buffer)
    monkeypatch.setattr(FakeDenoiserTrainer, "forward", count)
    monkeypatch.setattr(FakeDenoiserTrainer, "average_buffers", average)
    # From 1 at the first step: half of it and half of 2 is 1.5; half of that and half of 3 is 2.25.
    published = weights(fit(with_fit(NOISE, ema=EMAConfig(decay=0.5, warmup=False), steps=3), tmp_path))
    assert published["seen"].item() == expected


# Going on, otherwise


def test_a_changed_recipe_goes_on_by_a_fork_that_the_record_tells(tmp_path: Path) -> None:
    fit(with_fit(TINY, steps=15), tmp_path / "run")
    changed = with_fit(TINY, optimizer=OptimizerConfig(lr=1e-4, weight_decay=0.5))
    with pytest.raises(IncompatibleCheckpoint, match=r"fit.optimizer.lr: 0.01 -> 0.0001, fit.optimizer.weight_decay: 0.0 -> 0.5.*--fork"):
        fit(changed, tmp_path / "run")
    folder = fit(changed, tmp_path / "run", fork=True)
    record = json.loads((folder / "training.json").read_text())
    assert record["forks"] == [{"step": 15, "changed": {"fit.optimizer.lr": [0.01, 0.0001], "fit.optimizer.weight_decay": [0.0, 0.5]}}]
    snapshot = newest(tmp_path / "run" / "steps")
    assert snapshot is not None
    assert snapshot.facts["optimizers"]["critic"]["groups"][0]["weight_decay"] == 0.5
    assert not same(weights(folder), weights(fit(TINY, tmp_path / "other")))
    again = fit(changed, tmp_path / "run")  # the folder is now one of the changed recipe
    assert json.loads((again / "training.json").read_text())["forks"] == record["forks"]


def test_a_run_that_was_never_forked_has_no_word_of_it(tmp_path: Path) -> None:
    assert "forks" not in json.loads((fit(with_fit(TINY, steps=2), tmp_path) / "training.json").read_text())


def test_a_fork_to_a_model_that_the_checkpoint_does_not_fit_is_refused(tmp_path: Path) -> None:
    fit(with_fit(NOISE, steps=2), tmp_path)
    with pytest.raises(IncompatibleCheckpoint, match=r"step 2 .* is of another version or family"):
        fit(replace(NOISE, model=FakeDenoiserConfig(classes=3)), tmp_path, fork=True)


def test_a_fork_that_died_before_it_saved_is_none(tmp_path: Path) -> None:
    def die(report: Report) -> None:
        raise KeyboardInterrupt

    before = with_fit(TINY, steps=15)
    fit(before, tmp_path)
    changed = with_fit(TINY, optimizer=OptimizerConfig(lr=1e-4, weight_decay=0.5))
    with pytest.raises(KeyboardInterrupt):
        fit(changed, tmp_path, fork=True, on_report=die)
    with pytest.raises(IncompatibleCheckpoint, match=r"weight_decay: 0.0 -> 0.5"):
        fit(changed, tmp_path)
    fit(before, tmp_path)


def test_a_refused_fork_leaves_the_run_as_it_was(tmp_path: Path) -> None:
    before = with_fit(NOISE, steps=2, ema=None)
    fit(before, tmp_path)
    files = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(IncompatibleCheckpoint, match=r"'ema'"):
        fit(with_fit(NOISE, steps=4), tmp_path, fork=True)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == files
    fit(before, tmp_path)


def test_weights_that_are_given_are_not_prepared_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = fit(with_fit(TINY, steps=3), tmp_path / "first")
    monkeypatch.setattr(FakeTrainer, "prepare", lambda self, batch, rng: self.model.shift.fill_(5.0))
    still = with_fit(TINY, steps=1, ema=None, optimizer=OptimizerConfig(name="sgd", lr=0.0))
    second = fit(replace(still, start_from=f"local:{first}"), tmp_path / "second")
    assert torch.equal(weights(second)["shift"], weights(first)["shift"])


def test_processes_that_read_other_data_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zoo_core.distributed.Processes, "gather", lambda self, thing: [thing, "another"])
    with pytest.raises(ConfigError, match=r"the processes do not read the same data"):
        fit(TINY, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_checkpoint_that_cannot_be_read_just_now_is_not_thrown_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fit(with_fit(TINY, steps=2), tmp_path)
    with monkeypatch.context() as broken:
        broken.setattr(Path, "open", lambda self, *mode: (_ for _ in ()).throw(OSError(24, "Too many open files")))
        with pytest.raises(ResourceError, match=r"Too many open files"):
            newest(tmp_path / "steps")
    assert [path.name for path in (tmp_path / "steps").iterdir()] == ["step-2"]


def test_a_run_starts_from_published_weights(tmp_path: Path) -> None:
    first = fit(with_fit(NOISE, steps=20), tmp_path / "first")
    still = with_fit(NOISE, steps=1, ema=None, optimizer=OptimizerConfig(name="sgd", lr=0.0))
    second = fit(replace(still, start_from=f"local:{first}"), tmp_path / "second")
    assert same(weights(first), weights(second))
    assert not same(weights(first), weights(fit(still, tmp_path / "third")))
    recipe = Recipe.from_dict(json.loads((tmp_path / "second" / "recipe.json").read_text()))
    assert recipe.start_from == f"local:{first}"


def test_a_run_that_never_saved_may_begin_again_otherwise(tmp_path: Path) -> None:
    with pytest.raises(IncompatibleCheckpoint):
        fit(replace(with_fit(NOISE, steps=1), start_from=f"local:{fit(TINY, tmp_path / 'other')}"), tmp_path / "run")
    fit(with_fit(NOISE, steps=2), tmp_path / "run")
    (tmp_path / "run" / "steps").rename(tmp_path / "steps")  # an export alone is still somebody's result
    with pytest.raises(IntegrityError, match=r"steps/ has none of its checkpoints"):
        fit(with_fit(NOISE, steps=2, seed=1), tmp_path / "run")
    with pytest.raises(UsageError, match=r"holds a run already"):
        fit(with_fit(NOISE, steps=2), tmp_path / "run", resume=False)


def test_weights_of_another_model_are_no_beginning(tmp_path: Path) -> None:
    first = fit(with_fit(NOISE, steps=1), tmp_path / "first")
    other = replace(NOISE, model=FakeDenoiserConfig(classes=3), start_from=f"local:{first}")
    with pytest.raises(IncompatibleCheckpoint, match=r"the weights of local:.* are of another model"):
        fit(other, tmp_path / "second")


def test_metrics_between_two_lines_survive_a_stop(tmp_path: Path) -> None:
    recipe = with_fit(TINY, log_every=10, save_every=4)
    fit(recipe, tmp_path / "whole")
    fit(with_fit(recipe, steps=16, log_every=20), tmp_path / "parts")  # stops at 16, six steps into a window
    (tmp_path / "parts" / "metrics.jsonl").unlink()
    fit(with_fit(recipe, log_every=10), tmp_path / "parts")
    whole, parts = (
        [json.loads(line) for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()] for name in ("whole", "parts")
    )
    assert parts[-1]["loss.critic"] == whole[-1]["loss.critic"]


def test_what_a_killed_process_left_half_written_is_swept(tmp_path: Path) -> None:
    fit(with_fit(TINY, steps=2), tmp_path)
    leftovers = [".tmp-recipe.json-0123abcd", "export/.tmp-model.safetensors-89abcdef", "steps/.tmp-step-9-x/model.safetensors"]
    others = [".tmp-notes", "mine/.tmp-recipe.json-0123abcd", ".tmp-mine-0123abcd/x"]
    for name in leftovers + others:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"half")
    fit(with_fit(TINY, steps=3), tmp_path)
    assert [name for name in leftovers if (tmp_path / name).exists()] == []
    assert [name for name in others if not (tmp_path / name).exists()] == []


# Watching


def test_a_tracker_sees_the_metrics(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    fit(with_fit(TINY, steps=10), tmp_path / "run", tracker="tensorboard")
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    events.Reload()
    rows = read_metrics(tmp_path / "run" / "metrics.jsonl")
    for name in ("loss.critic", "gradient.generator", "critic.real"):
        seen = [(event.step, event.value) for event in events.Scalars(name)]
        assert seen == [(row["step"], pytest.approx(row[name])) for row in rows]


def test_a_tracker_that_is_not_installed_is_named_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zoo_core.distributed, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"the tracker wandb is not installed -- pip install wandb"):
        fit(TINY, tmp_path / "run", tracker="wandb")
    with pytest.raises(UsageError, match=r"no tracker 'paper' -- choose tensorboard, wandb, trackio"):
        fit(TINY, tmp_path / "run", tracker="paper")
    assert not (tmp_path / "run").exists()


def test_a_report_tells_speed_time_left_and_memory(tmp_path: Path) -> None:
    reports: list[Report] = []
    fit(with_fit(TINY, log_every=10, steps=30), tmp_path, on_report=reports.append)
    for report in reports:
        assert report.seconds_left == pytest.approx((30 - report.step) * TINY.fit.batch_size / report.speed)
        assert 10**7 < report.memory < 10**11


def test_in_a_pipe_the_last_step_is_a_line_with_losses_speed_time_left_and_memory(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("train", 20, "steps") as bar:
        progress = _Reports(bar)
        logs = {"loss.critic": 0.5, "loss.generator": 1.25, "gradient.critic": 3.0}
        progress(Report(step=10, steps=20, logs=logs, speed=1234.5, seconds_left=3725.0, memory=1_500_000_000, precision="bf16"))
        progress(Report(step=20, steps=20, logs=logs, speed=1234.5, seconds_left=0.0, memory=1_500_000_000, precision="bf16"))
    assert capsys.readouterr().err == (
        "train: 20/20 steps  loss of critic 0.5  loss of generator 1.25  0:00 left  1,234 samples/s in bf16  process memory 1.5 GB\n"
    )


def test_memory_does_not_grow_over_two_thousand_steps(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []

    def look(report: Report) -> None:
        gc.collect()
        pages = int(Path("/proc/self/statm").read_text().split()[1]) if Path("/proc/self/statm").exists() else 0
        seen.append((sum(issubclass(type(thing), Tensor) for thing in gc.get_objects()), 4096 * pages))

    fit(with_fit(TINY, steps=2000, log_every=250, save_every=500), tmp_path, on_report=look)
    tensors, memory = zip(*seen, strict=True)
    assert len(set(tensors[2:])) == 1
    assert memory[-1] - memory[2] < 6 << 20


@pytest.mark.parametrize("where", ["metrics.jsonl", "export"])
def test_a_run_folder_that_cannot_be_written_is_a_resource_error(tmp_path: Path, where: str) -> None:
    if where == "export":
        (tmp_path / where).write_text("in the way")
    else:
        (tmp_path / where).mkdir()
    with pytest.raises(ResourceError):
        fit(with_fit(TINY, steps=2), tmp_path)


def test_only_the_nets_that_a_trainer_names_are_compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[nn.Module] = []
    monkeypatch.setattr(nn.Module, "compile", lambda self, **options: compiled.append(self))
    monkeypatch.setattr(FakeTrainer, "compilable", lambda self: (self.model,))
    fit(with_fit(TINY, compile=True, steps=2), tmp_path)
    assert [type(net) for net in compiled] == [Fake]
