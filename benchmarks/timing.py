"""Ratios of interleaved timings: the machine's moods fall on both sides alike."""

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
    """Seconds of this process's own computing, where torch has one thread: other programs do not lengthen them. Else those of the wall."""
    import torch

    return time.process_time() if torch.get_num_threads() == 1 else time.perf_counter()


def machine() -> str:
    """The processor with its threads, vector instructions and bfloat16, and the versions: no time means anything without them."""
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
    """Times the two in turn, ``rounds`` times after one warm-up each; the ratio is the median of the rounds' own ratios.

    What takes less than ``LEAST`` seconds is called again and again in each round: one call of half a millisecond tells of the caches.
    ``now`` is the clock: :func:`clock` for what only computes.
    """
    for run in (measured, floor):
        run()
    times = 1
    while times < 1000 and times * _seconds(floor, times, now) < LEAST:
        times *= 2
    pairs = []
    for i in range(rounds):
        # Who goes first changes from round to round.
        found = {run: _seconds(run, times, now) for run in ((measured, floor) if i % 2 else (floor, measured))}
        pairs.append((found[measured], found[floor]))
    return Ratio(
        name=name,
        floor_name=floor_name,
        seconds=statistics.median(seconds for seconds, _ in pairs),
        floor=statistics.median(seconds for _, seconds in pairs),
        ratio=statistics.median(seconds / least for seconds, least in pairs),
        budget=budget,
    )


def _seconds(run: Callable[[], object], times: int, now: Callable[[], float]) -> float:
    """Seconds of one of ``times`` calls."""
    start = now()
    for _ in range(times):
        run()
    return (now() - start) / times
