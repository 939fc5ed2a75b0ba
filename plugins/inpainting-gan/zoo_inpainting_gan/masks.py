"""Random masks of the known part of images."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from zoo_core.interfaces import Rng

__all__ = ["STROKES", "box", "half", "random_masks", "strokes"]

STROKES = 4
"""Number of strokes of a mask."""
POINTS = 4
"""Number of points that a stroke joins."""


def random_masks(rng: Rng, side: int, holes: Sequence[str]) -> Tensor:
    """Draws masks, True where an image is known: bool (rows, 1, side, side), each of a kind drawn among ``holes``.

    >>> from zoo_core.rng import ImageRng
    >>> random_masks(ImageRng(0, range(2)), 4, ["half"]).float().mean().item()
    0.5

    Args:
        rng: random numbers, one row for each mask.
        side: side of the images.
        holes: kinds of holes: ``half``, ``box``, ``strokes``.
    """
    hidden = torch.stack([_KINDS[kind](rng, side) for kind in holes])
    chosen = rng.integers(0, len(holes))
    return ~hidden[chosen, torch.arange(len(rng), device=chosen.device)][:, None]


def half(rng: Rng, side: int) -> Tensor:
    """Hides one of the four halves of each image: bool (rows, side, side)."""
    which = rng.integers(0, 4)[:, None, None]
    place = torch.arange(side, device=which.device)
    along = torch.where(which < 2, place[None, :, None], place[None, None, :])
    return (along < side // 2) == (which % 2 == 0)


def box(rng: Rng, side: int) -> Tensor:
    """Hides a rectangle with sides of a quarter to five eighths of the image: bool (rows, side, side)."""
    share = rng.uniform(4)
    extent = (side * (0.25 + 0.375 * share[:, :2])).round().clamp(min=1)
    corner = ((side - extent) * share[:, 2:]).round()
    place = torch.arange(side, device=share.device)
    inside = [(place >= corner[:, axis, None]) & (place < (corner + extent)[:, axis, None]) for axis in (0, 1)]
    return inside[0][:, :, None] & inside[1][:, None, :]


def strokes(rng: Rng, side: int) -> Tensor:
    """Hides freehand strokes, broken lines about a tenth of the image wide: bool (rows, side, side)."""
    n = len(rng)
    points = rng.uniform(STROKES, 1, 2) + 0.35 * rng.normal(STROKES, POINTS, 2).cumsum(dim=2)
    points = points.clamp(0, 1) * (side - 1)
    radius = side * (0.03 + 0.04 * rng.uniform(STROKES))[:, :, None].expand(n, STROKES, POINTS - 1).reshape(n, -1, 1, 1)
    start, end = (part.reshape(n, -1, 1, 1, 2) for part in (points[:, :, :-1], points[:, :, 1:]))
    place = torch.arange(side, device=points.device, dtype=points.dtype)
    pixel = torch.stack(torch.meshgrid(place, place, indexing="ij"), dim=-1)
    line = end - start
    along = (((pixel - start) * line).sum(-1) / line.square().sum(-1).clamp(min=1e-6)).clamp(0, 1)
    nearest = start + along[..., None] * line
    return ((pixel - nearest).norm(dim=-1) <= radius).any(dim=1)


_KINDS: Mapping[str, Callable[[Rng, int], Tensor]] = {"half": half, "box": box, "strokes": strokes}
