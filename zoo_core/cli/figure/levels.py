"""Figures along the noise levels: forward, reverse, Langevin dynamics, inpainting."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from zoo_core.cli.drawing import progress
from zoo_core.cli.figure.common import (
    IMAGES,
    MOST,
    POINTS,
    Page,
    check_number,
    is_plane,
    level_names,
    opened,
    percents_of,
    pictures,
    plain,
    sampler_of,
    with_steps,
)
from zoo_core.cli.options import OF_SCHEDULER, scheduler_option
from zoo_core.errors import UsageError
from zoo_core.figures.origin import origin_of
from zoo_core.figures.titles import sigma_text, title_line

if TYPE_CHECKING:
    from zoo_core.pretrained import Pretrained

__all__ = ["draw_forward", "draw_inpaint", "draw_langevin", "draw_reverse"]

_BATCH = 64  # of Pretrained.inpaint
_WAYS = 200


def draw_forward(target: str, page: Page, *, at: str, images: Sequence[Path], n: int | None, seed: int) -> None:
    """Images, or points, under growing noise: of the files ``images``, or ``n`` samples."""
    percents = percents_of(at)
    model, page = opened(target, page, "forward")
    from zoo_core import figures

    columns = level_names(model, percents)
    points = is_plane(model)
    if not points:
        page.of_pixels()
        check_number(n, MOST)
    x0 = pictures(model, images) if images else model.sample(n or (POINTS if points else IMAGES), seed=seed)
    states = figures.forward(model, x0, percents, seed=seed)
    facts = origin_of(model, seed=seed, at=at, sampler=None if images else model.sampler)
    line = title_line(model.name, "forward process", f"seed {seed}")
    if points:
        names = [" · ".join(text.split("\n")) for text in columns]
        page.plot(figures.clouds(states, names, page.titled(line), clean=percents.index(min(percents))), facts, line)
    else:
        page.sheet(states, facts, line, columns=columns)
    page.say_columns(columns)


def draw_reverse(
    target: str,
    page: Page,
    *,
    at: str,
    images: Sequence[Path],
    n: int | None,
    seed: int,
    steps: int | None,
    sampler: str | None,
    options: Sequence[str],
) -> None:
    """``n`` images while they are sampled, each state above the guess of x_0; or the way back of the files ``images`` under noise.

    For points in the plane, the trajectories of ``n`` samples.
    """
    percents = sorted(percents_of(at), reverse=True)
    model, page = opened(target, page, "reverse")
    from zoo_core import figures

    figures.denoiser(model, points=True)
    chosen = sampler_of(model, sampler, with_steps(steps, options)) or model.sampler
    line = plain(model, chosen, seed=seed)
    facts = origin_of(model, seed=seed, sampler=chosen)
    if is_plane(model):
        if images:
            figures.images_of(model)
        ways = figures.sample_trajectories(model, n or _WAYS, seed=seed, sampler=chosen)
        points = model.sample(POINTS, seed=seed, sampler=chosen, batch_size=POINTS)
        page.plot(figures.plot_trajectories(ways, points, page.titled(line)), facts, line)
        page.say(f"the trajectories of {len(ways):,} samples, from circle to star, coloured by their noise")
        return
    page.of_pixels()
    check_number(n, MOST)
    x0 = pictures(model, images) if images else None
    states, guesses, sigmas = figures.reverse(model, n or IMAGES, percents, seed=seed, sampler=chosen, x0=x0)
    import torch

    cells = torch.stack([states, guesses], dim=1).flatten(0, 1)
    columns = [f"{percent:g} %\n{sigma_text(sigma)}" for percent, sigma in zip(percents, sigmas, strict=True)]
    rows = ["x\u209c", "guess\nof x\u2080"] * len(states)
    if x0 is not None:
        line = plain(model, chosen, f"from the picture at {percents[0]:g} % noise", seed=seed)
    page.sheet(cells, {**facts, "at": at}, line, rows=rows, columns=columns, group=2)
    page.say_columns(columns)


def draw_langevin(
    target: str, page: Page, *, show: str | None, n: int | None, seed: int, sampler: str | None = None, options: Sequence[str] = ()
) -> None:
    """``n`` images in rows, or ``n`` points in panels, after each of the steps ``show`` of annealed Langevin dynamics."""
    wanted = _steps(show)
    model, page = opened(target, page, "langevin")
    import torch

    from zoo_core import figures

    figures.denoiser(model, points=True)
    chosen = figures.annealed(model, sampler_of(model, sampler, options, "langevin"))
    points = is_plane(model)
    if not points:
        page.of_pixels()
        check_number(n, MOST)
    states, shown = figures.langevin(model, n or (POINTS if points else IMAGES), wanted, seed=seed, sampler=chosen)
    titles = [f"step {step:,}\n" + (sigma_text(sigma) if sigma else "the end") for step, sigma in shown]
    facts = origin_of(model, seed=seed, sampler=chosen, steps=",".join(str(step) for step, _ in shown))
    line = plain(model, chosen, seed=seed)
    if points:
        page.plot(figures.clouds(states, [title.replace("\n", ", ") for title in titles], page.titled(line)), facts, line)
    else:
        cells = torch.stack([figures.shown(model, x, sigma) for x, (_, sigma) in zip(states.unbind(1), shown, strict=True)], dim=1)
        page.sheet(cells, facts, line, columns=titles)
    page.say_columns(titles)


def _steps(text: str | None) -> list[int | None] | None:
    """The steps of ``--show``, with None for the last one; None for the default.

    Raises:
        UsageError: if they are not numbers.
    """
    try:
        return None if text is None else [None if part.strip() == "last" else int(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(f"--show {text!r} is not a list of steps", "write it as --show 0,200,400,last") from None


def draw_inpaint(
    target: str,
    page: Page,
    *,
    images: Sequence[Path],
    mask: str,
    n: int,
    seed: int,
    times: int,
    steps: int | None,
    sampler: str | None,
    scheduler: str | None,
    options: Sequence[str],
) -> None:
    """Images of the files ``images``, or samples, their known part by ``mask``, and ``n`` completions of each."""
    model, page = opened(target, page, "inpaint")
    from zoo_core import figures
    from zoo_core.samplers.masks import read_mask

    if "fill" in model.capabilities and not model.denoises:
        _draw_filled(model, page, images, mask, seed)
        return
    figures.denoiser(model)
    shape = model.event.shape
    own = [text for text in options if not text.strip().startswith(OF_SCHEDULER)]
    chosen = sampler_of(model, sampler, with_steps(steps, own)) or model.sampler
    known = read_mask(mask, shape)
    levels = scheduler_option(scheduler, options) or model.scheduler_of(chosen)
    x = pictures(model, images) if images else model.sample(IMAGES, seed=seed).clamp(-1, 1)
    # Completions of samples get noise of their own: with the noise of the samples, they would be the samples again.
    first = 0 if images else len(x)
    with progress(math.ceil(len(x) * n / _BATCH) * times, chosen, model, levels) as on_step:
        cells = figures.inpainted(
            model, x, known, n, seed=seed, sampler=chosen, scheduler=levels, times=times, first=first, on_step=on_step
        )
    facts = origin_of(model, seed=seed, sampler=chosen, scheduler=levels, times=times, mask=mask)
    columns = ["image", "known", *(f"completion {i + 1}" for i in range(n))]
    line = plain(model, chosen, f"known: {mask}", f"each level {times} times" if times > 1 else "", scheduler=levels, seed=seed)
    page.sheet(cells, facts, line, columns=columns)
    share = known.float().mean().item()
    page.say(f"{len(x)} images of which {share:.0%} is known ({mask}), {n} completions of each")


def _draw_filled(model: "Pretrained", page: Page, images: Sequence[Path], mask: str, seed: int) -> None:
    """Pictures, their known part by ``mask``, and what a model with the capability ``fill`` puts in place of the rest."""
    from zoo_core import figures
    from zoo_core.samplers.masks import read_mask

    if not images:
        raise UsageError(f"{model.name} draws no samples to fill in", "name pictures: --image FILE")
    x, known = pictures(model, images), read_mask(mask, model.event.shape)
    cells = figures.inpainted(model, x, known, 1, seed=seed)
    line = title_line(model.name, f"known: {mask}", f"seed {seed}")
    page.sheet(cells, origin_of(model, seed=seed, mask=mask), line, columns=["image", "known", "filled"])
    page.say(f"{len(x)} images of which {known.float().mean().item():.0%} is known ({mask}), filled in one pass")
