"""Every failure of the network is one line of its own after bounded tries, and never holds the token."""

import logging
import threading
import time
from typing import Any

import pytest

from zoo_core.errors import (
    GatedError,
    HubError,
    LoginError,
    NotFoundError,
    TrustError,
    ZooError,
)
from zoo_core.hub import client
from zoo_core.hub.fetch import fetch, pull
from zoo_core.registry import Registry
from zoo_core.specs import CheckpointSpec, Pin
from zoo_core.testing.hub import LoopbackHub, Request

from .helpers import CATS, WEIGHTS, Contents, home, registered

pytest_plugins = ["zoo_core.testing.hub"]


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
    monkeypatch.setattr(client, "TIMEOUT", 0.05)
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


def test_the_token_is_in_no_message(
    hub: LoopbackHub, commit: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    messages = []
    for token in ("hf_abcSECRETdef", "hf_abcSECRET\x00def", "SECRET\nSECRET", "SECRET\xe9"):
        monkeypatch.setattr("huggingface_hub.get_token", lambda token=token: token)
        for case in REFUSALS.values():
            what = {**case[0], "headers": {**case[0].get("headers", {}), "X-Error-Message": token.encode("ascii", "ignore").hex()}}
            with hub.fault("GET /api/", **what), pytest.raises(ZooError) as caught:
                pull(CATS)
            messages.append("".join(map(str, (caught.value, caught.getrepr(chain=True, style="native")))))
    assert "SECRET" not in "".join(messages).replace("SECRETdef\\n", "")
    assert "SECRET" not in caplog.text
