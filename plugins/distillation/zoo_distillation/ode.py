"""Steps along the probability-flow ODE dx/dsigma = (x - D(x, sigma)) / sigma, with a noise level for each row."""

from typing import cast

import torch
from torch import Tensor, nn

from zoo_core.interfaces import Denoiser
from zoo_core.samplers.wrappers import Guided

__all__ = ["broadcast", "ddim_step", "denoiser_of", "heun_step"]


def broadcast(sigma: Tensor, x: Tensor) -> Tensor:
    """Noise levels (n,) in the dtype of ``x``, shaped to be multiplied with x (n, ...).

    >>> broadcast(torch.ones(2), torch.zeros(2, 1, 4, 4)).shape
    torch.Size([2, 1, 1, 1])
    """
    return sigma.to(x.dtype).view(-1, *[1] * (x.ndim - 1))


def ddim_step(model: Denoiser, x: Tensor, sigma: Tensor, below: Tensor, labels: Tensor | None = None) -> Tensor:
    """DDIM's step from ``sigma`` to ``below``, x' = D + (below / sigma) (x - D): Euler's method (Song et al. 2021, arXiv:2010.02502).

    Args:
        model: the denoiser.
        x: states (n, ...).
        sigma, below: noise levels (n,), float64, with 0 <= below < sigma.
        labels: int64 (n,), or None.
    """
    x0 = model.denoise(x, sigma, labels)
    return x0 + broadcast(below / sigma, x) * (x - x0)


def heun_step(model: Denoiser, x: Tensor, sigma: Tensor, below: Tensor, labels: Tensor | None = None) -> Tensor:
    """Heun's step from ``sigma`` to ``below`` (Karras et al. 2022, arXiv:2206.00364, Algorithm 1); Euler's where ``below`` is 0.

    Two forward passes. Arguments as for :func:`ddim_step`.
    """
    slope = (x - model.denoise(x, sigma, labels)) / broadcast(sigma, x)
    euler = x + broadcast(below - sigma, x) * slope
    positive = torch.where(below > 0, below, sigma)  # no division by 0; the value is not used there
    other = (euler - model.denoise(euler, positive, labels)) / broadcast(positive, x)
    heun = x + broadcast(below - sigma, x) * (slope + other) / 2
    return torch.where(broadcast(below, x) > 0, heun, euler)


def denoiser_of(model: nn.Module, guidance: float | None) -> Denoiser:
    """The model as a denoiser, with classifier-free guidance if a scale is given."""
    plain = cast(Denoiser, model)
    return plain if guidance is None else Guided(plain, guidance)
