"""Theorems about the folder of a run: which changes of its recipe may go on, and what a damaged folder means."""

import json
import os
import shlex
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
import torch

from zoo_core.cards.metrics_log import read_metrics
from zoo_core.errors import IncompatibleCheckpoint, IntegrityError
from zoo_core.interfaces import Sampler
from zoo_core.recipes import Recipe
from zoo_core.samplers import Latent
from zoo_core.testing import fake_zoo
from zoo_core.testing.fake_config import NOISE, TINY
from zoo_core.training.checkpoints import Snapshot, newest, save_snapshot
from zoo_core.training.export import portable
from zoo_core.training.fit import fit
from zoo_core.training.monitor import MonitorConfig


@pytest.fixture(autouse=True)
def _zoo() -> Iterator[None]:
    with fake_zoo():
        yield


def with_fit(recipe: Recipe, **changes: object) -> Recipe:
    return replace(recipe, fit=replace(recipe.fit, **changes))  # type: ignore[arg-type]


def lines_of(recipe: Recipe, out: Path) -> list[str]:
    """The messages of a run that goes on."""
    lines: list[str] = []
    fit(recipe, out, on_message=lines.append)
    return lines


def last(out: Path) -> Snapshot:
    snapshot = newest(out / "steps")
    assert snapshot is not None
    return snapshot


@pytest.mark.parametrize("warmup", [0, 5], ids=["constant", "warm-up"])
def test_three_steps_and_then_six_equal_six_to_the_bit(tmp_path: Path, warmup: int) -> None:
    recipe = with_fit(TINY, steps=6, warmup=warmup)
    whole = fit(recipe, tmp_path / "whole")
    fit(with_fit(recipe, steps=3), tmp_path / "parts")
    assert lines_of(recipe, tmp_path / "parts") == [
        "going on from step 3 of 6",
        "changed, without effect on the weights of a step: fit.steps: 3 -> 6",
    ]
    a, b = last(tmp_path / "whole"), last(tmp_path / "parts")
    assert a.parts.keys() == b.parts.keys()
    assert all(torch.equal(part[name], b.parts[kind][name]) for kind, part in a.parts.items() for name in part)
    assert {**a.facts, "seconds": 0} == {**b.facts, "seconds": 0}
    assert (tmp_path / "parts/export/model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_another_number_of_steps_is_refused_where_the_rate_decays_and_the_error_has_the_command_that_does_it(
    tmp_path: Path, schedule: str
) -> None:
    recipe = with_fit(TINY, steps=3, lr_schedule=schedule)
    fit(recipe, tmp_path)
    command = f"zoo train fake --steps 6 --out {tmp_path.name}"
    with pytest.raises(IncompatibleCheckpoint) as refused:
        fit(with_fit(recipe, steps=6), tmp_path, command=command)
    assert f"a run of 3 steps; its learning rate decays to 0 ({schedule})" in refused.value.what
    assert refused.value.hint.endswith(f": {command} --fork")
    fit(with_fit(recipe, steps=6), tmp_path, fork=True)
    assert last(tmp_path).facts["forks"] == [{"step": 3, "changed": {"fit.steps": [3, 6]}}]


def test_fewer_steps_than_are_done_are_refused_and_fewer_than_were_asked_are_not(tmp_path: Path) -> None:
    fit(with_fit(TINY, steps=6), tmp_path)
    with pytest.raises(IncompatibleCheckpoint, match="at step 6, past --steps 3 -- ask for --steps 6 or more"):
        fit(with_fit(TINY, steps=3), tmp_path)
    assert lines_of(with_fit(TINY, steps=6), tmp_path) == [f"{tmp_path} has all of its 6 steps: exporting it again"]


def test_changes_that_touch_no_weights_go_on_and_are_named(tmp_path: Path) -> None:
    recipe = with_fit(TINY, steps=4)
    whole = fit(with_fit(TINY, steps=6), tmp_path / "whole")
    fit(recipe, tmp_path / "run")
    harmless = {"keep": 1, "save_every": 2, "sample_every": 3, "log_every": 1, "steps": 6}
    changed = replace(with_fit(TINY, **harmless), sampler=replace(_sampler(TINY), temperature=0.5))
    [_, told] = lines_of(changed, tmp_path / "run")
    assert told.startswith("changed, without effect on the weights of a step: fit.")
    assert all(f"fit.{name}" in told for name in harmless)
    assert "sampler.temperature: 1.0 -> 0.5" in told
    assert (tmp_path / "run/export/model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()


def _sampler(recipe: Recipe) -> Latent:
    sampler: Sampler | None = recipe.sampler
    assert isinstance(sampler, Latent)
    return sampler


def damaged(out: Path) -> None:
    for path in out.glob("steps/step-*/state.json"):
        path.write_text("{}")


def gone(out: Path) -> None:
    shutil.rmtree(out / "steps")


def gone_and_not_exported(out: Path) -> None:
    gone(out)
    shutil.rmtree(out / "export")
    (out / "recipe.json").write_text("{")


def moved_aside(out: Path) -> None:
    for path in out.glob("steps/step-*"):
        path.rename(path.with_name(f".bad-{path.name}-0123abcd"))


@pytest.mark.parametrize("harm", [damaged, gone, gone_and_not_exported, moved_aside])
def test_a_run_that_has_lost_all_checkpoints_is_never_begun_again_in_silence(tmp_path: Path, harm: Callable[[Path], None]) -> None:
    recipe = with_fit(TINY, steps=6, save_every=2, log_every=1)
    fit(recipe, tmp_path)
    harm(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    for _ in range(2):  # the second time is no different
        with pytest.raises(IntegrityError) as refused:
            fit(recipe, tmp_path)
    assert refused.value.exit_code == 5
    assert f"to start anew choose another --out, or remove {tmp_path}" in refused.value.hint
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_run_that_never_saved_a_checkpoint_begins_again_with_empty_metrics(tmp_path: Path) -> None:
    recipe = with_fit(TINY, steps=6, log_every=1)
    fit(recipe, tmp_path / "run")
    rows = (tmp_path / "run/metrics.jsonl").read_text()
    for name in ("steps", "export"):
        shutil.rmtree(tmp_path / "run" / name)
    assert lines_of(recipe, tmp_path / "run") == []
    assert [row["step"] for row in read_metrics(tmp_path / "run/metrics.jsonl")] == [1, 2, 3, 4, 5, 6]
    assert len(rows.splitlines()) == 6


@pytest.mark.parametrize("harm", ["recipe.json", "metrics.jsonl", "export/config.json", "export/training.json", "export/model.safetensors"])
def test_files_that_a_run_writes_anew_may_be_damaged(tmp_path: Path, harm: str) -> None:
    recipe = with_fit(TINY, steps=4)
    fit(with_fit(TINY, steps=2), tmp_path)
    (tmp_path / harm).write_bytes(b"\xff{")
    assert lines_of(recipe, tmp_path)[0] == "going on from step 2 of 4"


def test_a_card_of_an_export_that_is_no_text_is_kept(tmp_path: Path) -> None:
    card = fit(with_fit(TINY, steps=2), tmp_path) / "README.md"
    card.write_bytes(b"\xff mine")
    fit(with_fit(TINY, steps=3), tmp_path)
    assert card.read_bytes() == b"\xff mine"


def outside(step: Path, other: Path, manifest: dict[str, object]) -> None:
    manifest["../../secret"] = {"sha256": sha256(other.read_bytes()).hexdigest(), "size": other.stat().st_size}


def absolute(step: Path, other: Path, manifest: dict[str, object]) -> None:
    manifest[str(other)] = {"sha256": sha256(other.read_bytes()).hexdigest(), "size": other.stat().st_size}


def linked(step: Path, other: Path, manifest: dict[str, object]) -> None:
    (step / "link").symlink_to(other)
    manifest["link"] = {"sha256": sha256(other.read_bytes()).hexdigest(), "size": other.stat().st_size}


def a_pipe(step: Path, other: Path, manifest: dict[str, object]) -> None:
    os.mkfifo(step / "pipe")
    manifest["pipe"] = {"sha256": "", "size": 0}


def linked_whole(step: Path, other: Path, manifest: dict[str, object]) -> None:
    step.rename(step.parents[1] / "elsewhere")
    step.symlink_to(step.parents[1] / "elsewhere")


def renamed(step: Path, other: Path, manifest: dict[str, object]) -> None:
    step.rename(step.with_name("step-12"))


def a_folder(step: Path, other: Path, manifest: dict[str, object]) -> None:
    (step / "folder").mkdir()
    manifest["folder"] = {"sha256": "", "size": 0}


def without_state(step: Path, other: Path, manifest: dict[str, object]) -> None:
    del manifest["state.json"]


@pytest.mark.parametrize("harm", [outside, absolute, linked, a_pipe, a_folder, linked_whole, renamed, without_state])
def test_a_manifest_reads_nothing_but_regular_files_of_its_own_folder(
    tmp_path: Path, harm: Callable[[Path, Path, dict[str, object]], None]
) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"x")
    steps = tmp_path / "run" / "steps"
    for step in (5, 10):
        save_snapshot(steps, Snapshot(step=step, parts={"model": {"w": torch.zeros(1)}}, facts={}), keep=2)
    manifest = json.loads((steps / "step-10" / "MANIFEST.json").read_text())
    harm(steps / "step-10", secret, manifest)
    if (path := steps / "step-10" / "MANIFEST.json").exists():
        path.write_text(json.dumps(manifest))
    with pytest.warns(UserWarning, match=r"checkpoint step-1\d is damaged"):
        found = newest(steps)
    assert found is not None
    assert found.step == 5
    assert secret.read_bytes() == b"x"


def test_a_run_is_measured_before_its_first_step_and_that_once(tmp_path: Path) -> None:
    recipe, monitor = with_fit(TINY, steps=4), MonitorConfig(every=4, n=40)
    fit(recipe, tmp_path, monitor=monitor)
    fit(with_fit(TINY, steps=8), tmp_path, monitor=monitor)
    rows = read_metrics(tmp_path / "metrics.jsonl")
    assert [row["step"] for row in rows if "fd" in row] == [0, 4, 8]
    assert [key for key in rows[0] if key != "seconds"] == ["step", "fd"]


def test_the_first_step_is_logged(tmp_path: Path) -> None:
    fit(with_fit(NOISE, steps=3, log_every=10), tmp_path)
    assert [row["step"] for row in read_metrics(tmp_path / "metrics.jsonl")] == [1, 3]


@pytest.mark.parametrize(
    ("command", "recorded"),
    [
        ("zoo train ddpm --out /home/me/runs/v --steps 3", "zoo train ddpm --steps 3"),
        ("zoo train ddpm --out=runs/v -o 'data.path=$AFHQ/train'", "zoo train ddpm -o 'data.path=$AFHQ/train'"),
        ("zoo train ddpm --recipe /home/me/mine.json", "zoo train ddpm --recipe mine.json"),
        ("zoo train ddpm --recipe=course --out", "zoo train ddpm --recipe course"),
        ("", ""),
    ],
)
def test_the_recorded_command_names_no_folder_of_the_run(command: str, recorded: str) -> None:
    assert shlex.split(portable(command)) == shlex.split(recorded)


def test_a_tracker_gets_the_sheets_and_the_figures_of_loss_and_metrics(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    out = tmp_path / "run"
    fit(with_fit(TINY, steps=4, sample_every=2), out, tracker="tensorboard", monitor=MonitorConfig(every=2, n=40))
    (events,) = {path.parent for path in out.glob("tensorboard/**/events.*") if "hparams" not in path.parent.name and _has_images(path)}
    found = EventAccumulator(str(events), size_guidance={"images": 0}).Reload()
    assert {tag.split("/")[0] for tag in found.Tags()["images"]} == {"samples", "loss", "metrics"}
    sheets = {tag: [event.step for event in found.Images(tag)] for tag in found.Tags()["images"]}
    assert sheets["samples"] == [2, 4, 4]
    assert all(event.encoded_image_string.startswith(b"\x89PNG") for event in found.Images("samples"))


def _has_images(path: Path) -> bool:
    return b"PNG" in path.read_bytes()
