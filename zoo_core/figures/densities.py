"""The density of a model of points in the plane, alone and beside data and samples."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor

from zoo_core.errors import UsageError
from zoo_core.figures.canvas import canvas, colour_bar, name_axes, text, to_title
from zoo_core.figures.points import draw_points
from zoo_core.interfaces import Denoiser
from zoo_core.pretrained import Pretrained

__all__ = ["Density", "check_density", "density", "density_side", "draw_density", "levels_of", "plot_density", "plot_samples"]

_PLACES = 2048  # cells in a batch


@dataclass(frozen=True, kw_only=True, slots=True)
class Density:
    """The density of a model of points in the plane, on a grid.

    >>> uniform = Density(values=torch.full((2, 2), 0.25), extent=(0.0, 2.0, 0.0, 2.0), caption="uniform", mass=1.0)
    >>> levels_of(uniform)
    [0.25, 0.25, 0.25]

    Args:
        values: densities, float64 (side, side); rows are x_2 from below, columns are x_1.
        extent: left, right, bottom and top of the grid.
        caption: description of the density, for titles.
        mass: sum over the grid times the area of a cell: about 1 if the grid covers the whole density.
    """

    values: Tensor
    extent: tuple[float, float, float, float]
    caption: str
    mass: float


def check_density(pretrained: Pretrained) -> None:
    """Checks that a model has a density that can be drawn.

    Raises:
        CapabilityError: if the model cannot compute a log-probability.
        UsageError: if its samples are not points in the plane.
    """
    if pretrained.event.shape != (2,):
        raise UsageError(f"densities are drawn of points in the plane, and {pretrained.name} draws samples of {pretrained.event.shape}")
    pretrained.log_prob_method()


def density_side(pretrained: Pretrained) -> int:
    """The default number of cells on a side of the grid: 240, or 120 for the slow density of the ODE."""
    return 120 if pretrained.log_prob_method() == "ode" else 240


def density(
    pretrained: Pretrained, points: Tensor, *, side: int | None = None, on_batch: Callable[[int], None] = lambda n: None
) -> Density:
    """The learned density around ``points`` (n, 2), on a grid a tenth wider than these on each side.

    Args:
        pretrained: model of points in the plane.
        points: points that the grid surrounds, (n, 2), such as the data.
        side: number of cells on a side; that of :func:`density_side` when None.
        on_batch: called after each batch with the number of its cells.

    Raises:
        CapabilityError: if the model cannot compute a log-probability.
        UsageError: if its samples are not points in the plane.
    """
    check_density(pretrained)
    side = side or density_side(pretrained)
    low = points.amin(0).double()
    high = points.amax(0).double()
    margin = 0.1 * (high - low).clamp(min=1e-6)
    cell = (high - low + 2 * margin) / side
    low = low - margin
    first, second = (low[i] + cell[i] * (torch.arange(side) + 0.5) for i in range(2))  # centres of the cells
    grid = torch.stack(torch.meshgrid(first, second, indexing="xy"), dim=-1).view(-1, 2).float()
    logs = []
    for begin in range(0, len(grid), _PLACES):
        result = pretrained.log_prob(grid[begin : begin + _PLACES], batch_size=_PLACES)
        logs.append(result.value.double())
        on_batch(len(result.value))
    values = torch.cat(logs).exp().view(side, side)
    high = low + side * cell
    extent = (low[0].item(), high[0].item(), low[1].item(), high[1].item())
    return Density(values=values, extent=extent, caption=_caption(pretrained, result.kind), mass=(values.sum() * cell.prod()).item())


def _caption(pretrained: Pretrained, kind: str) -> str:
    if pretrained.log_prob_method() == "ode":
        return f"density of data with noise of sigma {cast(Denoiser, pretrained.model).sigma_range[0]:g}, by the ODE"
    return {"exact": "density", "lower_bound": "lower bound of the density"}.get(kind, "density, estimated")


def levels_of(density: Density, shares: Sequence[float] = (0.5, 0.9, 0.99)) -> list[float]:
    """The density levels above which these shares of the mass on the grid lie, increasing."""
    falling = density.values.flatten().sort(descending=True).values
    held = falling.cumsum(0) / falling.sum()
    return sorted(falling[int((held < share).sum().clamp(max=len(held) - 1))].item() for share in shares)


def draw_density(axes: Any, density: Density, points: Tensor | None = None) -> Any:
    """Draws a density on matplotlib axes, with lines around 50, 90 and 99 % of its mass, and points (n, 2) above it.

    Returns:
        The image, for a colour bar; its scale begins at 0.
    """
    image = axes.imshow(density.values.numpy(), origin="lower", extent=density.extent, cmap="Blues", vmin=0, interpolation="bilinear")
    levels = levels_of(density)
    if levels[0] < levels[1] < levels[2]:
        lines = {"colors": "0.35", "linewidths": 0.7, "linestyles": ("dotted", "dashed", "solid"), "origin": "lower"}
        axes.contour(density.values.numpy(), levels=levels, extent=density.extent, **lines)
    if points is not None:
        draw_points(axes, points, size=min(max(2500 / len(points), 2.5), 12.0), color="#b3123b", alpha=0.9)
    axes.set_xlim(*density.extent[:2])
    axes.set_ylim(*density.extent[2:])
    return image


def plot_density(density: Density, points: Tensor, title: str = "") -> Any:
    """A figure of a density with points (n, 2) of the data above it."""
    left, right, bottom, top = density.extent
    side = 4.6
    figure, axes = canvas(side + 1.6, min(max(side * (top - bottom) / (right - left), 1.6), 7.0) + 1.05)
    image = draw_density(axes, density, points)
    name_axes(axes)
    axes.set_title(f"lines around 50, 90 and 99 % of the mass; {len(points):,} of the data", fontsize=9)
    colour_bar(figure, axes, image, "$p(x_1, x_2)$")
    to_title(figure, title)
    return figure


def plot_samples(data: Tensor, samples: Tensor, density: Density | None = None, title: str = "") -> Any:
    """A figure of data (n, 2), samples (m, 2) and the learned density side by side, over the grid of the density or around the data.

    The title of the samples' panel counts those outside of it.
    """
    low = data.min(0).values
    high = data.max(0).values
    margin = 0.1 * (high - low)
    left, bottom = (low - margin).tolist()
    right, top = (high + margin).tolist()
    if density is not None:
        left, right, bottom, top = density.extent
    count = 2 if density is None else 3
    figure, panels = canvas(3.6 * count, min(max(3.1 * (top - bottom) / (right - left), 1.2), 6.0) + 1.0, 1, count)
    x, y = samples.T
    away = int(((x < left) | (x > right) | (y < bottom) | (y > top)).sum())
    names = f"{len(data):,} of the data", f"{len(samples):,} samples" + (f", {away:,} outside" if away else "")
    for i, (points, name, colour) in enumerate(zip((data, samples), names, ("0.25", "C0"), strict=True)):
        draw_points(panels[i], points, size=2.5, color=colour)
        panels[i].set_title(name, fontsize=10)
    if density is not None:
        image = draw_density(panels[2], density)
        panels[2].set_title(text(f"learned {density.caption}"), fontsize=10)
        colour_bar(figure, panels[2], image, "$p(x_1, x_2)$")
    for axes in panels:
        axes.set_aspect("equal")
        axes.set_xlim(left, right)
        axes.set_ylim(bottom, top)
        name_axes(axes)
    to_title(figure, title)
    return figure
