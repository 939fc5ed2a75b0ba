"""Writing files so that readers see the old bytes or the new ones, never half of them; and what to do where the disk refuses."""

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
    errno.ENOENT: "there is no such place, and it cannot be made: {elsewhere}",
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
    """The hint for an error of the operating system: what is wrong there, and ``elsewhere``, what to do instead."""
    return _STEPS.get(error.errno or 0, "check the disk and the permissions, or {elsewhere}").format(elsewhere=elsewhere)


def disk_error(what: str, error: OSError, elsewhere: str = "choose another path") -> ResourceError:
    """The error to raise from an OSError: ``what`` failed, why, and the next step that fits the cause.

    Args:
        what: the sentence's beginning: ``cannot write FILE``.
        error: the cause.
        elsewhere: what helps where the place is at fault, such as ``choose another --out``.
    """
    return ResourceError(f"{what}: {error.strerror or error}", next_step(error, elsewhere))


def check_folder(path: Path) -> Path:
    """``path``, if a file can be made in the nearest folder above it that exists.

    Raises:
        UsageError: that is no folder.
        ResourceError: no file can be made in it.
    """
    try:
        above = next(folder for folder in (path.absolute(), *path.absolute().parents) if folder.exists())
        folder = above.parent if above.is_file() and above == path.absolute() else above
        if not folder.is_dir():
            raise UsageError(f"cannot write to {folder}: it is no folder", "choose another --out")
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise disk_error(f"cannot write {path}", error, "choose another --out") from error
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
        raise disk_error(f"cannot write {path}", error, "choose another folder") from error
