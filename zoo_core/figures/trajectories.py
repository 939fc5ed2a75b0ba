"""Trajectories of samples in the plane, coloured by their noise levels."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from zoo_core.figures.points import draw_points

__all__ = ["Trajectory", "draw_trajectories"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Trajectory:
    """The places of a sample on its way from noise through the plane.

    >>> trajectory = Trajectory(at=torch.tensor([[3.0, 1.0], [1.0, 0.0]]), sigma=torch.tensor([2.0, 0.0]))
    >>> trajectory.at[-1].tolist()
    [1.0, 0.0]

    Args:
        at: places, float32 (k, 2); the last one is the sample.
        sigma: noise level at each place, float32 (k,); the last one is 0.
    """

    at: Tensor
    sigma: Tensor


def draw_trajectories(axes: Any, trajectories: Sequence[Trajectory], points: Tensor | None = None) -> Any:
    """Draws trajectories on matplotlib axes, coloured by their noise levels, over points (n, 2) in grey.

    Returns:
        The lines, for a colour bar.
    """
    from matplotlib.collections import LineCollection
    from matplotlib.colors import LogNorm

    if points is not None:
        draw_points(axes, points, size=3, color="0.75", alpha=1.0)
    levels = torch.cat([each.sigma[each.sigma > 0] for each in trajectories])
    low, high = (float(levels.min()), float(levels.max())) if len(levels) else (1.0, 1.0)
    scale = LogNorm(low, high if high > low else 2 * low)
    shared: dict[str, Any] = {"cmap": "viridis_r", "norm": scale}
    drawn = LineCollection([], **shared)
    for each in trajectories:
        pieces = list(torch.stack([each.at[:-1], each.at[1:]], dim=1).numpy())
        drawn = axes.add_collection(LineCollection(pieces, array=each.sigma[:-1].numpy(), linewidths=1.1, zorder=3, **shared))
    starts = torch.stack([each.at[0] for each in trajectories])
    ends = torch.stack([each.at[-1] for each in trajectories])
    small = max(0.25, min(1.0, 12 / len(trajectories)))
    edge = {"edgecolors": "black", "linewidths": 0.7}
    axes.scatter(*starts.T.numpy(), s=55 * small, marker="o", c="white", zorder=4, **edge)
    axes.scatter(*ends.T.numpy(), s=130 * small, marker="*", c="C3", zorder=5, **edge)
    return drawn
