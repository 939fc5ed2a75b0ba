"""Figures of models of points in the plane: scores, densities, and samples beside the data."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from zoo_core.cli.figure.common import POINTS, Page, is_plane, opened, percents_of, plain, sampler_of, with_steps
from zoo_core.cli.options import data_option
from zoo_core.errors import CapabilityError, UsageError
from zoo_core.figures.origin import origin_of
from zoo_core.figures.titles import title_line

if TYPE_CHECKING:
    from torch import Tensor

    from zoo_core.figures.densities import Density
    from zoo_core.pretrained import Pretrained

__all__ = ["draw_density", "draw_samples", "draw_score_field"]

_DOTS = 2000


def draw_score_field(
    target: str, page: Page, *, at: str | None, n: int, seed: int, sampler: str | None = None, options: Sequence[str] = ()
) -> None:
    """The score of a model of points in the plane at the noise levels ``at``, and ``n`` trajectories of annealed Langevin dynamics."""
    percents = percents_of(at) if at else [0.0]
    model, page = opened(target, page, "score-field")
    from zoo_core import figures

    levels = figures.trained_levels(figures.denoiser(model, images=False, points=True))
    chosen = figures.annealed(model, sampler_of(model, sampler, options, "langevin"))
    points = model.sample(POINTS, seed=seed, sampler=chosen, batch_size=POINTS)
    # The score of clean data, at 0 %, is unknown: the smallest level stands for it.
    sigmas = [max(figures.level_at(levels, percent)[1], levels[0]) for percent in percents]
    fields = [figures.score_field(model, sigma, points) for sigma in sigmas]
    ways = figures.langevin_trajectories(model, n, fields[0], seed=seed, sampler=chosen)
    facts = origin_of(model, seed=seed, sampler=chosen, sigma=",".join(f"{sigma:g}" for sigma in sigmas))
    line = plain(model, chosen, seed=seed)
    page.plot(figures.score_fields(fields, ways, points, page.titled(line)), facts, line)
    shown = ", ".join(f"{sigma:.3g}" for sigma in sigmas)
    page.say(f"the score at sigma {shown}; {n} trajectories of Langevin dynamics, from circle to star")


def draw_density(target: str, page: Page, *, data: str | None, data_root: str | None) -> None:
    """The learned density of points in the plane, under points of the data."""
    model, page = opened(target, page, "density")
    from zoo_core import figures

    figures.check_density(model)
    points, every, digest = _data(model, data, data_root, POINTS)
    density = _density(model, every)
    facts = origin_of(model, data=f"sha256:{digest}", caption=density.caption)
    line = title_line(model.name, density.caption)
    page.plot(figures.plot_density(density, points, page.titled(line)), facts, line)
    page.say(f"{density.caption}; the part that is shown has a mass of {density.mass:.3f}")


def draw_samples(
    target: str,
    page: Page,
    *,
    n: int,
    seed: int,
    steps: int | None,
    sampler: str | None,
    options: Sequence[str],
    data: str | None,
    data_root: str | None,
) -> None:
    """Points of the data, ``n`` samples, and the learned density if the model has one, side by side.

    Raises:
        UsageError: if the samples are not points in the plane.
    """
    model, page = opened(target, page, "samples")
    from zoo_core import figures

    if not is_plane(model):
        hint = f"`zoo sample {target} --out sheet.png` draws a sheet of them"
        raise UsageError(f"this figure is of points in the plane, and {model.name} draws samples of shape {model.event.shape}", hint)
    chosen = sampler_of(model, sampler, with_steps(steps, options)) or model.sampler
    points, every, digest = _data(model, data, data_root, n)
    drawn = model.sample(n, seed=seed, sampler=chosen, batch_size=n)
    density = _density(model, every) if _has_density(model) else None
    facts = origin_of(model, seed=seed, sampler=chosen, data=f"sha256:{digest}")
    line = plain(model, chosen, seed=seed)
    page.plot(figures.plot_samples(points, drawn, density, page.titled(line)), facts, line)
    page.say(f"{len(points):,} points of the data, {n:,} samples" + (", the learned density" if density else ""))


def _has_density(model: "Pretrained") -> bool:
    try:
        model.log_prob_method()
    except CapabilityError:
        return False
    return True


def _density(model: "Pretrained", points: "Tensor") -> "Density":
    """The learned density around all points of the data, with progress on stderr."""
    from zoo_core import figures
    from zoo_core.cli.progress import Progress
    from zoo_core.figures.densities import density_side

    with Progress("density", density_side(model) ** 2, "cells") as progress:
        return figures.density(model, points, on_batch=progress.add)


def _data(model: "Pretrained", data: str | None, root: str | None, n: int) -> "tuple[Tensor, Tensor, str]":
    """``n`` points of the data, all of its points, and their digest."""
    import torch

    from zoo_core.evaluation.factory import training_data_config
    from zoo_core.evaluation.measurement import random_subset
    from zoo_core.evaluation.real_data import RealData

    real = RealData(data_option(str(model.files.reference), data, root, ()) or training_data_config(model.files), model.event.shape).data
    some = real.rows(random_subset(len(real), min(len(real), n)))  # drawn at random: the first points may differ from the others
    return some, real.rows(torch.arange(len(real))), real.digest
