"""Limits of ``zoo verify --metrics``: the data it may read and the work it may do, which are small where nothing pins metrics.json.

A metrics.json names data by paths and variables, feature spaces, samplers and numbers of samples. That of a pinned checkpoint is what its
plugin says. Any other one is of whoever made the checkpoint: nothing it says is fetched, expanded or opened, and what it asks for is
bounded.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from zoo_core.config import decode
from zoo_core.errors import ConfigError
from zoo_core.interfaces import DatasetConfig

__all__ = ["MOST", "MOST_COUNT", "MOST_EVALUATIONS", "MOST_OPTION", "MOST_UNPINNED", "Allowed"]

MOST, MOST_UNPINNED = 10**7, 10**5  # samples
MOST_COUNT = 10**6  # of data that is computed
MOST_EVALUATIONS = 10**4  # of the net for a sample, where nothing pins the record
MOST_OPTION = 10**4  # any whole number among the options of such a record
_PLACES = ("root", "path")
_OF_PATHS = "/\\~$"


@dataclass(frozen=True, kw_only=True)
class Allowed:
    """What the records of a checkpoint may ask for.

    Args:
        pinned: whether its metrics.json is pinned.
        root: ``--data-root``, where the files of mnist, cifar10, ... are.
        data: ``--data``: names of data sets with paths, ``(("folder", "/data/cats"), ...)``.
    """

    pinned: bool
    root: str | None = None
    data: Sequence[tuple[str, str]] = ()

    def configs(self, plain: Mapping[str, Any]) -> Iterator[DatasetConfig]:
        """The data that a record calls by the config ``plain``, where it may be read here; nothing of it is ever downloaded.

        Raises:
            ConfigError: nothing pins the record, and the command line does not say where that data is; or the config is wrong.
        """
        decode(DatasetConfig, plain, "data")  # what is wrong with it is the record's fault
        given = [{**plain, "path": path} for name, path in self.data if name == plain.get("name") and "path" in plain]
        given += [{**plain, "root": self.root}] if self.root is not None and "root" in plain else []
        if not self.pinned:
            _refuse_places(plain, given=bool(given))
        for each in given or [dict(plain)]:
            config = decode(DatasetConfig, each, "data")
            names = {item.name for item in fields(config)}  # type: ignore[arg-type]  # configs are dataclasses
            yield replace(config, download=False) if "download" in names else config  # type: ignore[type-var]  # configs are dataclasses

    def check(self, record: Mapping[str, Any]) -> None:
        """Raises ConfigError where a record asks for more than is measured for what nothing pins."""
        if self.pinned:
            return
        for value in _integers([record.get(name) for name in ("options", "sampler", "scheduler")]):
            if abs(value) > MOST_OPTION:
                raise ConfigError(f"it has an option of {value:,}, more than the {MOST_OPTION:,} that are tried where nothing pins it")
        nfe = record.get("nfe", 1)
        if not isinstance(nfe, int) or nfe > MOST_EVALUATIONS:
            raise ConfigError(f"it takes {nfe!s:.20} evaluations, more than the {MOST_EVALUATIONS:,} that are tried where nothing pins it")

    def count(self, value: Any) -> int:
        """A number of samples to draw; raises ValueError where it is none, or too large."""
        if type(value) is not int or not 2 <= value <= (MOST if self.pinned else MOST_UNPINNED):
            raise ValueError(f"{str(value)[:40]} samples are none that can be drawn")
        return value


def _refuse_places(plain: Mapping[str, Any], *, given: bool) -> None:
    """Raises ConfigError where a config of unknown origin says itself where its data is, or asks for very many made-up samples."""
    name, count = str(plain.get("name"))[:40], plain.get("count")
    places = {key for key, value in plain.items() if key in _PLACES or any(mark in text for text in _strings(value) for mark in _OF_PATHS)}
    if places - set(_PLACES if given else ()):
        how = "--data-root DIR" if "root" in plain else f"--data {name}:PATH"
        raise ConfigError(f"nothing pins where the data {name} is, so it is read only where the command line says: {how}")
    if isinstance(count, int) and count > MOST_COUNT:
        raise ConfigError(f"it asks for {count:,} samples of {name}, more than the {MOST_COUNT:,} that are made where nothing pins it")


def _strings(value: Any) -> Iterator[str]:
    for each in _leaves(value):
        if isinstance(each, str):
            yield each


def _integers(value: Any) -> Iterator[int]:
    for each in _leaves(value):
        if type(each) is int:
            yield each


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping | list | tuple):
        for each in value.values() if isinstance(value, Mapping) else value:
            yield from _leaves(each)
    else:
        yield value
