"""Loaders of tables of pictures, in Parquet and Arrow files; they are decoded into the cache on disk."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from zoo_core.data.cache import PictureSet, decoded, key_of, stored
from zoo_core.data.dataset import Data
from zoo_core.data.tables import files_of_split, read_table
from zoo_core.datasets import ArrowConfig, ParquetConfig, TableConfig, describe_path, expand
from zoo_core.errors import ConfigError

__all__ = ["arrow", "load_table", "parquet"]


def parquet(config: ParquetConfig) -> Data:
    """Loads pictures in Parquet files, uint8 (N, channels, size, size), resized and cropped.

    Args:
        config: see :class:`zoo_core.datasets.ParquetConfig`.

    Raises:
        ConfigError: if there is no such file, split or column, or a file or some pictures cannot be read.
        ResourceError: if the disk is too small.
        UsageError: if pyarrow is not installed.
    """
    return _local(config, config.path, ".parquet")


def arrow(config: ArrowConfig) -> Data:
    """Loads pictures in Arrow files by a :class:`zoo_core.datasets.ArrowConfig`; raises as :func:`parquet`."""
    return _local(config, config.path, ".arrow")


def _local(config: TableConfig, path: str, suffix: str) -> Data:
    root = Path(expand(path))
    if root.is_file():
        files = [(root.name, root)]
    elif root.is_dir():
        # Files that begin with cache- are results of calls, which `datasets` leaves beside a table.
        found = {item.relative_to(root).as_posix(): item for item in root.rglob(f"*{suffix}") if not item.name.startswith(("cache-", "."))}
        if not found:
            raise ConfigError(f"no {suffix} file in {root}", f"--data {suffix[1:]}:PATH names a file, or a folder of files")
        files = [(name, found[name]) for name in files_of_split(found, config.split, str(root))]
    else:
        raise ConfigError(f"there is no file {describe_path(path)}", f"--data {suffix[1:]}:PATH names a file, or a folder of files")
    status = [(name, item.stat()) for name, item in files]
    ids = [[name, each.st_size, each.st_mtime_ns] for name, each in status]
    return load_table(config, ids, str(root), lambda: files)


def load_table(config: TableConfig, ids: object, what: str, fetch: Callable[[], Sequence[tuple[str, Path]]]) -> Data:
    """Loads the pictures of a table from the cache, or decodes them into it.

    Args:
        config: options of the table.
        ids: all that tells the bytes of the files, as JSON.
        what: what holds the files, for messages.
        fetch: function that returns the names of the files, for messages, and their paths; called if they have to be decoded.

    Raises:
        ConfigError, ResourceError, UsageError: as :func:`parquet` raises.
    """
    options: dict[str, Any] = {"channels": config.channels, "size": config.size, "resize": config.resize}
    key: Mapping[str, Any] = {"table": ids, "image": config.image, "label": config.label, "broken": config.broken, **options}
    if (data := stored(key_of(key), flip=config.flip)) is not None:
        return data
    files = fetch()
    table = read_table(files, config.image, config.label)
    if not table.count:
        raise ConfigError(f"{what} holds no pictures of the split {config.split!r}", "choose another with -o data.split=NAME")
    names = {str(path): name for name, path in files}
    first: dict[str, int] = {}
    chunks = []
    for part in table.parts:
        begin = first.get(part["file"], 0)
        chunks.append({"table": part, "count": part["count"], "name": names[part["file"]], "first": begin})
        first[part["file"]] = begin + part["count"]
    pictures = PictureSet(
        what=what, key=key, chunks=chunks, labels=table.labels, classes=table.classes, skips=config.broken == "skip", **options
    )
    return decoded(pictures, flip=config.flip)
