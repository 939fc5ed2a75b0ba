"""Steps along the probability-flow ODE dx/dsigma = (x - D(x, sigma)) / sigma, with a noise level for each row."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, cast

import torch
from torch import Tensor, nn

from zoo_core.interfaces import Denoiser, Rng

__all__ = ["Condition", "broadcast", "ddim_step", "estimate", "guided_estimate", "heun_step", "walk"]

Estimate = Callable[[Tensor, Tensor], Tensor]
"""D(x, sigma): states (n, ...) and noise levels (n,) to clean samples (n, ...)."""

Step = Callable[[Estimate, Tensor, Tensor, Tensor], Tensor]
"""States at a level to states at a lower one: ``step(estimate, x, sigma, below)``."""


def broadcast(values: Tensor, x: Tensor) -> Tensor:
    """A value for each row, (n,), in the dtype of ``x`` and shaped to be multiplied with x (n, ...).

    >>> broadcast(torch.ones(2), torch.zeros(2, 1, 4, 4)).shape
    torch.Size([2, 1, 1, 1])
    """
    return values.to(x.dtype).view(-1, *[1] * (x.ndim - 1))


def ddim_step(denoise: Estimate, x: Tensor, sigma: Tensor, below: Tensor) -> Tensor:
    """DDIM's step x' = D + (below / sigma) (x - D), which is Euler's method (Song et al. 2021, arXiv:2010.02502). One pass.

    >>> levels = torch.tensor([2.0, 1.0], dtype=torch.float64)
    >>> ddim_step(lambda x, sigma: 0 * x, torch.tensor([[3.0]]), levels[:1], levels[1:])
    tensor([[1.5000]])

    Args:
        denoise: the estimate of the clean sample.
        x: states (n, ...).
        sigma, below: noise levels (n,), float64, with 0 <= below < sigma.
    """
    x0 = denoise(x, sigma)
    return x0 + broadcast(below / sigma, x) * (x - x0)


def heun_step(denoise: Estimate, x: Tensor, sigma: Tensor, below: Tensor) -> Tensor:
    """Heun's step (Karras et al. 2022, arXiv:2206.00364, Algorithm 1), and Euler's where ``below`` is 0. Two passes.

    >>> levels = torch.tensor([2.0, 1.0], dtype=torch.float64)
    >>> heun_step(lambda x, sigma: 0 * x, torch.tensor([[3.0]]), levels[:1], levels[1:])
    tensor([[1.5000]])

    Args:
        denoise, x, sigma, below: as for :func:`ddim_step`.
    """
    slope = (x - denoise(x, sigma)) / broadcast(sigma, x)
    change = broadcast(below - sigma, x)
    euler = x + change * slope
    positive = torch.where(below > 0, below, sigma)  # a level at which the model is defined; the estimate there is left out
    slope_below = (euler - denoise(euler, positive)) / broadcast(positive, x)
    return torch.where(broadcast(below, x) > 0, x + change * (slope + slope_below) / 2, euler)


def walk(denoise: Estimate, x: Tensor, levels: Sequence[Tensor], step: Step) -> Tensor:
    """The states at the last of ``levels``, by steps from ``x`` at the first.

    Args:
        denoise: the estimate of the clean sample.
        x: states (n, ...).
        levels: decreasing noise levels, float64 (n,) each.
        step: :func:`ddim_step` or :func:`heun_step`.
    """
    for sigma, below in pairwise(levels):
        x = step(denoise, x, sigma, below)
    return x


@dataclass(frozen=True, kw_only=True, slots=True)
class Condition:
    """The classes and guidance scales of a batch.

    >>> from zoo_core.rng import StepRng
    >>> Condition.draw(torch.tensor([3, 7]), (2.0, 2.0), StepRng(0, 0, 2)).scale
    tensor([2., 2.])

    Args:
        labels: int64 (n,); None for a model without classes.
        scale: guidance scales (n,); None for no guidance.
    """

    labels: Tensor | None
    scale: Tensor | None

    @classmethod
    def draw(cls, labels: Tensor | None, guidance: tuple[float, float] | None, rng: Rng) -> "Condition":
        """The condition with the labels of a batch and guidance scales from the uniform distribution on an interval."""
        if guidance is None:
            return cls(labels=labels, scale=None)
        low, high = guidance
        return cls(labels=labels, scale=low + (high - low) * rng.uniform())

    def repeat(self, times: int) -> "Condition":
        """The condition of ``times`` copies of the batch, one after the other."""
        labels, scale = (None if values is None else values.repeat(times) for values in (self.labels, self.scale))
        return Condition(labels=labels, scale=scale)


def guided_estimate(model: nn.Module, condition: Condition) -> Estimate:
    """D of a teacher: with classifier-free guidance, in two passes, if the condition has a scale (Ho & Salimans 2022, arXiv:2207.12598)."""
    plain = cast(Denoiser, model).denoise
    if condition.scale is None:
        return lambda x, sigma: plain(x, sigma, condition.labels)
    scale = condition.scale

    def denoise(x: Tensor, sigma: Tensor) -> Tensor:
        unconditional = plain(x, sigma)
        return unconditional + broadcast(scale, x) * (plain(x, sigma, condition.labels) - unconditional)

    return denoise


def estimate(model: nn.Module, condition: Condition) -> Estimate:
    """D of a student: of the guidance scale too, if its net takes one (Meng et al. 2023, arXiv:2210.03142); one pass."""
    if condition.scale is not None and getattr(model, "guidance_embeds", False):
        return lambda x, sigma: cast(Any, model).denoise(x, sigma, condition.labels, guidance=condition.scale)
    return lambda x, sigma: cast(Denoiser, model).denoise(x, sigma, condition.labels)
