"""Theorems about the checkpoints of a run."""

import json
import os
import shutil
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest
import torch

from zoo_core.atomic import write_file
from zoo_core.cards.metrics_log import read_metrics
from zoo_core.errors import LockTimeout, ResourceError
from zoo_core.hub.cache import RepoCache
from zoo_core.testing import environment
from zoo_core.training.checkpoints import Snapshot, locked, newest, save_snapshot


def snapshot(step: int) -> Snapshot:
    weight = torch.full((2, 3), float(step))
    return Snapshot(step=step, parts={"model": {"w": weight, "tied": weight}, "ema": {"w": weight.T}}, facts={"note": "hello"})


def test_the_newest_snapshot_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    for step in (5, 10):
        save_snapshot(tmp_path, snapshot(step), keep=3)
    found = newest(tmp_path)
    assert found is not None
    assert found.step == 10
    assert found.facts == {"note": "hello"}
    assert torch.equal(found.parts["model"]["w"], torch.full((2, 3), 10.0))
    assert torch.equal(found.parts["ema"]["w"], torch.full((3, 2), 10.0))


def test_steps_are_ordered_by_number_and_pruned_to_the_newest(tmp_path: Path) -> None:
    for step in (8, 9, 10, 100):
        save_snapshot(tmp_path, snapshot(step), keep=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-10", "step-100"]


@pytest.mark.parametrize("harm", ["truncate", "flip", "manifest", "missing", "state"])
def test_a_damaged_snapshot_is_moved_aside_with_a_warning_and_the_one_before_it_used(tmp_path: Path, harm: str) -> None:
    for step in (5, 10):
        save_snapshot(tmp_path, snapshot(step), keep=3)
    file = tmp_path / "step-10" / "model.safetensors"
    data = bytearray(file.read_bytes())
    if harm == "truncate":
        file.write_bytes(data[:-1])
    elif harm == "flip":
        data[-1] ^= 1
        file.write_bytes(data)
    elif harm == "manifest":
        (tmp_path / "step-10" / "MANIFEST.json").write_text("{")
    elif harm == "missing":
        file.unlink()
    else:
        (tmp_path / "step-10" / "state.json").write_text("[]")
    with pytest.warns(UserWarning, match="step-10 is damaged"):
        found = newest(tmp_path)
    assert found is not None
    assert found.step == 5
    assert [path.name for path in tmp_path.glob("step-*")] == ["step-5"]
    assert len(list(tmp_path.glob(".bad-*"))) == 1


def test_what_a_crash_left_behind_is_swept_and_never_read(tmp_path: Path) -> None:
    save_snapshot(tmp_path, snapshot(5), keep=3)
    shutil.copytree(tmp_path / "step-5", tmp_path / ".tmp-step-10-abc")
    found = newest(tmp_path)
    assert found is not None
    assert found.step == 5
    assert [path.name for path in tmp_path.iterdir()] == ["step-5"]


def test_an_empty_folder_holds_no_snapshot(tmp_path: Path) -> None:
    assert newest(tmp_path) is None
    assert newest(tmp_path / "nowhere") is None


def test_a_failed_save_leaves_the_snapshot_before_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_snapshot(tmp_path, snapshot(5), keep=1)

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(ResourceError, match="No space left"):
        save_snapshot(tmp_path, snapshot(10), keep=1)
    monkeypatch.undo()
    assert [path.name for path in tmp_path.iterdir()] == ["step-5"]
    found = newest(tmp_path)
    assert found is not None
    assert found.step == 5


def test_a_snapshot_holds_no_pickle(tmp_path: Path) -> None:
    final = save_snapshot(tmp_path, snapshot(5), keep=1)
    names = {path.name for path in final.iterdir()}
    assert names == {"MANIFEST.json", "state.json", "model.safetensors", "ema.safetensors"}
    assert json.loads((final / "state.json").read_text()) == {"step": 5, "note": "hello"}


def test_the_second_to_lock_a_folder_is_told_so_and_the_next_one_gets_it(tmp_path: Path) -> None:
    with locked(tmp_path / "run"), pytest.raises(LockTimeout), locked(tmp_path / "run"):
        pass
    with locked(tmp_path / "run"):
        pass


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.json"
    write_file(path, b"old")

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(ResourceError):
        write_file(path, b"new and longer")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_manifest_of_gigabytes_is_damage_and_not_read_whole(tmp_path: Path) -> None:
    for step in (5, 10):
        save_snapshot(tmp_path, snapshot(step), keep=3)
    os.truncate(tmp_path / "step-10" / "MANIFEST.json", 1 << 28)
    tracemalloc.start()
    try:
        with pytest.warns(UserWarning, match="step-10 is damaged .*larger than"):
            found = newest(tmp_path)
        assert tracemalloc.get_traced_memory()[1] < 1 << 26
    finally:
        tracemalloc.stop()
    assert found is not None
    assert found.step == 5


def test_a_line_of_metrics_without_end_is_not_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n')
    os.truncate(path, 1 << 27)
    tracemalloc.start()
    try:
        assert read_metrics(path) == [{"step": 1}]
        assert tracemalloc.get_traced_memory()[1] < 1 << 24
    finally:
        tracemalloc.stop()


def test_a_pipe_in_the_place_of_a_small_file_holds_nobody(tmp_path: Path) -> None:
    commit = "0" * 40
    repo = RepoCache("zoo/cats", tmp_path)
    repo.snapshot(commit).mkdir(parents=True)
    for name in ("refs/main", f"zoo/{commit}.json"):
        (repo.folder / name).parent.mkdir()
        os.mkfifo(repo.folder / name)
    os.mkfifo(tmp_path / "metrics.jsonl")
    read = (
        "from pathlib import Path; from zoo_core.hub.cache import RepoCache; from zoo_core.cards.metrics_log import read_metrics\n"
        f"folder = Path({str(tmp_path)!r}); repo = RepoCache('zoo/cats', folder)\n"
        f"print(repo.ref('main'), repo.required_oids('{commit}'), read_metrics(folder / 'metrics.jsonl'))"
    )
    done = subprocess.run([sys.executable, "-c", read], env=environment(), capture_output=True, text=True, check=False, timeout=20)
    assert done.stdout == "None None []\n", done.stderr
