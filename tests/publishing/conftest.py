"""A finished run with a draft card, and the fake families."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from zoo_core.testing import fake_zoo
from zoo_core.testing.hub import LoopbackHub

from .helpers import write_run


@pytest.fixture
def fakes(hub: LoopbackHub) -> Iterator[None]:
    """Signal handlers are put back; the fake families are installed."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    with fake_zoo():
        yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The checkpoint of a finished run, with a draft card."""
    return write_run(tmp_path / "runs" / "cat")


@pytest.fixture
def run(folder: Path) -> str:
    """The run folder, as people write it."""
    return str(folder.parent)
