"""Noise levels whose times t = sigma / (1 + sigma) are even."""

from dataclasses import dataclass

from zoo_core.config import check_range
from zoo_core.schedulers import Continuous

__all__ = ["Flow"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Flow(Continuous):
    """sigma_i = shift t_i / (1 - t_i) with even times t_i, from ``hi`` on, where t_N = 0 would be the next one.

    With shift = 1 the levels are those of N equal Euler steps of a rectified flow (Liu et al. 2022, arXiv:2209.03003). In the time
    t = sigma / (1 + sigma), the shift is that of Esser et al. 2024 (arXiv:2403.03206, eq. 23), t' = shift t / (1 + (shift - 1) t). The last
    positive level is ``lo`` where the even times would end below it.

    Args:
        sigma_min: lower bound of the levels, if the model's smallest level is below it.
        sigma_max: first level, if the model's largest level is above it.
        shift: factor of the levels; values above 1 place more of them at high noise.

    Raises:
        ConfigError: if an option is out of range.

    Example:
        >>> sigmas = Flow().sigmas(4, 0.001, 1000.0)
        >>> [round(sigma / (1 + sigma), 3) for sigma in sigmas]
        [0.999, 0.749, 0.5, 0.25, 0.0]
    """

    shift: float = 1.0

    def __post_init__(self) -> None:
        Continuous.__post_init__(self)
        check_range(self, shift=(0.01, 100.0))

    def between(self, share: float, lo: float, hi: float) -> float:
        high = hi / (self.shift + hi)
        low = lo / (self.shift + lo)
        t = high + share * (low - high)
        return self.shift * t / (1 - t)

    def sigmas(self, steps: int, lo: float, hi: float) -> tuple[float, ...]:
        # The bounds are checked by the base class, whose levels are those of two steps at least.
        top, *_, bottom, _ = Continuous.sigmas(self, max(steps, 2), lo, hi)
        if steps == 1:
            return (top, 0.0)
        last = max(self.between(1 - 1 / steps, 0.0, top), bottom)
        return (top, *(self.between(i / (steps - 1), last, top) for i in range(1, steps - 1)), last, 0.0)
