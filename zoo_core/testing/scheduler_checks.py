"""The conformance checks of schedulers, on ranges that models have."""

import math
from collections.abc import Iterator
from itertools import pairwise

from zoo_core.errors import ConfigError
from zoo_core.testing.tested_part import Part

__all__ = [
    "check_levels_are_plain_floats",
    "check_levels_are_the_same_every_time",
    "check_levels_decrease_within_their_bounds",
    "check_levels_end_at_zero",
    "check_there_are_as_many_levels_as_steps",
]

_RANGES = ((0.02, 20.0), (0.002, 80.0), (0.1, 1.0))
_STEPS = (1, 2, 3, 10, 18)


def _levels(part: Part) -> Iterator[tuple[int, float, float, tuple[float, ...]]]:
    """The levels of the scheduler for several numbers of steps and ranges, without those that it refuses by a ConfigError."""
    count = 0
    for lo, hi in _RANGES:
        for steps in _STEPS:
            try:
                levels = part.value.sigmas(steps, lo, hi)
            except ConfigError:
                continue
            count += 1
            yield steps, lo, hi, levels
    assert count, f"it refuses every range, such as {_RANGES[0][0]} ... {_RANGES[0][1]}"


def check_levels_are_plain_floats(part: Part) -> None:
    """The levels are a tuple of finite Python floats."""
    for steps, lo, hi, levels in _levels(part):
        assert isinstance(levels, tuple), f"sigmas({steps}, {lo}, {hi}) is a {type(levels).__name__}, not a tuple"
        odd = next((level for level in levels if type(level) is not float or not math.isfinite(level)), None)
        assert odd is None, f"sigmas({steps}, {lo}, {hi}) has {odd!r}, which is not a finite float"


def check_levels_end_at_zero(part: Part) -> None:
    """The last level is 0: without it, samples keep the noise of the smallest level."""
    for steps, lo, hi, levels in _levels(part):
        assert len(levels), f"sigmas({steps}, {lo}, {hi}) is empty"
        assert levels[-1] == 0, f"sigmas({steps}, {lo}, {hi}) ends at {levels[-1]:g}, not at 0: append 0.0"


def check_levels_decrease_within_their_bounds(part: Part) -> None:
    """The levels before the last 0 decrease strictly, and lie in [lo, hi]."""
    for steps, lo, hi, levels in _levels(part):
        positive = levels[:-1]
        assert all(b < a for a, b in pairwise(levels)), f"sigmas({steps}, {lo}, {hi}) does not decrease: {levels}"
        inside = all(lo * (1 - 1e-9) <= level <= hi * (1 + 1e-9) for level in positive)
        assert inside, f"sigmas({steps}, {lo}, {hi}) leaves [{lo}, {hi}]: {levels}"


def check_there_are_as_many_levels_as_steps(part: Part) -> None:
    """There are ``steps`` levels and the last 0."""
    for steps, lo, hi, levels in _levels(part):
        assert len(levels) == steps + 1, (
            f"sigmas({steps}, {lo}, {hi}) has {len(levels)} levels, and must have {steps + 1}, the last of them 0"
        )


def check_levels_are_the_same_every_time(part: Part) -> None:
    """A second call gives the same levels: a scheduler has no state and draws nothing."""
    first, second = list(_levels(part)), list(_levels(part))
    assert first == second, "its levels differ from call to call"
