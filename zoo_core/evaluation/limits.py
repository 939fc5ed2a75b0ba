"""Limits of ``zoo verify --metrics``: the data it may read and the work it may do, which are small if metrics.json is not pinned.

A metrics.json names data by paths and variables, feature spaces, samplers and numbers of samples. If it is pinned, the checkpoint's plugin
vouches for it. Otherwise anybody may have written it: nothing that it names is fetched, expanded or opened, and the work is bounded.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from zoo_core.config import decode
from zoo_core.errors import ConfigError
from zoo_core.interfaces import DatasetConfig

__all__ = ["MAX_COUNT", "MAX_EVALUATIONS", "MAX_OPTION", "MAX_SAMPLES", "MAX_UNPINNED_SAMPLES", "Allowed"]

MAX_SAMPLES = 10**7
MAX_UNPINNED_SAMPLES = 10**5
MAX_COUNT = 10**6
"""The number of samples of a computed data set, if the record is not pinned."""
MAX_EVALUATIONS = 10**4
"""The number of evaluations of the network per sample, if the record is not pinned."""
MAX_OPTION = 10**4
"""The absolute value of a whole number among the options, if the record is not pinned."""
_PLACE_FIELDS = ("root", "path")
_PATH_CHARACTERS = frozenset("/\\~$")


@dataclass(frozen=True, kw_only=True)
class Allowed:
    """Limits of the records of a checkpoint.

    Args:
        pinned: True if its metrics.json is pinned.
        root: folder with the files of mnist, cifar10, ... (``--data-root``).
        data: names of data sets with paths (``--data``), such as ``(("folder", "/data/cats"), ...)``.

    >>> Allowed(pinned=False).count(50_000)
    50000
    >>> list(Allowed(pinned=False).configs({"name": "folder", "path": "/home"}))
    Traceback (most recent call last):
    zoo_core.errors.ConfigError: nothing pins where the data folder is, so it is read only where the command line says: --data folder:PATH
    """

    pinned: bool
    root: str | None = None
    data: Sequence[tuple[str, str]] = ()

    def configs(self, plain: Mapping[str, Any]) -> Iterator[DatasetConfig]:
        """Yields the configs by which the data of a record may be read here; none of them downloads anything.

        Args:
            plain: config of the data in the record.

        Raises:
            ConfigError: if the record is not pinned and the command line does not say where the data is, or if the config is wrong.
        """
        decode(DatasetConfig, plain, "data")  # an error here is the record's fault
        given = [{**plain, "path": path} for name, path in self.data if name == plain.get("name") and "path" in plain]
        given += [{**plain, "root": self.root}] if self.root is not None and "root" in plain else []
        if not self.pinned:
            _refuse_places(plain, given=bool(given))
        for each in given or [dict(plain)]:
            config = decode(DatasetConfig, each, "data")
            names = {item.name for item in fields(config)}  # type: ignore[arg-type]  # configs are dataclasses
            yield replace(config, download=False) if "download" in names else config  # type: ignore[type-var]  # configs are dataclasses

    def check(self, record: Mapping[str, Any]) -> None:
        """Raises ConfigError if a record that is not pinned asks for too much work."""
        if self.pinned:
            return
        for value in _integers([record.get(name) for name in ("options", "sampler", "scheduler")]):
            if abs(value) > MAX_OPTION:
                raise ConfigError(f"it has an option of {value:,}, more than the {MAX_OPTION:,} that are tried where nothing pins it")
        nfe = record.get("nfe", 1)
        if not isinstance(nfe, int) or nfe > MAX_EVALUATIONS:
            raise ConfigError(f"it takes {nfe!s:.20} evaluations, more than the {MAX_EVALUATIONS:,} that are tried where nothing pins it")

    def count(self, value: Any) -> int:
        """Checks a number of samples to draw and returns it; raises ValueError if it is no whole number, or out of range."""
        if type(value) is not int or not 2 <= value <= (MAX_SAMPLES if self.pinned else MAX_UNPINNED_SAMPLES):
            raise ValueError(f"{str(value)[:40]} samples cannot be drawn")
        return value


def _refuse_places(plain: Mapping[str, Any], *, given: bool) -> None:
    """Raises ConfigError if a config of unknown origin names the place of its data, or asks for very many computed samples."""
    name, count = str(plain.get("name"))[:40], plain.get("count")
    places = {key for key, value in plain.items() if key in _PLACE_FIELDS or any(_PATH_CHARACTERS & set(text) for text in _strings(value))}
    if places - set(_PLACE_FIELDS if given else ()):
        how = "--data-root DIR" if "root" in plain else f"--data {name}:PATH"
        raise ConfigError(f"nothing pins where the data {name} is, so it is read only where the command line says: {how}")
    if isinstance(count, int) and count > MAX_COUNT:
        raise ConfigError(f"it asks for {count:,} samples of {name}, more than the {MAX_COUNT:,} that are made where nothing pins it")


def _strings(value: Any) -> Iterator[str]:
    yield from (leaf for leaf in _leaves(value) if isinstance(leaf, str))


def _integers(value: Any) -> Iterator[int]:
    yield from (leaf for leaf in _leaves(value) if type(leaf) is int)


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping | list | tuple):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from _leaves(item)
    else:
        yield value
