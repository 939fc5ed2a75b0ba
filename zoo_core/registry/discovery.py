"""Discovery of the installed plugins, and the registry of this process.

Discovery is a loop of our own: pluggy's ``load_setuptools_entrypoints`` stops at the first broken plugin.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import Distribution, EntryPoint, distributions, entry_points
from itertools import chain

from zoo_core.errors import UnknownNameError
from zoo_core.registry.claims import Registry
from zoo_core.registry.plugin import CORE, GROUP, SELECTION, Failure, Plugin, load_plugin, normalized

__all__ = ["current", "discover", "installations", "registry", "using"]


@dataclass(frozen=True, order=True)
class _Point:
    """An entry point with its distribution."""

    dist: str
    name: str
    module: str
    version: str

    @classmethod
    def of(cls, point: EntryPoint) -> "_Point":
        try:
            assert point.dist
            dist, version = _name_and_version(point.dist)
        except Exception:  # missing or damaged metadata, as after an interrupted pip
            dist, version = "?", "?"
        return cls(dist, point.name, point.value, version)


def _name_and_version(dist: Distribution) -> tuple[str, str]:
    """Returns the two fields of METADATA; ``Distribution.name`` and ``version`` parse the whole file, with its README, at each access."""
    head = (dist.read_text("METADATA") or dist.read_text("PKG-INFO") or "").partition("\n\n")[0]
    parts = [line.partition(":") for line in reversed(head.splitlines())]  # of a field that is there twice, the first counts
    fields = {name.lower(): value.strip() for name, _, value in parts}
    return fields.get("name") or "?", fields.get("version") or "?"


def _points() -> list[_Point]:
    try:
        points: Iterable[EntryPoint] = entry_points(group=GROUP)
    except Exception:  # some distribution has unreadable metadata: omit that one
        points = chain.from_iterable(map(_points_of, distributions()))
    return sorted({_Point.of(point) for point in points})


def _points_of(dist: Distribution) -> Iterable[EntryPoint]:
    try:
        return dist.entry_points.select(group=GROUP)
    except Exception:
        return ()


def _unknown(names: Sequence[str] | None, points: Sequence[_Point]) -> Iterator[tuple[str, UnknownNameError]]:
    known = {point.name for point in points} | {point.dist for point in points}
    for name in names or ():
        if normalized(name) not in map(normalized, known):
            yield name, UnknownNameError.of("plugin", name, known)


def _selected(names: Sequence[str] | None, points: Sequence[_Point]) -> Iterator[_Point]:
    chosen = {normalized(name) for name in names or ()}
    for point in points:
        if names is None or not chosen.isdisjoint({normalized(point.name), normalized(point.dist)}):
            yield point


def discover(names: Sequence[str] | None = None, *, record_unknown: bool = False) -> Registry:
    """Loads zoo-core's own plugin and the installed ones.

    Args:
        names: entry points or distributions of the plugins to load; None for all.
        record_unknown: whether a name that is not installed becomes a broken plugin, and an error only at the first claim.

    Raises:
        UnknownNameError: if one of ``names`` is not installed, unless ``record_unknown`` is set.
    """
    from zoo_core import __version__

    points = _points()
    plugins = [load_plugin("core", CORE, "zoo-core", __version__)]
    for name, error in _unknown(names, points):
        if not record_unknown:
            raise error
        plugins.append(Plugin(name=name, module="?", dist=name, version="?", failure=Failure(step=SELECTION, why=str(error))))
    plugins += [load_plugin(point.name, point.module, point.dist, point.version) for point in _selected(names, points)]
    return Registry(tuple(plugins))


def installations(dist: str) -> list[str]:
    """Returns the folders in which a distribution is installed, usually one.

    Names that differ only in ``-``, ``_`` and ``.`` are equal. The first folder on Python's path is used and hides the others.
    """
    return [str(each.locate_file("")) for each in distributions(name=dist)]


_current: list[Registry] = []


def current() -> tuple[Plugin, ...]:
    """Returns the plugins of the registry of this process without discovery; empty before the first call of :func:`registry`."""
    return _current[-1].plugins if _current else ()


def registry() -> Registry:
    """Returns the registry of this process; the first call discovers the plugins.

    The environment variable ``ZOO_PLUGINS=a,b`` selects plugins; if it is empty, only zoo-core's own plugin is loaded.

    >>> from zoo_core.specs import SamplerSpec
    >>> registry().spec(SamplerSpec, "heun").target
    'zoo_core.samplers:Heun'
    """
    if not _current:
        chosen = os.environ.get("ZOO_PLUGINS")
        names = None if chosen is None else [name.strip() for name in chosen.split(",") if name.strip()]
        _current.append(discover(names, record_unknown=True))
    return _current[-1]


@contextmanager
def using(temporary: Registry) -> Iterator[Registry]:
    """Makes ``temporary`` the registry inside a ``with`` block, for tests of plugins that are not installed.

    >>> with using(Registry(())):
    ...     current()
    ()
    """
    _current.append(temporary)
    try:
        yield temporary
    finally:
        _current.pop()
