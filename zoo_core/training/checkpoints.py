"""Checkpoints of a training run: safetensors and JSON, written so that a crash at any moment leaves the newest complete one.

A checkpoint is written to ``.tmp-step-N-ID/``: each file and the folder are flushed to disk, MANIFEST.json last; then the folder is renamed
to ``step-N``, and only then older ones are pruned.
"""

import hashlib
import os
import shutil
import stat
import uuid
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from zoo_core.atomic import disk_error
from zoo_core.config import MAX_JSON_BYTES, dump_json, parse_json
from zoo_core.errors import ConfigError, IntegrityError, LockTimeout

__all__ = ["Snapshot", "locked", "newest", "save_snapshot"]

MANIFEST, STATE = "MANIFEST.json", "state.json"
# A disk that cannot be read is not damage: it may recover, and a checkpoint that was moved aside would be lost to the run.
_DAMAGE = (ConfigError, FileNotFoundError, NotADirectoryError, KeyError, TypeError, ValueError, SafetensorError)


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """The state of a run.

    >>> snapshot = Snapshot(step=10, parts={"model": {"weight": torch.zeros(2)}}, facts={"seconds": 1.5})
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = save_snapshot(Path(folder), snapshot, keep=3)
    ...     loaded = newest(Path(folder))
    >>> path.name, loaded.step, loaded.parts["model"]["weight"].tolist(), loaded.facts
    ('step-10', 10, [0.0, 0.0], {'seconds': 1.5})

    Args:
        step: number of steps done.
        parts: tensors by the name of their part, and by their own name.
        facts: values that JSON can hold.
    """

    step: int
    parts: Mapping[str, Mapping[str, Tensor]]
    facts: Mapping[str, Any]


def _flush_folder(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _disk(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise disk_error(f"cannot write {path}", error, "choose another folder") from error


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def save_snapshot(folder: Path, snapshot: Snapshot, *, keep: int) -> Path:
    """Writes ``folder/step-N``, and removes all checkpoints but the newest ``keep``.

    Raises:
        ResourceError: if the disk is full or the folder cannot be written to; older checkpoints still load.
    """
    final = folder / f"step-{snapshot.step}"
    temporary = folder / f".tmp-step-{snapshot.step}-{uuid.uuid4().hex[:8]}"
    with _disk(folder):
        try:
            temporary.mkdir(parents=True)
            digests = {}
            for name, data in _files(snapshot):
                _write(temporary / name, data)
                digests[name] = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
            _write(temporary / MANIFEST, dump_json(digests).encode())
            _flush_folder(temporary)
            if final.exists():
                _remove(final)
            temporary.rename(final)
            _flush_folder(folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        for _, old in _steps(folder)[:-keep]:
            _remove(old)
    return final


def _files(snapshot: Snapshot) -> Iterator[tuple[str, bytes]]:
    # One after the other, so that only one part is in memory twice.
    for name, part in snapshot.parts.items():
        yield f"{name}.safetensors", save(_plain(part))
    yield STATE, dump_json({"step": snapshot.step, **snapshot.facts}).encode()


def _plain(part: Mapping[str, Tensor]) -> dict[str, Tensor]:
    # Copies: safetensors refuses tensors that share memory, and needs them dense in row-major order.
    return {name: tensor.detach().to("cpu").clone(memory_format=torch.contiguous_format) for name, tensor in part.items()}


def _remove(path: Path) -> None:
    # Renamed first, so that a crash during the removal never leaves half a checkpoint under a good name.
    doomed = path.with_name(f".tmp-old-{path.name}-{uuid.uuid4().hex[:8]}")
    path.rename(doomed)
    shutil.rmtree(doomed, ignore_errors=True)


def _steps(folder: Path) -> list[tuple[int, Path]]:
    paths = [path for path in folder.glob("step-*") if path.name.removeprefix("step-").isdecimal()]
    return sorted((int(path.name.removeprefix("step-")), path) for path in paths)


def newest(folder: Path) -> Snapshot | None:
    """The newest checkpoint whose manifest verifies; None for a folder without checkpoints.

    Damaged ones that are newer are moved aside as ``.bad-*`` with a warning; leftovers of crashes are removed.

    Raises:
        IntegrityError: if all of them are damaged; they stay where they are.
        ResourceError: if one cannot be read, which says nothing about its content.
    """
    if not folder.is_dir():
        return None
    for leftover in folder.glob(".tmp-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    damaged: list[tuple[Path, Exception]] = []
    for step, path in reversed(_steps(folder)):
        try:
            snapshot = _read(path, step)
        except _DAMAGE as error:
            damaged.append((path, error))
        except OSError as error:
            raise disk_error(f"cannot read {path}", error, "choose another folder") from error
        else:
            _set_aside(damaged)
            return snapshot
    if damaged or any(folder.glob(".bad-*")):
        why = f" ({damaged[0][0].name}: {damaged[0][1]})" if damaged else ""
        hint = f"restore one from a copy; to start anew choose another --out, or remove {folder.parent}"
        raise IntegrityError(f"all checkpoints in {folder} are damaged{why:.120}", hint)
    return None


def _set_aside(damaged: Sequence[tuple[Path, Exception]]) -> None:
    for path, error in damaged:
        aside = path.with_name(f".bad-{path.name}-{uuid.uuid4().hex[:8]}")
        path.rename(aside)
        what = f"checkpoint {path.name} is damaged ({error}) and was moved to {aside.name}; the one before it is taken"
        warnings.warn(what, stacklevel=3)


def _read(path: Path, step: int) -> Snapshot:
    """The checkpoint in the folder ``path``; only regular files are read, and no file that is larger than its manifest says.

    Raises:
        ValueError, KeyError, TypeError, ConfigError, OSError, SafetensorError: if it is damaged or cannot be read.
    """
    files = {}
    for name, pin in parse_json(_bytes(path, MANIFEST), MANIFEST).items():
        data = _bytes(path, name, pin["size"])
        if hashlib.sha256(data).hexdigest() != pin["sha256"]:
            raise ValueError(f"{name} differs from its manifest")
        files[name] = data
    if STATE not in files:
        raise ValueError(f"its manifest names no {STATE}")
    facts = parse_json(files.pop(STATE), STATE)
    if facts.pop("step") != step:
        raise ValueError(f"{STATE} is of another step")
    parts = {name.removesuffix(".safetensors"): load(data) for name, data in files.items()}
    return Snapshot(step=step, parts=parts, facts=facts)


def _bytes(folder: Path, name: str, size: int | None = None) -> bytes:
    """The content of the file ``name``, of ``size`` bytes, or of the size of ordinary JSON when None.

    Raises:
        ValueError: if the name leads out of the folder, it is not a regular file, or its size differs.
    """
    path = folder / name
    if Path(name).name != name or folder.is_symlink() or not stat.S_ISREG(path.lstat().st_mode):
        raise ValueError(f"{name[:60]!r} is not a regular file in it")
    if size is not None and path.stat().st_size != size:
        raise ValueError(f"{name} differs from its manifest")
    with path.open("rb") as file:
        return file.read((MAX_JSON_BYTES if size is None else size) + 1)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Inside a ``with`` block, this process holds the run folder; the lock ends with the process in any case.

    Raises:
        LockTimeout: if another process holds it.
    """
    import fcntl

    with _disk(folder):
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise LockTimeout(f"another process is training in {folder}", "wait for it, or choose another --out") from error
        yield
    finally:
        os.close(handle)
