"""The density of a model of points in the plane."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from zoo_core.errors import UsageError
from zoo_core.figures.canvas import canvas, png, text
from zoo_core.interfaces import Denoiser
from zoo_core.pretrained import Pretrained

__all__ = ["Density", "check_density", "density", "plot_density"]

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


def density(pretrained: Pretrained, points: Tensor, *, side: int = 120, on_batch: Callable[[int], None] = lambda n: None) -> Density:
    """The learned density around ``points`` (n, 2), on a grid of ``side`` x ``side`` cells, a tenth wider than these on each side.

    ``on_batch`` is called with the number of the places that were looked at since the last call: an ODE takes seconds for some.

    Raises:
        CapabilityError: the model cannot give a log-probability.
        UsageError: its samples are no points in the plane.
    """
    check_density(pretrained)
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


def plot_density(found: "Density", points: Tensor, metadata: Mapping[str, str] | None = None, title: str = "") -> bytes:
    """A density over the plane, its colour bar from 0 on, and the points (n, 2) above it, on axes of equal scale."""
    figure, axes = canvas(6.4, 5.2)
    image = axes.imshow(found.values.numpy(), origin="lower", extent=found.extent, cmap="Blues", vmin=0, interpolation="nearest")
    size = min(max(2000 / len(points), 1.0), 12.0)
    axes.scatter(
        points[:, 0].numpy(), points[:, 1].numpy(), s=size, c="#d1495b", alpha=0.6, linewidths=0, label=f"{len(points):,} of the data"
    )
    axes.set_xlim(*found.extent[:2])
    axes.set_ylim(*found.extent[2:])
    axes.set_xlabel("$x_1$")
    axes.set_ylabel("$x_2$")
    axes.set_title(text(title), fontsize=11)
    axes.legend(loc="upper left", fontsize=8, frameon=False, markerscale=2)
    figure.colorbar(image, ax=axes, label=found.caption, shrink=0.85)
    return png(figure, metadata)
