"""Conversions from the conventions of diffusers to the coordinate x_sigma = x_0 + sigma * eps: times, and what a net predicts."""

from collections.abc import Sequence

import torch
from torch import Tensor

from zoo_diffusers.config import Prediction

__all__ = ["LevelTimes", "clean"]


class LevelTimes:
    """Times t of 0 ... T - 1 of noise levels: whole numbers on the trained levels, linear in sigma between two, clamped outside.

    >>> LevelTimes((0.5, 1.0, 3.0))(torch.tensor([0.1, 1.0, 2.0], dtype=torch.float64))
    tensor([0.0000, 1.0000, 1.5000])

    Args:
        levels: the trained levels, increasing.
    """

    def __init__(self, levels: Sequence[float]) -> None:
        self.levels = tuple(levels)

    def __call__(self, sigma: Tensor) -> Tensor:
        """Times, float32 (n,), of ``sigma``, float64 (n,)."""
        levels = torch.tensor(self.levels, dtype=sigma.dtype, device=sigma.device)
        if len(levels) == 1:
            return torch.zeros_like(sigma, dtype=torch.float32)
        sigma = sigma.clamp(self.levels[0], self.levels[-1])
        above = torch.searchsorted(levels, sigma).clamp(1, len(levels) - 1)
        low, high = levels[above - 1], levels[above]
        return (above - 1 + (sigma - low) / (high - low)).float()


def clean(prediction: Prediction, x: Tensor, sigma: Tensor, out: Tensor) -> Tensor:
    """The estimate of x_0, of the shape and dtype of ``x``.

    >>> x, sigma = torch.ones(1), torch.ones(1, dtype=torch.float64)
    >>> [round(float(clean(name, x, sigma, torch.full((1,), 0.5))), 4) for name in ("epsilon", "sample", "v_prediction")]
    [0.5, 0.5, 0.1464]

    Args:
        prediction: what the net predicts.
        x: noisy samples x_sigma.
        sigma: noise levels, float64, of a shape that can be multiplied with ``x``.
        out: output of the net for x_sigma / sqrt(1 + sigma^2), of the shape and dtype of ``x``.
    """
    if prediction == "sample":
        return out
    if prediction == "epsilon":
        return x - sigma.to(x.dtype) * out
    scale = (1 + sigma**2).rsqrt()
    return (scale**2).to(x.dtype) * x - (sigma * scale).to(x.dtype) * out
