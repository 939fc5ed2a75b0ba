"""Schedulers: they place noise levels, plain floats sigma in ``x_sigma = x_0 + sigma * eps``.

The variance-preserving schedules of DDPM are given by their abar_t; x_t = x_sigma / sqrt(1 + sigma^2) with
sigma_t = sqrt((1 - abar_t) / abar_t).
"""

import math
from abc import abstractmethod
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

from zoo_core.config import check_range
from zoo_core.errors import ConfigError
from zoo_core.interfaces import DiscreteScheduler, Scheduler

__all__ = ["Continuous", "Cosine", "Geometric", "Karras", "Levels", "Linear", "VariancePreserving", "fractional_time"]


def fractional_time(levels: Sequence[float], sigma: float) -> float:
    """Returns the time t in [1, T] at which the increasing ``levels`` reach ``sigma``.

    Exact on a level, linear in log sigma between two levels, clamped outside.

    >>> fractional_time([0.01, 0.1, 1.0], 0.1)
    2.0
    """
    above = bisect_left(levels, sigma)
    if above == 0:
        return 1.0
    if above == len(levels):
        return float(len(levels))
    low, high = levels[above - 1], levels[above]
    return above + math.log(sigma / low) / math.log(high / low)


def _level(levels: Sequence[float], t: float) -> float:
    below = int(t)
    if t == below:
        return levels[below - 1]
    low, high = levels[below - 1], levels[below]
    return low * (high / low) ** (t - below)


def _check_steps(steps: int, lo: float, hi: float) -> None:
    if steps < 1:
        raise ConfigError(f"steps must be at least 1, not {steps}")
    if not 0 < lo <= hi < math.inf:
        raise ConfigError(f"noise levels must satisfy 0 < lo <= hi < inf, not lo = {lo}, hi = {hi}")
    if steps > 1 and lo == hi:
        raise ConfigError(f"{steps} steps need more than the one level {lo:g}", "use one step")


class VariancePreserving(DiscreteScheduler):
    """Base class of schedules of T levels that are given by abar_1 > ... > abar_T.

    >>> Cosine(T=4).levels == tuple(((1 - abar) / abar) ** 0.5 for abar in Cosine(T=4).alpha_bars)
    True
    """

    __slots__ = ()
    T: int

    @property
    @abstractmethod
    def alpha_bars(self) -> tuple[float, ...]:
        """abar_1 ... abar_T: the remaining share of the signal's variance at each level."""

    @property
    def levels(self) -> tuple[float, ...]:
        return tuple(math.sqrt((1 - abar) / abar) for abar in self.alpha_bars)

    def sigmas(self, steps: int, lo: float, hi: float) -> tuple[float, ...]:
        """Returns levels at evenly spaced times between those of ``hi`` and ``lo``, then 0; T steps over the full range are the T levels.

        Up to T steps, times are rounded to integers, which the net has seen in training (as DDIM does, arXiv:2010.02502).

        Raises:
            ConfigError: if steps, lo or hi is out of range, or the schedule does not reach into [lo, hi].
        """
        _check_steps(steps, lo, hi)
        levels = self.levels
        first, last = fractional_time(levels, hi), fractional_time(levels, lo)
        if steps == 1:
            return (min(max(_level(levels, first), lo), hi), 0.0)
        if first == last:
            raise ConfigError(f"a schedule of {levels[0]:g} ... {levels[-1]:g} does not reach into {lo:g} ... {hi:g}", "choose another")
        times = [first + (last - first) * i / (steps - 1) for i in range(steps)]
        if steps <= first - last + 1:
            times = [first, *(math.floor(t + 0.5) for t in times[1:-1]), last]
        return (*(min(max(_level(levels, t), lo), hi) for t in times), 0.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Linear(VariancePreserving):
    """beta_t linear from ``beta_1`` to ``beta_T`` (Ho et al. 2020, arXiv:2006.11239, section 4).

    >>> [round(sigma, 2) for sigma in Linear().sigmas(4, 0.01, 157.0)]
    [157.0, 9.49, 1.46, 0.01, 0.0]

    Args:
        T: number of levels.
        beta_1: variance of the noise that the first step adds.
        beta_T: variance of the noise that the last step adds.

    Raises:
        ConfigError: if an option is out of range.
    """

    T: int = 1000
    beta_1: float = 1e-4
    beta_T: float = 0.02

    def __post_init__(self) -> None:
        check_range(self, T=(1, 100_000), beta_1=(1e-12, 0.999), beta_T=(1e-12, 0.999))
        if self.T > 1 and self.beta_1 > self.beta_T:
            raise ConfigError(f"beta_1 must not exceed beta_T, not {self.beta_1} > {self.beta_T}")
        if self.alpha_bars[-1] < 1e-30:
            raise ConfigError(f"beta_T is too large for {self.T} levels: nothing of the signal remains", "make T or beta_T smaller")

    @property
    def alpha_bars(self) -> tuple[float, ...]:
        return _linear(self.T, self.beta_1, self.beta_T)


@cache
def _linear(T: int, beta_1: float, beta_T: float) -> tuple[float, ...]:
    abar, abars = 1.0, []
    for t in range(T):
        abar *= 1 - (beta_1 + (beta_T - beta_1) * t / max(T - 1, 1))
        abars.append(abar)
    return tuple(abars)


@dataclass(frozen=True, kw_only=True, slots=True)
class Cosine(VariancePreserving):
    """abar_t = f(t) / f(0), f(t) = cos^2(((t/T + s) / (1 + s)) pi/2), alpha_t clamped to [0.001, 1].

    Nichol & Dhariwal 2021, arXiv:2102.09672, eq. 17.

    >>> [round(sigma, 2) for sigma in Cosine(T=3).levels]
    [0.59, 1.75, 63.69]

    Args:
        T: number of levels.
        s: offset that keeps the first levels from being too small.

    Raises:
        ConfigError: if an option is out of range.
    """

    T: int = 50
    s: float = 0.008

    def __post_init__(self) -> None:
        check_range(self, T=(1, 100_000), s=(0.0, 1.0))

    @property
    def alpha_bars(self) -> tuple[float, ...]:
        return _cosine(self.T, self.s)


@cache
def _cosine(T: int, s: float) -> tuple[float, ...]:
    def f(t: int) -> float:
        return math.cos((t / T + s) / (1 + s) * math.pi / 2) ** 2

    abar, abars = 1.0, []
    for t in range(1, T + 1):
        abar *= min(max(f(t) / f(t - 1), 0.001), 1.0)
        abars.append(abar)
    return tuple(abars)


@dataclass(frozen=True, kw_only=True, slots=True)
class Continuous(Scheduler):
    """Base class of rules that place levels between any two bounds: they have no levels of their own and serve every model.

    >>> Geometric(sigma_max=1.0).sigmas(3, 0.01, 100.0)
    (1.0, 0.1, 0.01, 0.0)

    Args:
        sigma_min: last level, if the model's smallest level is below it.
        sigma_max: first level, if the model's largest level is above it. A largest level far above the data wastes steps, most of all if
            there are few: Karras et al. begin at 80 with images in [-1, 1].

    Raises:
        ConfigError: if an option is out of range.
    """

    sigma_min: float | None = None
    sigma_max: float | None = None

    def __post_init__(self) -> None:
        check_range(self, sigma_min=(1e-9, 1e9), sigma_max=(1e-9, 1e9))
        if self.sigma_min is not None and self.sigma_max is not None and self.sigma_min > self.sigma_max:
            raise ConfigError(f"sigma_min must be at most sigma_max, {self.sigma_max:g}, not {self.sigma_min:g}")

    @abstractmethod
    def between(self, share: float, lo: float, hi: float) -> float:
        """Returns the level at ``share`` in (0, 1) of the way from ``hi`` down to ``lo``."""

    def sigmas(self, steps: int, lo: float, hi: float) -> tuple[float, ...]:
        """Returns levels from exactly ``hi`` to exactly ``lo``, or between the scheduler's own bounds if these are narrower, then 0.

        Raises:
            ConfigError: if a bound lies outside [lo, hi], or steps, lo or hi is out of range.
        """
        for name, bound, wrong in (("sigma_max", self.sigma_max, lo), ("sigma_min", self.sigma_min, hi)):
            if bound is not None and (bound < wrong if name == "sigma_max" else bound > wrong):
                raise ConfigError(f"{name} {bound:g} is out of the range of the model's noise levels", f"choose one in [{lo:g}, {hi:g}]")
        lo, hi = max(lo, self.sigma_min or lo), min(hi, self.sigma_max or hi)
        _check_steps(steps, lo, hi)
        if steps == 1:
            return (hi, 0.0)
        return (hi, *(self.between(i / (steps - 1), lo, hi) for i in range(1, steps - 1)), lo, 0.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Geometric(Continuous):
    """sigma_i = hi (lo/hi)^(i/(N-1)), even in log sigma (Song & Ermon 2019, arXiv:1907.05600, section 3.2).

    >>> Geometric().sigmas(3, 0.01, 1.0)
    (1.0, 0.1, 0.01, 0.0)
    """

    def between(self, share: float, lo: float, hi: float) -> float:
        return hi * (lo / hi) ** share


@dataclass(frozen=True, kw_only=True, slots=True)
class Karras(Continuous):
    """sigma_i = (hi^(1/rho) + i/(N-1) (lo^(1/rho) - hi^(1/rho)))^rho (Karras et al. 2022, arXiv:2206.00364, eq. 5).

    >>> [round(sigma, 3) for sigma in Karras().sigmas(4, 0.002, 80.0)]
    [80.0, 9.723, 0.47, 0.002, 0.0]

    Args:
        sigma_min: last level, if the model's smallest level is below it.
        sigma_max: first level, if the model's largest level is above it.
        rho: exponent; larger values place more levels near ``lo``.
    """

    rho: float = 7.0

    def __post_init__(self) -> None:
        Continuous.__post_init__(self)
        check_range(self, rho=(0.1, 100.0))

    def between(self, share: float, lo: float, hi: float) -> float:
        a, b = hi ** (1 / self.rho), lo ** (1 / self.rho)
        return (a + share * (b - a)) ** self.rho


@dataclass(frozen=True, kw_only=True, slots=True)
class Levels(Scheduler):
    """A list of levels, such as ``zoo levels`` finds for a checkpoint.

    For another number of steps, levels are placed between those of the list, linearly in the logarithm, as Sabour et al. 2024 do
    (arXiv:2404.14507, section 4).

    >>> Levels(levels=(80.0, 5.0, 0.5)).sigmas(3, 0.002, 80.0)
    (80.0, 5.0, 0.5, 0.0)
    >>> [round(sigma, 2) for sigma in Levels(levels=(80.0, 5.0, 0.5)).sigmas(5, 0.002, 80.0)]
    [80.0, 20.0, 5.0, 1.58, 0.5, 0.0]

    Args:
        levels: decreasing noise levels above 0, without the last 0.

    Raises:
        ConfigError: if the levels do not decrease, or are out of range.
    """

    levels: tuple[float, ...]

    def __post_init__(self) -> None:
        check_range(self, levels=(1e-9, 1e9))
        if not self.levels or any(after >= before for before, after in pairwise(self.levels)):
            raise ConfigError(f"levels must be a list of decreasing numbers, not {str(list(self.levels))[:80]}")

    def sigmas(self, steps: int, lo: float, hi: float) -> tuple[float, ...]:
        """Returns the levels, or as many between them as there are steps, and then 0.

        Raises:
            ConfigError: if a level lies outside [lo, hi], or steps, lo or hi is out of range.
        """
        _check_steps(steps, lo, hi)
        if self.levels[0] > hi * (1 + 1e-9) or self.levels[-1] < lo * (1 - 1e-9):
            shown = f"{self.levels[0]:g} ... {self.levels[-1]:g}"
            raise ConfigError(f"levels {shown} are out of the range of the model's noise levels", f"choose levels in [{lo:g}, {hi:g}]")
        if steps == len(self.levels):
            return (*self.levels, 0.0)
        places = [i * (len(self.levels) - 1) / max(steps - 1, 1) for i in range(steps)]
        return (*(self._between(place) for place in places), 0.0)

    def _between(self, place: float) -> float:
        first = min(int(place), len(self.levels) - 1)
        after = min(first + 1, len(self.levels) - 1)
        return self.levels[first] * (self.levels[after] / self.levels[first]) ** (place - first)
