"""The noise levels of the schedulers of diffusers: the betas of training, and the times at which a pipeline samples."""

import math
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Literal

from zoo_core.config import check_range
from zoo_core.errors import ConfigError
from zoo_core.schedulers import VariancePreserving

__all__ = ["Diffusers"]

_LAST = 2.0**-24  # abar_T where the signal ends at 0, as in the schedulers of diffusers whose levels must be finite; at most


@dataclass(frozen=True, kw_only=True, slots=True)
class Diffusers(VariancePreserving):
    """The levels of a scheduler of diffusers, and its rule of placing ``steps`` of them; times are 0 ... T - 1, as there.

    With m = ``steps``, or ``steps`` + 1 of which the smallest time is left out (``drop_last``, as in DPM-Solver and UniPC), and times in
    the order of i = 0 ... m - 1 (Lin et al. 2023, arXiv:2305.08891, table 2):

        leading    i floor(T / m) + offset
        linspace   i (T - 1) / (m - 1)
        trailing   T - 1 - i T / steps, falling

    Times are rounded to trained ones, except those of ``linspace`` without ``rounded``: there a level lies between two trained ones,
    linear in sigma (as in the Euler and Heun schedulers). Where the rule gives no such times, as in a part of the range of levels, with
    more steps than levels, or for one step from the leading end, the levels are those of
    :meth:`zoo_core.schedulers.VariancePreserving.sigmas`.

    >>> [round(sigma, 2) for sigma in Diffusers(spacing="trailing").sigmas(4, *Diffusers().bounds)]
    [157.41, 17.25, 3.42, 0.95, 0.0]

    Args:
        T: number of levels.
        beta_start: variance of the noise that the first step adds.
        beta_end: variance of the noise that the last step adds.
        beta_schedule: the betas between them: linear, linear in their square root (``scaled_linear``), a logistic curve (``sigmoid``), or
            those of the cosine schedule, which has no bounds (``squaredcos_cap_v2``).
        trained_betas: T betas that stand in place of these; none if empty.
        rescale_zero_snr: whether sqrt(abar) is shifted and scaled so that it ends at 0 (arXiv:2305.08891, algorithm 1); the last abar is
            then 2^-24, so that its sigma is 4096, or half of the one before, where that is less.
        spacing, offset, rounded, drop_last: the rule of placing levels, see above.

    Raises:
        ConfigError: if an option is out of range, or the levels do not increase.
    """

    T: int = 1000
    beta_start: float = 1e-4
    beta_end: float = 0.02
    beta_schedule: Literal["linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid"] = "linear"
    trained_betas: tuple[float, ...] = ()
    rescale_zero_snr: bool = False
    spacing: Literal["leading", "linspace", "trailing"] = "leading"
    offset: int = 0
    rounded: bool = True
    drop_last: bool = False

    def __post_init__(self) -> None:
        check_range(self, T=(1, 100_000), beta_start=(1e-12, 0.999), beta_end=(1e-12, 0.999), trained_betas=(0.0, 0.9999))
        check_range(self, offset=(-1000, 1000))
        if self.trained_betas and len(self.trained_betas) != self.T:
            raise ConfigError(f"trained_betas must be T = {self.T} numbers, not {len(self.trained_betas)}")
        abars = self.alpha_bars
        if not abars[0] < 1 or not abars[-1] > 1e-30 or any(b >= a for a, b in pairwise(abars)):
            raise ConfigError("the betas give no noise levels that increase from above 0", "is this the scheduler of the model?")

    @property
    def alpha_bars(self) -> tuple[float, ...]:
        return _alpha_bars(self)

    @property
    def bounds(self) -> tuple[float, float]:
        """The smallest and the largest level."""
        levels = self.levels
        return levels[0], levels[-1]

    def sigmas(self, steps: int, lo: float, hi: float) -> tuple[float, ...]:
        levels = self.levels
        times = self._times(steps) if lo <= levels[0] and levels[-1] <= hi else ()
        if not times:
            return VariancePreserving.sigmas(self, steps, lo, hi)
        return (*(_between(levels, t) for t in times), 0.0)

    def _times(self, steps: int) -> tuple[float, ...]:
        """The falling times of diffusers; empty if the rule gives no ``steps`` different times of 0 ... T - 1."""
        count = steps + self.drop_last
        if not 1 <= steps <= self.T or (count == 1 and self.spacing != "trailing"):
            return ()
        if self.spacing == "trailing":
            times = [float(round(self.T - i * (self.T / steps)) - 1) for i in range(steps)]
        else:
            if self.spacing == "leading":
                rising = [float(i * (self.T // count) + self.offset) for i in range(count)]
            else:
                rising = [i * (self.T - 1) / (count - 1) for i in range(count)]
                rising = [float(round(t)) for t in rising] if self.rounded else rising
            times = rising[: 0 if self.drop_last else None : -1]
        valid = times[0] <= self.T - 1 and times[-1] >= 0 and all(b < a for a, b in pairwise(times))
        return tuple(times) if valid else ()


def _between(levels: tuple[float, ...], t: float) -> float:
    """The level at time ``t`` of 0 ... T - 1, linear in sigma between two levels."""
    below = min(int(t), len(levels) - 1)
    share = t - below
    return levels[below] if share == 0 else (1 - share) * levels[below] + share * levels[below + 1]


@cache
def _alpha_bars(schedule: Diffusers) -> tuple[float, ...]:
    abar, abars = 1.0, []
    for beta in _betas(schedule):
        abar *= 1 - beta
        abars.append(abar)
    if schedule.rescale_zero_snr:
        first, last = math.sqrt(abars[0]), math.sqrt(abars[-1])
        abars = [((math.sqrt(each) - last) * first / (first - last)) ** 2 if first > last else 0.0 for each in abars]
        abars[-1] = min(_LAST, abars[-2] / 2) if len(abars) > 1 else _LAST
    return tuple(abars)


def _betas(schedule: Diffusers) -> tuple[float, ...]:
    T, low, high = schedule.T, schedule.beta_start, schedule.beta_end
    shares = [t / max(T - 1, 1) for t in range(T)]
    if schedule.trained_betas:
        return schedule.trained_betas
    if schedule.beta_schedule == "linear":
        return tuple(low + (high - low) * share for share in shares)
    if schedule.beta_schedule == "scaled_linear":
        return tuple((math.sqrt(low) + (math.sqrt(high) - math.sqrt(low)) * share) ** 2 for share in shares)
    if schedule.beta_schedule == "sigmoid":
        return tuple(low + (high - low) / (1 + math.exp(6 - 12 * share)) for share in shares)

    def f(t: int) -> float:
        return math.cos((t / T + 0.008) / 1.008 * math.pi / 2) ** 2

    return tuple(min(1 - f(t + 1) / f(t), 0.999) for t in range(T))
