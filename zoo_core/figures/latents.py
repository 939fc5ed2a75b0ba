"""Reconstructions, interpolations, and the map of a latent plane."""

import math
from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor

from zoo_core.capabilities import capability_error
from zoo_core.errors import UsageError
from zoo_core.figures.canvas import canvas, name_axes, span, square, text, to_title
from zoo_core.figures.levels import images_of
from zoo_core.figures.points import draw_points
from zoo_core.interfaces import Decoder, SamplerLike
from zoo_core.pretrained import Pretrained
from zoo_core.rng import ImageRng

__all__ = ["interpolated", "latent_grid", "plot_paths", "reconstructed"]


def reconstructed(pretrained: Pretrained, x: Tensor) -> Tensor:
    """Images ``x`` (n, c, h, w) and decode(encode(x)): (2, n, c, h, w).

    Raises:
        CapabilityError: if the model cannot encode.
        UsageError: if its samples are not images.
    """
    images_of(pretrained)
    return torch.stack([x, pretrained.reconstruct(x)])


def interpolated(
    pretrained: Pretrained,
    ends: Sequence[tuple[int | Tensor, int | Tensor]],
    steps: int,
    *,
    seed: int = 0,
    sampler: SamplerLike | None = None,
) -> Tensor:
    """The paths between pairs of ``ends``, as :meth:`Pretrained.interpolate` draws them.

    Returns:
        Images (len(ends), steps, c, h, w), or points (len(ends), steps, 2).

    Raises:
        CapabilityError: if the model can neither decode nor denoise, or an end is an image and it cannot encode.
        UsageError: if its samples are neither images nor points in the plane.
    """
    if pretrained.event.shape != (2,):
        images_of(pretrained)
    return torch.stack([pretrained.interpolate(a, b, steps=steps, seed=seed, sampler=sampler) for a, b in ends])


def plot_paths(rows: Tensor, points: Tensor, names: Sequence[str], title: str = "") -> Any:
    """A figure of the paths ``rows`` (n, steps, 2) with their names, each from a circle to a square, over points (m, 2) in grey."""
    figure, axes = canvas(6.4, 5.6)
    draw_points(axes, points, size=3, color="0.8", alpha=1.0)
    for i, (row, name) in enumerate(zip(rows, names, strict=True)):
        style = {"color": f"C{i % 10}", "zorder": 3}
        axes.plot(*row.T.numpy(), marker=".", markersize=5, linewidth=1.3, label=text(name), **style)
        for place, marker in ((0, "o"), (-1, "s")):
            axes.plot(*row[place].numpy(), marker=marker, markersize=8, markeredgecolor="black", **style)
    centre, reach = span(torch.cat([points, rows.flatten(0, 1)]))
    square(axes, centre, 1.08 * reach)
    name_axes(axes)
    axes.set_title(f"{rows.shape[1]} points on each path, from circle to square; grey: {len(points):,} samples", fontsize=10)
    if len(rows) <= 12:
        axes.legend(frameon=False, fontsize=9, loc="center left", bbox_to_anchor=(1, 0.5))
    to_title(figure, title)
    return figure


def latent_grid(pretrained: Pretrained, side: int) -> tuple[Tensor, list[float]]:
    """Images decoded on a grid of latents in the plane, at the quantiles of the normal prior (Kingma & Welling 2013, figure 4).

    Each cell has the same share of the prior. z_1 grows to the right, z_2 upwards.

    Returns:
        Images (side, side, c, h, w); and the ``side`` coordinates, increasing: the quantiles (i + 1/2) / side.

    Raises:
        CapabilityError: if the model cannot decode.
        UsageError: if its samples are not images, or its latents do not have two dimensions.
    """
    if "decode" not in pretrained.capabilities:
        raise capability_error(f"{pretrained.name} has no latents: its family cannot decode", "decode")
    shape = images_of(pretrained)
    z = tuple(cast(Decoder, pretrained.model).prior(ImageRng(0, [0])).shape[1:])
    if z != (2,):
        raise UsageError(f"a latent grid is of 2 dimensions, and {pretrained.name} has {math.prod(z)}", "interpolate shows others")
    at = torch.special.ndtri((torch.arange(side) + 0.5) / side)
    right = at.repeat(side)
    up = at.flip(0).repeat_interleave(side)
    return pretrained.decode(torch.stack([right, up], dim=1)).view(side, side, *shape), at.tolist()
