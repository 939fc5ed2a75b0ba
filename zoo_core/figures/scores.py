"""The score of a model of points in the plane, and the paths of Langevin dynamics over it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from zoo_core.figures.canvas import png, span, square, squares, text
from zoo_core.figures.dynamics import annealed, langevin
from zoo_core.figures.levels import denoiser
from zoo_core.pretrained import Pretrained
from zoo_core.samplers import Langevin

__all__ = ["Field", "paths", "score_field", "score_fields"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Field:
    """The score of a model of points in the plane at one noise level.

    ``at`` (k, 2) are the places, ``score`` (k, 2) what the score is there: the gradient of the log-density under noise ``sigma``.
    """

    sigma: float
    at: Tensor
    score: Tensor


def score_field(pretrained: Pretrained, sigma: float, x: Tensor, *, side: int = 21) -> Field:
    """The score (D(x, sigma) - x) / sigma^2 on a grid of ``side`` x ``side`` places, over a square around the points ``x`` (n, 2).

    Raises:
        CapabilityError: the model does not denoise.
        UsageError: it does not draw points in the plane.
    """
    denoiser(pretrained, images=False, points=True)
    low, high = x.min(0).values, x.max(0).values
    reach = 0.6 * (high - low).max()
    across = torch.linspace(-1, 1, side) * reach
    at = (low + high) / 2 + torch.cartesian_prod(across, across)
    return Field(sigma=sigma, at=at, score=(pretrained.denoise(at, sigma) - at) / sigma**2)


def paths(pretrained: Pretrained, n: int, field: Field, *, seed: int = 0, sampler: Langevin | None = None) -> list[Tensor]:
    """Where annealed Langevin dynamics takes points 0 ... n - 1 of a seed, step by step to the samples, each float32 (steps, 2).

    Each from the step on after which it stays on the ``field``: before that it jumps across it. At least the sample itself.
    """
    chosen = annealed(pretrained, sampler)
    states, _ = langevin(pretrained, n, range(chosen.steps * chosen.steps_per_level + 1), seed=seed, sampler=chosen)
    off = ((states < field.at.min(0).values) | (states > field.at.max(0).values)).any(2)
    begins = [min(int(row.nonzero().max()) + 1, len(row) - 1) if row.any() else 0 for row in off]
    return [path[begin:] for path, begin in zip(states, begins, strict=True)]


def score_fields(fields: "Sequence[Field]", paths: "Sequence[Tensor]", metadata: Mapping[str, str] | None = None, title: str = "") -> bytes:
    """A panel for each field, and over its arrows the paths, each (steps, 2) from a circle to a star.

    The lengths of arrows are as the square roots of those of the scores, the longest a step of the grid: far from the data scores are so
    long that beside them no other could be seen.
    """
    figure, each = squares(len(fields), 4.8)
    for axes, field in zip(each, fields, strict=True):
        centre, reach = span(field.at)
        cell = 2 * reach / max(math.sqrt(len(field.at)) - 1, 1.0)
        length = field.score.norm(dim=1, keepdim=True).clamp(min=1e-30)
        arrows = field.score * (cell / (length * length.max()).sqrt())
        at = {"angles": "xy", "scale_units": "xy", "scale": 1, "color": "0.55", "width": 0.0035, "pivot": "mid"}
        axes.quiver(*field.at.T.numpy(), *arrows.T.numpy(), zorder=1, **at)
        for i, path in enumerate(paths):
            axes.plot(*path.T.numpy(), color=f"C{i}", linewidth=0.9, alpha=0.75, zorder=2)
            axes.plot(*path[0].numpy(), marker="o", color=f"C{i}", markersize=6, markeredgecolor="white", zorder=3)
            axes.plot(*path[-1].numpy(), marker="*", color=f"C{i}", markersize=15, markeredgecolor="white", zorder=4)
        axes.set_title(f"score at $\\sigma$ = {field.sigma:.3g}", fontsize=10)
        axes.set_xlabel("$x_1$")
        axes.set_ylabel("$x_2$")
        square(axes, centre, reach + cell)
    figure.suptitle(text(title), fontsize=11)
    return png(figure, metadata)
