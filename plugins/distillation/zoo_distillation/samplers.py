"""The multistep sampler of consistency models."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from zoo_core.config import check_range
from zoo_core.samplers.base import DenoiserSampler, StepContext

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Consistency"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Consistency(DenoiserSampler):
    """Multistep sampling of consistency models (Song et al. 2023, arXiv:2303.01469, Algorithm 1).

        x0_hat = D(x, sigma)
        x'     = x0_hat + sigma' z

    One forward pass a step. With one step it is the consistency model itself; each further step corrects the last estimate from less
    noise. A denoiser that is no consistency model estimates means, and its samples are too smooth.

    Args:
        steps: number of steps.
        clip: whether to clamp each estimate to the range of the event.

    Raises:
        ConfigError: if steps is out of range.

    Example:
        >>> Consistency(steps=2).steps
        2
    """

    steps: int = 2
    clip: bool = True

    def __post_init__(self) -> None:
        check_range(self, steps=(1, 100_000))

    def walk(self, x: "Tensor", sigmas: Sequence[float], context: StepContext) -> "Tensor":
        for i, sigma in enumerate(sigmas[:-1]):
            x0 = context.denoised(x, sigma)
            context.show(i, sigma, x, x0)
            x = x0.add(context.noise(x), alpha=sigmas[i + 1]) if sigmas[i + 1] > 0 else x0
        return x
