"""Paths between two latents, or two starting noises."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["mix"]


def mix(a: "Tensor", b: "Tensor", weights: "Tensor", spherical: bool) -> "Tensor":
    """(steps, *shape) from ``a`` to ``b`` (*shape), at ``weights`` (steps,) in [0, 1].

    Along a great circle (slerp, Shoemake 1985) when ``spherical``, else straight.
    """
    w = weights.view(-1, *[1] * a.ndim)
    cosine = (a.flatten() @ b.flatten() / (a.norm() * b.norm())).clamp(-1, 1)
    angle = cosine.acos()
    if not spherical or not angle.sin() > 1e-6:
        return a + w * (b - a)
    return (((1 - w) * angle).sin() * a + (w * angle).sin() * b) / angle.sin()
