"""Fixtures of the tests of ``zoo``: a quiet place to run it in, two fake checkpoints, and the one line of an error."""

import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from zoo_core.cli.console import MAX_LINE
from zoo_core.samplers import Ancestral
from zoo_core.testing import fake_zoo, installed, write_checkpoint_plugin, write_fake_plugin
from zoo_core.testing.fake import Fake, FakeDenoiser
from zoo_core.testing.fake_config import FakeConfig, FakeDenoiserConfig


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """A test in a folder of its own, without a network, 200 columns wide; signal handlers are put back."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("COLUMNS", "200")
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture
def fakes(tmp_path: Path) -> Iterator[Path]:
    """The fake families with two checkpoints, ``fake-points`` and ``fake-images``; the folder of the latter."""
    images = FakeDenoiserConfig(shape=(3, 8, 8), bounded=True, classes=3)
    write_fake_plugin(tmp_path / "site")
    with fake_zoo():
        write_checkpoint_plugin(tmp_path / "site", "fake-points", Fake(FakeConfig()), FakeConfig())
        folder = write_checkpoint_plugin(tmp_path / "site", "fake-images", FakeDenoiser(images), images, Ancestral(steps=5))
    with installed(tmp_path / "site", names=["zoo-fake", "zoo-blobs"]):
        yield folder


@pytest.fixture
def one_error_line() -> Callable[[Any], str]:
    """A function that gives the one line of an error, of a result or a finished process; it checks that stdout is empty."""

    def line_of(result: Any) -> str:
        out, err = (result.stdout, result.stderr) if hasattr(result, "stdout") else (result.out, result.err)
        assert out == ""
        assert re.fullmatch(r"zoo: error: [^\n]+\n", err), err
        assert len(err) <= MAX_LINE + 1
        return str(err)

    return line_of
