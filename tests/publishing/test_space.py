"""A Space: its files, its commit on a loopback Hub, and its program, which serves the page."""

import os
import re
import socket
import subprocess
import sys
import time
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import HfApi

from zoo_core import __version__, cards
from zoo_core.cli import main
from zoo_core.errors import UnknownNameError, UsageError
from zoo_core.publishing import publish
from zoo_core.publishing.space import prepare_space, publish_space
from zoo_core.testing.hub import LoopbackHub

from .helpers import files_of, put

pytest.importorskip("gradio", reason="the page needs the extra [ui]")
pytest_plugins = ["zoo_core.testing.hub"]
PAGE = "zoo/page"
KEY = "spaces/zoo/page"


def text_of(hub: LoopbackHub, name: str) -> str:
    return files_of(hub, KEY)[name].decode()


def test_a_space_holds_a_program_its_requirements_and_a_readme(hub: LoopbackHub) -> None:
    pytest.importorskip("zoo_realnvp")
    done = publish_space(["realnvp-moons"], PAGE)
    assert done.url == f"{hub.endpoint}/spaces/zoo/page"
    assert set(files_of(hub, KEY)) == {"README.md", "app.py", "requirements.txt"}
    assert text_of(hub, "requirements.txt").splitlines()[1:] == [f"zoo-core[ui]=={__version__}", "zoo-realnvp==0.1.0"]
    card = cards.parse(text_of(hub, "README.md"))
    assert (card.metadata["sdk"], card.metadata["app_file"]) == ("gradio", "app.py")
    assert "realnvp-moons" in card.body
    info = HfApi(endpoint=hub.endpoint, token=hub.token).space_info(PAGE)
    assert (info.sha, info.sdk) == (done.commit, "gradio")
    assert PAGE not in [model.id for model in HfApi(endpoint=hub.endpoint, token=hub.token).list_models()]


@pytest.mark.usefixtures("fakes")
def test_a_checkpoint_on_the_hub_is_shown_at_its_commit(hub: LoopbackHub, run: str) -> None:
    commit = put(run).commit
    bundle = prepare_space(["zoo/cat"], PAGE)
    assert f'"zoo/cat@{commit}"' in bundle.files["app.py"].decode()
    assert bundle.card.metadata["models"] == ["zoo/cat"]
    assert "zoo-fake==" in bundle.files["requirements.txt"].decode()


def test_another_run_changes_nothing_and_the_work_of_others_stays(hub: LoopbackHub) -> None:
    pytest.importorskip("zoo_realnvp")
    first = publish_space(["realnvp-moons"], PAGE)
    assert publish_space(["realnvp-moons"], PAGE).commit == first.commit
    hub.commit(KEY, {"app.py": b"print('mine')\n"})
    with pytest.raises(UsageError, match=r"work of others that would be replaced: app\.py"):
        publish_space(["realnvp-moons"], PAGE)
    assert publish_space(["realnvp-moons"], PAGE, force=True).sent == ("app.py",)


def test_a_dry_run_sends_nothing(hub: LoopbackHub) -> None:
    pytest.importorskip("zoo_realnvp")
    done = publish_space(["realnvp-moons"], PAGE, dry_run=True)
    assert done.sent == ("README.md", "app.py", "requirements.txt")
    assert KEY not in hub.repos


def test_a_dry_run_needs_no_hub(hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    pytest.importorskip("zoo_realnvp")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    done = publish_space(["realnvp-moons"], PAGE, dry_run=True)
    assert (set(done.files), done.changes) == ({"README.md", "app.py", "requirements.txt"}, None)
    assert "the changes in zoo/page are unknown" in caplog.text
    assert hub.requests == ()


@pytest.mark.usefixtures("fakes")
def test_what_a_space_cannot_show_is_refused(hub: LoopbackHub, run: str) -> None:
    for references, repo, error, message in (
        ([f"local:{run}"], PAGE, UsageError, "cannot read local:"),
        ([], PAGE, UsageError, "needs a checkpoint"),
        (["nothing"], PAGE, UnknownNameError, "nothing"),
        (["zoo/cat"], "page", UsageError, "not the name of a repository"),
    ):
        with pytest.raises(error, match=message):
            publish_space(references, repo)
    assert hub.repos == {}


@pytest.mark.usefixtures("fakes")
def test_options_that_mean_nothing_are_refused(hub: LoopbackHub, run: str, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, message in (
        ([run, run, "--repo", "zoo/cat", "--license", "mit"], "a repository holds one checkpoint"),
        (["zoo/cat", "--space", "--repo", PAGE, "--license", "mit"], "mean nothing to a Space"),
    ):
        with pytest.raises(SystemExit) as exit_:
            main(["publish", *arguments])
        assert exit_.value.code == 2
        assert message in capsys.readouterr().err


@pytest.mark.slow
def test_the_program_of_a_space_serves_the_page(hub: LoopbackHub, tmp_path: Path) -> None:
    pytest.importorskip("zoo_realnvp")
    publish("realnvp-moons", "zoo/moons")
    publish_space(["zoo/moons"], PAGE)
    for name, content in files_of(hub, KEY).items():
        (tmp_path / name).write_bytes(content)
    port = free_port()
    visitor = {key: value for key, value in hub.environment(tmp_path / "home").items() if key != "HF_TOKEN"}
    env = {**os.environ, **visitor, "GRADIO_SERVER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    env.pop("HF_TOKEN", None)
    with subprocess.Popen([sys.executable, "app.py"], cwd=tmp_path, env=env, stderr=subprocess.PIPE, text=True) as process:
        try:
            config = wait_for(port, process)
            assert re.search(r"zoo/moons@[0-9a-f]{40}", config)
            assert "Compare" in config
        finally:
            process.terminate()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def wait_for(port: int, process: Any) -> str:
    """The configuration of the page, as soon as it is served."""
    end = time.monotonic() + 90
    while time.monotonic() < end:
        assert process.poll() is None, process.stderr.read()
        connection = HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            connection.request("GET", "/config")
            answer = connection.getresponse()
            if answer.status == 200:
                return answer.read().decode()
        except OSError:
            time.sleep(0.1)
        finally:
            connection.close()
    raise AssertionError("the page does not answer")
