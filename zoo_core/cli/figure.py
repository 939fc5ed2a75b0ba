"""``zoo figure``."""

from pathlib import Path
from typing import Any

import click

from zoo_core.cli.drawing import (
    LEVELS,
    MOST,
    check_number,
    draw_density,
    draw_forward,
    draw_inpaint,
    draw_langevin,
    draw_loss,
    draw_nearest,
    draw_quality,
    draw_reverse,
    draw_score_field,
)
from zoo_core.cli.latents import draw_interpolation, draw_latent_grid, draw_reconstruct
from zoo_core.cli.sample import SEED, OutPath

__all__ = ["figure"]

_KINDS = [
    "forward",
    "reverse",
    "langevin",
    "score-field",
    "inpaint",
    "reconstruct",
    "interpolate",
    "latent-grid",
    "loss",
    "quality",
    "nearest",
    "density",
]
_SIDE = 20  # of a latent grid: that of Kingma & Welling 2013


@click.command()
@click.argument("target", metavar="REFERENCE|RUN")
@click.argument("kind", type=click.Choice(_KINDS), metavar="KIND")
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
    default="left",
    show_default=True,
    help="inpaint: what is known: top, bottom, left, right, centre, border, or a picture whose white pixels are known.",
)
@click.option(
    "--times",
    type=click.IntRange(1, 1000),
    metavar="N",
    default=5,
    show_default=True,
    help="inpaint: how often each noise level is walked down; more fits better.",
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
@click.option("--seed", type=SEED, metavar="N", default=0, show_default=True, help="Of the images and the noise.")
@click.option(
    "--steps",
    metavar="N,...",
    help="langevin: which to show, such as 0,200,last; inpaint: of the sampler; interpolate: points on a path.  "
    "[default: every fifth; interpolate: 8]",
)
@click.option(
    "--sampler", metavar="NAME", help="inpaint, interpolate: as `zoo list samplers` has it.  [default: the checkpoint's; interpolate: ddim]"
)
@click.option(
    "-o",
    "--option",
    "options",
    multiple=True,
    metavar="KEY=VALUE",
    help="inpaint, interpolate, langevin, score-field: an option of the sampler, such as steps=20; repeatable.",
)
@click.option("--metric", "metrics", multiple=True, metavar="NAME", help="quality: what to draw; repeatable.  [default: fd]")
@click.option(
    "--data",
    metavar="NAME[:PATH]",
    help="nearest, density, reconstruct: the real samples.  [default: what it was trained on; reconstruct: its test split]",
)
@click.option("--data-root", metavar="DIR", help="nearest, reconstruct: where the files of mnist, cifar10, ... are. Default: $ZOO_DATA.")
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
      zoo figure local:runs/mixture langevin --steps 0,200,400,600,800,last
      zoo figure local:runs/mixture score-field --at 25
      zoo figure runs/cat loss
      zoo figure runs/cat quality --metric fd --metric recall
      zoo figure local:runs/cat nearest -n 4
      zoo figure local:runs/moons density
    """
    n, seed = given["n"], given["seed"]
    check_number(n, 10_000 if kind == "langevin" else MOST)
    of_sampler = {"sampler": given["sampler"], "options": given["options"]}
    if kind == "forward":
        draw_forward(target, out, at=given["at"] or LEVELS, images=given["images"], n=n or 4, seed=seed)
    elif kind == "reverse":
        draw_reverse(target, out, at=given["at"] or LEVELS, n=n or 4, seed=seed)
    elif kind == "langevin":
        draw_langevin(target, out, steps=given["steps"], n=n, seed=seed, **of_sampler)
    elif kind == "score-field":
        draw_score_field(target, out, at=given["at"], n=n or 4, seed=seed, **of_sampler)
    elif kind == "inpaint":
        of_sampler["options"] = [*([f"steps={given['steps']}"] if given["steps"] else []), *given["options"]]
        chosen = {key: given[key] for key in ("images", "mask", "times")}
        draw_inpaint(target, out, **chosen, n=n or 4, seed=seed, **of_sampler)
    elif kind == "reconstruct":
        draw_reconstruct(target, out, images=given["images"], n=n or 8, data=given["data"], root=given["data_root"])
    elif kind == "interpolate":
        draw_interpolation(target, out, images=given["images"], steps=given["steps"], n=n or 4, seed=seed, **of_sampler)
    elif kind == "latent-grid":
        draw_latent_grid(target, out, side=n or _SIDE)
    elif kind == "loss":
        draw_loss(target, out)
    elif kind == "quality":
        draw_quality(target, out, metrics=given["metrics"])
    elif kind == "density":
        draw_density(target, out, data=given["data"], root=given["data_root"])
    else:
        draw_nearest(target, out, n=n or 8, seed=seed, data=given["data"], root=given["data_root"], features=given["features"])
