"""Drawings of the process: the way from noise to images, paths between samples, and inpainting."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from zoo_core.arguments import as_int
from zoo_core.errors import UsageError
from zoo_core.figures.origin import origin_of
from zoo_core.figures.titles import sigma_text, title_line, walk_text
from zoo_core.ui.drawing import Choice, Drawing, Prepared, Report, no_report, npz_of, prepared, settings, step_counter, title_of
from zoo_core.ui.limits import LIMITS, Limits

if TYPE_CHECKING:
    from torch import Tensor

    from zoo_core.pretrained import Pretrained

__all__ = ["PERCENTS", "TIMES", "inpaint", "interpolate", "reverse"]

PERCENTS = (100.0, 75.0, 50.0, 25.0, 10.0, 0.0)
"""Percentages of the noise levels that a reverse strip shows."""
TIMES = 5
"""Passes over each noise level of inpainting."""
_POINTS = 1000  # samples in the background of a plot
_WAYS = 100


def reverse(model: "Pretrained", choice: Choice, report: Report = no_report, limits: Limits = LIMITS) -> Drawing:
    """Draws samples while they are sampled: each state above the model's guess of the clean image, or the trajectories of points.

    Args:
        model: a checkpoint that denoises.
        choice: settings; ``n`` is the number of images.
        report: called after each step.
        limits: bounds.

    Raises:
        UsageError, ConfigError, CapabilityError: if a setting is out of bounds, or does not fit the model.
    """
    from zoo_core import figures

    figures.denoiser(model, points=True)
    if tuple(model.event.shape) == (2,):
        return _ways(model, choice, limits)
    ready = prepared(model, choice, limits, limits.rows)
    import torch

    states, guesses, sigmas = figures.reverse(
        model,
        choice.n,
        PERCENTS,
        seed=choice.seed,
        sampler=ready.sampler,
        scheduler=ready.scheduler,
        labels=ready.labels,
        guidance=choice.guidance,
        on_step=step_counter(model, ready, 1, report),
    )
    cells = torch.stack([states, guesses], dim=1).flatten(0, 1)
    columns = [f"{percent:g} %\n{sigma_text(sigma)}" for percent, sigma in zip(PERCENTS, sigmas, strict=True)]
    captions: dict[str, Any] = {"rows": ["x\u209c", "guess\nof x\u2080"] * choice.n, "columns": columns, "group": 2}
    note = "From left to right, noise becomes an image; below each state, the model's guess of the clean image"
    return _sheet(model, choice, ready, "reverse", cells, title_of(model, choice, ready), note, captions)


def _ways(model: "Pretrained", choice: Choice, limits: Limits) -> Drawing:
    """The ways of points from noise to samples."""
    from zoo_core import figures
    from zoo_core.figures.canvas import render

    ready = prepared(model, choice, limits, _WAYS)
    ways = figures.sample_trajectories(model, choice.n, seed=choice.seed, sampler=ready.sampler)
    points = model.sample(_POINTS, seed=choice.seed, sampler=ready.sampler, batch_size=_POINTS)
    title = title_of(model, choice, ready)
    origin = origin_of(model, **settings(choice, ready))
    import torch

    return Drawing(
        name=f"{model.name}-reverse-seed{choice.seed}",
        png=render(figures.plot_trajectories(ways, points, title), {"title": title, **origin}),
        npz=npz_of(torch.stack([way.at for way in ways]), origin, ready),
        title=title,
        note="The ways of points from noise (circles) to samples (stars)",
    )


def interpolate(model: "Pretrained", choice: Choice, points: int = 8, limits: Limits = LIMITS) -> Drawing:
    """Draws paths from image i of a seed to image n + i: between latents, or between starting noises.

    Args:
        model: a checkpoint that decodes or denoises.
        choice: settings; ``n`` is the number of paths.
        points: number of samples of each path, with both ends.
        limits: bounds.

    Raises:
        UsageError, ConfigError, CapabilityError: if a setting is out of bounds, or does not fit the model.
    """
    from zoo_core import figures

    as_int("the number of points of a path", points, 2, 2 * limits.rows)
    denoises = model.denoises
    own = replace(choice, sampler="ddim") if denoises and not choice.sampler else choice  # without noise, only the start differs
    ready = prepared(model, own, limits, limits.rows)
    turns = len(ready.turns) if getattr(model.model, "needs_labels", False) else 1
    apart = -(-choice.n // turns) * turns  # whole turns, so that both ends are of one class
    ends = [(i, i + apart) for i in range(choice.n)]
    cells = figures.interpolated(model, ends, points, seed=choice.seed, sampler=ready.sampler if denoises else None)
    walk = walk_text(ready.sampler, model.scheduler_of(ready.sampler)) if denoises else ""
    between = "starting noises" if denoises else "latents"
    title = title_line(model.name, walk, f"seed {choice.seed}", f"between {between}")
    note = f"Each row is a path between the {between} of two samples, in {points} points"
    names = [f"{a}\n\u2192 {b}" for a, b in ends]
    if tuple(model.event.shape) == (2,):
        return _paths(model, choice, ready, cells, title, note)
    shares = ["from", *(f"{i / (points - 1):.2g}" for i in range(1, points - 1)), "to"]
    return _sheet(model, choice, ready, "interpolation", cells, title, note, {"rows": names, "columns": shares})


def _paths(model: "Pretrained", choice: Choice, ready: Prepared, cells: "Tensor", title: str, note: str) -> Drawing:
    from zoo_core import figures
    from zoo_core.figures.canvas import render

    drawn = model.sample(_POINTS, seed=choice.seed, batch_size=_POINTS)
    names = [f"path {row}" for row in range(len(cells))]
    origin = origin_of(model, seed=choice.seed)
    return Drawing(
        name=f"{model.name}-interpolation-seed{choice.seed}",
        png=render(figures.plot_paths(cells, drawn, names, title), {"title": title, **origin}),
        npz=npz_of(cells, origin, ready),
        title=title,
        note=note,
    )


def inpaint(
    model: "Pretrained", choice: Choice, picture: "Tensor", known: "Tensor", report: Report = no_report, limits: Limits = LIMITS
) -> Drawing:
    """Keeps the known part of a picture, and draws ``n`` completions of the rest.

    Args:
        model: a checkpoint that denoises images.
        choice: settings; ``n`` is the number of completions.
        picture: image (c, h, w) in [-1, 1].
        known: True where the picture stays, bool (1, h, w).
        report: called after each step.
        limits: bounds.

    Raises:
        UsageError, ConfigError, CapabilityError: if a setting is out of bounds, or does not fit the model.
    """
    from zoo_core import figures

    figures.denoiser(model)
    ready = prepared(model, choice, limits, limits.rows)
    if bool(known.all()):
        raise UsageError("nothing is painted, so nothing is to be filled in", "paint over a part of the picture")
    import torch

    counter = step_counter(model, ready, TIMES, report)
    x = picture[None].expand(choice.n, *picture.shape)
    # Other noise than that of sample 0 ... n - 1, with which a sample of the same seed would be completed to itself.
    filled = model.inpaint(
        x,
        known,
        seed=choice.seed,
        first=limits.images,
        sampler=ready.sampler,
        scheduler=ready.scheduler,
        labels=ready.labels,
        guidance=choice.guidance,
        times=TIMES,
        on_step=counter,
    )
    shown = picture.where(known.expand_as(picture), 0.0)
    cells = torch.cat([picture[None], shown[None], filled])[None]
    columns = ["picture", "known", *(str(i + 1) for i in range(choice.n))]
    share = known.float().mean().item()
    title = title_line(model.name, ready.walk, f"seed {choice.seed}", f"{share:.0%} known")
    note = f"The picture, its known part ({share:.0%}), and {choice.n} completions of the rest"
    return _sheet(model, choice, ready, "inpainting", cells, title, note, {"columns": columns})


def _sheet(
    model: "Pretrained", choice: Choice, ready: Prepared, kind: str, cells: "Tensor", title: str, note: str, captions: Mapping[str, Any]
) -> Drawing:
    """A drawing of captioned cells (rows, columns, c, h, w)."""
    from zoo_core import images

    origin = {"title": title, **origin_of(model, **settings(choice, ready))}
    return Drawing(
        name=f"{model.name}-{kind}-seed{choice.seed}",
        png=images.png(images.labelled_grid(cells, title=title, **captions), origin),
        npz=npz_of(cells, origin, ready),
        title=title,
        note=note,
    )
