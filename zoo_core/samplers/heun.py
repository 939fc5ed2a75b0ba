"""Heun's method for the probability-flow ODE dx/dsigma = (x - D(x, sigma)) / sigma, with churn."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import inf, sqrt
from typing import TYPE_CHECKING

from zoo_core.config import check_range
from zoo_core.errors import ConfigError
from zoo_core.samplers.base import DenoiserSampler, StepContext, check_clip

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Heun"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Heun(DenoiserSampler):
    """Heun's method with churn (Karras et al. 2022, arXiv:2206.00364): Algorithm 2; without churn, Algorithm 1.

    From t = sigma_i to t' = sigma_(i+1), N levels:

        gamma = min(S_churn / N, sqrt(2) - 1) where S_min <= t <= S_max, else 0
        t_hat = (1 + gamma) t,  x_hat = x + S_noise sqrt(t_hat^2 - t^2) z
        d     = (x_hat - D(x_hat, t_hat)) / t_hat
        x'    = x_hat + (t' - t_hat) d
        d'    = (x' - D(x', t')) / t'                      both only where t' > 0
        x'    = x_hat + (t' - t_hat) (d + d') / 2

    t_hat is kept within the model's ``sigma_range``. Without churn, the method has order 2 if levels are close: in one step from 1000 to
    20, as in the cosine schedule, the second slope overshoots; the paper's levels are those of ``karras``. Forward passes:
    2 ``steps`` - 1.

    >>> import torch
    >>> from zoo_core.rng import ImageRng
    >>> from zoo_core.testing.fake import FakeDenoiser
    >>> from zoo_core.testing.fake_config import FakeDenoiserConfig
    >>> model = FakeDenoiser(FakeDenoiserConfig(shape=(2,)))
    >>> with torch.no_grad():
    ...     Heun(steps=10)(model, ImageRng(0, range(4))).shape
    torch.Size([4, 2])

    Args:
        steps: N, the number of noise levels.
        churn: S_churn, the total amount of noise that is added and removed again; 0 for the ODE.
        churn_min: S_min, the lowest level at which noise is added.
        churn_max: S_max, the highest level at which noise is added; None for no bound.
        churn_noise: S_noise, the standard deviation of the added noise, relative to its exact value; slightly above 1 keeps detail.
        clip: whether to clamp D to the range of the model's event, if it has one. The paper does not, and a clamp lowers the order.

    Raises:
        ConfigError: if an option is out of range.
    """

    steps: int = 18
    churn: float = 0.0
    churn_min: float = 0.0
    churn_max: float | None = None
    churn_noise: float = 1.0
    clip: bool | float = False

    def __post_init__(self) -> None:
        check_range(self, steps=(1, 100_000), churn=(0.0, 1e6), churn_min=(0.0, 1e9), churn_max=(0.0, 1e9), churn_noise=(0.0, 2.0))
        check_clip(self.clip)
        if self.churn_max is not None and self.churn_max < self.churn_min:
            raise ConfigError(f"churn_max must not be below churn_min, not {self.churn_max:g} < {self.churn_min:g}")

    def walk(self, x: "Tensor", sigmas: Sequence[float], context: StepContext) -> "Tensor":
        for i, (t, t_next) in enumerate(pairwise(sigmas)):
            t_hat = self._raised(t, context.count, context.model.sigma_range[1])
            x_hat = x.add(context.noise(x), alpha=self.churn_noise * sqrt(t_hat**2 - t**2)) if t_hat > t else x
            x0 = context.denoised(x_hat, t_hat)
            context.show(i, t, x, x0)
            x = x0.lerp(x_hat, t_next / t_hat)  # x_hat + (t' - t_hat) d, and exactly D at t' = 0
            if t_next > 0:
                d = (x_hat - x0).div_(t_hat)
                d_next = (x - context.denoised(x, t_next)).div_(t_next)
                x = x_hat.add(d.add_(d_next), alpha=(t_next - t_hat) / 2)
        return x

    def _raised(self, t: float, N: int, highest: float) -> float:
        """Returns t_hat, the level after churn."""
        inside = self.churn_min <= t <= (inf if self.churn_max is None else self.churn_max)
        gamma = min(self.churn / N, sqrt(2) - 1) if inside else 0.0
        return min((1 + gamma) * t, max(highest, t))
