"""The repository ``zoo/cats`` with a checkpoint of the fake family, which alone is installed."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from zoo_core.hub import client
from zoo_core.registry import Registry
from zoo_core.specs import CheckpointSpec, Hub, Pin
from zoo_core.testing import fake_zoo, write_checkpoint
from zoo_core.testing.fake import Fake
from zoo_core.testing.fake_config import FakeConfig
from zoo_core.testing.hub import LoopbackHub

from .helpers import CATS, Contents, registered


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests are tried again at once."""
    monkeypatch.setattr(client, "WAITS", (0.0, 0.0))


@pytest.fixture
def plugins() -> Iterator[Registry]:
    """The fake families, and nothing else."""
    with fake_zoo() as registry:
        yield registry


@pytest.fixture
def cats(plugins: Registry, tmp_path: Path) -> Contents:
    """The files of a checkpoint."""
    folder = write_checkpoint(tmp_path / "cats", Fake(FakeConfig()), FakeConfig())
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.fixture
def commit(hub: LoopbackHub, cats: Contents) -> str:
    """The commit of the repository ``zoo/cats``, which holds those files."""
    return hub.add_repo(CATS, {".gitattributes": b"", **cats})


@pytest.fixture
def pinned(plugins: Registry, cats: Contents, commit: str) -> Iterator[CheckpointSpec]:
    """The registered checkpoint ``cats``, which is on the Hub alone."""
    pins = {name: Pin(sha256=hashlib.sha256(data).hexdigest(), size=len(data)) for name, data in cats.items()}
    spec = CheckpointSpec(name="cats", family="fake", files=pins, hub=Hub(repo=CATS, commit=commit))
    with registered(plugins, spec):
        yield spec
