"""Samples as a picture: a grid of images, a plot of points in the plane, or a page of texts."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from zoo_core.atomic import write_file
from zoo_core.figures.canvas import render
from zoo_core.figures.points import scatter

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["save_samples", "save_texts"]


def save_samples(
    path: "str | os.PathLike[str]",
    samples: "Tensor",
    metadata: Mapping[str, str] | None = None,
    columns: int | None = None,
    title: str = "",
    names: Sequence[str] = (),
    captions: Sequence[str] = (),
) -> None:
    """Writes samples as a picture: a grid of images, or a plot of points.

    Args:
        path: path of the PNG.
        samples: images (n, c, h, w), or points (n, 2).
        metadata: facts that the file carries.
        columns: number of columns of the grid; near a square when None.
        title: title of a plot.
        names: names of the columns of images.
        captions: a text below each image.

    Raises:
        UsageError: if the samples are neither images nor points in the plane.
        ResourceError: if the file cannot be written.
    """
    from zoo_core.images import class_sheet, png, save_png

    if getattr(samples, "ndim", 0) == 2 and samples.shape[1] == 2:
        write_file(Path(path), render(scatter(samples, title=title), metadata))
    elif captions:
        from zoo_core.figures.captioned import captioned_sheet

        write_file(Path(path), png(captioned_sheet(samples, captions, columns), metadata))
    elif names:
        write_file(Path(path), png(class_sheet(samples, names), metadata))
    else:
        save_png(path, samples, metadata, columns)


def save_texts(
    path: "str | os.PathLike[str]", texts: Sequence[str], metadata: Mapping[str, str] | None = None, *, title: str = "", first: int = 0
) -> None:
    """Writes texts as a picture of a page, each under its number.

    Args:
        path: path of the PNG.
        texts: the texts.
        metadata: facts that the file carries.
        title: title of the page.
        first: number of the first text.

    Raises:
        ResourceError: if the file cannot be written.
    """
    from zoo_core.figures.page import text_page
    from zoo_core.images import png

    write_file(Path(path), png(text_page(texts, title=title, names=[str(first + i) for i in range(len(texts))]), metadata))
