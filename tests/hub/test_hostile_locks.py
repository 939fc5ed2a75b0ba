"""Lock files that somebody edited: what they must not say is refused in one line, before a path is made of it or anything is asked."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import zoo_core
from zoo_core.errors import ConfigError, IntegrityError, ZooError
from zoo_core.hub.fetch import fetch
from zoo_core.hub.lock_writer import lock
from zoo_core.hub.lockfile import Lock
from zoo_core.specs import CheckpointSpec
from zoo_core.testing.hub import LoopbackHub

from .helpers import CATS, run

pytest_plugins = ["zoo_core.testing.hub"]
Change = Callable[[dict[str, Any]], object]


@pytest.fixture
def path(tmp_path: Path, commit: str) -> Path:
    """A lock file with the repository."""
    return lock(CATS, path=tmp_path / "zoo.lock").path


def edited(path: Path, change: Change, reference: str = CATS) -> Path:
    data = json.loads(path.read_text())
    change(data["checkpoints"][reference])
    path.write_text(json.dumps(data))
    return path


def renamed(part: str, old: str, new: str) -> Change:
    return lambda entry: entry[part].update({new: entry[part].pop(old)})


def put(part: str, key: str, value: object) -> Change:
    return lambda entry: entry[part].update({key: value})


def put_pin(key: str, value: object) -> Change:
    return lambda entry: entry["files"]["config.json"].update({key: value})


ODD = (None, True, 5, 1.5, [], {}, "", "x", "../x", "a\nb", "\x1b[31m", "\ud800", "AB" * 32, "ab" * 20)
EDITS: dict[str, Change] = {
    **{f"commit {odd!r}": put("hub", "commit", odd) for odd in ODD if odd != "ab" * 20},
    **{f"repo {odd!r}": put("hub", "repo", odd) for odd in (*ODD, "zoo/../x", "zoo/cats.git", "zoo--x/cats")},
    **{f"sha256 {odd!r}": put_pin("sha256", odd) for odd in ODD},
    **{f"size {odd!r}": put_pin("size", odd) for odd in ODD if odd != 5} | {"size -1": put_pin("size", -1)},
    **{f"file {name!r}": renamed("files", "config.json", name) for name in ("", "../x", "/etc/passwd", "a/../../x", ".x", "a\nb", "a b")},
    **{f"version {odd!r}": put("distributions", "zoo-core", odd) for odd in (None, 5, [], "", "1'; echo '", "a\nb", "\x1b[31m")},
    **{f"package {name!r}": renamed("distributions", "zoo-core", name) for name in ("", "../x", "x'; echo '", "a\nb", "--index-url")},
    **{f"{part} {odd!r}": lambda entry, part=part, odd=odd: entry.update({part: odd})  # type: ignore[misc]
       for part in ("files", "distributions", "hub") for odd in (5, "x", ["a"], True)},
}  # fmt: skip


@pytest.mark.parametrize("edit", EDITS)
def test_an_edited_value_of_another_form_is_refused_in_one_line(path: Path, hub: LoopbackHub, edit: str) -> None:
    before = len(hub.requests)
    with pytest.raises(ConfigError, match=r"zoo\.lock is not a lock file: ") as caught:
        zoo_core.load(CATS, lock=edited(path, EDITS[edit]))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500
    assert caught.value.hint == "delete it; `zoo lock REFERENCE` writes a new one"
    assert len(hub.requests) == before


def test_the_command_refuses_with_one_line_and_exit_code_3(path: Path, tmp_path: Path) -> None:
    edited(path, put("hub", "commit", "../../x"))
    done = run("sample", CATS, "-n", "2", "--out", "x.npz", site=tmp_path / "site", ZOO_FROZEN=str(path))
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (3, "", 1)
    assert done.stderr.startswith("zoo: error: ")
    assert "'../../x' is not a commit" in done.stderr


@pytest.mark.parametrize("place", [None, {"repo": "zoo/dogs", "commit": "1" * 40}])
def test_a_repository_that_is_not_that_of_the_reference_is_refused(path: Path, place: dict[str, str] | None) -> None:
    told = (
        f"has {place['repo'] if place else 'no repository'} as the place of zoo/cats -- `zoo lock zoo/cats --out .*zoo.lock` writes it anew"
    )
    with pytest.raises(ConfigError, match=told):
        fetch(CATS, lock=Lock.read(edited(path, lambda entry: entry.update(hub=place))))


@pytest.mark.parametrize("key", ["repo", "commit"])
def test_another_commit_or_repository_of_a_registered_checkpoint_is_named(pinned: CheckpointSpec, tmp_path: Path, key: str) -> None:
    path = lock("cats", path=tmp_path / "zoo.lock").path
    assert fetch("cats", lock=Lock.read(path)).pins
    edited(path, put("hub", key, {"repo": "zoo/dogs", "commit": "1" * 40}[key]), "cats")
    assert pinned.hub
    here = f"is of {CATS} at {pinned.hub.commit[:12]}, and locked is "
    with pytest.raises(IntegrityError, match=f"cats is not the locked checkpoint: the installed one {here}zoo/.* at ") as caught:
        fetch("cats", lock=Lock.read(path))
    assert f"`zoo lock cats --out {tmp_path / 'zoo.lock'}` locks anew" in caught.value.hint


def test_a_checkpoint_that_was_locked_from_its_package_has_no_commit_to_compare(pinned: CheckpointSpec, tmp_path: Path) -> None:
    path = edited(lock("cats", path=tmp_path / "zoo.lock").path, lambda entry: entry.update(hub=None), "cats")
    assert fetch("cats", lock=Lock.read(path)).pins


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda files: files.pop("README.md"), "also has README.md"),
        (lambda files: files.update({"more.json": files["config.json"]}), "has no more.json"),
        (lambda files: files["README.md"].update(sha256="0" * 64), "has another README.md"),
    ],
)
def test_files_more_or_less_than_those_of_the_installed_package_are_named(
    pinned: CheckpointSpec, hub: LoopbackHub, tmp_path: Path, change: Change, told: str
) -> None:
    path = lock("cats", path=tmp_path / "zoo.lock").path
    edited(path, lambda entry: change(entry["files"]), "cats")
    before = len(hub.requests)
    with pytest.raises(IntegrityError, match=f"cats is not the locked checkpoint: the installed one {told}"):
        fetch("cats", lock=Lock.read(path))
    assert len(hub.requests) == before


@pytest.mark.parametrize("value", ["0", "false", " no ", ""])
def test_a_variable_that_says_no_does_not_forbid_to_lock(path: Path, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("ZOO_FROZEN", value)
    assert lock(CATS, path=path).checkpoints[CATS].files
    monkeypatch.setenv("ZOO_FROZEN", "yes")
    with pytest.raises(ZooError, match="with --frozen or ZOO_FROZEN nothing but locked checkpoints is fetched"):
        lock(CATS, path=path)
