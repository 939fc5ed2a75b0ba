"""``zoo figure``."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from zoo_core import __version__
from zoo_core.catalogue import read_config
from zoo_core.cli.console import inert, say
from zoo_core.cli.sample import SEED, OutPath, check_folder
from zoo_core.config import encode
from zoo_core.curves import Curve, curve, read_metrics
from zoo_core.errors import UsageError
from zoo_core.hub import TRAINING, WEIGHTS, fetch

if TYPE_CHECKING:
    from torch import Tensor

    from zoo_core.pretrained import Pretrained

__all__ = ["figure"]

_METRICS = "metrics.jsonl"


@click.command()
@click.argument("target", metavar="REFERENCE|RUN")
@click.argument("kind", type=click.Choice(["forward", "reverse", "loss"]), metavar="KIND")
@click.option("--at", default="0,25,50,75,99", show_default=True, help="Percentages of the noise levels T.")
@click.option(
    "--image",
    "images",
    multiple=True,
    type=click.Path(path_type=Path),
    help="forward: a picture to start from; repeatable.  [default: samples]",
)
@click.option("-n", "--number", "n", type=click.IntRange(1, 64), metavar="N", default=4, show_default=True, help="How many images.")
@click.option("--seed", type=SEED, metavar="N", default=0, show_default=True, help="Of the images and the noise.")
@click.option("--out", type=OutPath(), help="A .png.  [default: NAME-KIND.png]")
def figure(target: str, kind: str, at: str, images: tuple[Path, ...], n: int, seed: int, out: Path | None) -> None:
    """Draw the KIND of figure for a checkpoint: forward, reverse or loss.

    \b
    forward  images under growing noise, at the levels of the model
    reverse  images while they are sampled: x_t, and the model's guess of x_0
    loss     the loss over the steps of training, of a checkpoint or a RUN folder

    \b
    Examples:
      zoo figure ddpm-afhq-cat forward --image cat.jpg --out forward.png
      zoo figure ddpm-afhq-cat reverse --at 0,10,50,99
      zoo figure runs/cat loss
    """
    if kind == "loss":
        _loss(target, out)
        return
    percents = _percents(at)
    files = fetch(target)
    config = read_config(files)
    path = _checked(out or Path(f"{files.name}-{kind}.png"))
    from zoo_core.pretrained import assemble

    model = assemble(files, config)
    draw = _forward if kind == "forward" else _reverse
    _save(path, *draw(model, percents, images, n, seed), model, seed=str(seed), at=at)


def _checked(path: Path) -> Path:
    if path.suffix.lower() != ".png":
        raise UsageError(f"--out {path}: figures are .png files")
    return check_folder(path)


def _percents(text: str) -> list[float]:
    try:
        percents = [float(part) for part in text.split(",")]
    except ValueError:
        percents = [math.nan]
    if not all(0 <= percent <= 100 for percent in percents):
        raise UsageError(f"--at {text!r} is no list of percentages", "write it as --at 0,25,50,75,99")
    return percents


def _forward(
    model: "Pretrained", percents: Sequence[float], paths: Sequence[Path], n: int, seed: int
) -> "tuple[Tensor, list[str], list[str]]":
    """The cells of a figure, and the captions of its rows and columns."""
    import torch

    from zoo_core import figures
    from zoo_core.images import read_image

    columns = _captions(model, percents)
    x0 = torch.stack([read_image(path, model.event.shape) for path in paths]) if paths else model.sample(n, seed=seed)
    return figures.forward(model, x0, percents, seed=seed), [], columns


def _reverse(
    model: "Pretrained", percents: Sequence[float], paths: Sequence[Path], n: int, seed: int
) -> "tuple[Tensor, list[str], list[str]]":
    import torch

    from zoo_core import figures

    percents = sorted(percents, reverse=True)
    columns = _captions(model, percents)
    states, guesses = figures.reverse(model, n, percents, seed=seed)
    return torch.stack([states, guesses], dim=1).flatten(0, 1), ["x_t", "x_0 guess"] * n, columns


def _captions(model: "Pretrained", percents: Sequence[float]) -> list[str]:
    from zoo_core import figures

    levels = figures.trained_levels(figures.denoiser(model))
    return [f"t = {figures.level_at(levels, percent)[0]}\n({percent:g} %)" for percent in percents]


def _save(path: Path, cells: "Tensor", rows: list[str], columns: list[str], model: "Pretrained", **facts: str) -> None:
    from zoo_core.files import write_file
    from zoo_core.images import labelled_grid, png

    record = {
        "Software": f"zoo-core {__version__}",
        "reference": str(model.files.reference),
        "weights": f"sha256:{model.files.digest(WEIGHTS)}",
        "sampler": json.dumps(encode(model.sampler)),
        **facts,
    }
    write_file(path, png(labelled_grid(cells, rows=rows, columns=columns), record))
    say(f"{inert(str(path))}: {', '.join(' '.join(text.split()) for text in columns)}")


def _loss(target: str, out: Path | None) -> None:
    from zoo_core.files import write_file
    from zoo_core.plots import curves

    name, found = _curve(target)
    path = _checked(out or Path(f"{name}-loss.png"))
    losses = {key: values for key, values in found.items() if key == "loss" or key.startswith("loss.")}
    if not losses or not found.get("step"):
        raise UsageError(f"{target} has no record of a loss", f"it is in a run's {_METRICS}, and in a checkpoint's {TRAINING}")
    steps = [step for step in found["step"] if step is not None]
    write_file(path, curves(steps, losses, {"reference": target}, title=name))
    say(inert(f"{path}: {', '.join(losses)} over {steps[-1]:,} steps"))


def _curve(target: str) -> tuple[str, Curve]:
    """A name, and the steps and losses of a run folder or a checkpoint."""
    folder = Path(target.removeprefix("local:")).expanduser()
    for run in (folder, folder.parent if folder.name == "export" else folder):
        if (run / _METRICS).is_file():
            return run.resolve().name, curve(read_metrics(run / _METRICS))
    if folder.is_dir() and not target.startswith("local:"):
        raise UsageError(f"{folder} is no run folder: it has no {_METRICS}", "a checkpoint in a folder is written local:PATH")
    files = fetch(target)
    recorded: Curve = files.json(TRAINING).get("curve", {}) if TRAINING in files.names else {}
    return files.name, recorded
