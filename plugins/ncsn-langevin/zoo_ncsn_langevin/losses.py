"""Losses of score matching: their minimum over s is the gradient of log p, and they need only samples of p.

All are values per row, (n,); their means estimate E |s(x) - grad log p(x)|^2 / 2 up to a constant that does not depend on s.
"""

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["denoising", "divergence", "implicit", "sliced"]


def _inner(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).flatten(1).sum(dim=1)


def denoising(score: Tensor, eps: Tensor, sigma: Tensor) -> Tensor:
    """|s(x_0 + sigma eps) + eps / sigma|^2 / 2 (Vincent 2011; arXiv:1907.05600, eq. 5).

    Args:
        score: s at the noisy samples, (n, ...).
        eps: the noise, standard normal (n, ...).
        sigma: noise levels that broadcast against both.
    """
    error = score + eps / sigma
    return _inner(error, error) / 2


def divergence(score: Tensor, x: Tensor) -> Tensor:
    """The trace of each row's Jacobian of ``score`` (n, ...) by ``x`` (n, ...), (n,); rows must not depend on each other.

    It is exact, takes one backward pass for each dimension, and can be differentiated again.
    """
    flat = score.flatten(1)
    diagonal = []
    for i, column in enumerate(flat.unbind(1)):
        (gradient,) = torch.autograd.grad(column.sum(), x, create_graph=True)
        diagonal.append(gradient.flatten(1)[:, i])
    return torch.stack(diagonal, dim=1).sum(dim=1)


def implicit(score: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """|s(x)|^2 / 2 + tr grad s(x) (Hyvarinen 2005, theorem 1), for ``x`` (n, ...) of few dimensions."""
    x = x.detach().requires_grad_(True)
    s = score(x)
    return _inner(s, s) / 2 + divergence(s, x)


def sliced(score: Callable[[Tensor], Tensor], x: Tensor, v: Tensor) -> Tensor:
    """|s(x)|^2 / 2 + v^T grad s(x) v, averaged over directions: sliced score matching with reduced variance (arXiv:1905.07088, eq. 8).

    Args:
        score: function from (n, ...) to the scores (n, ...), row by row.
        x: samples (n, ...).
        v: directions (n, slices, ...) with E v v^T = I, for example standard normal.
    """
    x = x.detach().requires_grad_(True)
    s = score(x)
    value = _inner(s, s) / 2
    for direction in v.unbind(1):
        (slope,) = torch.autograd.grad(_inner(s, direction).sum(), x, create_graph=True)
        value = value + _inner(slope, direction) / v.shape[1]
    return value
