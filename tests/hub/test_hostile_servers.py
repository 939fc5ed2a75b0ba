"""Answers of a hostile server lead nowhere but into one clear error."""

import logging
import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from safetensors.torch import save

import zoo_core
from zoo_core.errors import (
    CardError,
    ConfigError,
    HubError,
    IntegrityError,
    NotFoundError,
    UnsafeContentError,
    ZooError,
)
from zoo_core.hub.fetch import pull
from zoo_core.specs import CheckpointSpec
from zoo_core.testing.hub import LoopbackHub

from .helpers import CATS, WEIGHTS, Contents, asked, below, blobs, changed, home

pytest_plugins = ["zoo_core.testing.hub"]


@pytest.mark.parametrize("header", ["ETag", "X-Repo-Commit", "X-Linked-Etag", "X-Xet-Hash"])
@pytest.mark.parametrize("value", ["../../../evil", "/tmp/evil", "main", "d41d8cd98f00b204e9800998ecf8427e"])
def test_the_ids_in_headers_are_used_for_nothing(hub: LoopbackHub, cats: Contents, commit: str, header: str, value: str) -> None:
    with hub.fault("GET .*", headers={header: f'"{value}"'}):
        [files] = pull(CATS)
    assert files.folder.name == commit
    assert sorted(path.read_bytes() for path in blobs(home())) == sorted(cats.values())


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
def test_an_answer_that_is_not_a_description_is_a_hub_error(hub: LoopbackHub, commit: str, body: bytes) -> None:
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
