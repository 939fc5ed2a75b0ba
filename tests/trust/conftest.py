"""An author with keys, a plugin that carries them, and a run to publish."""

import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from zoo_core.hub import client
from zoo_core.registry import Plugin, Registry, registry, using
from zoo_core.testing import fake_zoo
from zoo_core.testing.hub import LoopbackHub

from .helpers import Author, write_run


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests are tried again at once."""
    monkeypatch.setattr(client, "WAITS", (0.0, 0.0))


@pytest.fixture
def author(tmp_path: Path) -> Author:
    """An author with a root key and a release key, which the package ``zoo_cats`` lists."""
    author = Author(tmp_path / "author")
    author.list_keys("release")
    return author


@pytest.fixture
def fakes(hub: LoopbackHub) -> Iterator[None]:
    """Signal handlers are put back; the fake families are installed, and no plugin carries keys."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    with fake_zoo():
        yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture
def carried(fakes: None, author: Author, monkeypatch: pytest.MonkeyPatch) -> Iterator[Author]:
    """The plugin zoo-cats is installed, and carries the author's keys."""
    package = ModuleType("zoo_cats")
    package.__file__ = str(author.package / "__init__.py")
    monkeypatch.setitem(sys.modules, "zoo_cats", package)
    plugin = Plugin(name="cats", module="zoo_cats.plugin", dist="zoo-cats", version="1.0")
    with using(Registry((*registry().plugins, plugin))):
        yield author


@pytest.fixture
def run(tmp_path: Path, fakes: None) -> Path:
    """A finished run."""
    return write_run(tmp_path / "runs" / "cat").parent
