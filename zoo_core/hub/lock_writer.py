"""Writing of lock files: each checkpoint is fetched, verified and noted."""

import os
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from zoo_core.checkpoint.config import read_config
from zoo_core.checkpoint.files import Files
from zoo_core.checkpoint.layouts import presented
from zoo_core.config import Tagged
from zoo_core.errors import UsageError
from zoo_core.hub.fetch import pull
from zoo_core.hub.layouts import wanted_names
from zoo_core.hub.lockfile import LOCK, Lock, LockedCheckpoint, is_frozen
from zoo_core.registry import registry
from zoo_core.specs import Pin

__all__ = ["lock", "locked"]


def lock(*references: str, path: "str | os.PathLike[str]" = LOCK, dry_run: bool = False) -> Lock:
    """Fetches and verifies checkpoints, and writes them into a lock file beside those that it has.

    Args:
        references: checkpoints, as for :func:`zoo_core.load`; all of the lock file if none is given.
        path: path of the lock file, which need not exist.
        dry_run: whether the file is left as it is.

    Returns:
        The lock file as it is now, or would be.

    Raises:
        UsageError: if there is neither a reference nor a lock file, or ZOO_FROZEN is set.
        ConfigError: if there is a file at ``path`` that is not a lock file.
        ZooError: as :func:`zoo_core.pull` does.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     written = lock("realnvp-moons", path=Path(folder) / "zoo.lock")
        >>> sorted(written.checkpoints)
        ['realnvp-moons']
    """
    place = Path(path)
    before = Lock.read(place).checkpoints if place.is_file() else {}
    if not references and not before:
        raise UsageError(f"no checkpoint given, and there is no {place}", "zoo lock REFERENCE")
    if is_frozen():
        what = "with --frozen or ZOO_FROZEN nothing but locked checkpoints is fetched, and nothing can be locked"
        raise UsageError(what, "leave it out to lock anew")
    entries = dict(before)
    for reference in references or before:
        [files] = pull(reference)
        entries[str(files.reference)] = locked(files)
    after = Lock(path=place, checkpoints=entries)
    if not dry_run:
        after.write()
    return after


def locked(files: Files) -> LockedCheckpoint:
    """The entry of a lock file for verified files."""
    pins = {name: Pin(sha256=files.digest(name), size=files.size(name)) for name in wanted_names(files)}
    return LockedCheckpoint(files=pins, distributions=_distributions(files), hub=files.hub)


def _distributions(files: Files) -> dict[str, str]:
    """Versions of zoo-core, of the packages of all parts of a config, and of the one that pins the checkpoint."""
    plugins = [registry().claim_of(type(part).kind, type(part)).plugin for part in _parts(read_config(presented(files)))]
    plugins += [plugin for plugin in registry().plugins if plugin.dist in (files.dist, "zoo-core")]
    return {plugin.dist: plugin.version for plugin in plugins if plugin.version}


def _parts(value: Any) -> Iterator[Tagged]:
    """The registered parts in a config, at any depth."""
    if isinstance(value, Tagged):
        yield value
    if is_dataclass(value) and not isinstance(value, type):
        for item in fields(value):
            yield from _parts(getattr(value, item.name))
    elif isinstance(value, tuple | list):
        for item in value:
            yield from _parts(item)
