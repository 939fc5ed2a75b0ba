"""Figures of latents and of data: reconstructions, interpolations, the map of a latent plane, nearest training images."""

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from zoo_core.catalogue import incapable
from zoo_core.cli.console import inert, say
from zoo_core.cli.figure.common import opened, pictures, sampler_of, save, with_steps
from zoo_core.cli.options import data_option
from zoo_core.config import encode
from zoo_core.datasets import ImageSetConfig
from zoo_core.errors import ConfigError, UsageError
from zoo_core.interfaces import Labelled

if TYPE_CHECKING:
    from torch import Tensor

    from zoo_core.pretrained import Pretrained

__all__ = ["draw_interpolation", "draw_latent_grid", "draw_nearest", "draw_reconstruct"]

_PLACES = ("nearest", "2nd", "3rd", "4th", "5th")


def draw_reconstruct(target: str, out: Path | None, *, images: Sequence[Path], n: int, data: str | None, data_root: str | None) -> None:
    """Images of the files ``images``, or the first ``n`` of a data set, above what the model makes of their latents."""
    model, path = opened(target, out, "reconstruct")
    from zoo_core import figures

    figures.images_of(model)
    if "encode" not in model.capabilities:
        raise incapable(f"{model.name} has no latents of images: its family cannot encode", "encode")
    x, facts = (pictures(model, images), {}) if images else _first(model, n, data, data_root)
    cells = figures.reconstructed(model, x)
    save(path, cells, model, facts, rows=["image", "reconstruction"])
    say(inert(f"{path}: {len(x)} images above their reconstructions, which are off by {_off(cells):.3f} in the root mean square"))


def draw_interpolation(
    target: str,
    out: Path | None,
    *,
    images: Sequence[Path],
    points: int,
    n: int,
    seed: int,
    steps: int | None,
    sampler: str | None,
    options: Sequence[str],
) -> None:
    """Paths from image 2 i to image 2 i + 1 of the files ``images``; otherwise ``n`` rows, from image i of a seed to image n + i."""
    if len(images) % 2:
        raise UsageError(f"an interpolation is from one image to another, and {len(images)} are no pairs", "pass two for each row")
    model, path = opened(target, out, "interpolate")
    from zoo_core import figures

    figures.images_of(model)
    noise = "denoise" in model.capabilities
    if (sampler or steps or options) and not noise:
        raise UsageError(f"{model.name} interpolates its latents, which takes no sampler", "leave --sampler, --steps and -o out")
    chosen = sampler_of(model, sampler, with_steps(steps, options), "ddim") if noise else None
    if images:
        given = list(pictures(model, images))
        ends: list[tuple[int | Tensor, int | Tensor]] = list(zip(given[::2], given[1::2], strict=True))
    else:
        # Where classes take turns, whole turns lie between the ends, so that both are of one class.
        turn = cast(Labelled, model.model).num_classes if getattr(model.model, "needs_labels", False) else 1
        ends = [(i, i + math.ceil(n / turn) * turn) for i in range(n)]
    cells = figures.interpolated(model, ends, points, seed=seed, sampler=chosen)
    facts = {"seed": str(seed), "points": str(points), **({"sampler": json.dumps(encode(chosen))} if chosen else {})}
    save(path, cells, model, facts)
    what = "of the pictures" if images else f"of seed {seed}"
    say(inert(f"{path}: from left to right, {points} points on each of {len(ends)} paths between images {what}"))


def draw_latent_grid(target: str, out: Path | None, *, n: int) -> None:
    """What a model with a latent plane decodes, ``n`` x ``n`` places of it."""
    model, path = opened(target, out, "latent-grid")
    from zoo_core import figures

    cells, at = figures.latent_grid(model, n)
    numbers = [f"{value:.1f}".replace("-0.0", "0.0") for value in at]
    save(path, cells, model, {"side": str(n)}, rows=numbers[::-1], columns=numbers)
    say(inert(f"{path}: z_1 from left to right, z_2 from bottom to top, at the quantiles 1/{2 * n} ... {2 * n - 1}/{2 * n}"))


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


def _first(model: "Pretrained", n: int, data: str | None, root: str | None) -> "tuple[Tensor, dict[str, str]]":
    """The first ``n`` images of the data that the model was trained on, or of ``data``: those of its test split, where it has one."""
    import torch

    from zoo_core.evaluation.evaluate import data_of
    from zoo_core.training.data import load_data

    config = data_option(str(model.files.reference), data, root, ()) or data_of(model.files)
    if isinstance(config, ImageSetConfig):
        config = replace(config, split="test")
    found = load_data(config)
    if found.event.shape != model.event.shape:
        raise ConfigError(
            f"the data has samples of {list(found.event.shape)}, the model of {list(model.event.shape)}", "choose other --data"
        )
    return found.rows(torch.arange(min(n, len(found)))), {"data": f"sha256:{found.digest}"}


def _off(cells: "Tensor") -> float:
    return math.sqrt(((cells[0] - cells[1]) ** 2).mean().item())
