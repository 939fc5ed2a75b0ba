"""Ratios of interleaved timings: the machine's moods fall on both sides alike."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Ratio", "compare"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Ratio:
    """A measured time in seconds, its floor, and the budget for their ratio."""

    name: str
    floor_name: str
    seconds: float
    floor: float
    ratio: float
    budget: float


def compare(
    name: str, measured: Callable[[], object], floor_name: str, floor: Callable[[], object], *, budget: float, rounds: int = 9
) -> Ratio:
    """Times the two in turn, ``rounds`` times after one warm-up each; the ratio is the median of the rounds' own ratios."""
    for run in (measured, floor):
        run()
    pairs = []
    for i in range(rounds):
        # Who goes first changes from round to round.
        times = {run: _seconds(run) for run in ((measured, floor) if i % 2 else (floor, measured))}
        pairs.append((times[measured], times[floor]))
    return Ratio(
        name=name,
        floor_name=floor_name,
        seconds=statistics.median(seconds for seconds, _ in pairs),
        floor=statistics.median(seconds for _, seconds in pairs),
        ratio=statistics.median(seconds / least for seconds, least in pairs),
        budget=budget,
    )


def _seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start
