"""``zoo publish``: output, exit codes, dry runs and progress bars; the access token is never printed."""

import hashlib
import json
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import pytest

from zoo_core.cli import main
from zoo_core.errors import (
    HubError,
)
from zoo_core.publishing import prepare, publish
from zoo_core.testing.hub import LoopbackHub

from .helpers import CAT, files_of, put

pytest_plugins = ["zoo_core.testing.hub"]
pytestmark = pytest.mark.usefixtures("fakes")


class Result(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def zoo(capfd: pytest.CaptureFixture[str], hub: LoopbackHub) -> Callable[..., Result]:
    """Runs ``zoo publish``; its output never holds the token."""

    def command(*args: object) -> Result:
        with pytest.raises(SystemExit) as ended:
            main(["publish", *map(str, args)])
        out, err = capfd.readouterr()
        assert hub.token not in out + err
        assert isinstance(ended.value.code, int)
        return Result(ended.value.code, out, err)

    return command


def test_the_command_prints_the_pin_and_nothing_else_on_stdout(zoo: Callable[..., Result], run: str, hub: LoopbackHub) -> None:
    done = zoo(run, "--repo", CAT, "--license", "mit", "--tag", "v1")
    assert done.code == 0, done.err
    record = json.loads(done.out)
    assert record["files"] == {
        name: {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)} for name, data in sorted(files_of(hub).items())
    }
    assert (record["repo"], record["commit"]) == (CAT, hub.commits(CAT)[0].id)
    assert done.err.splitlines() == [f"{hub.endpoint}/{CAT}: 5 of 5 files sent, {done.err.split(', ')[-1].strip()}"]
    again = zoo(run, "--repo", CAT, "--license", "mit")
    assert (again.code, again.out, again.err) == (0, done.out, f"{hub.endpoint}/{CAT}: already there\n")


def test_a_dry_run_checks_and_tells_everything_and_sends_nothing(
    zoo: Callable[..., Result], folder: Path, run: str, hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_TOKEN")
    (folder / "notes.md").write_text("x")
    done = zoo(run, "--repo", CAT, "--license", "mit", "--dry-run")
    bundle = prepare(run, CAT, license="mit")
    assert (done.code, done.err) == (0, "left out: notes.md\n")
    assert json.loads(done.out) == {
        "repo": CAT,
        "files": {name: {"sha256": pin.sha256, "size": pin.size} for name, pin in sorted(bundle.pins.items())},
        "changes": None,  # without a login the Hub does not say whether there is such a repository
        "card": dict(bundle.card.metadata),
    }
    (folder / "run.py").write_text("x")
    assert zoo(run, "--repo", CAT, "--license", "mit", "--dry-run").code == 7
    assert zoo(run, "--repo", CAT, "--license", "mit", "--dry-run", "--tag", "main").code == 2
    assert {request.method for request in hub.requests} == {"GET"}


@pytest.mark.parametrize("match", ["GET ", "POST .*/preupload/", "POST .*/commit/"])
def test_a_server_that_sends_the_token_back_does_not_get_it_printed(
    match: str, zoo: Callable[..., Result], run: str, hub: LoopbackHub
) -> None:
    body = json.dumps({"error": f"bad {hub.token}"}).encode()
    with hub.fault(match, status=418, body=body, headers={"X-Error-Message": f"bad {hub.token}"}):
        failed = zoo(run, "--repo", CAT, "--license", "mit", "--debug")
        assert failed.code == 4
        assert "***" in failed.err
        with pytest.raises(HubError) as raised:
            put(run)
    assert hub.token not in str(raised.value)


def test_there_are_progress_bars_only_where_they_are_wanted(
    run: str, hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(import_module("huggingface_hub.utils.tqdm"), "HF_HUB_DISABLE_PROGRESS_BARS", None)
    put(run)
    assert capfd.readouterr().err == ""
    for name in ("model.safetensors", "samples.png"):
        hub._store.objects.pop(hashlib.sha256(files_of(hub)[name]).hexdigest())  # so that they are uploaded again
    publish(run, "zoo/another", license="mit", progress=True)
    assert "Upload" in capfd.readouterr().err
