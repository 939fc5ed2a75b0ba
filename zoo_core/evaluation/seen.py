"""Measurements on images of the captioned data sets: colours, place, size and number, from their pixels alone."""

import torch
from torch import Tensor

from zoo_core.data.captions import COLOURS, PLACES

__all__ = ["seen"]

_COVERED = 0.3  # a pixel with more of the object's colour than this belongs to the object
_NEAR = (13.0, 19.0)  # centres before the first are at the top or left, beyond the second at the bottom or right, of 32 pixels
_LARGE = 16  # pixels of the longer side of one object
_BROAD, _LONG = 13, 28  # pixels of the shorter and longer side of two objects together
_MIDDLE = 0.12  # of the length of an outline, before and after its middle, where the gap of two objects is


def seen(x: Tensor) -> dict[str, Tensor]:
    """What images show, by attributes: int64 (n,) each, places in the tuples of :mod:`zoo_core.data.captions`.

    The background is the colour of the palette that most pixels are nearest to. The object has the colour of the pixels that differ most
    from it; place and size are those of its outline. There are two objects if a line without any of it crosses the middle of the outline.

    >>> x = torch.full((1, 3, 32, 32), 0.913)
    >>> x[0, :, 2:14, 2:12] = torch.tensor([0.678, -0.655, -0.686])[:, None, None]
    >>> {name: int(value) for name, value in seen(x).items()} == dict(colour=0, background=6, place=0, size=0, number=0)
    True

    Args:
        x: images (n, 3, 32, 32) in [-1, 1].
    """
    from zoo_core.data.captioned import PALETTE

    palette = torch.from_numpy(PALETTE).to(x)
    pixels = ((x.clamp(-1, 1) + 1) * 127.5).flatten(2).transpose(1, 2)  # (n, 1024, 3)
    nearest = torch.cdist(pixels, palette.expand(len(x), -1, -1)).argmin(2)
    background = torch.stack([(nearest == colour).sum(1) for colour in range(len(COLOURS))], 1).argmax(1)
    under = _mean(pixels, nearest == background[:, None])
    apart = (pixels - under[:, None]).norm(dim=2)
    most = apart.topk(10).values.mean(1, keepdim=True)
    over = _mean(pixels, apart > 0.75 * most)
    away = torch.cdist(over[:, None], palette.expand(len(x), -1, -1))[:, 0]
    colour = away.scatter(1, background[:, None], torch.inf).argmin(1)
    direction = over - under
    cover = ((pixels - under[:, None]) * direction[:, None]).sum(2) / direction.square().sum(1, keepdim=True).clamp(min=1e-6)
    return {"colour": colour, "background": background, **_shape((cover > _COVERED).view(len(x), *x.shape[2:]))}


def _mean(pixels: Tensor, chosen: Tensor) -> Tensor:
    """The mean of the chosen pixels (n, 1024) of each image, (n, 3)."""
    weights = chosen.to(pixels)
    return (pixels * weights[:, :, None]).sum(1) / weights.sum(1, keepdim=True).clamp(min=1.0)


def _shape(inside: Tensor) -> dict[str, Tensor]:
    """Place, size and number of objects that cover the pixels ``inside`` (n, h, w)."""
    lines = (inside.any(2), inside.any(1))  # rows and columns, (n, 32) each
    first = torch.stack([line.int().argmax(1) for line in lines])
    last = torch.stack([line.shape[1] - 1 - line.flip(1).int().argmax(1) for line in lines])
    sides = last - first + 1  # (2, n): height and width
    centre = (first + last + 1) / 2
    thirds = (centre > _NEAR[0]).long() + (centre > _NEAR[1]).long()
    upright = sides[0] > sides[1]
    long, short = sides.amax(0), sides.amin(0)
    along = torch.where(upright[:, None], lines[0], lines[1])
    middle = torch.where(upright, centre[0], centre[1])
    at = torch.arange(along.shape[1], device=inside.device) + 0.5
    between = (at - middle[:, None]).abs() <= (_MIDDLE * long).clamp(min=1.0)[:, None]
    two = (between & ~along).any(1)
    large = torch.where(two, (short >= _BROAD) | (long >= _LONG), long >= _LARGE)
    assert len(PLACES) == 9, "places are thirds of rows and columns"
    return {"place": 3 * thirds[0] + thirds[1], "size": large.long(), "number": two.long()}
