"""The Hub on bad days: slow servers, other processes, proxies, expired logins, moved names, links planted in the cache."""

import logging
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import close_session

import zoo_core
from zoo_core.checkpoint.files import Stream, oid_of
from zoo_core.errors import GatedError, HubError, LockTimeout, LoginError, OfflineError, ResourceError, UnsafeContentError, UsageError
from zoo_core.hub import client, locks
from zoo_core.hub.cache import RepoCache, cache_folder
from zoo_core.hub.deadline import Deadline
from zoo_core.hub.fetch import pull
from zoo_core.publishing import publish
from zoo_core.publishing import upload as uploading
from zoo_core.testing import environment
from zoo_core.testing.hub import LoopbackHub, loopback_hub

from .helpers import CATS

pytest_plugins = ["zoo_core.testing.hub"]


# Time


@pytest.mark.parametrize("part", ["headers", "chunks"])
@pytest.mark.parametrize(
    ("match", "limit"), [("GET /api/", "zoo_core.hub.client._ANSWER_SECONDS"), ("GET /lfs/", "zoo_core.hub.download._FILE_SECONDS")]
)
def test_a_server_that_is_never_silent_and_never_done_is_left_after_the_deadline(
    hub: LoopbackHub, commit: str, part: str, match: str, limit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limit, 0.3)
    started = time.monotonic()
    with hub.fault(match, drip=part), pytest.raises(HubError, match=r"too slow: .* did not arrive within 0 s -- try again later"):
        pull(CATS)
    assert time.monotonic() - started < 20
    assert not list(cache_folder().glob("models--*/blobs/*.incomplete"))


@pytest.mark.parametrize("size", [1, 16 << 30])
def test_the_deadline_of_a_body_depends_on_the_bytes_that_came_and_has_an_end(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    deadline = Deadline("a hub", "a file", 60.0, pace=1000.0, longest=3600.0)
    assert deadline.left == 60.0
    deadline.received = 5000
    assert deadline.left == 65.0
    deadline.received = size << 40
    assert deadline.left == 3600.0
    now[0] = 3601.0
    with pytest.raises(HubError, match="did not arrive within 3601 s"):
        deadline.check()


def test_an_error_of_a_request_is_raised_where_it_was_made() -> None:
    with pytest.raises(ZeroDivisionError):
        Deadline("a hub", "a file", 60.0).run(lambda: 1 // 0)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": "Thu, 01 Jan 2026 01:00:00 GMT"}, 3600.0),
        ({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
        ({"RateLimit": '"api";r=0;t=55'}, 55.0),
        ({"RateLimit": '"api";r=3;t=55'}, 0.0),
        ({"Retry-After": "soon", "RateLimit": "none"}, 0.0),
    ],
)
def test_the_time_of_the_next_try_is_read_from_seconds_dates_and_rate_limits(
    headers: Mapping[str, str], seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "time", lambda: datetime(2026, 1, 1, tzinfo=UTC).timestamp())
    assert client.retry_after(headers) == seconds


def test_a_rate_limit_says_when_to_try_again(hub: LoopbackHub, commit: str) -> None:
    limited = {"RateLimit": '"api";r=0;t=55'}
    with hub.fault("GET /api/", status=429, headers=limited) as fault, pytest.raises(HubError, match="try again in 55 s"):
        pull(CATS)
    assert fault.hits == 1


# Other processes


def test_a_wait_for_another_process_says_who_holds_the_lock_and_how_long(
    hub: LoopbackHub, commit: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(locks, "_QUIET", 0.01)
    monkeypatch.setenv("ZOO_LOCK_TIMEOUT", "0.3")
    who = rf"process {os.getpid()} \(.+\)" if Path("/proc/locks").exists() else "another process"
    oid = oid_of(hub.read(CATS, "README.md"), "0" * 40)  # the first to be fetched
    with RepoCache(CATS, cache_folder()).lock(oid), pytest.raises(LockTimeout, match=rf"{who} has been .*README.md.*--lock-timeout"):
        pull(CATS)
    assert re.search(rf"waiting for {who}, which fetches README.md of zoo/cats: 0 of at most 0 s", caplog.text)


@pytest.mark.parametrize("value", ["soon", "-1", "nan"])
def test_a_lock_timeout_that_is_no_number_of_seconds_is_refused(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_LOCK_TIMEOUT", value)
    with pytest.raises(UsageError, match=value):
        locks.lock_timeout()


def test_the_command_line_sets_the_time_to_wait(zoo: Callable[..., Any], hub: LoopbackHub, commit: str, monkeypatch: Any) -> None:
    monkeypatch.setenv("ZOO_LOCK_TIMEOUT", "100")  # so that it is put back afterwards
    oid = oid_of(hub.read(CATS, "README.md"), "0" * 40)
    with RepoCache(CATS, cache_folder()).lock(oid):
        result = zoo("pull", "--lock-timeout", "0.05", CATS)
    assert result.code == 10
    assert "has been fetching README.md of zoo/cats" in result.err


def test_a_lock_file_of_somebody_else_is_named_with_its_owner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.lock"
    path.touch()

    def refused(*args: object, **options: object) -> int:
        raise PermissionError(13, "Permission denied", str(path))

    with monkeypatch.context() as patched:
        patched.setattr(os, "open", refused)
        with (
            pytest.raises(ResourceError, match=r"cannot open the lock .*x\.lock of user .*HF_HUB_CACHE"),
            locks.file_lock(path, "a file", 1.0),
        ):
            pass


# Addresses and logins


def test_a_hub_on_this_machine_is_asked_without_the_proxy(hub: LoopbackHub, commit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with loopback_hub() as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.endpoint)
        monkeypatch.delenv("NO_PROXY")
        monkeypatch.delenv("no_proxy")
        pull(CATS)
        assert proxy.requests == ()


def test_a_dead_proxy_is_named_without_its_password(hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import close_session

    monkeypatch.setenv("HF_ENDPOINT", "https://hub.example")
    monkeypatch.setenv("HTTPS_PROXY", "http://me:secret@127.0.0.1:1")
    monkeypatch.setenv("https_proxy", "http://me:secret@127.0.0.1:1")
    close_session()
    with pytest.raises(OfflineError, match=r"cannot reach hub\.example through the proxy 127\.0\.0\.1:1 .* check HTTPS_PROXY") as error:
        pull(CATS)
    assert "secret" not in str(error.value)


@pytest.mark.parametrize("text", ["{} ", " {}/\t"])
def test_blanks_around_the_address_of_the_hub_are_left_out(hub: LoopbackHub, commit: str, text: str) -> None:
    env = {**environment(), "ZOO_PLUGINS": "", "HF_ENDPOINT": text.format(hub.endpoint)}
    command = [sys.executable, "-c", f"from zoo_core.hub.fetch import pull; print(pull('{CATS}')[0].hub.commit)"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout.strip() == commit, done.stderr


def test_a_token_that_is_not_accepted_says_where_it_comes_from(hub: LoopbackHub, commit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_nobodys")
    with pytest.raises(LoginError, match="set HF_TOKEN again, or unset it"):
        pull(CATS)
    monkeypatch.delenv("HF_TOKEN")
    path = Path(os.environ["HF_HOME"]) / "token"
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_text("hf_nobodys")
    with pytest.raises(LoginError, match="log in again: `hf auth login`"):
        pull(CATS)


def test_what_is_cached_is_used_where_the_login_has_expired(
    hub: LoopbackHub, commit: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pull(CATS)
    monkeypatch.setenv("HF_TOKEN", "hf_nobodys")
    assert zoo_core.load(CATS).sample(1).shape == (1, 2)
    assert "the token is not accepted" in caplog.text
    with hub.fault("GET /api/", status=403), pytest.raises(GatedError):
        pull(CATS)


# Names


def test_a_warning_names_a_renamed_repository(hub: LoopbackHub, commit: str, caplog: pytest.LogCaptureFixture) -> None:
    with hub.fault("GET /api/", rewrite=lambda body: body.replace(b'"id": "zoo/cats"', b'"id": "zoo/lions"')):
        pull(CATS)
    assert "zoo/cats is now zoo/lions" in caplog.text


def test_a_warning_names_a_tag_with_the_name_of_a_branch(hub: LoopbackHub, commit: str, caplog: pytest.LogCaptureFixture) -> None:
    hub.repos[CATS].refs["v1"] = commit
    refs = rb'{"branches": [{"name": "v1", "targetCommit": "%s"}], "tags": [{"name": "v1", "targetCommit": "%s"}]}'
    with hub.fault("GET /api/.*/refs", rewrite=lambda body: refs % (b"0" * 40, commit.encode())):
        pull(f"{CATS}@v1")
    assert f"has a branch and a tag v1; {client.host()} gave {commit[:12]}" in caplog.text


@pytest.mark.parametrize("names", [("feature/x", "feature"), ("feature", "feature/x")])
def test_a_branch_and_one_below_its_name_are_both_found_offline(
    hub: LoopbackHub, commit: str, names: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in names:
        hub.repos[CATS].refs[name] = commit
        pull(f"{CATS}@{name}")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    logging.disable()
    try:
        for name in names:
            assert pull(f"{CATS}@{name}")[0].hub == zoo_core.specs.Hub(repo=CATS, commit=commit)
    finally:
        logging.disable(logging.NOTSET)


# What the cache holds


@pytest.mark.parametrize("name", ["", "blobs", "snapshots", "snapshots/COMMIT", "../.locks"])
def test_nothing_is_written_through_a_link_out_of_the_cache(hub: LoopbackHub, commit: str, name: str, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    planted = cache_folder() / "models--zoo--cats" / name.replace("COMMIT", commit)
    planted = cache_folder() / ".locks" if name.startswith("..") else planted
    planted.parent.mkdir(parents=True)
    planted.symlink_to(outside)
    with pytest.raises(UnsafeContentError, match="leads out of the cache"):
        pull(CATS)
    assert list(outside.rglob("*")) == []


def test_a_fetched_file_that_shrinks_while_it_is_looked_through_kills_nobody(hub: LoopbackHub, commit: str) -> None:
    shrink = (
        "import os; from zoo_core.checkpoint import content; from zoo_core.hub.cache import cache_folder\n"
        "from zoo_core.hub.fetch import pull; whole = content.check_content\n"
        "def looked(name, data, **more):\n"
        "    for path in cache_folder().glob('models--*/blobs/*'): os.truncate(path, 0)\n"
        "    return whole(name, data, **more)\n"
        f"content.check_content = looked; pull('{CATS}')"
    )
    env = {**environment(), "ZOO_PLUGINS": ""}
    done = subprocess.run([sys.executable, "-c", shrink], env=env, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr  # what shrank is fetched again


def test_weights_that_shrink_while_they_are_read_are_fetched_again(hub: LoopbackHub, commit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    weights, header = pull(CATS)[0].folder / "model.safetensors", Stream.header
    cuts = iter([60])

    def cut(stream: Stream) -> Any:
        for size in cuts:
            os.truncate(weights, weights.stat().st_size - size)
        return header(stream)

    monkeypatch.setattr(Stream, "header", cut)
    assert zoo_core.load(CATS).sample(1).shape == (1, 2)


# Publishing


def test_publishing_leaves_a_server_that_drips(hub: LoopbackHub, cats: Mapping[str, bytes], tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(uploading, "PATIENCE", 0.3)
    with hub.fault("GET /api/", drip="headers"), pytest.raises(HubError, match="too slow: an answer to GET /api/models/zoo/dogs"):
        publish(f"local:{tmp_path / 'cats'}", "zoo/dogs", license="mit")


def test_publishing_to_a_hub_on_this_machine_uses_no_proxy(
    hub: LoopbackHub, cats: Mapping[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with loopback_hub() as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.endpoint)
        monkeypatch.delenv("NO_PROXY")
        monkeypatch.delenv("no_proxy")
        close_session()
        publish(f"local:{tmp_path / 'cats'}", "zoo/dogs", license="mit")
        assert proxy.requests == ()
    assert "NO_PROXY" not in os.environ
    assert "zoo/dogs" in hub.repos
