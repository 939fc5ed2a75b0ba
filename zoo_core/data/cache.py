"""The cache of decoded pictures on disk: each set is decoded once, by several processes, and later read row by row.

    CACHE/data/KEY/images      uint8 (N, c, h, w), one image after the other
    CACHE/data/KEY/labels      int64 (N,), little-endian, if there are labels
    CACHE/data/KEY/set.json    shape, classes, and the digest that the set has in memory too
    CACHE/data/.part-KEY/      a set that is being decoded, with the results of the chunks that are done
    CACHE/data/.lock-KEY       held while a set is decoded

KEY is the sha256 of all that the pixels depend on: the files, by their ids or by their names, sizes and times, and the options. A set gets
its place in one step, when it is whole. A process that was killed leaves its part behind, and the next one goes on with it.
"""

import fcntl
import hashlib
import json
import logging
import os
import re
import shutil
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from zoo_core.atomic import disk_error, write_file
from zoo_core.config import dump_json
from zoo_core.data.dataset import Data
from zoo_core.data.pool import decode_all
from zoo_core.data.stored import StoredImages
from zoo_core.errors import ConfigError, ResourceError
from zoo_core.hardware.memory import human_size

__all__ = ["PictureSet", "cache_folder", "decoded", "key_of", "stored"]

FORMAT = 1
_MAX_NAMED = 20  # pictures that an error names
_SPARE = 1 << 28  # bytes of the disk that stay free
_PAUSE, _EVERY = 0.2, 30.0

_log = logging.getLogger(__name__)


def cache_folder() -> Path:
    """The folder of the zoo's caches, from ``ZOO_CACHE`` or ``XDG_CACHE_HOME``."""
    given = os.environ.get("ZOO_CACHE") or os.path.join(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "zoo")
    return Path(os.path.expandvars(os.path.expanduser(given))).absolute()


@dataclass(frozen=True, kw_only=True)
class PictureSet:
    """Encoded pictures, and how they are decoded.

    Args:
        what: what holds them, for messages.
        key: all that their pixels depend on, as JSON.
        chunks: chunks of pictures, as :func:`zoo_core.data.worker.decode_chunk` takes them, each with its number of pictures as ``count``.
        channels: 1 or 3.
        size: side of the images.
        resize: name of a filter.
        labels: int64 (N,), or None.
        classes: names of the labels.
        unreadable: names and reasons of files that are known to be unreadable.
        skips: whether broken pictures are left out; otherwise they are an error.

    >>> PictureSet(what="photos", key={}, chunks=[{"count": 2}, {"count": 1}], channels=3, size=8, resize="box").shape
    (3, 3, 8, 8)
    """

    what: str
    key: Mapping[str, Any]
    chunks: Sequence[Mapping[str, Any]]
    channels: int
    size: int
    resize: str
    labels: NDArray[np.int64] | None = None
    classes: tuple[str, ...] = ()
    unreadable: Sequence[tuple[str, str]] = field(default=())
    skips: bool = False

    @property
    def count(self) -> int:
        """The number of pictures."""
        return sum(chunk["count"] for chunk in self.chunks)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """The shape of the decoded images (N, c, h, w)."""
        return self.count, self.channels, self.size, self.size


def key_of(facts: Mapping[str, Any]) -> str:
    """The key of a set: the sha256 of ``facts``, the version of Pillow and that of the cache.

    >>> len(key_of({"size": 32}))
    64
    """
    from PIL import __version__

    plain = {"format": FORMAT, "pillow": __version__, **facts}
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def stored(key: str, *, flip: bool = False) -> Data | None:
    """The set of that key, from the cache; None if it is not there.

    Raises:
        ResourceError: if its files are damaged.
    """
    place = cache_folder() / "data" / key
    try:
        facts = json.loads((place / "set.json").read_bytes())
        shape = tuple(map(int, facts["shape"]))
        facts = {name: facts[name] for name in ("labels", "classes", "digest", "warnings")}
    except (OSError, ValueError, LookupError, TypeError):  # it is not there, or no set of this version: it is decoded again
        return None
    images = StoredImages(place / "images", shape)  # type: ignore[arg-type]  # four numbers, as it was written
    labels = None
    if facts["labels"]:
        labels = torch.from_numpy(np.fromfile(place / "labels", "<i8").astype(np.int64))
        if len(labels) != shape[0]:
            raise ResourceError(f"{place / 'labels'} is damaged", f"remove {place}: the images are decoded again")
    for line in facts["warnings"]:
        warnings.warn(line, RuntimeWarning, stacklevel=3)
    classes = tuple(facts["classes"])
    return Data(x=images.mapped, labels=labels, classes=classes, flip=flip, stored=images, recorded_digest=facts["digest"])


def decoded(pictures: PictureSet, *, flip: bool = False) -> Data:
    """Decodes a set into the cache, unless it is there, and returns it from there. Other processes wait meanwhile.

    Raises:
        ConfigError: if pictures cannot be read; it names all or the first of them.
        ResourceError: if the disk is too small, or a worker dies.
    """
    key = key_of(pictures.key)
    if (data := stored(key, flip=flip)) is not None:
        return data
    root = cache_folder() / "data"
    try:
        root.mkdir(parents=True, exist_ok=True)
        with _locked(root / f".lock-{key}", pictures.what):
            if (data := stored(key, flip=flip)) is None:
                _decode(pictures, root, key)
                data = stored(key, flip=flip)
    except OSError as error:
        hint = "set ZOO_CACHE to a folder on a larger disk"
        raise disk_error(f"cannot write the decoded images to {root}", error, hint) from error
    assert data is not None
    return data


@contextmanager
def _locked(path: Path, what: str) -> Iterator[None]:
    """Holds a lock; says from time to time that another process decodes."""
    with path.open("w") as file:
        said = time.monotonic() - _EVERY + 2
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() - said > _EVERY and os.environ.get("RANK", "0") == "0":
                    _log.warning("zoo: waiting for another process, which decodes %s", what)
                    said = time.monotonic()
                time.sleep(_PAUSE)
        yield


def _decode(pictures: PictureSet, root: Path, key: str) -> None:
    """Decodes all pictures, and puts the set into its place."""
    part = root / f".part-{key}"
    part.mkdir(exist_ok=True)
    size = int(np.prod(pictures.shape))
    here = part / "images"
    missing = size - (here.stat().st_blocks * 512 if here.exists() else 0)
    free = shutil.disk_usage(root).free
    if missing + _SPARE > free:
        what = f"the decoded images of {pictures.what} take {human_size(size)}, and {root} has {human_size(free)} left"
        raise ResourceError(what, "set ZOO_CACHE to a folder on a larger disk, or choose a smaller data.size")
    with here.open("ab") as file:
        file.truncate(size)
    outcome = decode_all(pictures.chunks, here, part / "done", pictures.channels, pictures.size, pictures.resize, pictures.what)
    failed = [*pictures.unreadable, *((_name(pictures, i), reason) for i, reason in outcome.failed)]
    if failed and (not pictures.skips or len(failed) == pictures.count):
        shutil.rmtree(part)
        raise _unreadable(pictures, failed)
    facts = _compacted(pictures, outcome, part, len(failed))
    (part / "set.json").write_text(dump_json(facts))
    for path in part.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
    if (root / key).exists():  # without a set.json that can be read
        shutil.rmtree(root / key)
    part.rename(root / key)
    (root / key / "done").unlink(missing_ok=True)


def _compacted(pictures: PictureSet, outcome: Any, part: Path, failed: int) -> dict[str, Any]:
    """Removes the images that are left out, writes the labels, and returns the facts of set.json."""
    kept = np.ones(pictures.count, dtype=bool)
    kept[[i for i, _ in outcome.failed]] = False
    kept[outcome.drawn] = False
    if not kept.any():
        problem = f"the zoo drew all {len(kept):,} images in {pictures.what}: they are samples, not data"
        raise ConfigError(problem, "choose a folder of other images")
    length = int(np.prod(pictures.shape[1:]))
    if not kept.all():
        (part / "done").unlink()  # if this process is killed while it moves images, all are decoded again
        with (part / "images").open("r+b") as file:
            for to, at in enumerate(np.flatnonzero(kept).tolist()):
                if to != at:
                    os.pwrite(file.fileno(), os.pread(file.fileno(), length, at * length), to * length)
            file.truncate(int(kept.sum()) * length)
    labels, classes = pictures.labels, pictures.classes
    if labels is not None:
        labels = labels[kept]
        if outcome.drawn:  # as a folder in memory does: classes of nothing but samples are no classes
            left, labels = np.unique(labels, return_inverse=True)
            classes = tuple(classes[label] for label in left)
        write_file(part / "labels", labels.astype("<i8").tobytes())
    shape = (int(kept.sum()), *pictures.shape[1:])
    lines = [f"left out in {pictures.what}: {failed:,} pictures that cannot be read"] if failed else []
    lines += [f"left out in {pictures.what}: {len(outcome.drawn):,} images that the zoo drew"] if outcome.drawn else []
    if outcome.animated:
        lines.append(f"of {outcome.animated:,} animated images in {pictures.what}, the first frame is read")
    digest = _digest(part / "images", shape, labels)
    flags = {"labels": labels is not None, "classes": list(classes), "digest": digest, "warnings": lines}
    return {"format": FORMAT, "what": pictures.what, "shape": list(shape), **flags, "left_out": int((~kept).sum())}


def _digest(images: Path, shape: Sequence[int], labels: NDArray[np.int64] | None) -> str:
    """The digest of :class:`zoo_core.data.dataset.Data`, from a file."""
    sha = hashlib.sha256(f"{torch.uint8} {tuple(shape)}".encode())
    with images.open("rb") as file:
        while block := file.read(1 << 22):
            sha.update(block)
    if labels is not None:
        sha.update(labels.astype(np.int64).tobytes())
    return sha.hexdigest()


def _name(pictures: PictureSet, number: int) -> str:
    """The name of a picture: its file, or its row in a file of a table."""
    first = 0
    for chunk in pictures.chunks:
        if first <= number < first + chunk["count"]:
            if "paths" in chunk:
                return str(chunk["paths"][number - first])
            return f"row {chunk['first'] + number - first:,} of {chunk['name']}"
        first += chunk["count"]
    raise AssertionError


def _unreadable(pictures: PictureSet, failed: Sequence[tuple[str, str]]) -> ConfigError:
    """The error for pictures that cannot be read; for several, its notes give the reasons."""
    them = "it" if len(failed) == 1 else "them"
    in_table = bool(pictures.chunks) and "table" in pictures.chunks[0]
    hint = f"-o data.broken=skip leaves {them} out" if in_table else f"remove {them}, or repair {them}"
    if len(failed) == 1:
        return ConfigError(f"cannot read {failed[0][0]} as an image: {failed[0][1]}", hint)
    names = ", ".join(re.sub(r".*/", "", name) for name, _ in failed[:3]) + (", ..." if len(failed) > 3 else "")
    error = ConfigError(f"cannot read {len(failed):,} of {pictures.count:,} pictures in {pictures.what} as images: {names}", hint)
    for name, reason in failed[:_MAX_NAMED]:
        error.add_note(f"cannot read {name}: {reason}")
    if len(failed) > _MAX_NAMED:
        error.add_note(f"... and {len(failed) - _MAX_NAMED:,} more")
    return error
