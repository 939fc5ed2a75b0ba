"""Figures along the noise levels: forward, reverse, Langevin dynamics, inpainting."""

import json
import math
from collections.abc import Sequence
from pathlib import Path

from zoo_core.cli.console import inert, say
from zoo_core.cli.figure.common import (
    IMAGES,
    MOST,
    POINTS,
    check_number,
    level_names,
    one_line,
    opened,
    percents_of,
    record_of,
    sampler_of,
    save,
    with_steps,
)
from zoo_core.cli.options import OF_SCHEDULER, scheduler_option
from zoo_core.cli.sample import progress
from zoo_core.config import encode
from zoo_core.errors import UsageError

__all__ = ["draw_forward", "draw_inpaint", "draw_langevin", "draw_reverse"]

_BATCH = 64  # of Pretrained.inpaint


def draw_forward(target: str, out: Path | None, *, at: str, images: Sequence[Path], n: int, seed: int) -> None:
    """Images under growing noise: of the files ``images``, or ``n`` samples."""
    percents = percents_of(at)
    model, path = opened(target, out, "forward")
    import torch

    from zoo_core import figures
    from zoo_core.images import read_image

    columns = level_names(model, percents)
    x0 = torch.stack([read_image(image, model.event.shape) for image in images]) if images else model.sample(n, seed=seed)
    cells = figures.forward(model, x0, percents, seed=seed)
    save(path, cells, model, {"seed": str(seed), "at": at}, columns=columns)
    say(one_line(path, columns))


def draw_reverse(target: str, out: Path | None, *, at: str, n: int, seed: int) -> None:
    """``n`` images while they are sampled, the state above the guess of x_0."""
    percents = sorted(percents_of(at), reverse=True)
    model, path = opened(target, out, "reverse")
    import torch

    from zoo_core import figures

    columns = level_names(model, percents)
    cells = torch.stack(figures.reverse(model, n, percents, seed=seed), dim=1).flatten(0, 1)
    save(path, cells, model, {"seed": str(seed), "at": at}, rows=["x_t", "x_0 guess"] * n, columns=columns)
    say(one_line(path, columns))


def draw_langevin(
    target: str, out: Path | None, *, show: str | None, n: int | None, seed: int, sampler: str | None = None, options: Sequence[str] = ()
) -> None:
    """``n`` images in rows, or ``n`` points in panels, while annealed Langevin dynamics draws them, after each of the steps ``show``."""
    wanted = _steps(show)
    model, path = opened(target, out, "langevin")
    import torch

    from zoo_core import figures

    figures.denoiser(model, points=True)
    chosen = figures.annealed(model, sampler_of(model, sampler, options, "langevin"))
    points = model.event.shape == (2,)
    if not points:
        check_number(n, MOST)
    states, shown = figures.langevin(model, n or (POINTS if points else IMAGES), wanted, seed=seed, sampler=chosen)
    titles = [f"step {step:,}\n" + (f"sigma {float(f'{sigma:.3g}'):,g}" if sigma else "the end") for step, sigma in shown]
    facts = {"seed": str(seed), "sampler": json.dumps(encode(chosen)), "steps": ",".join(str(step) for step, _ in shown)}
    if points:
        from zoo_core.figures.dynamics import clouds
        from zoo_core.files import write_file

        titles = [title.replace("\n", ", ") for title in titles]
        write_file(path, clouds(states, titles, record_of(model, facts), title=model.name))
    else:
        cells = torch.stack([figures.visible(x, sigma) for x, (_, sigma) in zip(states.unbind(1), shown, strict=True)], dim=1)
        save(path, cells, model, facts, columns=titles)
    say(one_line(path, titles))


def _steps(text: str | None) -> list[int | None] | None:
    """None is the last step, or for a text that is None the default."""
    try:
        return None if text is None else [None if part.strip() == "last" else int(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(f"--show {text!r} is no list of steps", "write it as --show 0,200,400,last") from None


def draw_inpaint(
    target: str,
    out: Path | None,
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
    """Images of the files ``images``, or samples, of which what the ``mask`` says is known, and ``n`` completions of each."""
    model, path = opened(target, out, "inpaint")
    import torch

    from zoo_core import figures
    from zoo_core.images import read_image
    from zoo_core.inpainting import read_mask

    shape = figures.denoiser(model).event.shape
    own = [text for text in options if not text.strip().startswith(OF_SCHEDULER)]
    chosen, known = sampler_of(model, sampler, with_steps(steps, own)) or model.sampler, read_mask(mask, shape)
    levels = scheduler_option(scheduler, options)
    x = torch.stack([read_image(image, shape) for image in images]) if images else model.sample(IMAGES, seed=seed).clamp(-1, 1)
    # Completions of samples get noise of their own: with that of the samples, these would come out again.
    first = 0 if images else len(x)
    with progress(math.ceil(len(x) * n / _BATCH) * times, chosen, model, levels) as on_step:
        cells = figures.inpainted(
            model, x, known, n, seed=seed, sampler=chosen, scheduler=levels, times=times, first=first, on_step=on_step
        )
    facts = {"seed": str(seed), "sampler": json.dumps(encode(chosen)), "times": str(times), "mask": mask}
    facts |= {"scheduler": json.dumps(encode(levels))} if levels else {}
    columns = ["image", "known", *(str(i + 1) for i in range(n))]
    save(path, cells, model, facts, columns=columns)
    share = known.float().mean().item()
    say(inert(f"{path}: {len(x)} images of which {share:.0%} is known ({mask}), {n} completions of each"))
