"""Available memory of this process, so that too large requests are refused before the system kills the process."""

import gc
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from zoo_core.errors import ResourceError

__all__ = ["available_memory", "demand_memory", "human_size", "release_memory"]

_SMALL = 1 << 26
_PROC = Path("/proc")
_CGROUPS = Path("/sys/fs/cgroup")


def demand_memory(needed: int, what: str, hint: str = "") -> None:
    """Checks that there is memory for an allocation of 64 MB or more.

    Args:
        needed: number of bytes.
        what: plural noun for the message, such as ``"the weights of x"``.
        hint: next step if there is not enough memory.

    Raises:
        ResourceError: if less memory is available; the message has both numbers.

    >>> demand_memory(1 << 60, "the weights of x", "choose a smaller model")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    zoo_core.errors.ResourceError: the weights of x take 1,152,921,504.6 GB of memory, and ... GB are available -- choose a smaller model
    """
    if needed >= _SMALL and (available := available_memory()) < needed:
        raise ResourceError(f"{what} take {needed / 1e9:,.1f} GB of memory, and {available / 1e9:,.1f} GB are available", hint)


def available_memory() -> int:
    """The number of bytes that this process can still take without swapping, by the system, its control groups and its limits.

    On systems that do not report free memory, such as macOS, it is the size of the memory.
    """
    return max(0, min([_left_in_system(), *_left_in_groups(), *_left_in_limits()]))


def _left_in_system() -> int:
    free = _fields(_PROC / "meminfo").get("MemAvailable")
    return free * 1024 if free is not None else os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _left_in_groups() -> Iterator[int]:
    """Yields the bytes left in each control group of this process, of version 2 and of version 1, from its own up to the root."""
    for line in _text(_PROC / "self" / "cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        version2 = not controllers
        if not version2 and "memory" not in controllers.split(","):
            continue
        top = _CGROUPS if version2 else _CGROUPS / "memory"
        limit, usage = ("memory.max", "memory.current") if version2 else ("memory.limit_in_bytes", "memory.usage_in_bytes")
        for group in (top / path.strip("/"), *(top / parent for parent in Path(path.strip("/")).parents), top):
            most, taken = _text(group / limit).strip(), _text(group / usage).strip()
            if most.isdigit() and taken.isdigit():
                # Cached files count as used, but are dropped when memory is needed.
                cached = _fields(group / "memory.stat").get("inactive_file", 0)
                yield int(most) - max(int(taken) - cached, 0)


def _left_in_limits() -> Iterator[int]:
    """Yields the bytes left under ``ulimit -v``, if it is set."""
    import resource

    most, _ = resource.getrlimit(resource.RLIMIT_AS)
    if most != resource.RLIM_INFINITY:
        pages = _text(_PROC / "self" / "statm").split()
        yield most - (int(pages[0]) * os.sysconf("SC_PAGE_SIZE") if pages else 0)


def _fields(path: Path) -> Mapping[str, int]:
    """Parses lines such as ``MemFree: 12 kB`` or ``inactive_file 12``."""
    rows = (line.replace(":", " ").split() for line in _text(path).splitlines())
    return {row[0]: int(row[1]) for row in rows if len(row) > 1 and row[1].isdigit()}


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def release_memory() -> None:
    """Gives memory that is free, but kept for later by Python's collector, torch or the C library, back to the system."""
    gc.collect()
    if (torch := sys.modules.get("torch")) and torch.cuda.is_available():
        torch.cuda.empty_cache()
    with suppress(AttributeError, OSError):  # macOS and musl have no malloc_trim
        import ctypes  # `zoo list`, which only writes sizes, does not pay for it

        ctypes.CDLL(None).malloc_trim(0)


def human_size(size: int) -> str:
    """A number of bytes in a unit that fits.

    >>> human_size(9_300_000)
    '9.3 MB'
    """
    number = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000 or unit == "GB":
            break
        number /= 1000
    return f"{number:.0f} {unit}" if unit == "B" or number >= 100 else f"{number:.1f} {unit}"
