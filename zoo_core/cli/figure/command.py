"""``zoo figure``."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from zoo_core.cli.figure.common import LEVELS, MOST, check_number
from zoo_core.cli.figure.latents import draw_interpolation, draw_latent_grid, draw_nearest, draw_reconstruct
from zoo_core.cli.figure.levels import draw_forward, draw_inpaint, draw_langevin, draw_reverse
from zoo_core.cli.figure.plane import draw_density, draw_score_field
from zoo_core.cli.figure.records import draw_loss, draw_quality
from zoo_core.cli.options import REFERENCE
from zoo_core.cli.sample import SEED, OutPath
from zoo_core.errors import UsageError

__all__ = ["figure"]


@dataclass(frozen=True)
class _Kind:
    """How a kind of figure is drawn, and the options that it looks at, with its own defaults."""

    draw: Callable[..., None]
    takes: Mapping[str, Any]
    most: int = MOST


_MADE, _OF_SAMPLER = {"n": 4, "seed": 0}, {"sampler": None, "options": ()}
_REAL = {"data": None, "data_root": None}
_KINDS: Mapping[str, _Kind] = {
    "forward": _Kind(draw_forward, {"at": LEVELS, "images": (), **_MADE}),
    "reverse": _Kind(draw_reverse, {"at": LEVELS, **_MADE}),
    "langevin": _Kind(draw_langevin, {"show": None, **_MADE, "n": None, **_OF_SAMPLER}, most=10_000),
    "score-field": _Kind(draw_score_field, {"at": None, **_MADE, **_OF_SAMPLER}),
    "inpaint": _Kind(draw_inpaint, {"images": (), "mask": "left", "times": 5, **_MADE, "steps": None, "scheduler": None, **_OF_SAMPLER}),
    "reconstruct": _Kind(draw_reconstruct, {"images": (), "n": 8, **_REAL}),
    "interpolate": _Kind(draw_interpolation, {"images": (), "points": 8, **_MADE, "steps": None, **_OF_SAMPLER}),
    "latent-grid": _Kind(draw_latent_grid, {"n": 20}),  # as in Kingma & Welling 2013
    "loss": _Kind(draw_loss, {}),
    "quality": _Kind(draw_quality, {"metrics": ()}),
    "nearest": _Kind(draw_nearest, {"n": 8, "seed": 0, **_REAL, "features": None}),
    "density": _Kind(draw_density, _REAL),
}


@click.command()
@click.argument("target", type=REFERENCE, metavar="REFERENCE|RUN")
@click.argument("kind", type=click.Choice(list(_KINDS)), metavar="KIND")
@click.option("--at", metavar="P,...", help="Percentages of the noise levels T.  [default: 0,25,50,75,99; score-field: the smallest]")
@click.option(
    "--image",
    "images",
    multiple=True,
    type=click.Path(path_type=Path),
    help="forward, inpaint, reconstruct, interpolate: a picture to start from; repeatable.  [default: samples; reconstruct: of --data]",
)
@click.option(
    "--mask",
    metavar="FILE|PART",
    help="inpaint: what is known: top, bottom, left, right, centre, border, or a picture whose white pixels are known.  [default: left]",
)
@click.option(
    "--times",
    type=click.IntRange(1, 1000),
    metavar="N",
    help="inpaint: how often each noise level is walked down; more fits better.  [default: 5]",
)
@click.option(
    "-n",
    "--number",
    "n",
    type=click.IntRange(min=1),
    metavar="N",
    help="How many images, points or paths; inpaint: completions of each; latent-grid: images a side.  "
    "[default: 4; nearest, reconstruct: 8; latent-grid: 20; langevin of points: 1000]",
)
@click.option("--seed", type=SEED, metavar="N", help="Of the images and the noise.  [default: 0]")
@click.option("--show", metavar="N,...", help="langevin: the steps to show, such as 0,200,last.  [default: every fifth]")
@click.option("--points", type=click.IntRange(2, 64), metavar="N", help="interpolate: points on a path.  [default: 8]")
@click.option(
    "--sampler", metavar="NAME", help="inpaint, interpolate: as `zoo list samplers` has it.  [default: the checkpoint's; interpolate: ddim]"
)
@click.option("--scheduler", metavar="NAME", help="inpaint: the noise levels, as `zoo sample` has it.  [default: the trained ones]")
@click.option("--steps", type=click.IntRange(min=1), metavar="N", help="inpaint, interpolate: steps of the sampler.")
@click.option(
    "-o",
    "--option",
    "options",
    multiple=True,
    metavar="KEY=VALUE",
    help="inpaint, interpolate, langevin, score-field: an option of the sampler, such as steps=20; inpaint: or scheduler.KEY; repeatable.",
)
@click.option("--metric", "metrics", multiple=True, metavar="NAME", help="quality: what to draw; repeatable.  [default: fd]")
@click.option(
    "--data",
    metavar="[DIST:]NAME[:PATH]",
    help="nearest, density, reconstruct: the real samples.  [default: what it was trained on; reconstruct: its test split]",
)
@click.option(
    "--data-root", metavar="DIR", help="nearest, density, reconstruct: where the files of mnist, cifar10, ... are. Default: $ZOO_DATA."
)
@click.option("--features", metavar="NAME", help="nearest: the feature space, as `zoo evaluate` has it.  [default: by the data]")
@click.option("--out", type=OutPath(), help="A .png.  [default: NAME-KIND.png]")
def figure(target: str, kind: str, out: Path | None, **given: Any) -> None:
    """Draw the KIND of figure for a checkpoint.

    \b
    forward      images under growing noise, at the levels of the model
    reverse      images while they are sampled: x_t, and the model's guess of x_0
    langevin     images, or points, while annealed Langevin dynamics draws them
    score-field  the score of a model of points, with paths of Langevin dynamics
    inpaint      images, what is known of them, and what may stand beside it
    reconstruct  images above what the model makes of their latents
    interpolate  rows of images on the path between two latents, or noises
    latent-grid  a model with 2 latent dimensions over the quantiles of its prior
    loss         the loss over the steps of training, of a checkpoint or a RUN
    quality      the numbers of metrics.json over evaluations of the net and time
    nearest      samples, each beside the five training images next to it
    density      of points in the plane: the learned density under the data

    \b
    Examples:
      zoo figure ddpm-afhq-cat forward --image cat.jpg --out forward.png
      zoo figure ddpm-afhq-cat reverse --at 0,10,50,99
      zoo figure ddpm-afhq-cat inpaint --image cat.jpg --mask top --steps 20
      zoo figure local:runs/digits reconstruct --data-root data
      zoo figure ddpm-afhq-cat interpolate -n 3
      zoo figure local:runs/mixture langevin --show 0,200,400,600,800,last
      zoo figure local:runs/mixture score-field --at 25
      zoo figure runs/cat loss
      zoo figure runs/cat quality --metric fd --metric recall
      zoo figure local:runs/cat nearest -n 4
      zoo figure local:runs/moons density
    """
    chosen = _KINDS[kind]
    asked = {name: value for name, value in given.items() if value not in (None, ())}
    for name in asked:
        if name not in chosen.takes:
            raise UsageError(
                f"{_flag(name)} means nothing for the figure {kind}", "leave it out; `zoo figure --help` says what is for which"
            )
    check_number(asked.get("n"), chosen.most)
    chosen.draw(target, out, **{**chosen.takes, **asked})


def _flag(name: str) -> str:
    """The name of an option as it is written."""
    return next(parameter.opts[0] for parameter in figure.params if parameter.name == name)
