"""What comes from the Hub is what was asked for, and whatever goes wrong is one clear error and leaves nothing wrong behind."""

import hashlib
import json
import logging
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import hf_hub_download, scan_cache_dir, snapshot_download
from safetensors.torch import save

import zoo_core
from zoo_core.cards import named_plugin
from zoo_core.checkpoint.files import Files, oid_of
from zoo_core.errors import (
    CardError,
    ConfigError,
    GatedError,
    HubError,
    IntegrityError,
    LockTimeout,
    LoginError,
    NotFoundError,
    OfflineError,
    ResourceError,
    TrustError,
    UnknownNameError,
    UnsafeContentError,
    UsageError,
    ZooError,
)
from zoo_core.hub import client as wire
from zoo_core.hub.cache import RepoCache, cache_folder
from zoo_core.hub.fetch import fetch, pull
from zoo_core.hub.search import search
from zoo_core.registry import Plugin, Registry, parse_reference, using
from zoo_core.specs import CheckpointSpec, Hub, Pin
from zoo_core.testing import environment, fake_zoo, write_checkpoint, write_fake_plugin
from zoo_core.testing.fake import Fake
from zoo_core.testing.fake_config import FakeConfig
from zoo_core.testing.hub import LoopbackHub, Request

pytest_plugins = ["zoo_core.testing.hub"]

CATS = "zoo/cats"
WEIGHTS = "model.safetensors"
ZOO = (sys.executable, "-m", "zoo_core.cli")
Contents = Mapping[str, bytes]


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests are tried again at once."""
    monkeypatch.setattr(wire, "WAITS", (0.0, 0.0))


@pytest.fixture
def plugins() -> Iterator[Registry]:
    """The fake families, and nothing else."""
    with fake_zoo() as registry:
        yield registry


@pytest.fixture
def cats(plugins: Registry, tmp_path: Path) -> Contents:
    """The files of a checkpoint."""
    folder = write_checkpoint(tmp_path / "cats", Fake(FakeConfig()), FakeConfig())
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.fixture
def commit(hub: LoopbackHub, cats: Contents) -> str:
    """The commit of the repository ``zoo/cats``, which holds those files."""
    return hub.add_repo(CATS, {".gitattributes": b"", **cats})


@pytest.fixture
def pinned(plugins: Registry, cats: Contents, commit: str) -> Iterator[CheckpointSpec]:
    """The registered checkpoint ``cats``, which is on the Hub alone."""
    pins = {name: Pin(sha256=hashlib.sha256(data).hexdigest(), size=len(data)) for name, data in cats.items()}
    spec = CheckpointSpec(name="cats", family="fake", files=pins, hub=Hub(repo=CATS, commit=commit))
    with registered(plugins, spec):
        yield spec


def registered(plugins: Registry, *specs: CheckpointSpec) -> Any:
    """A context in which a plugin offers checkpoints."""
    return using(Registry((*plugins.plugins, Plugin(name="far", module="far", dist="zoo-far", version="1.0", specs=specs))))


def asked(hub: LoopbackHub) -> list[str]:
    return [str(request) for request in hub.requests]


def below(folder: Path) -> dict[str, bytes]:
    """Every file below a folder that could be taken for data: no locks, and no links."""
    paths = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink() and ".locks" not in path.parts]
    # Other tests leave sparse files of a terabyte there.
    return {str(path.relative_to(folder)): path.read_bytes() if path.stat().st_size < 1 << 20 else b"large" for path in paths}


def blobs(folder: Path) -> list[Path]:
    return sorted((folder / "hub").glob("models--*/blobs/*"))


def home() -> Path:
    return Path(os.environ["HF_HOME"])


def run(*args: str, site: Path, **variables: str) -> "subprocess.CompletedProcess[str]":
    """Runs ``zoo`` in a process of its own, with the fake families installed."""
    env = {**environment(write_fake_plugin(site)), "ZOO_PLUGINS": "zoo-fake", **variables}
    return subprocess.run([*ZOO, *args], env=env, capture_output=True, text=True, check=False, timeout=60)


# Where it comes from


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
    assert asked(hub)[before:] == [f"GET /api/models/{CATS}/revision/main", f"GET /{CATS}/resolve/{newer}/LICENSE"]


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


def test_the_sha256_of_every_file_is_told(cats: Contents, commit: str) -> None:
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
def test_a_note_in_the_cache_that_is_none_is_asked_for_again(hub: LoopbackHub, cats: Contents, commit: str, evil: str) -> None:
    pull(CATS)
    note = cache_folder() / "models--zoo--cats" / "zoo" / f"{commit}.json"
    good = note.read_text()
    note.write_text(evil.replace("OID", "0" * 40))
    assert {name: pull(f"{CATS}@{commit}")[0].read(name) for name in cats} == cats
    assert note.read_text() == good


# Wrong bytes


def test_wrong_bytes_once_are_fetched_again(hub: LoopbackHub, cats: Contents, commit: str) -> None:
    with hub.fault(f"GET .*/{WEIGHTS}", flip=-1, times=2) as fault:  # the redirect's empty body counts
        assert pull(CATS)[0].read(WEIGHTS) == cats[WEIGHTS]
    assert fault.hits == 2


@pytest.mark.parametrize("name", [WEIGHTS, "config.json"])
@pytest.mark.parametrize("what", [{"flip": -1}, {"short": 7}, {"extra": 9}], ids=str)
@pytest.mark.parametrize("reference", [CATS, "cats"])
def test_wrong_bytes_twice_are_an_integrity_error_and_nothing_of_them_stays(
    hub: LoopbackHub, pinned: CheckpointSpec, reference: str, name: str, what: dict[str, int]
) -> None:
    with hub.fault(f"GET .*/{name}", **what), pytest.raises(IntegrityError, match=re.escape(name)):
        pull(reference)
    assert len([path for path in asked(hub) if path.endswith(f"resolve/{pinned.hub.commit if pinned.hub else ''}/{name}")]) == 2
    assert oid_of(hub.read(CATS, name), "0" * (64 if name == WEIGHTS else 40)) not in {path.name for path in blobs(home())}
    assert not list(home().rglob("*.incomplete"))
    assert not (cache_folder() / "models--zoo--cats" / "snapshots" / str(pinned.hub and pinned.hub.commit) / name).exists()
    pull(reference)


def test_a_body_without_end_is_left_at_its_first_byte_too_many(
    hub: LoopbackHub, cats: Contents, commit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from zoo_core.hub.download import _Body

    beyond: list[int] = []
    add = _Body.add

    def noted(self: _Body, chunk: bytes) -> bool:
        more = add(self, chunk)
        beyond.append(self.received - self.file.size)
        return more

    monkeypatch.setattr(_Body, "add", noted)
    with hub.fault(f"GET .*/{WEIGHTS}", extra=50_000_000), pytest.raises(IntegrityError, match="longer than"):
        pull(CATS)
    assert max(beyond) == 1


def test_what_the_hub_has_instead_of_what_is_pinned_is_not_fetched(hub: LoopbackHub, plugins: Registry, pinned: CheckpointSpec) -> None:
    for wrong in (Pin(sha256="0" * 64, size=pinned.files[WEIGHTS].size), Pin(sha256=pinned.files[WEIGHTS].sha256, size=1)):
        other = CheckpointSpec(name="cats", family="fake", files={**pinned.files, WEIGHTS: wrong}, hub=pinned.hub)
        with registered(plugins, other), pytest.raises(IntegrityError, match="not what is pinned"):
            fetch("cats")
    assert not any(path.endswith(WEIGHTS) for path in asked(hub))


def test_a_small_file_that_is_not_what_is_pinned_does_not_get_into_the_cache(
    hub: LoopbackHub, plugins: Registry, pinned: CheckpointSpec
) -> None:
    wrong = Pin(sha256="0" * 64, size=pinned.files["config.json"].size)
    other = CheckpointSpec(name="cats", family="fake", files={**pinned.files, "config.json": wrong}, hub=pinned.hub)
    with registered(plugins, other), pytest.raises(IntegrityError, match=r"config\.json .* pinned is 000000000000"):
        fetch("cats")
    assert not any(path.name == oid_of(hub.read(CATS, "config.json"), "0" * 40) for path in blobs(home()))


@pytest.mark.parametrize("reference", [CATS, "cats"])
def test_a_wrong_file_in_the_cache_is_replaced_and_what_is_open_stays_as_it_was(
    hub: LoopbackHub, cats: Contents, pinned: CheckpointSpec, reference: str
) -> None:
    path = fetch(reference).folder / WEIGHTS
    spoiled = cats[WEIGHTS][:-1] + b"\1"
    path.write_bytes(spoiled)
    with path.open("rb") as held:
        assert fetch(reference).read(WEIGHTS) == cats[WEIGHTS]
        assert held.read() == spoiled
    assert path.read_bytes() == cats[WEIGHTS]


def test_what_another_client_cached_unverified_is_found_out(hub: LoopbackHub, cats: Contents, pinned: CheckpointSpec) -> None:
    with hub.fault(WEIGHTS, flip=-1):
        folder = Path(snapshot_download(CATS))
    assert (folder / WEIGHTS).read_bytes() != cats[WEIGHTS]
    for reference in ("cats", CATS):
        assert pull(reference)[0].read(WEIGHTS) == cats[WEIGHTS]


def test_a_wrong_file_in_the_cache_is_an_integrity_error_where_nothing_better_comes(
    hub: LoopbackHub, pinned: CheckpointSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = fetch("cats").folder / WEIGHTS
    path.write_bytes(path.read_bytes()[:-1] + b"\1")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(IntegrityError, match=r"sha256.*HF_HUB_OFFLINE"):
        pull("cats")


# What a hostile server says


@pytest.mark.parametrize("header", ["ETag", "X-Repo-Commit", "X-Linked-Etag", "X-Xet-Hash"])
@pytest.mark.parametrize("value", ["../../../evil", "/tmp/evil", "main", "d41d8cd98f00b204e9800998ecf8427e"])
def test_the_ids_in_headers_are_used_for_nothing(hub: LoopbackHub, cats: Contents, commit: str, header: str, value: str) -> None:
    with hub.fault("GET .*", headers={header: f'"{value}"'}):
        [files] = pull(CATS)
    assert files.folder.name == commit
    assert sorted(path.read_bytes() for path in blobs(home())) == sorted(cats.values())


def changed(**values: Any) -> Callable[[bytes], bytes]:
    """Changes the description of a repository; a function is applied to what is there."""

    def rewrite(body: bytes) -> bytes:
        data = json.loads(body)
        return json.dumps({**data, **{key: value(data[key]) if callable(value) else value for key, value in values.items()}}).encode()

    return rewrite


def weights_as(**values: Any) -> Callable[[bytes], bytes]:
    return changed(siblings=lambda files: [{**file, **values} if file["rfilename"] == WEIGHTS else file for file in files])


HOSTILE = {
    "a commit that leads out": changed(sha="../../../evil"),
    "an absolute commit": changed(sha="/tmp/evil"),
    "a branch for a commit": changed(sha="main"),
    "a commit with a newline": changed(sha="0" * 40 + "\n"),
    "no commit": changed(sha=None),
    "an id that leads out": weights_as(lfs={"sha256": "../../evil", "size": 3}),
    "an id of the wrong kind": weights_as(lfs={"sha256": "0" * 40, "size": 3}),
    "a large id for a small file": weights_as(lfs=None, blobId="0" * 64),
    "a negative size": weights_as(lfs={"sha256": "0" * 64, "size": -1}),
    "a truth for a size": weights_as(lfs={"sha256": "0" * 64, "size": True}),
    "a size beyond all disks": weights_as(lfs={"sha256": "0" * 64, "size": 1 << 60}),
    "no name": weights_as(rfilename=7),
    "a file that is none": changed(siblings=[7]),
    **{
        f"too large: {name}": changed(siblings=lambda files, name=name, size=size: [*files, {**files[1], "rfilename": name, "size": size}])
        for name, size in {
            "notes.json": (8 << 20) + 1,
            "NOTES.JSON": (8 << 20) + 1,
            "more.md": (4 << 20) + 1,
            "more.txt": (64 << 20) + 1,
            "grid.png": (64 << 20) + 1,
            "LICENSE": (64 << 20) + 1,
            "more.safetensors": (16 << 30) + 1,
        }.items()
    },
    "too many files": changed(siblings=lambda files: files + [{**files[-2], "rfilename": f"{i}.json"} for i in range(101)]),
    **{
        repr(name): changed(siblings=lambda files, name=name: [*files, {**files[-1], "rfilename": name}])
        for name in (
            "../evil.json",
            "/tmp/evil.json",
            "a/../../evil.json",
            "a//b.json",
            "./a.json",
            "evil\0.json",
            "\x1b[2J.json",
            "a\\b.json",
        )
    },
    "names that differ in case alone": changed(siblings=lambda files: [*files, {**files[-1], "rfilename": "Config.json"}]),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_description_that_could_lead_out_of_the_cache_is_unsafe(hub: LoopbackHub, commit: str, case: str) -> None:
    before = below(home().parent)
    with hub.fault("GET /api/models/", rewrite=HOSTILE[case]), pytest.raises(UnsafeContentError) as caught:
        pull(CATS)
    assert caught.value.what.isprintable()
    assert len(hub.requests) == 1
    assert below(home().parent) == before


@pytest.mark.parametrize("body", [b"", b"[]", b"no JSON", b"[" * 100_000, b"{}", b'{"siblings": 3}'])
def test_a_description_that_is_none_is_a_hub_error(hub: LoopbackHub, commit: str, body: bytes) -> None:
    with hub.fault("GET /api/models/", rewrite=lambda _: body), pytest.raises(HubError):
        pull(CATS)


def test_an_answer_without_end_is_left(hub: LoopbackHub, commit: str) -> None:
    with hub.fault("GET /api/models/", extra=9 << 20), pytest.raises(HubError, match="no end"):
        pull(CATS)


def test_another_commit_than_was_asked_for_is_an_integrity_error(hub: LoopbackHub, pinned: CheckpointSpec) -> None:
    with hub.fault("GET /api/models/", rewrite=changed(sha="0" * 40)), pytest.raises(IntegrityError, match="answered with 000000000000"):
        pull("cats")


def test_only_data_is_fetched_and_the_rest_is_named(
    hub: LoopbackHub, cats: Contents, commit: str, caplog: pytest.LogCaptureFixture
) -> None:
    harmful = ["run.py", "w.pkl", "w.bin", "w.pt", ".env", ".git/config", "sub/config.json", "ö.json"]
    hub.commit(CATS, dict.fromkeys(harmful, b"evil"))
    [files] = pull(CATS)
    assert set(files.names) == set(cats)
    assert not any(name in path for path in asked(hub) for name in harmful)
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage().endswith("'.env', '.git/config', 'run.py' and 5 more")
    pull(CATS)
    assert len(caplog.records) == 1


@pytest.mark.parametrize("name", [WEIGHTS, "config.json"])
def test_a_repository_without_config_or_weights_is_no_checkpoint(hub: LoopbackHub, cats: Contents, name: str) -> None:
    hub.add_repo(CATS, {other: data for other, data in cats.items() if other != name})
    with pytest.raises(NotFoundError, match=f"no {re.escape(name)}"):
        pull(CATS)
    assert len(hub.requests) == 1


def test_what_was_fetched_is_checked_like_any_checkpoint(hub: LoopbackHub, cats: Contents, commit: str) -> None:
    cases: list[tuple[str, bytes, type[ZooError]]] = [
        (WEIGHTS, save({"bad": torch.tensor([torch.nan])}), UnsafeContentError),
        (WEIGHTS, b"\0" * 100, UnsafeContentError),
        ("config.json", b'{"a": NaN', ConfigError),
        ("README.md", b"---\n&a [*a]\n---\n", CardError),
    ]
    for name, data, error in cases:
        hub.commit(CATS, {**cats, name: data})
        with pytest.raises(error):
            pull(CATS)


def test_an_error_in_the_content_names_the_repository_and_is_no_advice_to_authors(hub: LoopbackHub, cats: Contents, commit: str) -> None:
    for name, data in {"README.md": b"---\nno end", "config.json": b"[]", WEIGHTS: b"0" * 100}.items():
        hub.commit(CATS, {**cats, name: data})
        with pytest.raises(ZooError, match=f"^{CATS}: ") as caught:
            pull(CATS)
        assert caught.value.hint == "do not use it; tell its authors"


def test_a_card_without_front_matter_is_taken_by_pull_load_and_info(
    hub: LoopbackHub, cats: Contents, caplog: pytest.LogCaptureFixture
) -> None:
    hub.add_repo(CATS, {**cats, "README.md": b"# Cats\n\nThey are fine.\n"})
    assert "README.md" in pull(CATS)[0].names
    assert "the card of zoo/cats has no front matter: it states no licence" in caplog.text
    assert zoo_core.load(CATS).card.title == "Cats"
    assert (zoo_core.info(CATS)["summary"], zoo_core.info(CATS)["license"]) == ("They are fine.", "")


def test_json_that_the_zoo_does_not_read_may_be_anything(hub: LoopbackHub, cats: Contents) -> None:
    hub.add_repo(CATS, {**cats, "vocabulary.json": b'["a", "b"]'})
    assert "vocabulary.json" in pull(CATS)[0].names
    hub.commit(CATS, {"metrics.json": b"[]"})
    with pytest.raises(ConfigError, match=r"metrics\.json"):
        pull(CATS)


# Failures of the network


REFUSALS: dict[str, tuple[dict[str, Any], type[ZooError], str]] = {
    "401": ({"status": 401}, LoginError, "token is not accepted"),
    "403": ({"status": 403}, GatedError, "may not read"),
    "404": ({"status": 404}, NotFoundError, "no such repository"),
    "no revision": ({"status": 404, "headers": {"X-Error-Code": "RevisionNotFound"}}, NotFoundError, "no such revision"),
    "gated": ({"status": 403, "headers": {"X-Error-Code": "GatedRepo"}}, GatedError, "terms"),
    "418": ({"status": 418}, HubError, "418"),
    "429": ({"status": 429}, HubError, "429"),
    "500": ({"status": 500}, HubError, "500"),
    "503": ({"status": 503, "headers": {"Retry-After": "100"}}, HubError, "try again in 100 s"),
    "a reset": ({"reset": True}, HubError, "connection to .* broke"),
    "an early close": ({"truncate": 3}, HubError, "connection to .* broke"),
    "packed": ({"headers": {"Content-Encoding": "gzip"}}, HubError, "compressed"),
    "a redirect to nowhere": ({"status": 302, "headers": {"Location": "http://example.org/"}}, TrustError, "not HTTPS"),
    "a redirect to a file": ({"status": 302, "headers": {"Location": "file:///etc/passwd"}}, TrustError, "not HTTPS"),
    "a redirect to itself": ({"status": 302, "headers": {"Location": f"/api/models/{CATS}/revision/main"}}, HubError, "without end"),
}
TEMPORARY = {"429", "500", "a reset", "an early close"}


@pytest.mark.parametrize("case", REFUSALS)
def test_each_refusal_is_one_line_of_its_own_after_bounded_tries(hub: LoopbackHub, commit: str, case: str) -> None:
    what, error, words = REFUSALS[case]
    with hub.fault("GET /api/models/", **what) as fault, pytest.raises(error, match=words) as caught:
        pull(CATS)
    assert type(caught.value) is error
    assert caught.value.hint
    assert len(str(caught.value)) < 290
    assert fault.hits == (3 if case in TEMPORARY else 5 if case == "a redirect to itself" else 1)
    assert not home().joinpath("hub").exists()


@pytest.mark.parametrize("case", ["500", "429", "a reset", "an early close"])
@pytest.mark.parametrize("match", ["GET /api/models/", f"GET .*/{WEIGHTS}", "GET .*/config.json"])
def test_what_fails_twice_and_then_works_is_pulled(hub: LoopbackHub, cats: Contents, commit: str, case: str, match: str) -> None:
    with hub.fault(match, **REFUSALS[case][0], times=2) as fault:
        [files] = pull(CATS)
    assert fault.hits == 2
    assert {name: files.read(name) for name in files.names} == cats


def test_a_download_goes_on_where_it_stopped(hub: LoopbackHub, cats: Contents, commit: str) -> None:
    with hub.fault("GET /lfs/", truncate=100, times=1):
        pull(CATS)
    got = [(request.range, request.sent) for request in hub.requests if request.host == "content"]
    assert got == [(None, 100), ("bytes=100-", len(cats[WEIGHTS]) - 100)]


def test_a_server_that_cannot_go_on_begins_anew(hub: LoopbackHub, cats: Contents, commit: str) -> None:
    def whole(body: bytes) -> bytes:
        return cats[WEIGHTS]

    def resumed(request: Request) -> bool:
        return request.range is not None

    wrong = {"Content-Range": "bytes 0-9/10"}
    with hub.fault(resumed, rewrite=whole, headers=wrong), hub.fault("GET /lfs/", truncate=100, times=1):
        assert pull(CATS)[0].read(WEIGHTS) == cats[WEIGHTS]


def test_a_silent_server_is_left_after_the_timeout(hub: LoopbackHub, commit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "TIMEOUT", 0.05)
    started = time.monotonic()
    with hub.fault("GET /api/", delay=threading.Event()) as fault, pytest.raises(HubError, match=r"silent for 0\.05 s"):
        pull(CATS)
    assert fault.hits == 3
    assert time.monotonic() - started < 5


def test_a_wait_that_the_hub_asks_for_is_kept_if_it_is_short(hub: LoopbackHub, commit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    with hub.fault("GET /api/", status=429, headers={"Retry-After": "7"}, times=1):
        pull(CATS)
    assert slept == [7.0]


def test_a_missing_repository_and_file_say_so(hub: LoopbackHub, pinned: CheckpointSpec, plugins: Registry) -> None:
    with pytest.raises(NotFoundError, match="zoo/dogs@main"):
        fetch("zoo/dogs")
    with pytest.raises(NotFoundError, match="no such revision"):
        fetch(f"{CATS}@v9")
    more = CheckpointSpec(name="cats", files={**pinned.files, "LICENSE": Pin(sha256="0" * 64, size=1)}, hub=pinned.hub)
    with registered(plugins, more), pytest.raises(NotFoundError, match="no LICENSE"):
        fetch("cats")
    with hub.fault(r"GET .*/resolve/.*config\.json", status=404), pytest.raises(NotFoundError, match=r"config\.json.*no such file"):
        fetch(CATS)


def test_private_and_gated_repositories_tell_what_to_do(hub: LoopbackHub, cats: Contents, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.add_repo(CATS, cats, private=True)
    hub.add_repo("zoo/dogs", cats, gated=True)
    pull(CATS, "zoo/dogs")
    hub.add_repo("zoo/eels", cats, gated=True)
    for token, hint in ((hub.visitor_token, "accept its terms"), ("", "HF_TOKEN")):
        monkeypatch.setenv("HF_TOKEN", token)
        with pytest.raises(NotFoundError, match="HF_TOKEN"):
            pull(CATS)
        with pytest.raises(GatedError, match=hint):
            pull("zoo/eels")
    monkeypatch.setenv("HF_TOKEN", "hf_nobodys")
    monkeypatch.setenv("HF_HUB_CACHE", str(home() / "empty"))
    with pytest.raises(LoginError, match="token is not accepted"):
        pull(CATS)


# Offline, and what may be trusted


def no_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **options: object) -> None:
        raise AssertionError("a socket")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.mark.parametrize("reference", ["cats", CATS, f"{CATS}@main"])
def test_offline_and_cached_needs_no_socket(
    hub: LoopbackHub, pinned: CheckpointSpec, reference: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pull(reference)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    no_sockets(monkeypatch)
    [files] = pull(reference)
    assert files.source.startswith("the cache, zoo/cats at ")
    assert zoo_core.load(reference).sample(2).shape == (2, 2)
    for record in caplog.records:
        assert re.search(r"is what it was when it was last fetched, .*: HF_HUB_OFFLINE forbids requests", record.getMessage())
        assert "not cached" not in record.getMessage()
    assert bool(caplog.records) == (reference != "cats")


@pytest.mark.parametrize("reference", ["cats", CATS, f"{CATS}@v1", f"{CATS}@{'0' * 40}"])
def test_offline_and_not_cached_is_an_offline_error_without_a_socket(
    pinned: CheckpointSpec, reference: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    no_sockets(monkeypatch)
    with pytest.raises(OfflineError, match="HF_HUB_OFFLINE forbids"):
        pull(reference)


@pytest.mark.parametrize("what", [{"reset": True}, {"status": 503}])
def test_a_branch_that_cannot_be_asked_for_is_what_it_was(
    hub: LoopbackHub, commit: str, what: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    with hub.fault("GET /api/", **what):
        with pytest.raises(HubError):
            pull(CATS)
        caplog.clear()
    pull(CATS)
    with hub.fault("GET /api/", **what):
        assert pull(CATS)[0].hub == Hub(repo=CATS, commit=commit)
    assert "is what it was when it was last fetched" in caplog.text


@pytest.mark.parametrize("what", [{"status": 404}, {"status": 403}, {"rewrite": lambda body: body.replace(b"sha", b"shy")}])
def test_a_branch_that_is_gone_or_hostile_is_not_what_it_was(hub: LoopbackHub, commit: str, what: dict[str, Any]) -> None:
    pull(CATS)
    with hub.fault("GET /api/", **what), pytest.raises((NotFoundError, GatedError, UnsafeContentError)):
        pull(CATS)


def test_a_dead_endpoint_is_an_offline_error(hub: LoopbackHub, pinned: CheckpointSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{free.getsockname()[1]}")
    with pytest.raises(OfflineError, match=r"cannot reach 127\.0\.0\.1.*refused"):
        pull("cats")


@pytest.mark.parametrize("name", ["example.org", "10.0.0.1", "127.0.0.1.example.org", "0.0.0.0", "[2001:db8::1]", "localhost.example.org"])
def test_plain_http_to_another_machine_is_not_asked(pinned: CheckpointSpec, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", f"http://{name}:8080")
    no_sockets(monkeypatch)
    for reference in ("cats", CATS):
        with pytest.raises(TrustError, match="plain HTTP"):
            pull(reference)


@pytest.mark.parametrize(
    "address", ["huggingface.co", "ftp://huggingface.co", "https://", "http://[", "https://a:b", "file:///etc", "https://me:pw@a"]
)
def test_an_endpoint_that_is_no_address_is_a_usage_error(pinned: CheckpointSpec, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", address)
    with pytest.raises(UsageError, match="HF_ENDPOINT"):
        pull("cats")


def test_the_environment_counts_as_it_is_at_the_call(
    hub: LoopbackHub, cats: Contents, commit: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pull(CATS)
    for variable, folder in (("HF_HOME", "a/hub"), ("HF_HUB_CACHE", "b"), ("HF_HUB_CACHE", "c")):
        monkeypatch.setenv(variable, str(tmp_path / folder.partition("/")[0]))
        assert fetch(CATS).folder == tmp_path / folder / "models--zoo--cats" / "snapshots" / commit
    monkeypatch.delenv("HF_HUB_CACHE")
    monkeypatch.delenv("HF_HOME")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "d"))
    assert cache_folder() == tmp_path / "d" / "huggingface" / "hub"
    monkeypatch.setenv("HF_HUB_OFFLINE", "TRUE")
    with pytest.raises(OfflineError):
        fetch(CATS)


def test_the_token_is_in_no_message(
    hub: LoopbackHub, commit: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    told = []
    for token in ("hf_abcSECRETdef", "hf_abcSECRET\x00def", "SECRET\nSECRET", "SECRET\xe9"):
        monkeypatch.setattr("huggingface_hub.get_token", lambda token=token: token)
        for case in REFUSALS.values():
            what = {**case[0], "headers": {**case[0].get("headers", {}), "X-Error-Message": token.encode("ascii", "ignore").hex()}}
            with hub.fault("GET /api/", **what), pytest.raises(ZooError) as caught:
                pull(CATS)
            told.append("".join(map(str, (caught.value, caught.getrepr(chain=True, style="native")))))
    assert "SECRET" not in "".join(told).replace("SECRETdef\\n", "")
    assert "SECRET" not in caplog.text


# The cache


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
    assert re.search("is what it was when it was last fetched, .*: cannot write into the cache .* Read-only", caplog.text)
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


@pytest.mark.parametrize("place", ["keep", "link"])
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


# Families


def other_family(cats: Contents, plugin: object = "zoo-wgan") -> Contents:
    config = {**json.loads(cats["config.json"]), "model": {"name": "os.system"}}
    card = f"---\nlicense: mit\ntags: [zoo-core]\nzoo: {json.dumps({'family': 'os.system', 'plugin': plugin})}\n---\n\n# X\n\nA card.\n"
    return {**cats, "config.json": json.dumps(config).encode(), "README.md": card.encode()}


def test_a_family_that_is_not_installed_is_named_with_the_plugin_that_the_card_names(hub: LoopbackHub, cats: Contents) -> None:
    hub.add_repo(CATS, other_family(cats))
    pull(CATS)
    for use in (zoo_core.load, zoo_core.info):
        with pytest.raises(UnknownNameError, match=r"unknown family 'os\.system' -- its card \(unverified\) says: pip install zoo-wgan"):
            use(CATS)


@pytest.mark.parametrize(
    "plugin", ["zoo; rm -rf /", "--index-url=http://evil", "a" * 65, "zoo\x1b[31m", 7, ["zoo"], "", "git+https://x/y", "../x"]
)
def test_a_plugin_that_is_no_name_is_not_repeated(hub: LoopbackHub, cats: Contents, plugin: object) -> None:
    hub.add_repo(CATS, other_family(cats, plugin))
    with pytest.raises(UnknownNameError) as caught:
        zoo_core.info(CATS)
    assert "pip install" not in str(caught.value)
    assert named_plugin({"zoo": {"plugin": plugin}}) == ("", "")


def test_a_search_tells_family_and_plugin(hub: LoopbackHub, cats: Contents, commit: str) -> None:
    hub.add_repo("zoo/dogs", other_family(cats))
    hub.add_repo("evil/names", {}, tags=["zoo-core"])
    hub.add_repo("zoo/else", {}, tags=["other"])
    found = {model.repo: (model.commit == hub.repos[model.repo].head.id, model.family, model.plugin) for model in search(families=["fake"])}
    assert found == {
        "zoo/dogs": (True, "os.system", "zoo-wgan"),
        CATS: (True, "fake", ""),
        "evil/names": (True, "", ""),
    }
    assert [model.repo for model in search("DOG")] == ["zoo/dogs"]
    assert [model.repo for model in search(author="evil")] == ["evil/names"]
    assert len(search(limit=1)) == 1


def test_a_hostile_search_is_shown_as_far_as_it_is_well_formed(hub: LoopbackHub, commit: str) -> None:
    models = [
        7,
        {"id": "\x1b[2J/x"},
        {"id": "a/b", "tags": 3, "cardData": [], "sha": "..", "lastModified": {}},
        {"id": "a/c", "tags": [[]]},
    ]
    with hub.fault("GET /api/models", rewrite=lambda _: json.dumps(models).encode()):
        assert [(model.repo, model.commit, model.family) for model in search()] == [("a/b", "", ""), ("a/c", "", "")]
    for body in (b"{}", b"3", b"", b"[" * 10_000):
        with hub.fault("GET /api/models", rewrite=lambda _, body=body: body), pytest.raises(HubError):
            search()


# The command line


def test_the_command_line_pulls_lists_shows_and_says_where_from(hub: LoopbackHub, commit: str, cats: Contents, tmp_path: Path) -> None:
    hub.add_repo("zoo/dogs", other_family(cats))
    done = run("list", "--remote", "--json", site=tmp_path / "site")
    assert [(model["repo"], model["state"]) for model in json.loads(done.stdout)] == [
        ("zoo/dogs", "needs a plugin, by its card zoo-wgan"),
        (CATS, "pullable"),
    ]
    done = run("pull", CATS, "zoo/dogs", site=tmp_path / "site")
    assert done.returncode == 0, done.stderr
    assert [Path(line).name for line in done.stdout.splitlines()] == [commit, hub.repos["zoo/dogs"].head.id]
    assert re.search(r"zoo/cats: 3 files, .*; from 127\.0\.0\.1:\d+, zoo/cats at", done.stderr)
    assert "zoo: warning: no installed plugin has its family 'os.system' -- its card (unverified) says: pip install zoo-wgan" in done.stderr
    assert re.search(r"^zoo/cats +fake +here ", run("list", "--remote", site=tmp_path / "site").stdout, re.MULTILINE)
    before = len(hub.requests)
    assert run("show", f"{CATS}@{commit}", site=tmp_path / "site").returncode == 0
    assert run("show", f"zoo/dogs@{hub.repos['zoo/dogs'].head.id}", site=tmp_path / "site").returncode == 9
    assert len(hub.requests) == before


EXITS: dict[str, tuple[int, dict[str, Any], dict[str, str]]] = {
    "a flipped byte": (5, {"match": f"GET .*/{WEIGHTS}", "flip": -1}, {}),
    "not found": (4, {"match": "GET /api/", "status": 404}, {}),
    "offline": (4, {"match": "nothing"}, {"HF_HUB_OFFLINE": "1"}),
    "plain http": (6, {"match": "nothing"}, {"HF_ENDPOINT": "http://example.org"}),
    "an evil commit": (7, {"match": "GET /api/", "rewrite": HOSTILE["a commit that leads out"]}, {}),
    "a cache that is a file": (8, {"match": "nothing"}, {"HF_HUB_CACHE": __file__}),
}


@pytest.mark.parametrize("case", EXITS)
def test_every_failure_of_a_pull_is_one_line_with_its_exit_code(hub: LoopbackHub, commit: str, case: str, tmp_path: Path) -> None:
    code, fault, variables = EXITS[case]
    with hub.fault(**fault):
        done = run("pull", CATS, site=tmp_path / "site", **variables)
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    assert re.fullmatch(r"zoo: error: [^\n]{1,289}\n", done.stderr)
    assert hub.token not in done.stderr
    if "HF_ENDPOINT" in variables or "HF_HUB_OFFLINE" in variables:
        assert hub.requests == ()


def test_options_of_a_remote_list_need_remote(hub: LoopbackHub, tmp_path: Path) -> None:
    for args in (("list", "--search", "x"), ("list", "--limit", "3"), ("list", "families", "--remote")):
        assert run(*args, site=tmp_path / "site").returncode == 2
    assert "has none that match" in run("list", "--remote", "--search", "x", site=tmp_path / "site").stderr


# Many processes

# On a busy machine it takes long until all of them wait for the first, whose server is silent for so long.
PULL = """
from zoo_core.hub import client, download
from zoo_core.hub.fetch import pull
client.TIMEOUT = download._FILE_SECONDS = 300.0
print(pull('zoo/cats')[0].folder)
"""


@pytest.mark.parametrize(("processes", "killed"), [(4, 2), pytest.param(16, 8, marks=pytest.mark.slow)])
def test_pulls_at_once_fetch_a_file_twice_at_most_though_half_of_them_are_killed(
    hub: LoopbackHub, cats: Contents, commit: str, processes: int, killed: int, tmp_path: Path
) -> None:
    clients: list[subprocess.Popen[str]] = []
    ready, go = threading.Event(), threading.Event()

    def first(request: Request) -> None:
        """The first to ask for the weights waits until the others wait for it; then half of them die, it last: if it died first, another
        that is to die could take its place and begin a download of its own."""
        ready.set()
        go.wait(300)

    with hub.fault("GET /lfs/", on_request=first, times=1):
        for _ in range(processes):
            env = {**environment(), "ZOO_PLUGINS": ""}
            clients.append(
                subprocess.Popen([sys.executable, "-c", PULL], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            )
        try:
            assert ready.wait(300)
            _until(lambda: sum(str(request).startswith("GET /api/") for request in hub.requests) == processes)
            holder = next(client for client in clients if _holds(client, WEIGHTS, cats))
            waiting = [client for client in clients if client is not holder]
            for client in [*waiting[: killed - 1], holder]:
                client.kill()
                client.wait()
        finally:
            go.set()
        told = [client.communicate(timeout=300) for client in clients]
    survivors = [(client.returncode, *out) for client, out in zip(clients, told, strict=True) if client.returncode != -9]
    assert len(survivors) == processes - killed
    assert {code for code, _, _ in survivors} == {0}, survivors
    for name, data in cats.items():
        assert (cache_folder() / "models--zoo--cats" / "snapshots" / commit / name).read_bytes() == data
    fetched = [request.path.rpartition("/")[2] for request in hub.requests if request.status == 200 and "/api/" not in request.path]
    assert all(fetched.count(name) <= 2 for name in cats), fetched


def _holds(client: "subprocess.Popen[str]", name: str, cats: Contents) -> bool:
    """Whether a process has the unfinished download of a file open; any may be taken for it where the system does not tell."""
    handles = Path(f"/proc/{client.pid}/fd")
    if not handles.is_dir():
        return True
    oid = hashlib.sha256(cats[name]).hexdigest()
    return any(re.search(rf"/{oid}\..*incomplete$", os.readlink(path)) for path in handles.iterdir() if path.is_symlink())


def _until(condition: Callable[[], bool]) -> None:
    tick = threading.Event()
    for _ in range(30_000):
        if condition():
            return
        tick.wait(0.01)
    raise AssertionError("it never happened")


def test_a_bar_is_drawn_on_a_terminal_alone(hub: LoopbackHub, commit: str, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    fetch(CATS)
    assert capsys.readouterr().err == ""
    monkeypatch.setenv("HF_HUB_CACHE", str(home() / "other"))
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.delenv("HF_HUB_DISABLE_PROGRESS_BARS")
    fetch(CATS)
    assert "zoo/cats" in capsys.readouterr().err


def test_files_of_the_hub_are_read_through_the_links_of_the_cache_alone(hub: LoopbackHub, pinned: CheckpointSpec, tmp_path: Path) -> None:
    files: Files = fetch("cats")
    path = files.folder / "config.json"
    data = path.read_bytes()
    path.unlink()
    (tmp_path / "secret").write_bytes(data)
    path.symlink_to(tmp_path / "secret")
    with pytest.raises(UnsafeContentError, match="link out"):
        fetch("cats").read("config.json")
