"""Plugins written on the spot: a folder on ``sys.path`` or PYTHONPATH, with a module and a ``dist-info``, is an installed distribution."""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import invalidate_caches
from pathlib import Path

import zoo_core
from zoo_core.registry import Registry, discover, load_plugin, using

__all__ = ["environment", "fake_zoo", "installed", "write_fake_plugin", "write_plugin"]

FAKE = "zoo-fake"


def write_plugin(folder: Path, name: str, source: str, *, version: str = "1.0", entry: str | None = None) -> Path:
    """Writes a distribution: a module, and its metadata with one entry point of group ``zoo``.

    Args:
        folder: folder, created if it is missing; several plugins may share it.
        name: name of the distribution; its module is the name with ``-`` and ``.`` as ``_``.
        source: Python source of the module, such as a ``zoo_specs`` hook.
        version: version of the distribution.
        entry: line of entry_points.txt; the module under its own name when None.

    Returns:
        ``folder``, for :func:`installed` or :func:`environment`.
    """
    module = name.replace("-", "_").replace(".", "_")
    info = folder / f"{module}-{version}.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    files = {
        folder / f"{module}.py": source,
        info / "METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        info / "entry_points.txt": f"[zoo]\n{entry or f'{module} = {module}'}\n",
    }
    for path, text in files.items():
        path.write_text(text)
    recorded = [*files, info / "RECORD"]
    (info / "RECORD").write_text("".join(f"{path.relative_to(folder).as_posix()},,\n" for path in recorded))
    return folder


def write_fake_plugin(folder: Path) -> Path:
    """Writes the distribution ``zoo-fake``, which offers the fake families of this package; returns ``folder``."""
    return write_plugin(folder, FAKE, "", entry="fake = zoo_core.testing.fake_plugin")


def environment(*folders: Path) -> Mapping[str, str]:
    """The environment of a subprocess in which zoo_core and the plugins of ``folders`` are installed."""
    paths = [*map(str, folders), str(Path(zoo_core.__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


@contextmanager
def installed(*folders: Path, names: Sequence[str] | None = None) -> Iterator[Registry]:
    """Inside a ``with`` block, the plugins of ``folders`` are installed, in a new registry. Their modules are unloaded afterwards.

    Args:
        folders: folders of :func:`write_plugin`.
        names: distributions or entry points to load; all installed ones, those of the environment included, when None.
    """
    before = set(sys.modules)
    paths = [str(folder.resolve()) for folder in folders]
    sys.path[:0] = paths
    invalidate_caches()
    try:
        with using(discover(names)) as registry:
            yield registry
    finally:
        for path in paths:
            sys.path.remove(path)
        for name in set(sys.modules) - before:
            origin = getattr(sys.modules[name], "__file__", None) or ""
            if any(origin.startswith(path + os.sep) for path in paths):
                del sys.modules[name]


@contextmanager
def fake_zoo(*names: str) -> Iterator[Registry]:
    """Inside a ``with`` block, the registry holds zoo-core's own plugin, the fake families and the installed plugins ``names``, no others.

    >>> with fake_zoo() as registry:
    ...     [plugin.dist for plugin in registry.plugins]
    ['zoo-core', 'zoo-fake']

    Args:
        names: distributions or entry points, such as ``zoo-ddpm``.

    Raises:
        UnknownNameError: if one of ``names`` is not installed.
    """
    core, *named = discover(names).plugins
    fake = load_plugin("fake", "zoo_core.testing.fake_plugin", FAKE, zoo_core.__version__)
    with using(Registry((core, fake, *named))) as registry:
        yield registry
