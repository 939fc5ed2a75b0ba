"""The score of a model of points in the plane, and trajectories of Langevin dynamics."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from zoo_core.figures.canvas import colour_bar, name_axes, span, square, squares, to_title
from zoo_core.figures.dynamics import annealed, langevin
from zoo_core.figures.levels import denoiser
from zoo_core.figures.points import draw_points
from zoo_core.figures.titles import number
from zoo_core.figures.trajectories import Trajectory, draw_trajectories
from zoo_core.interfaces import SamplerLike
from zoo_core.pretrained import Pretrained

__all__ = ["Field", "draw_field", "langevin_trajectories", "score_field", "score_fields"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Field:
    """The score of a model of points in the plane at one noise level: the gradient of the log-density under that noise.

    >>> field = Field(sigma=1.0, at=torch.tensor([[2.0, 0.0]]), score=torch.tensor([[-1.0, 0.0]]))
    >>> field.score.norm().item()
    1.0

    Args:
        sigma: noise level.
        at: places, float32 (k, 2).
        score: score at the places, float32 (k, 2).
    """

    sigma: float
    at: Tensor
    score: Tensor


def score_field(pretrained: Pretrained, sigma: float, x: Tensor, *, side: int = 21) -> Field:
    """The score (D(x, sigma) - x) / sigma^2 on a grid of ``side`` x ``side`` places, over a square around the points ``x`` (n, 2).

    Raises:
        CapabilityError: if the model cannot denoise.
        UsageError: if its samples are not points in the plane.
    """
    denoiser(pretrained, images=False, points=True)
    low = x.min(0).values
    high = x.max(0).values
    reach = 0.6 * (high - low).max()
    across = torch.linspace(-1, 1, side) * reach
    at = (low + high) / 2 + torch.cartesian_prod(across, across)
    return Field(sigma=sigma, at=at, score=(pretrained.denoise(at, sigma) - at) / sigma**2)


def langevin_trajectories(
    pretrained: Pretrained, n: int, field: Field, *, seed: int = 0, sampler: SamplerLike | None = None
) -> list[Trajectory]:
    """The trajectories of points 0 ... n - 1 of a seed under annealed Langevin dynamics.

    Each begins at the step after which it stays on the ``field``; before that, it jumps across. It has at least the sample.
    """
    chosen = annealed(pretrained, sampler)
    states, shown = langevin(pretrained, n, range(chosen.steps * chosen.steps_per_level + 1), seed=seed, sampler=chosen)
    off = ((states < field.at.min(0).values) | (states > field.at.max(0).values)).any(2)
    begins = [min(int(row.nonzero().max()) + 1, len(row) - 1) if row.any() else 0 for row in off]
    sigmas = torch.tensor([sigma for _, sigma in shown])
    return [Trajectory(at=way[begin:], sigma=sigmas[begin:]) for way, begin in zip(states, begins, strict=True)]


def draw_field(axes: Any, field: Field, points: Tensor | None = None) -> None:
    """Draws the arrows of a score on matplotlib axes, over points (n, 2) in grey.

    The length of an arrow is proportional to the square root of the score's norm, and the longest is a step of the grid: scores far from
    the data are so long that all others would be invisible beside them.
    """
    centre, reach = span(field.at)
    cell = 2 * reach / max(math.sqrt(len(field.at)) - 1, 1.0)
    length = field.score.norm(dim=1, keepdim=True).clamp(min=1e-30)
    arrows = field.score * (cell / (length * length.max()).sqrt())
    if points is not None:
        draw_points(axes, points, size=3, color="0.75", alpha=1.0)
    options = {"angles": "xy", "scale_units": "xy", "scale": 1, "color": "0.25", "width": 0.0035, "pivot": "mid"}
    axes.quiver(*field.at.T.numpy(), *arrows.T.numpy(), zorder=2, **options)
    square(axes, centre, reach + cell)


def score_fields(fields: Sequence[Field], trajectories: Sequence[Trajectory], points: Tensor | None = None, title: str = "") -> Any:
    """A figure with a panel for each field, and one for the trajectories, each from a circle to a star."""
    figure, panels = squares(len(fields) + bool(trajectories), 4.4)
    for axes, field in zip(panels, fields, strict=False):
        draw_field(axes, field, points)
        axes.set_title(f"score at $\\sigma$ = {number(field.sigma)}", fontsize=10)
        name_axes(axes)
    if trajectories:
        axes = panels[-1]
        drawn = draw_trajectories(axes, trajectories, points)
        centre, reach = span(fields[0].at)
        square(axes, centre, 1.1 * reach)
        axes.set_title(f"{len(trajectories)} walks: \N{WHITE CIRCLE} enters, \N{BLACK STAR} sample", fontsize=10)
        name_axes(axes)
        colour_bar(figure, axes, drawn, "$\\sigma$ along the walk")
    to_title(figure, title)
    note = "Arrow length is proportional to the square root of |score|; the longest is one grid step."
    figure.supxlabel(f"{note} Grey: {len(points):,} samples." if points is not None else note, fontsize=9)
    return figure
