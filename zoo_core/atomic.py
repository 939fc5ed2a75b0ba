"""Atomic writes: readers of a file see its old bytes or its new ones, never a part; and hints for errors of the disk."""

import errno
import os
import uuid
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryFile

from zoo_core.errors import ResourceError, UsageError

__all__ = ["check_folder", "disk_error", "next_step", "write_file"]

_STEPS: Mapping[int, str] = {
    errno.ENOSPC: "free some space there, or {elsewhere}",
    errno.EDQUOT: "free some of your quota there, or {elsewhere}",
    errno.EROFS: "that file system is read-only: {elsewhere}",
    errno.EACCES: "permission is missing there: change it, or {elsewhere}",
    errno.EPERM: "permission is missing there: change it, or {elsewhere}",
    errno.ENOENT: "that folder does not exist and cannot be created: {elsewhere}",
    errno.ENOTDIR: "a file stands where a folder is needed: {elsewhere}",
    errno.EEXIST: "something of that name is in the way: {elsewhere}",
    errno.EISDIR: "a folder has that name: {elsewhere}",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EINVAL: "the file system does not take that name: {elsewhere}",
    errno.EILSEQ: "the file system does not take that name: {elsewhere}",
    errno.ELOOP: "a link there leads back to itself: {elsewhere}",
    errno.EMFILE: "too many files are open: raise `ulimit -n`",
    errno.ENFILE: "too many files are open: close other programs",
    errno.EFBIG: "that file system takes no file of this size: {elsewhere}",
    errno.EIO: "the device reports a fault: check it, or {elsewhere}",
    errno.ENXIO: "that device is not there: {elsewhere}",
    errno.ESTALE: "the network share has gone: mount it again, or {elsewhere}",
    errno.EBUSY: "another program uses it: close that, or {elsewhere}",
}


def next_step(error: OSError, elsewhere: str = "choose another path") -> str:
    """Returns the hint for an error of the operating system.

    Args:
        error: the error.
        elsewhere: an alternative, for errors that another place would avoid.
    """
    return _STEPS.get(error.errno or 0, "check the disk and the permissions, or {elsewhere}").format(elsewhere=elsewhere)


def disk_error(what: str, error: OSError, elsewhere: str = "choose another path") -> ResourceError:
    """Returns the error to raise from an OSError, with the cause and a next step that fits it.

    Args:
        what: beginning of the message, such as ``cannot write FILE``.
        error: the cause.
        elsewhere: an alternative, such as ``choose another --out``, for errors that another place would avoid.
    """
    return ResourceError(f"{what}: {error.strerror or error}", next_step(error, elsewhere))


def check_folder(path: Path) -> Path:
    """Returns ``path``, after a check that a file can be created in the nearest existing folder above it.

    Raises:
        UsageError: if the nearest existing path above it is not a folder.
        ResourceError: if no file can be created there.
    """
    try:
        above = next(folder for folder in (path.absolute(), *path.absolute().parents) if folder.exists())
        folder = above.parent if above.is_file() and above == path.absolute() else above
        if not folder.is_dir():
            raise UsageError(f"cannot write to {folder}: it is not a folder", "choose another --out")
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise disk_error(f"cannot write {path}", error, "choose another --out") from error
    return path


def write_file(path: Path, data: bytes) -> None:
    """Replaces a file atomically, and creates the missing folders above it.

    Raises:
        ResourceError: if the disk is full or the folder is not writable; the old file stays unchanged.
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
        raise disk_error(f"cannot write {path}", error, "choose another folder") from error
