"""What ``zoo figure`` draws, a function for each kind: it writes the picture, and says on stderr what is in it."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo_core import __version__
from zoo_core.catalogue import as_sampler, read_config
from zoo_core.cli.console import inert, say
from zoo_core.cli.options import OF_SCHEDULER, data_option, scheduler_option
from zoo_core.cli.sample import progress
from zoo_core.config import apply_overrides, encode, load_json
from zoo_core.curves import Curve, curve, read_metrics
from zoo_core.errors import UsageError
from zoo_core.files import check_folder
from zoo_core.hub import TRAINING, WEIGHTS, fetch
from zoo_core.numbers import METRICS, numbers
from zoo_core.quality import panels

if TYPE_CHECKING:
    from torch import Tensor

    from zoo_core.interfaces import Sampler
    from zoo_core.pretrained import Pretrained

__all__ = [
    "LEVELS",
    "MOST",
    "check_number",
    "draw_density",
    "draw_forward",
    "draw_inpaint",
    "draw_langevin",
    "draw_loss",
    "draw_nearest",
    "draw_quality",
    "draw_reverse",
    "draw_score_field",
    "opened",
    "sampler_of",
    "save",
    "with_steps",
]

LEVELS = "0,25,50,75,99"
MOST = 64
_IMAGES, _POINTS = 4, 1000
_BATCH = 64  # of Pretrained.inpaint
_STEPS = "metrics.jsonl"
_PLACES = ("nearest", "2nd", "3rd", "4th", "5th")


def _checked(out: Path | None, name: str, kind: str) -> Path:
    """Where to write, found to be possible before anything is computed."""
    path = out or Path(f"{name}-{kind}.png")
    if path.suffix.lower() != ".png":
        raise UsageError(f"--out {path}: figures are .png files")
    return check_folder(path)


def check_number(n: int | None, most: int) -> None:
    """Refuses a figure of more than that.

    Raises:
        UsageError: there are more.
    """
    if n is not None and n > most:
        raise UsageError(f"-n {n}: there is room for {most} in this figure")


def opened(target: str, out: Path | None, kind: str) -> "tuple[Pretrained, Path]":
    """The checkpoint, and where to write its figure.

    Raises:
        UsageError, ResourceError: it cannot be written there.
    """
    files = fetch(target)
    config = read_config(files)
    path = _checked(out, files.name, kind)
    from zoo_core.assembly import assemble

    return assemble(files, config), path


def draw_forward(target: str, out: Path | None, *, at: str, images: Sequence[Path], n: int, seed: int) -> None:
    """Images under growing noise: of the files ``images``, or ``n`` samples."""
    percents = _percents(at)
    model, path = opened(target, out, "forward")
    import torch

    from zoo_core import figures
    from zoo_core.images import read_image

    columns = _levels(model, percents)
    x0 = torch.stack([read_image(image, model.event.shape) for image in images]) if images else model.sample(n, seed=seed)
    cells = figures.forward(model, x0, percents, seed=seed)
    save(path, cells, model, {"seed": str(seed), "at": at}, columns=columns)
    say(_one_line(path, columns))


def draw_reverse(target: str, out: Path | None, *, at: str, n: int, seed: int) -> None:
    """``n`` images while they are sampled, the state above the guess of x_0."""
    percents = sorted(_percents(at), reverse=True)
    model, path = opened(target, out, "reverse")
    import torch

    from zoo_core import figures

    columns = _levels(model, percents)
    cells = torch.stack(figures.reverse(model, n, percents, seed=seed), dim=1).flatten(0, 1)
    save(path, cells, model, {"seed": str(seed), "at": at}, rows=["x_t", "x_0 guess"] * n, columns=columns)
    say(_one_line(path, columns))


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
    states, shown = figures.langevin(model, n or (_POINTS if points else _IMAGES), wanted, seed=seed, sampler=chosen)
    titles = [f"step {step:,}\n" + (f"sigma {float(f'{sigma:.3g}'):,g}" if sigma else "the end") for step, sigma in shown]
    facts = {"seed": str(seed), "sampler": json.dumps(encode(chosen)), "steps": ",".join(str(step) for step, _ in shown)}
    if points:
        from zoo_core.files import write_file
        from zoo_core.plots import clouds

        titles = [title.replace("\n", ", ") for title in titles]
        write_file(path, clouds(states, titles, _record(model, facts), title=model.name))
    else:
        cells = torch.stack([figures.visible(x, sigma) for x, (_, sigma) in zip(states.unbind(1), shown, strict=True)], dim=1)
        save(path, cells, model, facts, columns=titles)
    say(_one_line(path, titles))


def _steps(text: str | None) -> list[int | None] | None:
    """None is the last step, or for a text that is None the default."""
    try:
        return None if text is None else [None if part.strip() == "last" else int(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(f"--show {text!r} is no list of steps", "write it as --show 0,200,400,last") from None


def sampler_of(model: "Pretrained", name: str | None, options: Sequence[str], kind: str | None = None) -> "Sampler | None":
    """The sampler of that name, or the checkpoint's own, with options changed; where it is of another ``kind``, the one of that name.

    None where nothing is asked for.
    """
    if not name and not options:
        return None
    own = encode(model.sampler)
    base = {"name": name} if name else own if kind in (None, own["name"]) else {"name": kind}
    return as_sampler(apply_overrides(base, list(options)))


def draw_score_field(
    target: str, out: Path | None, *, at: str | None, n: int, seed: int, sampler: str | None = None, options: Sequence[str] = ()
) -> None:
    """The score of a model of points in the plane at noise levels ``at``, and ``n`` paths of annealed Langevin dynamics over it."""
    percents = _percents(at) if at else [0.0]
    model, path = opened(target, out, "score-field")
    from zoo_core import figures
    from zoo_core.files import write_file
    from zoo_core.plots import score_fields

    levels = figures.trained_levels(figures.denoiser(model, images=False, points=True))
    chosen = figures.annealed(model, sampler_of(model, sampler, options, "langevin"))
    points = model.sample(_POINTS, seed=seed, sampler=chosen, batch_size=_POINTS)
    # Percentage 0 is the clean data, whose score nobody knows: there, the smallest level.
    sigmas = [max(figures.level_at(levels, percent)[1], levels[0]) for percent in percents]
    fields = [figures.score_field(model, sigma, points) for sigma in sigmas]
    paths = figures.paths(model, n, fields[0], seed=seed, sampler=chosen)
    facts = {"seed": str(seed), "sampler": json.dumps(encode(chosen)), "sigma": ",".join(f"{sigma:g}" for sigma in sigmas)}
    write_file(path, score_fields(fields, paths, _record(model, facts), title=model.name))
    found = ", ".join(f"{sigma:.3g}" for sigma in sigmas)
    say(inert(f"{path}: the score at sigma {found}; where Langevin dynamics takes {n} samples, from circle to star"))


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
    x = torch.stack([read_image(image, shape) for image in images]) if images else model.sample(_IMAGES, seed=seed).clamp(-1, 1)
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


def with_steps(steps: int | None, options: Sequence[str]) -> list[str]:
    """Options of a sampler, with ``--steps N`` among them where it was given."""
    return [*([] if steps is None else [f"steps={steps}"]), *options]


def _percents(text: str) -> list[float]:
    try:
        percents = [float(part) for part in text.split(",")]
    except ValueError:
        percents = [math.nan]
    if not all(0 <= percent <= 100 for percent in percents):
        raise UsageError(f"--at {text!r} is no list of percentages", "write it as --at 0,25,50,75,99")
    return percents


def _levels(model: "Pretrained", percents: Sequence[float]) -> list[str]:
    from zoo_core import figures

    levels = figures.trained_levels(figures.denoiser(model))
    return [f"t = {figures.level_at(levels, percent)[0]}\n({percent:g} %)" for percent in percents]


def _one_line(path: Path, columns: Sequence[str]) -> str:
    return f"{inert(str(path))}: {', '.join(' '.join(text.split()) for text in columns)}"


def _record(model: "Pretrained", facts: Mapping[str, str]) -> dict[str, str]:
    return {
        "Software": f"zoo-core {__version__}",
        "reference": str(model.files.reference),
        "weights": f"sha256:{model.files.digest(WEIGHTS)}",
        "sampler": json.dumps(encode(model.sampler)),
        **facts,
    }


def save(path: Path, cells: "Tensor", model: "Pretrained", facts: Mapping[str, str], **captions: Any) -> None:
    """Writes cells in [-1, 1] (rows, columns, c, h, w) with captions, and with what made them in the file."""
    from zoo_core.files import write_file
    from zoo_core.images import labelled_grid, png

    write_file(path, png(labelled_grid(cells, **captions), _record(model, facts)))


def draw_nearest(
    target: str, out: Path | None, *, n: int, seed: int, data: str | None, data_root: str | None, features: str | None
) -> None:
    """``n`` images of a seed, in their order, each beside the training images next to it."""
    model, path = opened(target, out, "nearest")
    from zoo_core import figures
    from zoo_core.cli.progress import Images
    from zoo_core.evaluation.evaluate import data_of, space_for
    from zoo_core.evaluation.spaces import space
    from zoo_core.training.data import load_data

    config = data_option(target, data, data_root, ()) or data_of(model.files)
    judge = space(features or space_for(config, model.event.shape), "cpu")
    train = load_data(config)
    with Images() as on_batch:
        cells, found = figures.nearest(model, train, judge, n, seed=seed, k=len(_PLACES), on_batch=on_batch)
    below = [["", *(f"{distance:.2f}" for distance in row)] for row in found.tolist()]
    facts = {"seed": str(seed), "data": f"sha256:{train.digest}", "features": f"{judge.name} sha256:{judge.digest}"}
    columns = ["sample", *_PLACES[: found.shape[1]]]
    save(path, cells, model, facts, rows=[str(i) for i in range(n)], columns=columns, below=below)
    say(inert(f"{path}: images 0 to {n - 1} of seed {seed} and the images of {len(train):,} nearest to them in {judge.name}"))
    say("1 is how far a training image is from the nearest other one, in the mean; a copy is at 0")


def draw_density(target: str, out: Path | None, *, data: str | None, data_root: str | None) -> None:
    """The learned density of points in the plane, under points of the data."""
    model, path = opened(target, out, "density")
    import torch

    from zoo_core import figures
    from zoo_core.cli.progress import Images
    from zoo_core.evaluation.evaluate import data_of, some_of
    from zoo_core.evaluation.real import Real
    from zoo_core.files import write_file
    from zoo_core.plots import density

    figures.check_density(model)
    real = Real(data_option(target, data, data_root, ()) or data_of(model.files), model.event.shape).data
    points = real.rows(some_of(len(real), min(len(real), _POINTS)))  # the first of them need not be like the others
    with Images() as on_batch:
        found = figures.density(model, real.rows(torch.arange(len(real))), on_batch=on_batch)
    facts = {"Software": f"zoo-core {__version__}", "reference": str(model.files.reference), "data": f"sha256:{real.digest}"}
    facts |= {"weights": f"sha256:{model.files.digest(WEIGHTS)}", "caption": found.caption}
    write_file(path, density(found, points, facts, title=model.name))
    say(inert(f"{path}: {found.caption}; the part that is shown has a mass of {found.mass:.3f}"))


def draw_loss(target: str, out: Path | None) -> None:
    """The losses of a run or a checkpoint over its steps."""
    from zoo_core.files import write_file
    from zoo_core.plots import curves

    name, found = _curve(target)
    path = _checked(out, name, "loss")
    losses = {key: values for key, values in found.items() if key == "loss" or key.startswith("loss.")}
    if not losses or not found.get("step"):
        raise UsageError(f"{target} has no record of a loss", f"it is in a run's {_STEPS}, and in a checkpoint's {TRAINING}")
    steps = [step for step in found["step"] if step is not None]
    write_file(path, curves(steps, losses, {"reference": target}, title=name))
    say(inert(f"{path}: {', '.join(losses)} over {steps[-1]:,} steps"))


def _curve(target: str) -> tuple[str, Curve]:
    """A name, and the steps and losses of a run folder or a checkpoint."""
    folder = Path(target.removeprefix("local:")).expanduser()
    for run in (folder, folder.parent if folder.name == "export" else folder):
        if (run / _STEPS).is_file():
            return run.resolve().name, curve(read_metrics(run / _STEPS))
    if folder.is_dir() and not target.startswith("local:"):
        raise UsageError(f"{folder} is no run folder: it has no {_STEPS}", "a checkpoint in a folder is written local:PATH")
    files = fetch(target)
    recorded: Curve = files.json(TRAINING).get("curve", {}) if TRAINING in files.names else {}
    return files.name, recorded


def draw_quality(target: str, out: Path | None, *, metrics: Sequence[str]) -> None:
    """What metrics say of a checkpoint's samples, over what these cost."""
    from zoo_core.files import write_file
    from zoo_core.plots import quality

    name, records = _records(target)
    path = _checked(out, name, "quality")
    found = panels(records, metrics)
    if not found:
        hint = f"`zoo evaluate {target} --steps 5,10,20,50 --out FOLDER/{METRICS}` makes them, for `zoo figure FOLDER quality`"
        raise UsageError(f"{target} has no numbers of its samples", hint)
    facts = {"Software": f"zoo-core {__version__}", "reference": target, "metrics": ", ".join(panel.metric for panel in found)}
    write_file(path, quality(found, facts, title=name))
    say(inert(f"{path}: " + "; ".join(f"{panel.metric} of {', '.join(panel.curves)}" for panel in found)))


def _records(target: str) -> tuple[str, Sequence[Mapping[str, Any]]]:
    """A name, and the records of the metrics.json of a folder, of a run's export or of a checkpoint."""
    folder = Path(target.removeprefix("local:")).expanduser()
    name = (folder.parent if folder.name == "export" else folder).resolve().name
    for place in (folder, folder / "export"):
        if (place / METRICS).is_file():
            return name, numbers(load_json(place / METRICS))
    if folder.is_dir():
        return name, ()
    files = fetch(target)
    return files.name, numbers(files.json(METRICS)) if METRICS in files.names else ()
