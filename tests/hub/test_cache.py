"""Every failure of the cache is one clear error, and leaves nothing half written."""

import os
import re
from pathlib import Path
from typing import Any

import pytest

import zoo_core
from zoo_core.checkpoint.files import oid_of
from zoo_core.errors import (
    HubError,
    LockTimeout,
    OfflineError,
    ResourceError,
    UnsafeContentError,
    UsageError,
)
from zoo_core.hub.cache import RepoCache, cache_folder
from zoo_core.hub.fetch import fetch, pull
from zoo_core.registry import Registry, parse_reference
from zoo_core.specs import CheckpointSpec, Hub
from zoo_core.testing.hub import LoopbackHub

from .helpers import CATS, WEIGHTS, Contents, asked, home, registered

pytest_plugins = ["zoo_core.testing.hub"]


def test_a_cache_that_cannot_be_written_is_a_resource_error_and_what_is_there_loads(
    hub: LoopbackHub, cats: Contents, pinned: CheckpointSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    pull("cats")
    hub.add_repo("zoo/dogs", cats)
    real = Path.mkdir

    def refuse(path: Path, *args: Any, **options: Any) -> None:
        if home() in path.parents:
            raise PermissionError(13, "Permission denied", str(path))
        real(path, *args, **options)

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(ResourceError, match=r"Permission denied.*HF_HOME"):
        pull("zoo/dogs")
    assert pull("cats")[0].source.startswith("the cache")


def test_a_branch_that_moved_is_what_it_was_where_the_cache_cannot_be_written(
    hub: LoopbackHub, cats: Contents, commit: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pull(CATS)
    hub.commit(CATS, {"LICENSE": b"text"})

    def refuse(*args: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(RepoCache, "lock", refuse)
    assert pull(CATS)[0].hub == Hub(repo=CATS, commit=commit)
    assert re.search("using the last fetched copy of .*, .*: cannot write into the cache .* Read-only", caplog.text)
    hub.add_repo("zoo/dogs", cats)
    with pytest.raises(ResourceError, match="Read-only") as caught:
        pull("zoo/dogs")
    assert "free some space" not in caught.value.hint


def test_a_cache_that_cannot_be_listed_is_a_resource_error(hub: LoopbackHub, commit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **options: object) -> None:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "glob", refuse)
        pull(CATS)
    monkeypatch.setenv("HF_HUB_CACHE", str(home() / "other"))
    monkeypatch.setattr(RepoCache, "lock", refuse)
    with pytest.raises(ResourceError, match="Permission denied") as caught:
        pull(CATS)
    assert "free some space" not in caught.value.hint


@pytest.mark.parametrize("place", ["store", "link"])
def test_a_full_disk_is_a_resource_error_and_leaves_nothing_half_written(
    hub: LoopbackHub, cats: Contents, commit: str, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(RepoCache, place, full)
        with pytest.raises(ResourceError, match="No space left"):
            pull(CATS)
    assert not list(home().rglob("*.incomplete"))
    assert {name: pull(CATS)[0].read(name) for name in cats} == cats


def test_a_write_that_fails_is_a_resource_error(hub: LoopbackHub, commit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from zoo_core.hub.download import _Body

    def full(self: Any, chunk: bytes) -> bool:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_Body, "add", full)
    with pytest.raises(ResourceError, match="No space left"):
        pull(CATS)
    assert not list(home().rglob("*.incomplete"))


def test_a_disk_without_links_gets_copies(hub: LoopbackHub, cats: Contents, commit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **options: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "symlink", refuse)
    monkeypatch.setattr(Path, "symlink_to", refuse)
    for _ in range(2):
        [files] = pull(CATS)
        assert {name: files.read(name) for name in files.names} == cats
    assert not (files.folder / WEIGHTS).is_symlink()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for reference in (CATS, f"{CATS}@{commit}"):
        assert {name: pull(reference)[0].read(name) for name in files.names} == cats
        assert {verdict.state for verdict in zoo_core.verify(reference)} == {"ok"}


def test_what_a_killed_pull_left_is_swept_when_nobody_works_on_it(hub: LoopbackHub, commit: str) -> None:
    left = cache_folder() / "models--zoo--cats" / "blobs"
    left.mkdir(parents=True)
    names = [f"{digit * 40}.0123abcd.incomplete" for digit in "123"]
    for name in names:
        (left / name).write_bytes(b"half")
        if name[0] != "3":
            os.utime(left / name, (1, 1))
    with RepoCache(CATS, cache_folder()).lock("2" * 40, 1):
        pull(CATS)
    assert sorted(path.name for path in left.glob("*.incomplete")) == names[1:]


def test_half_a_pull_is_no_checkpoint_and_the_rest_is_fetched_later(
    hub: LoopbackHub, cats: Contents, commit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with hub.fault(f"GET .*/{WEIGHTS}", status=418), pytest.raises(HubError):
        pull(CATS)
    assert {path.name for path in (cache_folder() / "models--zoo--cats" / "snapshots" / commit).iterdir()} == set(cats) - {WEIGHTS}
    with monkeypatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")
        with pytest.raises(OfflineError):
            pull(f"{CATS}@{commit}")
    before = len(hub.requests)
    pull(f"{CATS}@{commit}")
    assert [path.rpartition("/")[2] for path in asked(hub)[before:]] == [commit, WEIGHTS, WEIGHTS]


def test_a_process_that_never_ends_its_download_is_not_waited_for_for_ever(
    hub: LoopbackHub, commit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZOO_LOCK_TIMEOUT", "0.01")
    oid = oid_of(hub.read(CATS, "README.md"), "0" * 40)  # the first to be fetched
    with RepoCache(CATS, cache_folder()).lock(oid, 1), pytest.raises(LockTimeout):
        pull(CATS)


def test_a_ref_in_the_cache_that_is_no_commit_is_ignored(hub: LoopbackHub, commit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pull(CATS)
    ref = cache_folder() / "models--zoo--cats" / "refs" / "main"
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for evil in ("../../../evil", "main", "", "0" * 41):
        ref.write_text(evil)
        assert RepoCache(CATS, cache_folder()).ref("main") is None
        with pytest.raises(OfflineError):
            pull(CATS)


@pytest.mark.parametrize(
    "hub_pin", [Hub(repo="../evil", commit="0" * 40), Hub(repo=CATS, commit="main"), Hub(repo="a--b/c", commit="0" * 40)]
)
def test_a_pin_that_names_no_commit_is_unsafe(plugins: Registry, pinned: CheckpointSpec, hub_pin: Hub) -> None:
    with registered(plugins, CheckpointSpec(name="cats", files=pinned.files, hub=hub_pin)), pytest.raises(UnsafeContentError):
        fetch("cats")


@pytest.mark.parametrize("text", ["a--b/c", "a/b--c", "a/b.git", "a/b@/etc/x", "a/b@x//y", "a/b@.x", "a/b@x/.y", "a/b.", "a-/b", "a/b@"])
def test_a_reference_that_is_no_path_in_the_cache_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_reference(text)
