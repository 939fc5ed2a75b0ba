"""Figures, a file for each kind: functions that compute one from a checkpoint, and functions that draw it.

The names below are imported when they are first used, so that figures of records need no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zoo_core.figures.densities import Density, check_density, density, plot_density
    from zoo_core.figures.dynamics import annealed, clouds, langevin
    from zoo_core.figures.inpainting import inpainted
    from zoo_core.figures.latents import interpolated, latent_grid, reconstructed
    from zoo_core.figures.levels import denoiser, images_of, level_at, trained_levels, visible
    from zoo_core.figures.neighbours import nearest
    from zoo_core.figures.points import scatter
    from zoo_core.figures.process import forward, reverse
    from zoo_core.figures.quality import Panel, Point, panels, plot_quality
    from zoo_core.figures.scores import Field, paths, score_field, score_fields
    from zoo_core.figures.training import curves

_HOMES = {
    "densities": ("Density", "check_density", "density", "plot_density"),
    "dynamics": ("annealed", "clouds", "langevin"),
    "inpainting": ("inpainted",),
    "latents": ("interpolated", "latent_grid", "reconstructed"),
    "levels": ("denoiser", "images_of", "level_at", "trained_levels", "visible"),
    "neighbours": ("nearest",),
    "points": ("scatter",),
    "process": ("forward", "reverse"),
    "quality": ("Panel", "Point", "panels", "plot_quality"),
    "scores": ("Field", "paths", "score_field", "score_fields"),
    "training": ("curves",),
}

__all__ = [
    "Density",
    "Field",
    "Panel",
    "Point",
    "annealed",
    "check_density",
    "clouds",
    "curves",
    "denoiser",
    "density",
    "forward",
    "images_of",
    "inpainted",
    "interpolated",
    "langevin",
    "latent_grid",
    "level_at",
    "nearest",
    "panels",
    "paths",
    "plot_density",
    "plot_quality",
    "reconstructed",
    "reverse",
    "scatter",
    "score_field",
    "score_fields",
    "trained_levels",
    "visible",
]


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"zoo_core.figures.{home}"), name)
    raise AttributeError(f"module 'zoo_core.figures' has no attribute {name!r}")


def __dir__() -> list[str]:
    return list(__all__)
