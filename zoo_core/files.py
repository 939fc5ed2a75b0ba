"""Writing files so that readers see the old bytes or the new ones, never half of them."""

import os
import uuid
from pathlib import Path

from zoo_core.errors import ResourceError, UsageError

__all__ = ["check_folder", "write_file"]


def check_folder(path: Path) -> Path:
    """``path``, if the nearest folder above it that exists can be written to.

    Raises:
        UsageError: it is no folder.
        ResourceError: it must not be written to.
    """
    above = next(folder for folder in (path.absolute(), *path.absolute().parents) if folder.exists())
    folder = above.parent if above.is_file() and above == path.absolute() else above
    if not folder.is_dir():
        raise UsageError(f"cannot write to {folder}: it is no folder", "choose another --out")
    if not os.access(folder, os.W_OK):
        raise ResourceError(f"cannot write to {folder}: no permission", "choose another --out")
    return path


def write_file(path: Path, data: bytes) -> None:
    """Replaces a file in one step, making the folders above it where they are missing.

    Raises:
        ResourceError: the disk is full or the folder cannot be written; what was there stays as it was.
    """
    temporary = path.with_name(f".tmp-{path.name[:64]}-{uuid.uuid4().hex[:8]}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise ResourceError(f"cannot write {path}: {error.strerror or error}", "free some space or choose another folder") from error
