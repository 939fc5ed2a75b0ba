"""Paths between two latents, or two starting noises."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["mix"]


def mix(a: "Tensor", b: "Tensor", weights: "Tensor", spherical: bool) -> "Tensor":
    """Interpolates from ``a`` to ``b``, of the same shape: along a great circle (slerp, Shoemake 1985) or a straight line.

    >>> import torch
    >>> mix(torch.tensor([0.0, 2.0]), torch.tensor([2.0, 0.0]), torch.tensor([0.0, 0.5, 1.0]), spherical=False).tolist()
    [[0.0, 2.0], [1.0, 1.0], [2.0, 0.0]]

    Args:
        a: first point (*shape).
        b: last point (*shape).
        weights: shares of ``b``, (steps,), in [0, 1].
        spherical: whether to follow a great circle.

    Returns:
        The points of the path, (steps, *shape).
    """
    w = weights.view(-1, *[1] * a.ndim)
    cosine = (a.flatten() @ b.flatten() / (a.norm() * b.norm())).clamp(-1, 1)
    angle = cosine.acos()
    if not spherical or not angle.sin() > 1e-6:
        return a + w * (b - a)
    return (((1 - w) * angle).sin() * a + (w * angle).sin() * b) / angle.sin()
