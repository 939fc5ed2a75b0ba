"""Figures, a file for each kind: functions that compute one from a checkpoint, and functions that draw it.

The names below are imported at their first use, so that figures of records do not import torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zoo_core.figures.canvas import render
    from zoo_core.figures.densities import Density, check_density, density, draw_density, plot_density, plot_samples
    from zoo_core.figures.dynamics import annealed, clouds, langevin
    from zoo_core.figures.guidance import TradeOff, plot_trade_offs, trade_offs
    from zoo_core.figures.inpainting import inpainted
    from zoo_core.figures.latents import interpolated, latent_grid, plot_paths, reconstructed
    from zoo_core.figures.levels import denoiser, images_of, level_at, shown, trained_levels, visible
    from zoo_core.figures.neighbours import nearest
    from zoo_core.figures.points import draw_points, scatter
    from zoo_core.figures.process import forward, plot_trajectories, reverse, sample_trajectories
    from zoo_core.figures.quality import Panel, Point, draw_quality, panels, plot_quality
    from zoo_core.figures.scores import Field, draw_field, langevin_trajectories, score_field, score_fields
    from zoo_core.figures.training import curves, draw_loss, draw_metric, metric_curves
    from zoo_core.figures.trajectories import Trajectory, draw_trajectories
    from zoo_core.figures.truncation import TruncationCurve, plot_truncation, truncation_curves

_HOMES = {
    "canvas": ("render",),
    "densities": (
        "Density",
        "check_density",
        "density",
        "draw_density",
        "plot_density",
        "plot_samples",
    ),
    "dynamics": (
        "annealed",
        "clouds",
        "langevin",
    ),
    "guidance": (
        "TradeOff",
        "plot_trade_offs",
        "trade_offs",
    ),
    "inpainting": ("inpainted",),
    "latents": (
        "interpolated",
        "latent_grid",
        "plot_paths",
        "reconstructed",
    ),
    "levels": (
        "denoiser",
        "images_of",
        "level_at",
        "shown",
        "trained_levels",
        "visible",
    ),
    "neighbours": ("nearest",),
    "points": (
        "draw_points",
        "scatter",
    ),
    "process": (
        "forward",
        "plot_trajectories",
        "reverse",
        "sample_trajectories",
    ),
    "quality": (
        "Panel",
        "Point",
        "draw_quality",
        "panels",
        "plot_quality",
    ),
    "scores": (
        "Field",
        "draw_field",
        "langevin_trajectories",
        "score_field",
        "score_fields",
    ),
    "training": (
        "curves",
        "draw_loss",
        "draw_metric",
        "metric_curves",
    ),
    "trajectories": (
        "Trajectory",
        "draw_trajectories",
    ),
    "truncation": (
        "TruncationCurve",
        "plot_truncation",
        "truncation_curves",
    ),
}

__all__ = [
    "Density",
    "Field",
    "Panel",
    "Point",
    "TradeOff",
    "Trajectory",
    "TruncationCurve",
    "annealed",
    "check_density",
    "clouds",
    "curves",
    "denoiser",
    "density",
    "draw_density",
    "draw_field",
    "draw_loss",
    "draw_metric",
    "draw_points",
    "draw_quality",
    "draw_trajectories",
    "forward",
    "images_of",
    "inpainted",
    "interpolated",
    "langevin",
    "langevin_trajectories",
    "latent_grid",
    "level_at",
    "metric_curves",
    "nearest",
    "panels",
    "plot_density",
    "plot_paths",
    "plot_quality",
    "plot_samples",
    "plot_trade_offs",
    "plot_trajectories",
    "plot_truncation",
    "reconstructed",
    "render",
    "reverse",
    "sample_trajectories",
    "scatter",
    "score_field",
    "score_fields",
    "shown",
    "trade_offs",
    "trained_levels",
    "truncation_curves",
    "visible",
]


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"zoo_core.figures.{home}"), name)
    raise AttributeError(f"module 'zoo_core.figures' has no attribute {name!r}")


def __dir__() -> list[str]:
    return list(__all__)
