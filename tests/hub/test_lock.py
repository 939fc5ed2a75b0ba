"""Lock files: the same bytes, commits and packages on any machine, or a refusal that names what differs."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch

import zoo_core
from zoo_core.errors import ConfigError, IntegrityError, NotFoundError, TrustError, UsageError, ZooError
from zoo_core.hub.fetch import fetch
from zoo_core.hub.lock_writer import lock
from zoo_core.hub.lockfile import Lock
from zoo_core.specs import CheckpointSpec
from zoo_core.testing.hub import LoopbackHub

from .helpers import CATS, Contents, run

pytest_plugins = ["zoo_core.testing.hub"]


@pytest.fixture
def path(tmp_path: Path, commit: str) -> Path:
    """A lock file with the repository, which is not yet in the cache of another machine."""
    return lock(CATS, path=tmp_path / "zoo.lock").path


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, path: Path) -> Path:
    """The lock file on another machine, with an empty cache."""
    monkeypatch.setenv("HF_HOME", str(tmp_path / "another-home"))
    return path


def edited(path: Path, change: Any) -> Path:
    data = json.loads(path.read_text())
    change(data["checkpoints"][CATS])
    path.write_text(json.dumps(data))
    return path


def test_another_machine_loads_the_locked_commit_and_draws_the_same(hub: LoopbackHub, cats: Contents, path: Path, elsewhere: Path) -> None:
    first = zoo_core.load(CATS, lock=path).sample(4, seed=0)
    hub.commit(CATS, {"README.md": cats["README.md"] + b"newer"})
    model = zoo_core.load(CATS, lock=elsewhere)
    assert torch.equal(model.sample(4, seed=0), first)
    assert model.files.hub
    assert model.files.hub.commit == hub.commits(CATS)[1].id
    before = len(hub.requests)
    zoo_core.load(CATS, lock=elsewhere)
    assert len(hub.requests) == before  # cached, and locked to a commit: nothing to ask


def test_what_is_not_in_the_lock_file_is_refused(path: Path) -> None:
    for reference in (f"{CATS}@main", "zoo/dogs", "local:somewhere", "vae-mnist"):
        with pytest.raises(TrustError, match=f"{reference} is not in {path} -- `zoo lock {reference} --out {path}` adds it"):
            fetch(reference, lock=Lock.read(path))


@pytest.mark.parametrize("file", ["config.json", "model.safetensors"])
def test_one_changed_byte_is_named(hub: LoopbackHub, elsewhere: Path, file: str) -> None:
    with hub.fault(f"/{file}$", flip=100), pytest.raises(IntegrityError, match=file):
        zoo_core.load(CATS, lock=elsewhere)


@pytest.mark.parametrize("file", ["config.json", "model.safetensors"])
@pytest.mark.parametrize("key", ["sha256", "size"])
@pytest.mark.parametrize("is_cached", [False, True])
def test_a_file_other_than_the_locked_one_is_named(elsewhere: Path, file: str, key: str, is_cached: bool) -> None:
    if is_cached:
        zoo_core.load(CATS)

    def change(entry: dict[str, Any]) -> None:
        entry["files"][file][key] = "0" * 64 if key == "sha256" else entry["files"][file]["size"] + 1

    with pytest.raises(IntegrityError, match=f"{file}.*(pinned|is not the pinned file)") as caught:
        zoo_core.load(CATS, lock=edited(elsewhere, change))
    # To pull again would help nobody: the file is what the Hub has, and the lock file says otherwise.
    assert "lock" in caught.value.hint
    assert "zoo pull" not in caught.value.hint


def test_a_commit_that_the_hub_does_not_have_is_named(elsewhere: Path) -> None:
    def change(entry: dict[str, Any]) -> None:
        entry["hub"]["commit"] = "1" * 40

    with pytest.raises(NotFoundError, match="1" * 12):
        zoo_core.load(CATS, lock=edited(elsewhere, change))


def test_another_version_of_a_package_is_named(path: Path) -> None:
    def change(entry: dict[str, Any]) -> None:
        entry["distributions"]["zoo-core"] = "0.0.1"

    match = f"is locked with zoo-core 0.0.1 in .*, and zoo-core {zoo_core.__version__} is installed -- pip install 'zoo-core==0.0.1'"
    with pytest.raises(TrustError, match=match):
        zoo_core.load(CATS, lock=edited(path, change))


def test_a_package_that_is_missing_is_named(path: Path) -> None:
    with pytest.raises(TrustError, match="and zoo-cats is not installed"):
        zoo_core.load(CATS, lock=edited(path, lambda entry: entry["distributions"].update({"zoo-cats": "1.0"})))


def test_pins_of_an_installed_package_must_be_the_locked_ones(pinned: CheckpointSpec, tmp_path: Path) -> None:
    path = lock("cats", path=tmp_path / "zoo.lock").path
    data = json.loads(path.read_text())
    assert data["checkpoints"]["cats"]["distributions"]["zoo-far"] == "1.0"
    data["checkpoints"]["cats"]["files"]["config.json"]["size"] += 1
    path.write_text(json.dumps(data))
    with pytest.raises(IntegrityError, match=r"cats is not the locked checkpoint: the installed one has another config\.json"):
        fetch("cats", lock=Lock.read(path))


def test_a_folder_is_locked_by_its_bytes(cats: Contents, tmp_path: Path, commit: str) -> None:
    reference = f"local:{tmp_path / 'cats'}"
    path = lock(reference, path=tmp_path / "zoo.lock").path
    assert zoo_core.load(reference, lock=path).sample(2, seed=0).shape == (2, 2)
    (tmp_path / "cats" / "config.json").write_bytes(cats["config.json"] + b"\n")
    with pytest.raises(IntegrityError, match=r"config\.json is longer than the pinned"):
        zoo_core.load(reference, lock=path)


def test_locking_again_takes_all_that_the_file_has(hub: LoopbackHub, cats: Contents, path: Path) -> None:
    hub.commit(CATS, {"README.md": cats["README.md"] + b"newer"})
    before = path.read_bytes()
    assert lock(path=path, dry_run=True).checkpoints[CATS].hub != Lock.read(path).checkpoints[CATS].hub
    assert path.read_bytes() == before
    entry = lock(path=path).checkpoints[CATS]
    assert entry == Lock.read(path).checkpoints[CATS]
    assert entry.hub
    assert entry.hub.commit == hub.commits(CATS)[0].id


def test_one_more_is_added_and_the_others_stay_as_they_are(path: Path, cats: Contents, tmp_path: Path) -> None:
    before = Lock.read(path).checkpoints[CATS]
    folder = f"local:{tmp_path / 'cats'}"
    assert set(lock(folder, path=path).checkpoints) == {CATS, folder}
    assert Lock.read(path).checkpoints[CATS] == before


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"format": 1}', '{"format": 1, "checkpoints": {"a": 3}}', '{"format": 2, "checkpoints": {}}']
)
def test_a_file_that_is_no_lock_file_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "zoo.lock").write_text(text)
    with pytest.raises(ConfigError, match=r"zoo\.lock") as caught:
        lock("zoo/cats", path=tmp_path / "zoo.lock")
    assert "delete it; `zoo lock REFERENCE` writes a new one" in caught.value.hint


def test_a_lock_file_that_is_not_there_is_told_with_the_command_that_writes_one(tmp_path: Path) -> None:
    path = tmp_path / "none.lock"
    with pytest.raises(ConfigError, match=f"there is no lock file {path} -- `zoo lock REFERENCE --out {path}` writes one"):
        zoo_core.load(CATS, lock=path)
    with pytest.raises(ConfigError, match=f"{tmp_path} is a folder, and no lock file -- name the file, such as {tmp_path / 'zoo.lock'}"):
        zoo_core.load(CATS, lock=tmp_path)


def test_frozen_reads_the_lock_file_of_the_folder_or_of_the_path(path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ZOO_FROZEN", "1")
    with pytest.raises(
        ConfigError, match=r"there is no lock file zoo\.lock, which --frozen or ZOO_FROZEN demands -- `zoo lock REFERENCE` writes one"
    ):
        fetch(CATS)
    monkeypatch.chdir(path.parent)
    assert fetch(CATS).pins is not None
    monkeypatch.chdir("/")
    monkeypatch.setenv("ZOO_FROZEN", str(path))
    assert fetch(CATS).pins is not None
    with pytest.raises(UsageError, match="with --frozen or ZOO_FROZEN nothing but locked checkpoints is fetched"):
        lock(CATS, path=path)
    monkeypatch.setenv("ZOO_FROZEN", "0")
    assert fetch(CATS).pins is None


def test_the_commands_lock_and_obey(hub: LoopbackHub, commit: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    site = tmp_path / "site"
    assert run("pull", "--lock", CATS, site=site).returncode == 0
    entry = Lock.read("zoo.lock").checkpoints[CATS]
    assert set(entry.distributions) == {"zoo-core", "zoo-fake"}
    assert entry.hub
    assert entry.hub.commit == commit
    again = run("lock", "--check", site=site)
    assert again.returncode == 0
    assert "as before" in again.stdout
    assert run("sample", CATS, "--frozen", "-n", "2", "--out", "x.npz", site=site).returncode == 0
    refused = run("--frozen", "sample", f"{CATS}@main", "-n", "2", "--out", "y.npz", site=site)
    assert refused.returncode == TrustError.exit_code
    assert refused.stderr.count("\n") == 1
    assert not os.path.exists("y.npz")


def test_every_error_has_a_next_step(path: Path) -> None:
    for reference in ("zoo/dogs", "nothing"):
        with pytest.raises(ZooError) as caught:
            zoo_core.load(reference, lock=path)
        assert caught.value.hint
