"""``zoo figure``."""

from pathlib import Path
from typing import Any

import click

from zoo_core.cli.drawing import draw_density, draw_forward, draw_loss, draw_nearest, draw_quality, draw_reverse
from zoo_core.cli.sample import SEED, OutPath

__all__ = ["figure"]


@click.command()
@click.argument("target", metavar="REFERENCE|RUN")
@click.argument("kind", type=click.Choice(["forward", "reverse", "loss", "quality", "nearest", "density"]), metavar="KIND")
@click.option("--at", default="0,25,50,75,99", show_default=True, help="Percentages of the noise levels T.")
@click.option(
    "--image",
    "images",
    multiple=True,
    type=click.Path(path_type=Path),
    help="forward: a picture to start from; repeatable.  [default: samples]",
)
@click.option("-n", "--number", "n", type=click.IntRange(1, 64), metavar="N", help="How many images.  [default: 4; nearest: 8]")
@click.option("--seed", type=SEED, metavar="N", default=0, show_default=True, help="Of the images and the noise.")
@click.option("--metric", "metrics", multiple=True, metavar="NAME", help="quality: what to draw; repeatable.  [default: fd]")
@click.option("--data", metavar="NAME[:PATH]", help="nearest, density: the real samples.  [default: what it was trained on]")
@click.option("--data-root", metavar="DIR", help="nearest: where the files of mnist, cifar10, ... are. Default: $ZOO_DATA.")
@click.option("--features", metavar="NAME", help="nearest: the feature space, as `zoo evaluate` has it.  [default: by the data]")
@click.option("--out", type=OutPath(), help="A .png.  [default: NAME-KIND.png]")
def figure(target: str, kind: str, n: int | None, seed: int, out: Path | None, **given: Any) -> None:
    """Draw the KIND of figure for a checkpoint: forward, reverse, loss, quality, nearest or density.

    \b
    forward  images under growing noise, at the levels of the model
    reverse  images while they are sampled: x_t, and the model's guess of x_0
    loss     the loss over the steps of training, of a checkpoint or a RUN folder
    quality  the numbers of metrics.json over evaluations of the net and time
    nearest  samples, each beside the five training images next to it
    density  of points in the plane: the learned density under the data

    \b
    Examples:
      zoo figure ddpm-afhq-cat forward --image cat.jpg --out forward.png
      zoo figure ddpm-afhq-cat reverse --at 0,10,50,99
      zoo figure runs/cat loss
      zoo figure runs/cat quality --metric fd --metric recall
      zoo figure local:runs/cat nearest -n 4
      zoo figure local:runs/moons density
    """
    if kind == "forward":
        draw_forward(target, out, at=given["at"], images=given["images"], n=n or 4, seed=seed)
    elif kind == "reverse":
        draw_reverse(target, out, at=given["at"], n=n or 4, seed=seed)
    elif kind == "loss":
        draw_loss(target, out)
    elif kind == "quality":
        draw_quality(target, out, metrics=given["metrics"])
    elif kind == "density":
        draw_density(target, out, data=given["data"], root=given["data_root"])
    else:
        draw_nearest(target, out, n=n or 8, seed=seed, data=given["data"], root=given["data_root"], features=given["features"])
