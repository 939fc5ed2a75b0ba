"""Score matching: what a score s(x) must minimise to be the gradient of log p, where only samples of p are there.

All are values per row, (n,), and means of them estimate E |s(x) - grad log p(x)|^2 / 2 up to a constant that does not depend on s.
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
        score, eps: (n, ...).
        sigma: broadcasts against them.
    """
    error = score + eps / sigma
    return _inner(error, error) / 2


def divergence(score: Tensor, x: Tensor) -> Tensor:
    """The trace of the Jacobian of ``score`` (n, ...) by ``x`` (n, ...), whose rows do not depend on each other: (n,).

    Exact, by one backward pass for each dimension; it can be differentiated again.
    """
    flat = score.flatten(1)
    slopes = [torch.autograd.grad(column.sum(), x, create_graph=True)[0].flatten(1)[:, i] for i, column in enumerate(flat.unbind(1))]
    return torch.stack(slopes, dim=1).sum(dim=1)


def implicit(score: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """|s(x)|^2 / 2 + tr grad s(x) (Hyvarinen 2005, theorem 1), for ``x`` (n, ...) of few dimensions."""
    x = x.detach().requires_grad_(True)
    s = score(x)
    return _inner(s, s) / 2 + divergence(s, x)


def sliced(score: Callable[[Tensor], Tensor], x: Tensor, v: Tensor) -> Tensor:
    """|s(x)|^2 / 2 + v^T grad s(x) v, averaged over directions: sliced score matching with reduced variance (arXiv:1905.07088, eq. 8).

    Args:
        score: of (n, ...), row by row.
        x: (n, ...).
        v: directions (n, slices, ...) with E v v^T = I, such as standard normal ones.
    """
    x = x.detach().requires_grad_(True)
    s = score(x)
    value = _inner(s, s) / 2
    for direction in v.unbind(1):
        (slope,) = torch.autograd.grad(_inner(s, direction).sum(), x, create_graph=True)
        value = value + _inner(slope, direction) / v.shape[1]
    return value
