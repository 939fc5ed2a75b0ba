"""Noise levels that nest: those of n steps are among those of every multiple of n."""

from dataclasses import dataclass

from zoo_core.schedulers import Karras

__all__ = ["Nested"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Nested(Karras):
    """sigma_i = (hi^(1/rho) + i/N (lo^(1/rho) - hi^(1/rho)))^rho for i = 0 ... N - 1, and sigma_N = 0.

    The curve of Karras et al. 2022 (arXiv:2206.00364, eq. 5) with i/N in the place of i/(N-1). ``lo`` itself is never a level, so that no
    step is spent on noise that nobody sees; and a student that takes two steps of its teacher at once stays on the teacher's levels.

    Example:
        >>> fine = Nested().sigmas(4, 0.002, 80.0)
        >>> [round(sigma, 3) for sigma in fine]
        [80.0, 17.528, 2.515, 0.17, 0.0]
        >>> fine[::2] == Nested().sigmas(2, 0.002, 80.0)
        True
    """

    def sigmas(self, steps: int, lo: float, hi: float) -> tuple[float, ...]:
        # The bounds are checked by the base class, whose levels are those of two steps at least.
        top, *_, bottom, _ = Karras.sigmas(self, max(steps, 2), lo, hi)
        return (top, *(self.between(i / steps, bottom, top) for i in range(1, steps)), 0.0)
