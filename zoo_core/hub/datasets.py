"""Data sets of pictures on the Hub: their Parquet files at a pinned commit, from the cache where they are."""

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo_core.cards.card import parse
from zoo_core.data.tables import files_of_split
from zoo_core.datasets import HubDatasetConfig
from zoo_core.errors import CardError, ConfigError, GatedError, HubError, IntegrityError, NotFoundError, ResourceError
from zoo_core.hub.cache import COMMIT, is_offline
from zoo_core.hub.client import host
from zoo_core.hub.download import RemoteFile, progress_bar
from zoo_core.hub.listing_checks import check_same_files
from zoo_core.hub.repository import Listing, Repository
from zoo_core.interfaces import DatasetConfig

if TYPE_CHECKING:
    from zoo_core.data.dataset import Data

__all__ = ["hub_dataset", "pin_dataset"]

CARD = "README.md"
# The branch to which the Hub converts data sets that are stored in other formats.
_CONVERTED = "refs/convert/parquet"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class _Revision:
    """A commit of a data set, and the ids of its Parquet files and its card by name."""

    repository: Repository
    commit: str
    oids: Mapping[str, str]

    @property
    def tables(self) -> list[str]:
        return [name for name in self.oids if name != CARD]


def hub_dataset(config: HubDatasetConfig) -> "Data":
    """Loads pictures of a data set on the Hub, uint8 (N, channels, size, size), resized and cropped.

    A commit whose files are here already is used without any request; so is the last known commit of a branch if the Hub cannot be reached.

    Args:
        config: see :class:`zoo_core.datasets.HubDatasetConfig`.

    Raises:
        ConfigError: if it has no such split, subset or column, or some pictures cannot be read.
        HubError: if the Hub does not send it.
        IntegrityError: if the Hub sends other bytes than it listed.
        ResourceError: if the disk is too small.
        UsageError: if pyarrow is not installed.
    """
    from zoo_core.data.table_loaders import load_table
    from zoo_core.data.tables import load_pyarrow

    load_pyarrow()  # before anything is fetched
    found = _revision(config)
    title = f"{config.repo} at {found.commit[:12]}"
    names = _files(found, config)
    return load_table(config, [found.oids[name] for name in names], title, lambda: _fetched(found, names))


def pin_dataset(config: DatasetConfig) -> DatasetConfig:
    """The config of a data set on the Hub with the commit that its branch or tag means now; any other config as it is.

    Raises:
        HubError: if the Hub cannot be asked, and the cache does not know.
    """
    return replace(config, revision=_revision(config).commit) if isinstance(config, HubDatasetConfig) else config


def _is_wanted(name: str) -> bool:
    return name == CARD or name.endswith(".parquet")


def _revision(config: HubDatasetConfig) -> _Revision:
    repository = Repository(config.repo, "datasets")
    cache = repository.cache
    revision = config.revision or "main"
    commit = revision if COMMIT.fullmatch(revision) else cache.ref(revision)
    known = cache.required_oids(commit) if commit else None
    if known and commit == revision:
        return _Revision(repository=repository, commit=commit, oids=known)
    try:
        listing = _with_tables(repository, revision, config)
        check_same_files(repository, listing)
    except (HubError, ResourceError) as error:
        if known is None or commit is None or isinstance(error, NotFoundError | GatedError):
            raise
        if not is_offline():
            _log.warning("zoo: warning: using the last fetched copy of %s, %s: %s", config.repo, commit[:12], error.what)
        return _Revision(repository=repository, commit=commit, oids=known)
    if CARD in listing.files:
        repository.download(listing.commit, listing.files[CARD])
    cache.snapshot(listing.commit).mkdir(parents=True, exist_ok=True)
    cache.save_required_oids(listing.commit, listing.oids)
    cache.save_ref(revision, listing.commit)
    return _Revision(repository=repository, commit=listing.commit, oids=listing.oids)


def _with_tables(repository: Repository, revision: str, config: HubDatasetConfig) -> Listing:
    """The listing of a revision; that of the Hub's own conversion to Parquet if ``main`` has no such files.

    Raises:
        NotFoundError: if neither has any.
    """
    listing = repository.listing(revision, _is_wanted)
    if any(name != CARD for name in listing.files):
        return listing
    if not config.revision:
        try:
            return repository.listing(_CONVERTED, lambda name: name.endswith(".parquet"))
        except NotFoundError:
            pass
    what = f"{config.repo} at {listing.commit[:12]} on {host()} has no Parquet files"
    raise NotFoundError(what, "download its pictures, and use them with --data folder:PATH")


def _files(found: _Revision, config: HubDatasetConfig) -> list[str]:
    """The names of the files of the config's subset and split.

    Raises:
        ConfigError: if there is no such subset or split.
    """
    if (configs := _configs(found)) and (chosen := _subset(configs, config)) is not None:
        splits = _data_files(chosen, found.tables)
        wanted = splits.get(config.split)
        if not wanted:
            raise ConfigError(f"{config.repo} has no split {config.split!r}: it has {', '.join(splits)}", "-o data.split=NAME chooses one")
        return wanted
    tables = found.tables
    tops = sorted({name.partition("/")[0] for name in tables if name.count("/") > 1} - {"data"})
    if config.subset and config.subset not in tops:
        raise _no_subset(config, tops)
    if config.subset or len(tops) > 1:
        if not config.subset:
            raise ConfigError(f"{config.repo} has several subsets: {', '.join(tops[:8])}", f"-o data.subset={tops[0]} chooses one")
        tables = [name for name in tables if name.startswith(f"{config.subset}/")]
    return files_of_split(tables, config.split, config.repo)


def _no_subset(config: HubDatasetConfig, names: Sequence[str]) -> ConfigError:
    has = f"it has {', '.join(names[:8])}" if names else "it is a single one"
    return ConfigError(f"{config.repo} has no subset {config.subset!r}: {has}", "-o data.subset=NAME chooses one")


def _configs(found: _Revision) -> list[Mapping[str, Any]]:
    """The entries ``configs`` of the front matter of the data set's card; none if there is no card that can be read."""
    try:
        text = (found.repository.cache.snapshot(found.commit) / CARD).read_text(errors="replace")
        configs = parse(text).metadata.get("configs")
    except (OSError, CardError):
        return []
    named = (
        [each for each in configs if isinstance(each, dict) and isinstance(each.get("config_name"), str)]
        if isinstance(configs, list)
        else []
    )
    return [each for each in named if each.get("data_files")]


def _subset(configs: Sequence[Mapping[str, Any]], config: HubDatasetConfig) -> Mapping[str, Any] | None:
    names = [each["config_name"] for each in configs]
    if config.subset:
        if config.subset not in names:
            raise _no_subset(config, names)
        return configs[names.index(config.subset)]
    default = [each for each in configs if each.get("default") is True or each["config_name"] == "default"]
    if default or len(configs) == 1:
        return (default or configs)[0]
    raise ConfigError(f"{config.repo} has several subsets: {', '.join(names[:8])}", f"-o data.subset={names[0]} chooses one")


def _data_files(entry: Mapping[str, Any], names: Sequence[str]) -> dict[str, list[str]]:
    """The files of each split by ``data_files``: a pattern, several, or a split with its patterns for each."""
    given = entry["data_files"]
    rows = given if isinstance(given, list) else [given]
    splits: dict[str, list[str]] = {}
    for row in rows:
        split, patterns = (row.get("split", "train"), row.get("path")) if isinstance(row, dict) else ("train", row)
        for pattern in patterns if isinstance(patterns, list) else [patterns]:
            found = [name for name in names if isinstance(pattern, str) and fnmatchcase(name, pattern.removeprefix("./"))]
            splits.setdefault(str(split), []).extend(name for name in sorted(found) if name not in splits.get(str(split), []))
    return splits


def _fetched(found: _Revision, names: Sequence[str]) -> list[tuple[str, Path]]:
    """The names of files for messages and their paths, after all of them are here and verified.

    Raises:
        IntegrityError: if the cache holds other bytes, and the Hub cannot be asked.
        HubError: if a file does not arrive.
    """
    repository, commit = found.repository, found.commit
    folder = repository.cache.snapshot(commit)
    wrong = [name for name in names if not _is_whole(found, folder / name, found.oids[name])]
    if wrong:
        if is_offline() and any((folder / name).exists() for name in wrong):
            what = f"{wrong[0]} of {repository.name} in the cache is not the file of {commit[:12]}"
            raise IntegrityError(what, "unset HF_HUB_OFFLINE: it is fetched again")
        listing = repository.listing(commit, set(wrong).__contains__)
        if missing := [name for name in wrong if name not in listing.files]:
            raise NotFoundError(f"{repository.name} at {commit[:12]} on {host()} has no {missing[0]}", "choose another revision")
        with progress_bar(repository.name, listing.size) as on_bytes:
            for file in listing.files.values():
                repository.download(commit, file, on_bytes=on_bytes, doubted=True)
    return [(f"{name} of {repository.name}", folder / name) for name in names]


def _is_whole(found: _Revision, path: Path, oid: str) -> bool:
    return os.path.isfile(path) and found.repository.holds(RemoteFile(path.name, oid, path.stat().st_size))
