"""Failures of the Hub while publishing: one error of the zoo, and another run completes the repository."""

import json
from threading import Event
from typing import Any

import pytest

from zoo_core.errors import (
    CardError,
    HubError,
    IntegrityError,
    NotFoundError,
    OfflineError,
    TrustError,
    UnsafeContentError,
    ZooError,
)
from zoo_core.publishing import upload as uploading
from zoo_core.testing.hub import LoopbackHub

from .helpers import CAT, files_of, put

pytest_plugins = ["zoo_core.testing.hub"]
pytestmark = pytest.mark.usefixtures("fakes")


@pytest.mark.parametrize(
    ("match", "fault", "error", "words"),
    [
        (
            "GET /api/models",
            {"status": 401, "headers": {"X-Error-Message": "Invalid credentials in Authorization header"}},
            HubError,
            "token",
        ),
        ("GET /api/models", {"status": 418}, HubError, "418"),
        ("GET /api/models", {"status": 200, "body": b"[]"}, HubError, "get along"),
        ("GET /api/models", {"status": 200, "body": b"<html>"}, HubError, "not JSON"),
        ("GET /api/models", {"reset": True}, HubError, "connection"),
        ("GET /api/models", {"status": 403, "headers": {"X-Error-Code": "GatedRepo"}}, HubError, "gated"),
        ("POST /api/repos/create", {"status": 403}, HubError, "may not write"),
        ("POST /api/validate-yaml", {"status": 400, "body": b'{"errors": [{"message": "license"}]}'}, CardError, "card: .*license"),
        ("POST .*/preupload/", {"status": 507}, HubError, "507"),
        ("POST .*/objects/batch", {"status": 200, "body": b"{}"}, HubError, "get along"),
        ("PUT /lfs/", {"status": 400}, HubError, "400"),
        ("POST .*/commit/", {"status": 500}, HubError, "later"),
        ("POST .*/commit/", {"status": 413, "headers": {"X-Error-Message": "quota exceeded"}}, HubError, "quota"),
        ("POST .*/commit/", {"reset": True}, HubError, "connection"),
        ("POST .*/commit/", {"truncate": 0}, HubError, "connection"),
        (
            "POST .*/commit/",
            {"rewrite": lambda body: json.dumps({**json.loads(body), "commitOid": "../../main"}).encode()},
            UnsafeContentError,
            "commit",
        ),
        ("GET /api/models/zoo/cat/revision", {"rewrite": lambda body: body.replace(b'"lfs"', b'"x"')}, IntegrityError, "model.safetensors"),
        ("GET /api/models/zoo/cat$", {"rewrite": lambda body: body.replace(b'"sha": "', b'"sha": "../')}, UnsafeContentError, "commit"),
        ("GET .*/refs", {"status": 404}, NotFoundError, "finds no"),
        ("POST .*/tag/", {"status": 409}, HubError, "409"),
    ],
)
def test_what_the_hub_fails_at_is_an_error_of_ours_and_a_rerun_completes(
    match: str, fault: dict[str, Any], error: type[ZooError], words: str, run: str, hub: LoopbackHub
) -> None:
    with hub.fault(match, **fault) as struck, pytest.raises(error, match=words) as raised:
        put(run, tag="v1")
    assert struck.hits >= 1
    assert type(raised.value) is error or error is HubError
    assert raised.value.hint
    assert len(str(raised.value)) < 400
    done = put(run, tag="v1")
    assert set(done.files) == set(files_of(hub))
    assert hub.repos[CAT].refs == {"v1": hub.commits(CAT)[0].id}
    assert len(hub.commits(CAT)) == 2


@pytest.mark.parametrize(
    ("match", "fault", "error"),
    [
        ("POST .*/tag/", {"status": 500}, HubError),
        ("POST .*/tag/", {"status": 403}, HubError),
        ("GET /api/models/zoo/cat/revision", {"status": 500}, HubError),
        ("GET /api/models/zoo/cat/revision", {"status": 404, "headers": {"X-Error-Code": "RevisionNotFound"}}, NotFoundError),
    ],
)
def test_what_fails_after_the_commit_names_the_commit(
    match: str, fault: dict[str, Any], error: type[ZooError], run: str, hub: LoopbackHub
) -> None:
    with hub.fault(match, **fault), pytest.raises(error) as raised:
        put(run, tag="v1")
    assert type(raised.value) is error
    assert raised.value.what.startswith(f"published as {hub.commits(CAT)[0].id}; ")
    assert hub.token not in str(raised.value)
    assert len(hub.commits(CAT)) == 2


def test_a_silent_hub_is_not_waited_for_forever(run: str, hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploading, "PATIENCE", 0.3)
    with hub.fault("POST .*/commit/", delay=Event(), status=500), pytest.raises(HubError, match="connection"):
        put(run)
    assert files_of(hub) == {}


def test_without_a_token_nothing_is_asked(run: str, hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(HubError, match="hf auth login"):
        put(run)
    assert hub.requests == ()


def test_a_token_that_may_not_write_is_refused(run: str, hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.add_repo(CAT, {})
    for token, words in ((hub.visitor_token, "may not write"), ("hf_wrong", "does not know your token")):
        monkeypatch.setenv("HF_TOKEN", token)
        with pytest.raises(HubError, match=words) as raised:
            put(run)
        assert token not in str(raised.value)
    assert files_of(hub) == {}


def test_plain_http_to_another_machine_gets_no_token(run: str, hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://hub.example.org")
    with pytest.raises(TrustError):
        put("no such folder")
    assert hub.requests == ()


def test_offline_nothing_is_published(run: str, hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(OfflineError):
        put(run)
    assert hub.requests == ()


def test_a_server_without_xet_gets_the_files_by_lfs(run: str, hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("hf_xet")
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", False)
    put(run)
    assert [str(request) for request in hub.requests if "xet" in request.path] == [f"GET /api/models/{CAT}/xet-write-token/main"]
    assert len(hub.commits(CAT)) == 2
    assert [request.method for request in hub.requests if request.host == "content"] == ["PUT", "PUT"]
