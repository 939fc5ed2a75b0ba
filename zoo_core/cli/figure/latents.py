"""Figures of latents and of data: reconstructions, interpolations, the map of a latent plane, nearest training images."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from zoo_core.capabilities import capability_error
from zoo_core.cli.console import say
from zoo_core.cli.figure.common import POINTS, Page, is_plane, opened, pictures, plain, sampler_of, with_steps
from zoo_core.cli.options import data_option
from zoo_core.config import encode
from zoo_core.datasets import ImageSetConfig
from zoo_core.errors import ConfigError, UsageError
from zoo_core.figures.origin import origin_of
from zoo_core.figures.titles import number, title_line, walk_text
from zoo_core.interfaces import Labelled
from zoo_core.samplers.factory import as_sampler

if TYPE_CHECKING:
    from torch import Tensor

    from zoo_core.pretrained import Pretrained

__all__ = ["draw_interpolation", "draw_latent_grid", "draw_nearest", "draw_reconstruct"]

_PLACES = ("nearest", "2nd", "3rd", "4th", "5th")


def draw_reconstruct(target: str, page: Page, *, images: Sequence[Path], n: int, data: str | None, data_root: str | None) -> None:
    """Images of the files ``images``, or the first ``n`` of a data set, above their reconstructions from latents.

    Raises:
        CapabilityError: if the family cannot encode images.
    """
    model, page = opened(target, page, "reconstruct")
    from zoo_core import figures

    figures.images_of(model)
    if "encode" not in model.capabilities:
        raise capability_error(f"{model.name} has no latents of images: its family cannot encode", "encode")
    if images:
        x = pictures(model, images)
        digest, name = None, ""
    else:
        with _data_hint("--image FILE takes your own pictures instead"):
            x, digest, name = _first(model, n, data, data_root)
    cells = figures.reconstructed(model, x)
    error = math.sqrt(((cells[0] - cells[1]) ** 2).mean().item())
    line = title_line(model.name, "decode(encode(x))", name, f"root mean square error {error:.3f}")
    page.sheet(cells, origin_of(model, data=digest), line, rows=["image", "reconstruction"])
    page.say(f"{len(x)} images above their reconstructions, with a root mean square error of {error:.3f}")


def draw_interpolation(
    target: str,
    page: Page,
    *,
    images: Sequence[Path],
    points: int,
    n: int,
    seed: int,
    steps: int | None,
    sampler: str | None,
    options: Sequence[str],
) -> None:
    """Paths from image 2 i to image 2 i + 1 of the files ``images``; otherwise ``n`` rows, from image i of a seed to image n + i.

    Raises:
        UsageError: if the number of ``images`` is odd, or the model takes no sampler.
    """
    if len(images) % 2:
        raise UsageError(f"an interpolation needs two images for each row, not {len(images)} in all", "pass two for each row")
    model, page = opened(target, page, "interpolate")
    from zoo_core import figures

    plane = is_plane(model)
    if not plane:
        figures.images_of(model)
        page.of_pixels()
    noise = model.denoises
    if (sampler or steps or options) and not noise:
        raise UsageError(f"{model.name} interpolates its latents, which takes no sampler", "leave --sampler, --steps and -o out")
    chosen = (sampler_of(model, sampler, with_steps(steps, options), "ddim") or as_sampler("ddim")) if noise else None
    ends, rows = _ends(model, images, n)
    cells = figures.interpolated(model, ends, points, seed=seed, sampler=chosen)
    facts = origin_of(model, seed=seed, points=points, sampler=chosen)
    walk = walk_text(chosen, model.scheduler_of(chosen)) if chosen else ""
    ends_of = "starting noises" if noise else "latents"
    line = title_line(model.name, walk, "" if images else f"seed {seed}", f"between {ends_of}")
    if plane:
        drawn = model.sample(POINTS, seed=seed, sampler=chosen, batch_size=POINTS)
        page.plot(figures.plot_paths(cells, drawn, [f"point {row}" for row in rows], page.titled(line)), facts, line)
    else:
        shares = ["from", *(f"{i / (points - 1):.2g}" for i in range(1, points - 1)), "to"]
        page.sheet(cells, facts, line, rows=[row.replace(" \u2192 ", "\n\u2192 ") for row in rows], columns=shares)
    source = "of the pictures" if images else f"of seed {seed}"
    page.say(f"from left to right, {points} points on each of {len(ends)} paths between {'points' if plane else 'images'} {source}")


def _ends(model: "Pretrained", images: Sequence[Path], n: int) -> "tuple[list[tuple[int | Tensor, int | Tensor]], list[str]]":
    """The two ends of each path, and its name: ``0 -> 4`` of two numbers of a seed, or the names of two pictures."""
    if images:
        given = list(pictures(model, images))
        names = [image.stem[:12] for image in images]
        rows = [f"{a} \u2192 {b}" for a, b in zip(names[::2], names[1::2], strict=True)]
        return list(zip(given[::2], given[1::2], strict=True)), rows
    # If classes take turns, whole turns lie between the ends, so that both are of one class.
    turn = cast(Labelled, model.model).num_classes if getattr(model.model, "needs_labels", False) else 1
    apart = math.ceil(n / turn) * turn
    return [(i, i + apart) for i in range(n)], [f"{i} \u2192 {i + apart}" for i in range(n)]


def draw_latent_grid(target: str, page: Page, *, n: int) -> None:
    """The samples that a model decodes at ``n`` x ``n`` places of its latent plane."""
    model, page = opened(target, page, "latent-grid")
    from zoo_core import figures

    cells, at = figures.latent_grid(model, n)
    numbers = [number(round(value, 1) + 0.0) for value in at]
    apart = math.ceil(n / 10)  # columns are narrow: of many, some have their number
    columns = [text if i % apart == 0 else "" for i, text in enumerate(numbers)]
    line = title_line(model.name, "z\u2081 to the right, z\u2082 upwards", "quantiles of N(0, 1)")
    page.sheet(cells, origin_of(model, side=n), line, rows=numbers[::-1], columns=columns)
    page.say(f"z_1 from left to right, z_2 from bottom to top, at the quantiles 1/{2 * n} ... {2 * n - 1}/{2 * n}")


def draw_nearest(target: str, page: Page, *, n: int, seed: int, data: str | None, data_root: str | None, features: str | None) -> None:
    """``n`` images of a seed, in their order, each beside its nearest training images."""
    model, page = opened(target, page, "nearest")
    from zoo_core import figures
    from zoo_core.cli.progress import Progress
    from zoo_core.data.dataset import load_data
    from zoo_core.evaluation.factory import default_feature_space, training_data_config
    from zoo_core.evaluation.feature_spaces import load_feature_space

    config = data_option(target, data, data_root, ()) or training_data_config(model.files)
    judge = load_feature_space(features or default_feature_space(config, model.event.shape), "cpu")
    with _data_hint("--data folder:PATH takes other images"):
        train = load_data(config)
    with Progress("nearest: training images", len(train)) as progress:
        cells, distances = figures.nearest(model, train, judge, n, seed=seed, k=len(_PLACES), on_batch=progress.add)
    below = [["", *(f"{distance:.2f}" for distance in row)] for row in distances.tolist()]
    facts = origin_of(
        model, seed=seed, sampler=model.sampler, data=f"sha256:{train.digest}", features=f"{judge.name} sha256:{judge.digest}"
    )
    columns = ["sample", *_PLACES[: distances.shape[1]]]
    line = plain(model, None, f"nearest of {len(train):,} training images in {judge.name}; 1 = mean distance between them", seed=seed)
    page.sheet(cells, facts, line, rows=[str(i) for i in range(n)], columns=columns, below=below)
    page.say(f"images 0 to {n - 1} of seed {seed} and the images of {len(train):,} nearest to them in {judge.name}")
    say("1 is how far a training image is from the nearest other one, in the mean; a copy is at 0")


@contextmanager
def _data_hint(instead: str) -> Iterator[None]:
    """Says of data that is not there where it comes from, and what would do ``instead``."""
    try:
        yield
    except ConfigError as error:
        if "ZOO_DATA" not in error.what:
            raise
        hint = f"--data-root DIR, with the files of the set as torchvision.datasets downloads them; or {instead}"
        raise ConfigError(error.what, hint) from error


def _first(model: "Pretrained", n: int, data: str | None, root: str | None) -> "tuple[Tensor, str, str]":
    """The first ``n`` images of the training data, or of ``data``: of its test split, if it has one.

    Returns:
        The images, the digest of the data, and its name with the split.

    Raises:
        ConfigError: if there is no such data, or its samples have another shape than the model's.
    """
    import torch

    from zoo_core.data.dataset import load_data
    from zoo_core.evaluation.factory import training_data_config

    config = data_option(str(model.files.reference), data, root, ()) or training_data_config(model.files)
    if isinstance(config, ImageSetConfig):
        config = replace(config, split="test")
    loaded = load_data(config)
    if loaded.event.shape != model.event.shape:
        what = f"the data has samples of {list(loaded.event.shape)}, the model of {list(model.event.shape)}"
        raise ConfigError(what, "choose other --data")
    name = " ".join(filter(None, [str(encode(config).get("name", "")), str(getattr(config, "split", ""))]))
    return loaded.rows(torch.arange(min(n, len(loaded)))), f"sha256:{loaded.digest}", name
