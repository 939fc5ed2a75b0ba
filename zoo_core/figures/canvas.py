"""Matplotlib figures without pyplot: axes, panels of points, and PNG, PDF or SVG files that carry their origin."""

import io
import json
import math
import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from zoo_core.errors import UsageError
from zoo_core.figures.titles import number

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

__all__ = [
    "FORMATS",
    "canvas",
    "colour_bar",
    "figure_class",
    "name_axes",
    "picture",
    "render",
    "span",
    "square",
    "squares",
    "text",
    "to_title",
]

FORMATS = ("png", "pdf", "svg")
DPI = 120
_HEADING: Mapping[str, Any] = {"fontsize": 11, "x": 0.01, "ha": "left"}


def canvas(width: float, height: float, rows: int = 1, columns: int = 1, share: bool = True) -> tuple[Any, Any]:
    """A matplotlib figure and its axes.

    Args:
        width: width in inches.
        height: height in inches.
        rows: number of rows of axes.
        columns: number of columns of axes.
        share: whether the axes of a row share the vertical axis.

    Returns:
        The figure, and its axes: one, or an array (rows, columns).

    Raises:
        UsageError: if matplotlib is not installed.
    """
    figure = _blank(width, height, layout="constrained")
    axes = figure.subplots(rows, columns, sharey="row" if share else "none")
    for each in figure.axes:
        each.spines[["top", "right"]].set_visible(False)
    return figure, axes


def figure_class() -> type[Any]:
    """The class of figures of matplotlib.

    Raises:
        UsageError: if matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UsageError("plots need matplotlib, which is not installed", "pip install 'zoo-core[plot]'") from error
    return Figure


def _blank(width: float, height: float, **options: Any) -> Any:
    return figure_class()(figsize=(width, height), dpi=DPI, **options)


def picture(pixels: "np.ndarray[Any, Any]") -> Any:
    """A figure that shows an image, uint8 (height, width) or (height, width, 3), pixel by pixel and without margins."""
    height, width = pixels.shape[:2]
    figure = _blank(width / DPI, height / DPI)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.imshow(pixels, cmap="gray", vmin=0, vmax=255, interpolation="none", aspect="auto")
    return figure


def render(
    figure: Any, metadata: Mapping[str, str] | None = None, *, format: str = "png", dpi: float | None = None, width: float | None = None
) -> bytes:
    """The bytes of a figure's file; new figures of the same data give the same bytes.

    Args:
        figure: matplotlib figure.
        metadata: origin of the figure: in a PNG a text chunk for each entry, in a PDF its title and JSON under Subject, in an SVG JSON in
            the description.
        format: one of :data:`FORMATS`.
        dpi: pixels per inch of a PNG, and of images in a PDF or SVG; 120 when None.
        width: width in inches, to which the height is scaled; text keeps its size. The figure's own width when None.
    """
    from matplotlib import rc_context

    if width is not None:
        _resize(figure, width)
    facts = dict(metadata or {})
    title = facts.get("title")
    record = json.dumps(facts, ensure_ascii=False)
    software = facts.get("Software", "zoo-core")
    options: dict[str, dict[str, Any]] = {
        "png": {"metadata": {"Software": None, **facts}, "pil_kwargs": {"optimize": True}},
        "pdf": {"metadata": {"Title": title, "Subject": record, "Creator": software, "CreationDate": None}},
        "svg": {"metadata": {"Title": title, "Description": record, "Creator": software, "Date": None}},
    }
    file = io.BytesIO()
    # The salt makes names in an SVG the same every time; the font type keeps text of a PDF as text.
    with rc_context({"svg.hashsalt": "zoo", "pdf.fonttype": 42}):
        figure.savefig(file, format=format, dpi=dpi or DPI, **options[format])
    return file.getvalue()


def _resize(figure: Any, width: float) -> None:
    """Scales a figure to a width in inches; text keeps its size, and titles take more lines."""
    inches = figure.get_size_inches()
    figure.set_size_inches(inches * (width / inches[0]))
    for axes in figure.axes:
        title = axes.title.get_text()
        room = width * axes.get_position().width
        if "$" not in title:
            axes.title.set_text(_wrapped(title, room * 11 / axes.title.get_fontsize()))
    if title := figure.get_suptitle():
        figure.suptitle(_wrapped(title, width), **_HEADING)
    if note := figure.get_supxlabel():
        figure.supxlabel(_wrapped(note, width * 11 / 9), fontsize=9)


def squares(count: int, side: float) -> tuple[Any, list[Any]]:
    """A figure of ``count`` square panels, in rows of at most three (four make two rows of two), and their axes."""
    columns = 2 if count == 4 else min(count, 3)
    rows = math.ceil(count / columns)
    figure, _ = canvas(side * columns, (side + 0.1) * rows + 0.3, rows, columns, share=False)
    for spare in figure.axes[count:]:
        spare.remove()
    return figure, figure.axes


def span(points: "Tensor") -> tuple["Tensor", float]:
    """The centre (2,) of the smallest square around points (n, 2), and half of its side, which is never 0."""
    low = points.min(0).values
    high = points.max(0).values
    return (low + high) / 2, float((high - low).max()) / 2 or 1.0


def square(axes: Any, centre: "Tensor", reach: float) -> None:
    """Limits axes to ``reach`` around ``centre`` (2,), with equal scales and the same few ticks on both."""
    from matplotlib.ticker import MaxNLocator

    x, y = centre.tolist()
    axes.set_aspect("equal")
    axes.set_xlim(x - reach, x + reach)
    axes.set_ylim(y - reach, y + reach)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))


def name_axes(axes: Any) -> None:
    """Labels the coordinates of points in the plane: x_1 below each panel, x_2 beside the panels at the left."""
    axes.set_xlabel("$x_1$")
    place = axes.get_subplotspec()
    if place is None or place.is_first_col():
        axes.set_ylabel("$x_2$")


def colour_bar(figure: Any, axes: Any, mappable: Any, label: str, **options: Any) -> Any:
    """A colour bar beside ``axes``, of their height."""
    beside = axes.inset_axes((1.03, 0.0, 0.04, 1.0))
    return figure.colorbar(mappable, cax=beside, label=label, format=lambda value, _: number(value), **options)


def text(text: str) -> str:
    """``text`` with escaped dollars, so that matplotlib does not read it as a formula."""
    return text.replace("$", r"\$")


def to_title(figure: Any, title: str) -> None:
    """Writes the title of a figure, each of its lines wrapped to the width."""
    if title:
        figure.suptitle(text(_wrapped(title, figure.get_size_inches()[0])), **_HEADING)


def _wrapped(title: str, inches: float) -> str:
    width = max(16, int(inches * 12.5))
    return "\n".join(textwrap.fill(" ".join(line.split()), width) for line in title.splitlines())
