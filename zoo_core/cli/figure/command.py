"""``zoo figure``."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import click

from zoo_core.checkpoint.config import read_config
from zoo_core.cli.completers import names_of
from zoo_core.cli.figure.common import LEVELS, MOST, Page, check_number, is_plane
from zoo_core.cli.figure.latents import draw_interpolation, draw_latent_grid, draw_nearest, draw_reconstruct
from zoo_core.cli.figure.levels import draw_forward, draw_inpaint, draw_langevin, draw_reverse
from zoo_core.cli.figure.plane import draw_density, draw_samples, draw_score_field
from zoo_core.cli.figure.plugin import draw_plugin_figure, plugin_figures
from zoo_core.cli.figure.records import draw_guidance, draw_loss, draw_metrics, draw_quality, draw_truncation, drawable_records
from zoo_core.cli.figure.texts import draw_unmasking
from zoo_core.cli.options import STAGES, OutPath, option
from zoo_core.errors import CapabilityError, UnknownNameError, UsageError, ZooError
from zoo_core.hub.fetch import fetch
from zoo_core.registry import registry
from zoo_core.specs import FigureSpec

__all__ = ["figure"]


@dataclass(frozen=True)
class _Kind:
    """A kind of figure.

    Args:
        draw: function that draws it.
        takes: options that it has, with their defaults.
        needs: capabilities of which the model must have one; empty for a figure of records, which needs no model.
        of: samples of the model: ``images``, ``points`` in the plane, ``texts``, or ``all``, images and points; empty for a
            figure of records.
        most: largest number of images, points, trajectories or texts in it.
    """

    draw: Callable[..., None]
    takes: Mapping[str, Any]
    needs: str = ""
    of: str = ""
    most: int = MOST


_MADE = {"n": 4, "seed": 0}
_OF_SAMPLER = {"sampler": None, "options": ()}
_REAL = {"data": None, "data_root": None}
_PLOT = {"dpi": None, "width": None}
_KINDS: Mapping[str, _Kind] = {
    "forward": _Kind(draw_forward, {"at": LEVELS, "images": (), "n": None, "seed": 0, **_PLOT}, "denoise latent", "all", 10_000),
    "reverse": _Kind(
        draw_reverse,
        {"at": LEVELS, "images": (), "n": None, "seed": 0, "steps": None, **_OF_SAMPLER, **_PLOT},
        "denoise latent",
        "all",
        10_000,
    ),
    "langevin": _Kind(draw_langevin, {"show": None, "n": None, "seed": 0, **_OF_SAMPLER, **_PLOT}, "denoise latent", "all", 10_000),
    "score-field": _Kind(draw_score_field, {"at": None, **_MADE, **_OF_SAMPLER, **_PLOT}, "denoise", "points"),
    "inpaint": _Kind(
        draw_inpaint,
        {"images": (), "mask": "left", "times": 5, **_MADE, "steps": None, "scheduler": None, **_OF_SAMPLER},
        "denoise latent fill",
        "images",
    ),
    "reconstruct": _Kind(draw_reconstruct, {"images": (), "n": 8, **_REAL}, "encode", "images"),
    "interpolate": _Kind(
        draw_interpolation, {"images": (), "points": 8, **_MADE, "steps": None, **_OF_SAMPLER, **_PLOT}, "decode denoise latent", "all"
    ),
    "latent-grid": _Kind(draw_latent_grid, {"n": 20}, "decode", "images"),  # 20 as in Kingma & Welling 2013
    "unmasking": _Kind(draw_unmasking, {"n": 1, "seed": 0, "points": 6, "steps": None, **_OF_SAMPLER}, "unmask", "texts", 16),
    "loss": _Kind(draw_loss, _PLOT),
    "metrics": _Kind(draw_metrics, {"metrics": (), **_PLOT}),
    "quality": _Kind(draw_quality, {"metrics": (), **_PLOT}),
    "guidance": _Kind(draw_guidance, {"metrics": (), **_PLOT}),
    "truncation": _Kind(draw_truncation, {"metrics": (), **_PLOT}),
    "nearest": _Kind(draw_nearest, {"n": 8, "seed": 0, **_REAL, "features": None}, "decode denoise latent", "images"),
    "density": _Kind(draw_density, {**_REAL, **_PLOT}, "density denoise", "points"),
    "samples": _Kind(
        draw_samples, {"n": 2000, "seed": 0, "steps": None, **_OF_SAMPLER, **_REAL, **_PLOT}, "decode denoise", "points", 100_000
    ),
}


@click.command()
@click.argument("target", type=STAGES, metavar="REFERENCE|RUN")
@click.argument(
    "kind", required=False, metavar="KIND", shell_complete=lambda ctx, param, text: [kind for kind in _names() if kind.startswith(text)]
)
@click.option("--at", metavar="P,...", help="Percentages of the noise levels T.  [default: 0,10,25,50,75,100; score-field: the smallest]")
@click.option(
    "--image",
    "images",
    multiple=True,
    type=click.Path(path_type=Path),
    help="forward, reverse, inpaint, reconstruct, interpolate: a picture to start from; repeatable.  "
    "[default: samples; reverse: noise; reconstruct: of --data]",
)
@click.option(
    "--mask",
    metavar="FILE|PART",
    help="inpaint: the known part: top, bottom, left, right, centre, border, or a picture with white for known pixels.  [default: left]",
)
@click.option(
    "--times",
    type=click.IntRange(1, 1000),
    metavar="N",
    help="inpaint: passes over each noise level; more of them fit better.  [default: 5]",
)
@option(
    "n",
    type=click.IntRange(min=1),
    help="Number of images, points or trajectories; inpaint: completions of each; latent-grid: images a side.  "
    "[default: 4; nearest, reconstruct: 8; latent-grid: 20; of points: 1000; reverse of points: 200; samples: 2000; unmasking: 1]",
)
@option("seed", default=None, show_default=False, help="Seed of the images and the noise.  [default: 0]")
@click.option("--show", metavar="N,...", help="langevin: the steps to show, such as 0,200,last.  [default: every fifth]")
@click.option(
    "--points", type=click.IntRange(2, 64), metavar="N", help="interpolate: points on a path; unmasking: stages.  [default: 8; 6]"
)
@option("sampler", help="See `zoo list samplers`.  [default: the checkpoint's; interpolate: ddim]")
@option("scheduler", help="inpaint: see `zoo list schedulers`.  [default: the checkpoint's]")
@option("steps", help="reverse, inpaint, interpolate, samples, unmasking: steps of the sampler.")
@option("options", help="An option of the sampler, such as eta=0.5; inpaint: or scheduler.KEY; repeatable.")
@click.option(
    "--metric",
    "metrics",
    multiple=True,
    metavar="NAME",
    shell_complete=names_of("metrics"),
    help="quality, guidance, truncation, metrics: a metric to draw; repeatable.  [default: fd; guidance, metrics: all; truncation: fd and "
    "recall]",
)
@option(
    "data",
    help="nearest, density, samples, reconstruct: the real samples.  [default: the training data; reconstruct: its test split]",
)
@option("data_root", help="nearest, reconstruct: folder that holds the files of mnist, cifar10, ...  [default: $ZOO_DATA]")
@option("features", help="nearest: the feature space, as for `zoo evaluate`.  [default: by the data]")
@click.option("--title", metavar="TEXT", help="Title line of the figure; empty for none.  [default: a description]")
@click.option("--dpi", type=click.FloatRange(20, 1200), metavar="N", help="Plots: pixels per inch.  [default: 120]")
@click.option("--width", type=click.FloatRange(1, 40), metavar="INCHES", help="Plots: width; text keeps its size.")
@click.option("--out", type=OutPath(), help="A .png, .pdf or .svg.  [default: NAME-KIND.png]")
def figure(target: str, kind: str | None, out: Path | None, title: str | None, **given: Any) -> None:
    """Draw the KIND of figure for a checkpoint.

    \b
    forward      images, or points, under growing noise, at the model's levels
    reverse      images while they are sampled: x_t, and the model's guess of x_0
                 (of points: their trajectories)
    langevin     images, or points, while annealed Langevin dynamics draws them
    score-field  the score of a model of points, and paths of Langevin dynamics
    inpaint      images, their known parts, and completions
    reconstruct  images above their reconstructions from latents
    interpolate  images, or points, on paths between two latents, or noises
    latent-grid  a model with 2 latent dimensions over the quantiles of its prior
    unmasking    texts while their hidden places are shown
    loss         the loss over the steps of training, of a checkpoint or a RUN
    metrics      fd and others that --eval-every measured, over training steps
    quality      the numbers of metrics.json over evaluations of the net and time
    guidance     the numbers of metrics.json over the scale of guidance
    truncation   fd against recall over the truncation of latents
    nearest      samples, each beside its five nearest training images
    density      of points: the learned density under the data
    samples      of points: data, samples and learned density side by side

    Plugins may add others: `zoo figure REFERENCE` names all of a checkpoint.

    \b
    Examples:
      zoo figure ddpm-afhq-cat forward --image cat.jpg --out forward.png
      zoo figure ddpm-afhq-cat reverse --image cat.jpg --at 50,25,10,0
      zoo figure ddpm-afhq-cat inpaint --image cat.jpg --mask top --steps 20
      zoo figure local:runs/digits reconstruct --data-root data
      zoo figure ddpm-afhq-cat interpolate -n 3
      zoo figure local:runs/mixture langevin --show 0,200,400,600,800,last
      zoo figure local:runs/mixture score-field --at 25
      zoo figure runs/cat loss
      zoo figure runs/cat quality --metric fd --metric recall
      zoo figure runs/cat metrics
      zoo figure local:runs/cat nearest -n 4
      zoo figure local:runs/moons density --out density.pdf
    """
    if kind is None:
        raise UsageError("Missing argument 'KIND'", _listed(target) or "see `zoo figure --help`")
    chosen = _KINDS.get(kind) or _of_plugin(kind)
    if chosen is None:
        raise _unknown(target, kind)
    asked = {name: value for name, value in given.items() if value not in (None, ())}
    for name in asked:
        if name not in chosen.takes:
            raise UsageError(
                f"{_flag(name)} means nothing for the figure {kind}", "leave it out; `zoo figure --help` names the figures of each option"
            )
    check_number(asked.get("n"), chosen.most)
    page = Page(out=out, title=title, dpi=asked.pop("dpi", None), width=asked.pop("width", None))
    rest = {name: value for name, value in chosen.takes.items() if name not in _PLOT}
    try:
        chosen.draw(target, page, **{**rest, **asked})
    except CapabilityError as error:
        raise CapabilityError(error.what, _listed(target) or error.hint) from error


def _names() -> list[str]:
    """The names of all figures, those of plugins last."""
    return [*_KINDS, *plugin_figures(_KINDS)]


def _of_plugin(kind: str) -> _Kind | None:
    """The figure ``kind`` of a plugin; None if no plugin offers it."""
    if not registry().offers(FigureSpec, kind):
        return None
    return _Kind(partial(draw_plugin_figure, kind), {"n": None, "seed": 0, **_PLOT}, most=100_000)


def _unknown(target: str, kind: str) -> UnknownNameError:
    """The error for an unknown kind: with the nearest ones, and with those of this checkpoint."""
    error = UnknownNameError.of("figure", kind, _names())
    every = _listed(target)
    near = f"{error.hint}; " if error.hint.startswith("did you mean") else ""
    return UnknownNameError(error.what, f"{near}{every}") if every else error


def _listed(target: str) -> str:
    """A hint with the figures of a checkpoint; empty if it cannot be read."""
    try:
        return f"figures of {target}: {', '.join(_drawable(target))}"
    except ZooError:
        return ""


def _drawable(target: str) -> list[str]:
    """The kinds of figures of a checkpoint, or of a run without an export, which has those of its records alone."""
    recorded = drawable_records(target)
    folder = Path(target.removeprefix("local:")).expanduser()
    if folder.is_dir() and not (folder / "export").is_dir() and not (folder / "config.json").is_file():
        return recorded
    files = fetch(f"local:{target}" if folder.is_dir() and not target.startswith("local:") else target)
    config = read_config(files)
    from zoo_core.images import is_image
    from zoo_core.pretrained import assemble

    model = assemble(files, config)
    samples = {"images": is_image(model.event.shape) if hasattr(model.model, "event") else False, "points": is_plane(model)}
    samples["all"] = any(samples.values())
    samples["texts"] = "text" in model.capabilities
    able = model.capabilities
    drawn = [name for name, each in _KINDS.items() if able.intersection(each.needs.split()) and samples[each.of]]
    added = [name for name, spec in plugin_figures(_KINDS).items() if not spec.requires or able.intersection(spec.requires.split())]
    return [*(name for name in _KINDS if name in drawn or name in recorded), *added]


def _flag(name: str) -> str:
    """An option as it is written on the command line."""
    return next(parameter.opts[0] for parameter in figure.params if parameter.name == name)
