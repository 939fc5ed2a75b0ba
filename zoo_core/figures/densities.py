"""The density of a model of points in the plane."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor

from zoo_core.errors import UsageError
from zoo_core.figures.canvas import canvas, colour_bar, name_axes, to_title
from zoo_core.figures.points import draw_points
from zoo_core.interfaces import Denoiser
from zoo_core.pretrained import Pretrained

__all__ = ["Density", "check_density", "density", "density_side", "draw_density", "levels_of", "plot_density"]

_PLACES = 2048  # whose density is computed at once


@dataclass(frozen=True, kw_only=True, slots=True)
class Density:
    """The density of a model of points in the plane.

    Args:
        values: on a grid, float64 (side, side); the rows are x_2, from below, the columns x_1.
        extent: left, right, bottom and top of the grid.
        caption: what the density is of.
        mass: the sum over the grid times the area of a cell: about 1 where the grid holds all of it.
    """

    values: Tensor
    extent: tuple[float, float, float, float]
    caption: str
    mass: float


def check_density(pretrained: Pretrained) -> None:
    """Raises what :func:`density` does for a model that it cannot draw."""
    if pretrained.event.shape != (2,):
        raise UsageError(f"densities are drawn of points in the plane, and {pretrained.name} draws samples of {pretrained.event.shape}")
    pretrained.log_prob_method()


def density_side(pretrained: Pretrained) -> int:
    """The cells on a side of a grid for the density of a model: fewer where each takes seconds."""
    return 120 if pretrained.log_prob_method() == "ode" else 240


def density(
    pretrained: Pretrained, points: Tensor, *, side: int | None = None, on_batch: Callable[[int], None] = lambda n: None
) -> Density:
    """The learned density around ``points`` (n, 2), on a grid a tenth wider than these on each side.

    Args:
        pretrained: the model.
        points: (n, 2), such as the data.
        side: cells on a side; 240 when None, or 120 where the density is that of the ODE, which takes seconds for some.
        on_batch: called with the number of cells that were computed since the last call.

    Raises:
        CapabilityError: the model cannot give a log-probability.
        UsageError: its samples are no points in the plane.
    """
    check_density(pretrained)
    side = side or density_side(pretrained)
    low, high = points.amin(0).double(), points.amax(0).double()
    margin = 0.1 * (high - low).clamp(min=1e-6)
    low, cell = low - margin, (high - low + 2 * margin) / side
    # The middles of the cells.
    first, second = (low[i] + cell[i] * (torch.arange(side) + 0.5) for i in range(2))
    grid = torch.stack(torch.meshgrid(first, second, indexing="xy"), dim=-1).view(-1, 2).float()
    logs = []
    for begin in range(0, len(grid), _PLACES):
        found = pretrained.log_prob(grid[begin : begin + _PLACES], batch_size=_PLACES)
        logs.append(found.value.double())
        on_batch(len(found.value))
    values = torch.cat(logs).exp().view(side, side)
    high = low + side * cell
    what = "density" if found.kind == "exact" else "lower bound of the density" if found.kind == "lower_bound" else "density, estimated"
    if pretrained.log_prob_method() == "ode":
        what = f"density of data with noise of sigma {cast(Denoiser, pretrained.model).sigma_range[0]:g}, by the ODE"
    extent = (low[0].item(), high[0].item(), low[1].item(), high[1].item())
    return Density(values=values, extent=extent, caption=what, mass=(values.sum() * cell.prod()).item())


def levels_of(found: Density, shares: Sequence[float] = (0.5, 0.9, 0.99)) -> list[float]:
    """The densities above which each of these shares of the mass lies that is on the grid, increasing."""
    falling = found.values.flatten().sort(descending=True).values
    held = falling.cumsum(0) / falling.sum()
    return sorted(falling[int((held < share).sum().clamp(max=len(held) - 1))].item() for share in shares)


def draw_density(axes: Any, found: Density, points: Tensor | None = None) -> Any:
    """A density on matplotlib axes of equal scale, with lines around 50, 90 and 99 % of its mass, and points (n, 2) above it.

    Returns:
        the image, for a colour bar, which begins at 0.
    """
    image = axes.imshow(found.values.numpy(), origin="lower", extent=found.extent, cmap="Blues", vmin=0, interpolation="bilinear")
    levels = levels_of(found)
    if levels[0] < levels[1] < levels[2]:
        lines = {"colors": "0.35", "linewidths": 0.7, "linestyles": ("dotted", "dashed", "solid"), "origin": "lower"}
        axes.contour(found.values.numpy(), levels=levels, extent=found.extent, **lines)
    if points is not None:
        draw_points(axes, points, size=min(max(2500 / len(points), 2.5), 12.0), color="#b3123b", alpha=0.9)
    axes.set_xlim(*found.extent[:2])
    axes.set_ylim(*found.extent[2:])
    return image


def plot_density(found: Density, points: Tensor, title: str = "") -> Any:
    """A figure of a density with points (n, 2) of the data above it."""
    left, right, bottom, top = found.extent
    side = 4.6
    figure, axes = canvas(side + 1.6, min(max(side * (top - bottom) / (right - left), 1.6), 7.0) + 1.05)
    image = draw_density(axes, found, points)
    name_axes(axes)
    axes.set_title(f"lines around 50, 90 and 99 % of the mass; {len(points):,} of the data", fontsize=9)
    colour_bar(figure, axes, image, "$p(x_1, x_2)$")
    to_title(figure, title)
    return figure
