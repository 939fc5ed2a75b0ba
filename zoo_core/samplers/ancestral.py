"""Ancestral sampling: DDPM, DDIM and Euler's method in one loop."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import sqrt
from typing import TYPE_CHECKING, Literal

from zoo_core.config import check_range
from zoo_core.samplers.base import DenoiserSampler, StepContext, check_clip

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Ancestral"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Ancestral(DenoiserSampler):
    """Ancestral sampling with a share ``eta`` of fresh noise; one loop for DDPM, DDIM and Euler.

    From sigma to sigma' < sigma, with x0_hat = D(x, sigma):

        sigma_up   = eta * sigma' sqrt(sigma^2 - sigma'^2) / sigma
        sigma_down = sqrt(sigma'^2 - sigma_up^2)
        x'         = x0_hat + sigma_down / sigma * (x - x0_hat) + sigma_up * z                          variance "small"
        x'         = x0_hat + sigma_down / sigma * (x - x0_hat) + sigma_up * r * z                      variance "large"
        r          = sqrt((1 + 1/sigma'^2) / (1 + 1/sigma^2))

    eta = 1 is Algorithm 2 of Ho et al. 2020 (arXiv:2006.11239), eta = 0 is DDIM (Song et al. 2021, arXiv:2010.02502, eq. 12), which is
    Euler's method on the probability-flow ODE. Forward passes: ``steps``.

    The two variances are those of section 3.2 of Ho et al.: "small" is beta-tilde, the posterior's variance if the data are a single point;
    "large" is beta, its variance if the data are N(0, I). Real data lie between: with few levels, "small" draws too little variance and
    "large" too much noise. No noise is added in the step to 0.

    >>> import torch
    >>> from zoo_core.rng import ImageRng
    >>> from zoo_core.testing.fake import FakeDenoiser
    >>> from zoo_core.testing.fake_config import FakeDenoiserConfig
    >>> model = FakeDenoiser(FakeDenoiserConfig(shape=(2,)))
    >>> with torch.no_grad():
    ...     Ancestral(steps=10, eta=0.0)(model, ImageRng(0, range(4))).shape
    torch.Size([4, 2])

    Args:
        steps: number of noise levels.
        eta: share of fresh noise, in [0, 1].
        clip: whether to clamp x0_hat to the range of the model's event, if it has one.
        variance: ``small`` or ``large``; without effect if eta is 0.

    Raises:
        ConfigError: if an option is out of range.
    """

    steps: int = 50
    eta: float = 1.0
    clip: bool | float = True
    variance: Literal["small", "large"] = "small"

    def __post_init__(self) -> None:
        check_range(self, steps=(1, 100_000), eta=(0.0, 1.0))
        check_clip(self.clip)

    def walk(self, x: "Tensor", sigmas: Sequence[float], context: StepContext) -> "Tensor":
        for i, (sigma, sigma_next) in enumerate(pairwise(sigmas)):
            x0 = context.denoised(x, sigma)
            context.show(i, sigma, x, x0)
            sigma_up = self.eta * sigma_next * sqrt(sigma**2 - sigma_next**2) / sigma
            sigma_down = sqrt(max(sigma_next**2 - sigma_up**2, 0.0))  # rounding may make it negative
            x = x0.lerp(x, sigma_down / sigma)
            if sigma_up > 0:
                wider = sqrt((1 + sigma_next**-2) / (1 + sigma**-2)) if self.variance == "large" else 1.0
                x.add_(context.noise(x), alpha=sigma_up * wider)
        return x
