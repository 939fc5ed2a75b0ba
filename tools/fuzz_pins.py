"""Readers of pins and records for the fuzzer: lock files, checkpoints.json, and training.json as provenance.

What they accept must be safe to make paths and messages of.
"""

import json
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from string import hexdigits
from tempfile import TemporaryDirectory
from types import ModuleType
from unittest.mock import patch

from zoo_core.errors import UnsafeContentError
from zoo_core.hub.lockfile import Lock
from zoo_core.specs import Hub, Pin, checkpoints

__all__ = ["READERS"]

_MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
_FILE = {"sha256": "ab" * 32, "size": 310}
_HUB = {"repo": "zoo/cats", "commit": "4" * 40}


def _lock(data: bytes) -> object:
    """A lock file; raises AssertionError if it is accepted with a name or a digest of another form."""
    with TemporaryDirectory(dir=_MEMORY) as folder:
        path = Path(folder) / "zoo.lock"
        path.write_bytes(data)
        lock = Lock.read(path)
    for entry in lock.checkpoints.values():
        _check(entry.files, entry.hub)
        _check_names(entry.files)
        for word in (*entry.distributions, *entry.distributions.values()):
            if not word.isascii() or not set(word).isdisjoint(" '\"\n\x1b$`;/"):
                raise AssertionError(f"{word!r} would be shown in a line for a shell")
    return lock


def _pins(data: bytes) -> object:
    """The checkpoints.json of a package; raises AssertionError if it is accepted with a digest of another form."""
    with TemporaryDirectory(dir=_MEMORY) as folder:
        package = ModuleType("zoo_fuzzed")
        package.__file__ = str(Path(folder) / "__init__.py")
        (Path(folder) / "checkpoints.json").write_bytes(data)
        with patch.dict(sys.modules, {"zoo_fuzzed": package}):
            specs = checkpoints("zoo_fuzzed")
    for spec in specs:
        _check(spec.files, None)  # the names and the place are checked where they are used, for specs in Python too
    return specs


def _provenance(data: bytes) -> object:
    """The provenance of a folder with this training.json."""
    from zoo_core.hub.fetch import fetch
    from zoo_core.trust.provenance import provenance

    with TemporaryDirectory(dir=_MEMORY) as folder:
        for name, content in (("training.json", data), ("config.json", b"{}"), ("model.safetensors", b"")):
            (Path(folder) / name).write_bytes(content)
        return json.dumps(provenance(fetch(f"local:{folder}")).to_dict())


def _check(files: Mapping[str, Pin], hub: Hub | None) -> None:
    digests = [(pin.sha256, 64) for pin in files.values()] + ([(hub.commit, 40)] if hub else [])
    for digest, count in digests:
        if len(digest) != count or not set(digest) <= set(hexdigits.lower()):
            raise AssertionError(f"{digest!r} was accepted as a digest or a commit")
    if hub and (".." in hub.repo or hub.repo.count("/") != 1):
        raise AssertionError(f"{hub.repo!r} was accepted as a repository")


def _check_names(names: Iterable[str]) -> None:
    from zoo_core.checkpoint.files import check_name

    for name in names:
        try:
            check_name(name)
        except UnsafeContentError:
            raise AssertionError(f"{name!r} was accepted as the name of a file") from None


def _json(**values: object) -> bytes:
    return json.dumps(values).encode()


_LOCKED = {"hub": _HUB, "distributions": {"zoo-core": "0.1.0"}, "files": {"config.json": _FILE, "model.safetensors": _FILE}}
_TEACHER = {"reference": "ddpm-afhq-cat", "sha256": "ef" * 32}
_RECORD = {
    "recipe": {"data": {"name": "folder"}, "trainer": {"teacher": _TEACHER}},
    "commit": "ab" * 20 + "+changes",
    "commits": {"zoo-x": "12" * 20},
    "versions": {"python": "3.11.7", "zoo-core": "0.1.0", "timm": "not installed"},
    "data": {"count": 500, "digest": "cd" * 32, "classes": ["cat"]},
}
READERS: dict[str, tuple[Callable[[bytes], object], bytes]] = {
    "lock": (_lock, _json(format=1, checkpoints={"zoo/cats": _LOCKED, "vae-mnist": {**_LOCKED, "hub": None}})),
    "pins": (_pins, _json(blobs={"family": "fake", "summary": "blobs", "files": {"config.json": _FILE}, "hub": _HUB, "license": "mit"})),
    "provenance": (_provenance, json.dumps(_RECORD).encode()),
}
"""Readers and a valid file for each, by name."""
