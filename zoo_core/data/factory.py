"""Choice of a data set by its name, with a path, or by plain values."""

from dataclasses import fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from zoo_core.config import decode
from zoo_core.errors import ConfigError, UnknownNameError, UsageError
from zoo_core.interfaces import DatasetConfig, DatasetLike
from zoo_core.registry import registry, resolve
from zoo_core.specs import DatasetSpec

__all__ = ["as_dataset", "data_name", "dataset_values", "place_of", "placed"]


def as_dataset(choice: DatasetLike) -> DatasetConfig:
    """Returns the config of a data set from its name, which may have a path behind it, or from plain values.

    >>> as_dataset("folder:photos").path
    'photos'
    >>> as_dataset({"name": "moons", "count": 10}).count
    10

    Args:
        choice: a config, ``[DIST:]NAME[:PATH]`` such as ``moons`` or ``folder:photos``, or its options as plain values with a ``name``. The
            path is the folder of the user's own files, or for a well-known set the folder that holds its files.

    Raises:
        UsageError: if there is no name, or a path for a set that reads no files.
        ConfigError: if there is no such data set, or an option is wrong.
    """
    if isinstance(choice, DatasetConfig):
        return choice
    values = dataset_values(choice) if isinstance(choice, str) else choice
    config: DatasetConfig = decode(DatasetConfig, values, "data")
    return config


def dataset_values(text: str) -> dict[str, Any]:
    """Returns the plain values that ``[DIST:]NAME[:PATH]`` stands for.

    Raises:
        UsageError, ConfigError: as :func:`as_dataset` raises.
    """
    name, path = data_name(text)
    if not path:
        return {"name": name}
    return {"name": name, **placed(name, path)}


def placed(name: str, path: str) -> dict[str, str]:
    """The fields of a data set that ``path`` stands for: its place, and of ``ORG/NAME:SPLIT`` its split.

    >>> placed("hub", "zoo/cats:test")
    {'repo': 'zoo/cats', 'split': 'test'}

    Raises:
        UsageError: if the data set reads no files.
        ConfigError: if there is no data set of that name.
    """
    if not (place := place_of(name)):
        raise UsageError(f"{name} is computed, not read from files: it takes no path", f"write {name}")
    if place != "repo":
        return {place: path}
    repo, _, split = path.partition(":")
    return {place: repo, **({"split": split} if split else {})}


def place_of(name: str) -> str:
    """The field of a data set that holds its place: ``path`` (the user's own files), ``root`` (a well-known set), ``repo``, or empty.

    Raises:
        ConfigError: if there is no data set of that name.
    """
    try:
        config = resolve(registry().spec(DatasetSpec, name).config)
    except UnknownNameError as error:
        raise ConfigError(error.what, error.hint) from error
    return next((key for key in ("path", "root", "repo") if key in {item.name for item in fields(config)}), "")


def data_name(text: str) -> tuple[str, str]:
    """The name and the path of ``[DIST:]NAME[:PATH]``; the path is empty if none is given.

    If the text begins with the unambiguous name of a data set, the rest is its path: ``folder:mnist`` is a folder.

    Raises:
        UsageError: if the text has no name.
        ConfigError: if there is no data set of that name; the hint says how a folder is written.
    """
    first, _, rest = text.partition(":")
    if not first:
        raise UsageError(f"data {text!r} has no name of a data set", "write it as NAME or folder:PATH")
    second, _, path = rest.partition(":")
    known = registry()
    if known.claim_or_none(DatasetSpec, first) is None and second and known.offers(DatasetSpec, f"{first}:{second}"):
        return f"{first}:{second}", path
    if not known.offers(DatasetSpec, first):
        raise _no_data(text, first, rest)
    return first, rest


def _no_data(text: str, name: str, rest: str) -> ConfigError:
    """The error for data without a data set of that name: of a folder, or with the nearest name."""
    if not rest and ("/" in text or Path(text).is_dir()):
        return ConfigError(f"unknown dataset {text!r}", f"of a folder of images, write folder:{text}")
    near = get_close_matches(name[:200], registry().claims(DatasetSpec), n=2, cutoff=0.7)
    unknown = registry().unknown_name("dataset", name, near, "`zoo list datasets` shows them; a folder of images is written folder:PATH")
    return ConfigError(unknown.what + ("" if rest else ", and there is no folder of that name here"), unknown.hint)
