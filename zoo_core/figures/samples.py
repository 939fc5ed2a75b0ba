"""Samples as a picture: a grid of images, or a plot of points in the plane."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from zoo_core.atomic import write_file
from zoo_core.figures.canvas import render
from zoo_core.figures.points import scatter

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["save_samples"]


def save_samples(
    path: "str | os.PathLike[str]",
    samples: "Tensor",
    metadata: Mapping[str, str] | None = None,
    columns: int | None = None,
    title: str = "",
    names: Sequence[str] = (),
) -> None:
    """Writes samples as a picture: a grid of images (n, c, h, w) with so many ``columns``, or the plot of points (n, 2) with a title.

    Above the columns of images stand ``names``, one each, where there are any.

    Raises:
        UsageError: they are neither.
        ResourceError: the file cannot be written.
    """
    from zoo_core.images import class_sheet, png, save_png

    if getattr(samples, "ndim", 0) == 2 and samples.shape[1] == 2:
        write_file(Path(path), render(scatter(samples, title=title), metadata))
    elif names:
        write_file(Path(path), png(class_sheet(samples, names), metadata))
    else:
        save_png(path, samples, metadata, columns)
