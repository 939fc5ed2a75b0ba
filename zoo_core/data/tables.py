"""Tables of pictures in Parquet and Arrow files, as Hugging Face ``datasets`` writes them: their columns, labels, rows and splits."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo_core.errors import ConfigError, UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Table", "TableError", "encoded_pictures", "files_of_split", "load_pyarrow", "read_table", "split_of"]

_IMAGES = ("image", "img", "picture", "png", "jpg", "jpeg")  # names of columns of bytes, where no metadata tells
_LABELS = ("label", "labels", "class", "category")
_SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "valid", "val", "dev"), "validation"),
    **dict.fromkeys(("test", "testing", "eval", "evaluation"), "test"),
}
_SHARD = re.compile(r"(\w+(?:\.\w+)*)-\d{5}-of-\d{5}\b.*", re.ASCII)
_ROWS = 64  # that are read at once
_SHOWN = 8


class TableError(Exception):
    """A file cannot be read as a table. The message gives the reason and does not name the file.

    >>> str(TableError("it is empty"))
    'it is empty'
    """


@dataclass(frozen=True, kw_only=True)
class Table:
    """The rows of files of one table.

    Args:
        parts: row groups or record batches in order, each as ``encoded_pictures`` takes it, with its number of rows as ``count``.
        labels: int64 (N,), or None.
        classes: names of the labels.

    >>> Table(parts=({"count": 3}, {"count": 2}), labels=None, classes=()).count
    5
    """

    parts: Sequence[Mapping[str, Any]]
    labels: "NDArray[np.int64] | None"
    classes: tuple[str, ...]

    @property
    def count(self) -> int:
        """The number of rows."""
        return sum(part["count"] for part in self.parts)


def split_of(name: str) -> str:
    """The split that the name of a file tells, by the rules of ``datasets``; empty if it tells none.

    >>> split_of("data/train-00000-of-00002.parquet"), split_of("default/test/0000.parquet"), split_of("part-0.parquet")
    ('train', 'test', '')
    """
    *folders, last = name.split("/")
    shard = _SHARD.fullmatch(last)
    if shard and shard[1] != "data":  # the name that `save_to_disk` gives every split
        return _SPLITS.get(shard[1].lower(), shard[1])
    for part in (last, *reversed(folders)):
        words = re.split(r"[^a-z0-9]+", part.lower())
        if found := next((_SPLITS[word] for word in words if word in _SPLITS), ""):
            return found
    return ""


def files_of_split(names: Iterable[str], split: str, where: str) -> list[str]:
    """The files of a split in the order of their names; files that tell no split are those of ``train`` if none tells one.

    Args:
        names: paths of all files of the table, with ``/``.
        split: name of the split.
        where: what holds the files, for the error.

    Raises:
        ConfigError: if there is no such split.
    """
    known: dict[str, list[str]] = {}
    for name in sorted(names):
        known.setdefault(split_of(name), []).append(name)
    if set(known) == {""}:
        known["train"] = known[""]
    wanted = _SPLITS.get(split, split)
    if wanted not in known:
        others = ", ".join(sorted(filter(None, known))) or "no file of a table"
        raise ConfigError(f"{where} has no split {split!r}: it has {others}", "-o data.split=NAME chooses one")
    return known[wanted]


def read_table(files: Sequence[tuple[str, Path]], image: str, label: str | None) -> Table:
    """Reads the rows' places and the labels of a table, and no picture.

    Args:
        files: names for messages, and paths.
        image: column of encoded pictures; empty to find it.
        label: column of classes; empty to find it, None for no labels.

    Raises:
        ConfigError: if a file is no such table, or has no such column.
        UsageError: if pyarrow is not installed.
    """
    load_pyarrow()
    import numpy as np

    parts: list[dict[str, Any]] = []
    columns: list[list[Any]] = []
    names: Sequence[str] = ()
    for name, path in files:
        try:
            with _opened(path) as opened:
                schema = opened.schema
                features = _features(schema)
                picture = _image_column(schema, features, image, name)
                kind = None if label is None else _label_column(schema, features, label, name)
                counts = opened.counts()
                where = {"file": str(path), "column": picture}
                parts += [{**where, "part": part, "count": count} for part, count in enumerate(counts)]
                if kind is not None:
                    columns.append([value for batch in opened.batches(kind) for value in batch.to_pylist()])
                    named = features.get(kind, {}).get("names")
                    names = tuple(map(str, named)) if isinstance(named, list) else ()
        except TableError as error:
            raise ConfigError(f"cannot read {name}: {error}", "get the file again, or choose other data") from error
    values = [value for column in columns for value in column]
    if len(values) not in (0, sum(part["count"] for part in parts)):
        raise ConfigError("some of the files have labels, and others have none", "-o data.label=null leaves them out")
    numbers, classes = _numbered(values, names) if values else (None, ())
    labels = None if numbers is None else np.array(numbers, dtype=np.int64)
    return Table(parts=[part for part in parts if part["count"]], labels=labels, classes=classes)


def _numbered(values: Sequence[Any], names: Sequence[str]) -> tuple[list[int] | None, tuple[str, ...]]:
    """The labels as numbers, and the names of the classes; None if the labels are hidden, as those of test sets are.

    Raises:
        ConfigError: if a label is missing, or is neither a number from 0 on nor a text.
    """
    kinds = {type(value) for value in values}
    if kinds == {int} and set(values) == {-1}:
        return None, ()
    hint = "-o data.label=COLUMN chooses another column, -o data.label=null none"
    if kinds == {str} or kinds == {bool}:
        texts = sorted({str(value) for value in values})
        places = {text: place for place, text in enumerate(texts)}
        return [places[str(value)] for value in values], tuple(texts)
    if kinds != {int} or min(values) < 0 or max(values) > 1 << 20:
        wrong = next((value for value in values if not isinstance(value, int) or not 0 <= value <= 1 << 20), values[0])
        raise ConfigError(f"{wrong!r:.40} is not a label: labels are numbers from 0 on, or texts", hint)
    if names and max(values) >= len(names):
        raise ConfigError(f"there is a label {max(values)}, beyond the {len(names)} classes", hint)
    return list(values), tuple(names) or tuple(map(str, range(max(values) + 1)))


def encoded_pictures(part: Mapping[str, Any]) -> Iterator[bytes]:
    """Yields the encoded pictures of a part of a table.

    Args:
        part: ``file``, ``part`` (the number of the row group or record batch) and ``column``.

    Raises:
        TableError: if the file cannot be read.
    """
    with _opened(Path(part["file"])) as opened:
        for batch in opened.batches(part["column"], part["part"]):
            cells = batch.field("bytes") if hasattr(batch, "field") else batch
            for cell in cells:
                yield cell.as_py() or b""


class _Parquet:
    def __init__(self, path: Path) -> None:
        from pyarrow import parquet

        self.file = parquet.ParquetFile(path, memory_map=True)
        self.schema = self.file.schema_arrow

    def counts(self) -> list[int]:
        return [self.file.metadata.row_group(part).num_rows for part in range(self.file.num_row_groups)]

    def batches(self, column: str, part: int | None = None) -> Iterator[Any]:
        groups = None if part is None else [part]
        for batch in self.file.iter_batches(_ROWS if groups else 65536, groups, [column], use_threads=False):
            yield batch.column(0)

    def close(self) -> None:
        self.file.close()


class _Arrow:
    """A file of record batches: the format of streams, which ``datasets`` writes, or that of files."""

    def __init__(self, path: Path) -> None:
        import pyarrow as pa

        self.source = pa.memory_map(str(path))
        try:
            self.reader: Any = pa.ipc.open_file(self.source)
        except pa.ArrowInvalid:
            self.source.seek(0)
            self.reader = pa.ipc.open_stream(self.source)
        self.schema = self.reader.schema

    def _all(self) -> Iterator[Any]:
        import pyarrow as pa

        if hasattr(self.reader, "get_batch"):
            yield from (self.reader.get_batch(part) for part in range(self.reader.num_record_batches))
            return
        self.source.seek(0)
        yield from pa.ipc.open_stream(self.source)

    def counts(self) -> list[int]:
        return [batch.num_rows for batch in self._all()]

    def batches(self, column: str, part: int | None = None) -> Iterator[Any]:
        for place, batch in enumerate(self._all()):
            if part is None or place == part:
                yield batch.column(column)
            if place == part:
                return

    def close(self) -> None:
        self.source.close()


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """An open table; errors of pyarrow become errors of a table.

    Raises:
        TableError: if the file cannot be read, while it is opened or used.
    """
    import pyarrow as pa

    try:
        opened: Any = _Parquet(path) if path.suffix == ".parquet" else _Arrow(path)
        try:
            yield opened
        finally:
            opened.close()
    except (pa.ArrowException, OSError, EOFError) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())[:140] or type(error).__name__
        raise TableError(reason) from error


def load_pyarrow() -> Any:
    """The module pyarrow.

    Raises:
        UsageError: if it is not installed.
    """
    try:
        import pyarrow
    except ImportError as error:
        raise UsageError("tables of pictures need pyarrow, which is not installed", "pip install 'zoo-core[data]'") from error
    return pyarrow


def _features(schema: Any) -> Mapping[str, Mapping[str, Any]]:
    """The kinds of the columns as ``datasets`` notes them in a file, by name; empty if it does not."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        return {name: kind for name, kind in features.items() if isinstance(kind, dict)}
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError):
        return {}


def _image_column(schema: Any, features: Mapping[str, Mapping[str, Any]], given: str, where: str) -> str:
    if given:
        return _present(schema, given, where, "image", holds_bytes=True)
    usable = [name for name in schema.names if _holds_bytes(schema, name)]
    marked = [name for name in usable if features.get(name, {}).get("_type") == "Image"]
    named = [name for name in usable if name.lower() in _IMAGES]
    found = marked or named or (usable if len(usable) == 1 else [])
    if not found:
        raise ConfigError(f"no column of pictures in {where}: it has {_listed(schema.names)}", "-o data.image=COLUMN names it")
    return found[0]


def _label_column(schema: Any, features: Mapping[str, Mapping[str, Any]], given: str, where: str) -> str | None:
    if given:
        return _present(schema, given, where, "label")
    marked = [name for name in schema.names if features.get(name, {}).get("_type") == "ClassLabel"]
    return next(iter(marked), None) or next((name for name in schema.names if name.lower() in _LABELS), None)


def _present(schema: Any, name: str, where: str, option: str, *, holds_bytes: bool = False) -> str:
    if name not in schema.names:
        raise ConfigError(f"no column {name!r:.60} in {where}: it has {_listed(schema.names)}", f"-o data.{option}=COLUMN names it")
    if holds_bytes and not _holds_bytes(schema, name):
        what = f"the column {name!r:.60} of {where} holds {schema.field(name).type!s:.60}, not encoded pictures"
        raise ConfigError(what, f"-o data.{option}=COLUMN names it")
    return name


def _holds_bytes(schema: Any, name: str) -> bool:
    """Whether a column holds encoded pictures: bytes, or a struct with them in ``bytes``, which is how ``datasets`` stores images."""
    import pyarrow as pa

    kind = schema.field(name).type
    if pa.types.is_struct(kind):
        kind = next((kind.field(place).type for place in range(kind.num_fields) if kind.field(place).name == "bytes"), None)
    return kind is not None and (pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "") or "none"
