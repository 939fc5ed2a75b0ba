"""Ratios of interleaved timings, so that changes of the machine's speed affect both sides alike."""

import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Ratio", "clock", "compare", "machine"]

LEAST = 0.05


@dataclass(frozen=True, kw_only=True, slots=True)
class Ratio:
    """A measured time in seconds, its floor, and the budget for their ratio."""

    name: str
    floor_name: str
    seconds: float
    floor: float
    ratio: float
    budget: float


def clock() -> float:
    """CPU seconds of this process if torch has one thread, so that other programs do not count; otherwise wall-clock seconds."""
    import torch

    return time.process_time() if torch.get_num_threads() == 1 else time.perf_counter()


def machine() -> str:
    """The processor with its threads, vector instructions and bfloat16, and the versions, for the heading of every table of times."""
    import torch

    from zoo_core.hardware.environment import processor
    from zoo_core.hardware.precision import is_native

    bfloat16 = "native" if is_native("bfloat16") else "emulated"
    capability = f"{torch.backends.cpu.get_cpu_capability()}, bfloat16 {bfloat16}"
    return f"{processor(torch.device('cpu'))}, {capability}; torch {torch.__version__}, Python {platform.python_version()}"


def compare(
    name: str,
    measured: Callable[[], object],
    floor_name: str,
    floor: Callable[[], object],
    *,
    budget: float,
    rounds: int = 9,
    now: Callable[[], float] = time.perf_counter,
) -> Ratio:
    """Times ``measured`` and ``floor`` in turn; the ratio is the median of the rounds' ratios.

    In each round, functions that take less than ``LEAST`` seconds are called repeatedly, since a single short call measures the caches.

    Args:
        name: name of the measured function, for the table.
        measured: function to be timed.
        floor_name: name of the floor, for the table.
        floor: function with the least possible work, as the unit of time.
        budget: largest ratio that is allowed.
        rounds: number of rounds after one warm-up of each.
        now: clock in seconds; :func:`clock` for functions that only compute.
    """
    for run in (measured, floor):
        run()
    times = 1
    while times < 1000 and times * _seconds(floor, times, now) < LEAST:
        times *= 2
    pairs = []
    for i in range(rounds):
        # The order alternates.
        order = (measured, floor) if i % 2 else (floor, measured)
        seconds = {run: _seconds(run, times, now) for run in order}
        pairs.append((seconds[measured], seconds[floor]))
    return Ratio(
        name=name,
        floor_name=floor_name,
        seconds=statistics.median(ours for ours, _ in pairs),
        floor=statistics.median(least for _, least in pairs),
        ratio=statistics.median(ours / least for ours, least in pairs),
        budget=budget,
    )


def _seconds(run: Callable[[], object], times: int, now: Callable[[], float]) -> float:
    """Mean seconds of ``times`` calls."""
    start = now()
    for _ in range(times):
        run()
    return (now() - start) / times
