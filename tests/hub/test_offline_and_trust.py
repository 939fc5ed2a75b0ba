"""Cached files need no network, and plain HTTP to another machine is refused."""

import re
import socket
from pathlib import Path
from typing import Any

import pytest

import zoo_core
from zoo_core.errors import (
    GatedError,
    HubError,
    NotFoundError,
    OfflineError,
    TrustError,
    UnsafeContentError,
    UsageError,
)
from zoo_core.hub.cache import cache_folder
from zoo_core.hub.fetch import fetch, pull
from zoo_core.specs import CheckpointSpec, Hub
from zoo_core.testing.hub import LoopbackHub

from .helpers import CATS, Contents

pytest_plugins = ["zoo_core.testing.hub"]


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
        assert re.search(r"using the last fetched copy of .*, .*: HF_HUB_OFFLINE forbids requests", record.getMessage())
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
    assert "using the last fetched copy" in caplog.text


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
