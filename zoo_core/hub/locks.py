"""File locks between processes: how long to wait for one, and a word about who holds it."""

import logging
import math
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from zoo_core.errors import LockTimeout, ResourceError, UsageError

__all__ = ["LOCK_TIMEOUT", "file_lock", "holder", "lock_timeout"]

LOCK_TIMEOUT = 600.0
"""Seconds to wait for another process by default."""
_QUIET, _EVERY = 2.0, 30.0

_log = logging.getLogger(__name__)


def lock_timeout() -> float:
    """Seconds to wait for a lock that another process holds, from ``ZOO_LOCK_TIMEOUT``; infinite for ``inf``.

    Raises:
        UsageError: if the variable is not a number of seconds.
    """
    given = os.environ.get("ZOO_LOCK_TIMEOUT", "").strip()
    try:
        seconds = float(given) if given else LOCK_TIMEOUT
    except ValueError:
        seconds = math.nan
    if not seconds >= 0:
        raise UsageError(f"ZOO_LOCK_TIMEOUT is {given!r:.40}, which is not a number of seconds", "set it to 600, or unset it")
    return seconds


@contextmanager
def file_lock(path: Path, what: str, seconds: float) -> Iterator[None]:
    """Holds a lock file, which the Hub's own client respects too.

    Args:
        path: path of the lock file; its folder exists.
        what: name of what the lock protects, for messages.
        seconds: time to wait while another process holds it.

    Raises:
        LockTimeout: if another process holds it for that long.
        ResourceError: if the lock file cannot be opened.
    """
    from filelock import Timeout
    from huggingface_hub.utils import WeakFileLock  # type: ignore[attr-defined]  # public, and not in its __all__

    start = time.monotonic()
    pause = _QUIET
    with ExitStack() as stack:
        while True:
            left = max(start + seconds - time.monotonic(), 0.001)
            try:
                stack.enter_context(WeakFileLock(path, timeout=min(left, pause)))
                break
            except Timeout:
                waited = time.monotonic() - start
                if waited >= seconds:
                    hint = "try again later, or wait longer with --lock-timeout (or ZOO_LOCK_TIMEOUT)"
                    raise LockTimeout(f"{holder(path)} has been fetching {what} for more than {waited:.0f} s", hint) from None
                _log.warning("zoo: waiting for %s, which fetches %s: %.0f of at most %.0f s", holder(path), what, waited, seconds)
                pause = _EVERY
            except PermissionError as error:
                raise ResourceError(f"cannot open the lock {path} of {_owner(path)}: {error.strerror}", _SHARED) from None
        yield


_SHARED = "ask them for write access to the cache, or set HF_HUB_CACHE to a folder of your own"


def holder(path: Path) -> str:
    """The process that holds a lock file, as far as the system tells: ``process 1234 (python)``."""
    with suppress(OSError, ValueError):
        inode = path.stat().st_ino
        for line in Path("/proc/locks").read_text().splitlines():
            fields = line.split()
            if len(fields) > 5 and fields[1] != "->" and fields[5].rpartition(":")[2] == str(inode):
                pid = int(fields[4])
                with suppress(OSError):
                    return f"process {pid} ({Path(f'/proc/{pid}/comm').read_text().strip()})"
                return f"process {pid}"
    return "another process"


def _owner(path: Path) -> str:
    """Name of the user that a file belongs to."""
    try:
        return f"user {path.owner()}"
    except (OSError, KeyError):
        return "another user"
