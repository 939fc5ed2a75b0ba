"""Memory that is left for this process, so that a request that cannot fit is refused before the system kills the process."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from zoo_core.errors import ResourceError

__all__ = ["available_memory", "demand_memory"]

_SMALL = 1 << 26
_PROC, _CGROUPS = Path("/proc"), Path("/sys/fs/cgroup")


def demand_memory(needed: int, what: str, hint: str = "") -> None:
    """Checks that there is memory for something of 64 MB or more, before it is allocated.

    Args:
        needed: bytes that it takes.
        what: what takes them, for the message: ``"the weights of x"``.
        hint: what to do where there is not enough.

    Raises:
        ResourceError: if there is less; the message has both numbers.
    """
    if needed >= _SMALL and (available := available_memory()) < needed:
        raise ResourceError(f"{what} take {needed / 1e9:,.1f} GB of memory, and {available / 1e9:,.1f} GB are available", hint)


def available_memory() -> int:
    """Bytes that this process may still take without swapping: the least that the system, its control groups and its limits allow.

    On systems that do not say what is free, such as macOS, it is the memory that they have.
    """
    return max(0, min([_of_system(), *_of_groups(), *_of_limits()]))


def _of_system() -> int:
    free = _fields(_PROC / "meminfo").get("MemAvailable")
    return free * 1024 if free is not None else os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _of_groups() -> Iterator[int]:
    """What each control group of this process has left, of version 2 and of version 1, from its own up to the root."""
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
                # Cached files count as taken, and are given up when memory is needed.
                cached = _fields(group / "memory.stat").get("inactive_file", 0)
                yield int(most) - max(int(taken) - cached, 0)


def _of_limits() -> Iterator[int]:
    """What ``ulimit -v`` leaves."""
    import resource

    most, _ = resource.getrlimit(resource.RLIMIT_AS)
    if most != resource.RLIM_INFINITY:
        pages = _text(_PROC / "self" / "statm").split()
        yield most - (int(pages[0]) * os.sysconf("SC_PAGE_SIZE") if pages else 0)


def _fields(path: Path) -> Mapping[str, int]:
    """Lines such as ``MemFree: 12 kB`` or ``inactive_file 12``."""
    rows = (line.replace(":", " ").split() for line in _text(path).splitlines())
    return {row[0]: int(row[1]) for row in rows if len(row) > 1 and row[1].isdigit()}


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
