"""A checkpoint comes from its package, the cache or the Hub, whole or not at all."""

import hashlib
from pathlib import Path

import pytest
from huggingface_hub import hf_hub_download, scan_cache_dir, snapshot_download

import zoo_core
from zoo_core.errors import (
    OfflineError,
)
from zoo_core.hub.cache import cache_folder
from zoo_core.hub.fetch import fetch, pull
from zoo_core.registry import Registry
from zoo_core.specs import CheckpointSpec, Hub
from zoo_core.testing.hub import LoopbackHub

from .helpers import CATS, WEIGHTS, Contents, asked, registered

pytest_plugins = ["zoo_core.testing.hub"]


def test_what_the_hub_has_is_fetched_verified_and_then_cached(hub: LoopbackHub, cats: Contents, commit: str) -> None:
    seen: list[tuple[str, int]] = []
    [files] = pull(CATS, on_file=lambda files, name, size: seen.append((name, size)))
    assert dict(seen) == {name: len(data) for name, data in cats.items()}
    assert files.source == f"{hub.endpoint.removeprefix('http://')}, zoo/cats at {commit[:12]}"
    assert files.folder == cache_folder() / "models--zoo--cats" / "snapshots" / commit
    assert files.hub == Hub(repo=CATS, commit=commit)
    before = len(hub.requests)
    assert fetch(CATS).source == f"the cache, zoo/cats at {commit[:12]}"
    assert asked(hub)[before:] == [f"GET /api/models/{CATS}/revision/main"]


def test_a_commit_that_is_cached_needs_no_request(hub: LoopbackHub, commit: str) -> None:
    pull(CATS)
    before = len(hub.requests)
    [files] = pull(f"{CATS}@{commit}")
    assert zoo_core.load(f"{CATS}@{commit}").sample(3).shape == (3, 2)
    assert zoo_core.info(f"{CATS}@{commit}")["hub"] == {"repo": CATS, "commit": commit}
    assert files.source.startswith("the cache")
    assert len(hub.requests) == before


def test_a_pinned_checkpoint_is_fetched_by_its_commit_and_then_needs_no_request(hub: LoopbackHub, pinned: CheckpointSpec) -> None:
    hub.commit(CATS, {WEIGHTS: b"newer"})
    [files] = pull("cats")
    assert (files.name, files.dist, files.pins) == ("cats", "zoo-far", pinned.files)
    assert pinned.hub is not None
    assert all("main" not in path for path in asked(hub))
    before = len(hub.requests)
    assert pull("zoo-far:cats")[0].source == f"the cache, zoo/cats at {pinned.hub.commit[:12]}"
    assert zoo_core.load("cats").name == "cats"
    assert len(hub.requests) == before


def test_the_package_comes_before_cache_and_hub(hub: LoopbackHub, plugins: Registry, pinned: CheckpointSpec, tmp_path: Path) -> None:
    carried = CheckpointSpec(name="cats", family="fake", files=pinned.files, hub=pinned.hub, folder=tmp_path / "cats")
    with registered(plugins, carried):
        assert pull("cats")[0].source == "zoo-far 1.0"
        assert hub.requests == ()
        (tmp_path / "cats" / WEIGHTS).unlink()  # a package that carries the card alone
        assert pull("cats")[0].source.endswith(f"zoo/cats at {pinned.hub.commit[:12]}" if pinned.hub else "")


def test_many_are_pulled_at_once(hub: LoopbackHub, cats: Contents, pinned: CheckpointSpec, tmp_path: Path) -> None:
    hub.add_repo("zoo/dogs", cats)
    assert [files.name for files in pull("cats", CATS, "zoo/dogs", f"local:{tmp_path / 'cats'}")] == ["cats", "cats", "dogs", "cats"]


@pytest.mark.parametrize("revision", ["v1.0", "feature/x"])
def test_a_tag_is_resolved_to_its_commit(hub: LoopbackHub, commit: str, revision: str) -> None:
    hub.repos[CATS].refs[revision] = commit
    newer = hub.commit(CATS, {"LICENSE": b"text"})
    assert fetch(f"{CATS}@{revision}").hub == Hub(repo=CATS, commit=commit)
    assert fetch(CATS).hub == Hub(repo=CATS, commit=newer)
    assert "LICENSE" in fetch(CATS).names
    assert "LICENSE" not in fetch(f"{CATS}@{revision}").names


def test_a_new_commit_fetches_only_what_changed(hub: LoopbackHub, commit: str) -> None:
    pull(CATS)
    newer = hub.commit(CATS, {"LICENSE": b"text"})
    before = len(hub.requests)
    pull(CATS)
    listing, history, file = asked(hub)[before:]
    assert listing == f"GET /api/models/{CATS}/revision/main"
    assert history == f"GET /api/models/{CATS}/commits/{newer}"
    assert file == f"GET /{CATS}/resolve/{newer}/LICENSE"


def test_the_hubs_own_client_finds_what_the_zoo_fetched_and_the_other_way_round(hub: LoopbackHub, cats: Contents, commit: str) -> None:
    pull(CATS)
    before = len(hub.requests)
    assert Path(hf_hub_download(CATS, WEIGHTS, revision=commit)).read_bytes() == cats[WEIGHTS]
    assert len(hub.requests) == before
    [repo] = scan_cache_dir(cache_folder()).repos
    assert (repo.repo_id, [revision.refs for revision in repo.revisions]) == (CATS, [frozenset({"main"})])
    hub.add_repo("zoo/dogs", cats)
    folder = Path(snapshot_download("zoo/dogs"))
    before = len(hub.requests)
    for _ in range(2):
        [files] = pull(f"zoo/dogs@{folder.name}")
        assert files.folder.samefile(folder)
    assert asked(hub)[before:] == [f"GET /api/models/zoo/dogs/revision/{folder.name}"]  # what it must have, once
    assert not scan_cache_dir(cache_folder()).warnings


def test_large_files_come_from_another_address_without_the_token(hub: LoopbackHub, commit: str) -> None:
    pull(CATS)
    content = [request for request in hub.requests if request.host == "content"]
    assert [request.path.rpartition("/")[2] for request in content] == [WEIGHTS]
    assert not any(request.authorized for request in content)
    assert all(request.authorized for request in hub.requests if request.host == "hub")


def test_every_file_has_a_sha256(cats: Contents, commit: str) -> None:
    files = fetch(CATS)
    for name, data in cats.items():
        assert files.digest(name) == hashlib.sha256(data).hexdigest()
        assert files.size(name) == len(data)


# Whole or not


@pytest.mark.parametrize("offline", [False, True])
@pytest.mark.parametrize("lost", ["blob", "link"])
def test_a_commit_of_which_a_file_is_gone_is_not_whole(
    hub: LoopbackHub, cats: Contents, commit: str, lost: str, offline: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = pull(CATS)[0].folder / "README.md"
    (path.resolve() if lost == "blob" else path).unlink()
    if offline:
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        with pytest.raises(OfflineError):
            pull(f"{CATS}@{commit}")
        return
    assert {name: pull(f"{CATS}@{commit}")[0].read(name) for name in cats} == cats
    before = len(hub.requests)
    pull(f"{CATS}@{commit}")
    assert len(hub.requests) == before


def test_what_another_client_fetched_in_part_is_completed(hub: LoopbackHub, cats: Contents, commit: str) -> None:
    for name in ("config.json", WEIGHTS):
        hf_hub_download(CATS, name, revision=commit)
    assert pull(f"{CATS}@{commit}")[0].names == tuple(sorted(cats))


def test_what_another_client_fetched_serves_offline(hub: LoopbackHub, commit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    snapshot_download(CATS)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert pull(CATS)[0].hub == pull(f"{CATS}@{commit}")[0].hub == Hub(repo=CATS, commit=commit)


@pytest.mark.parametrize(
    "evil",
    [
        "",
        "[]",
        "[" * 100_000,
        "{}",
        '{"files": 3}',
        '{"files": {"../x.json": "OID"}}',
        '{"files": {"config.json": "OID", "model.safetensors": "../../evil"}}',
        '{"files": {"config.json": 7}}',
    ],
)
def test_a_malformed_note_in_the_cache_is_requested_again(hub: LoopbackHub, cats: Contents, commit: str, evil: str) -> None:
    pull(CATS)
    note = cache_folder() / "models--zoo--cats" / "zoo" / f"{commit}.json"
    good = note.read_text()
    note.write_text(evil.replace("OID", "0" * 40))
    assert {name: pull(f"{CATS}@{commit}")[0].read(name) for name in cats} == cats
    assert note.read_text() == good
