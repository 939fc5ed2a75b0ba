"""Matplotlib figures without pyplot: axes, panels of points, and PNG, PDF or SVG files that say what made them."""

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

__all__ = ["FORMATS", "canvas", "colour_bar", "name_axes", "picture", "render", "span", "square", "squares", "text", "to_title"]

FORMATS = ("png", "pdf", "svg")
DPI = 120
_HEADING: Mapping[str, Any] = {"fontsize": 11, "x": 0.01, "ha": "left"}


def canvas(width: float, height: float, rows: int = 1, columns: int = 1, share: bool = True) -> tuple[Any, Any]:
    """A figure of ``width`` x ``height`` inches and its axes: one, or an array (rows, columns); those of a row ``share`` the vertical axis.

    Raises:
        UsageError: if matplotlib is not installed.
    """
    figure = _blank(width, height, layout="constrained")
    axes = figure.subplots(rows, columns, sharey="row" if share else "none")
    for each in figure.axes:
        each.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _blank(width: float, height: float, **options: Any) -> Any:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UsageError("plots need matplotlib, which is not installed", "pip install 'zoo-core[plot]'") from error
    return Figure(figsize=(width, height), dpi=DPI, **options)


def picture(pixels: "np.ndarray[Any, Any]") -> Any:
    """A figure of the size of an image (height, width) or (height, width, 3), uint8, that holds nothing else, pixel by pixel."""
    height, width = pixels.shape[:2]
    figure = _blank(width / DPI, height / DPI)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.imshow(pixels, cmap="gray", vmin=0, vmax=255, interpolation="none", aspect="auto")
    return figure


def render(
    figure: Any, metadata: Mapping[str, str] | None = None, *, format: str = "png", dpi: float | None = None, width: float | None = None
) -> bytes:
    """A figure as a file, the same bytes for the same figure.

    Args:
        figure: a matplotlib figure.
        metadata: what made it. A PNG has a text chunk for each entry; a PDF its title, and all as JSON under Subject; an SVG all as JSON
            in its description.
        format: one of :data:`FORMATS`.
        dpi: pixels an inch of a PNG, and of what a PDF or SVG holds as pixels; 120 when None.
        width: inches; the height follows, and text keeps its size. The figure's own when None.
    """
    from matplotlib import rc_context

    if width is not None:
        _resize(figure, width)
    facts = dict(metadata or {})
    title, record = facts.get("title"), json.dumps(facts, ensure_ascii=False)
    software = facts.get("Software", "zoo-core")
    options: dict[str, dict[str, Any]] = {
        "png": {"metadata": {"Software": None, **facts}, "pil_kwargs": {"optimize": True}},
        "pdf": {"metadata": {"Title": title, "Subject": record, "Creator": software, "CreationDate": None}},
        "svg": {"metadata": {"Title": title, "Description": record, "Creator": software, "Date": None}},
    }
    file = io.BytesIO()
    # Names in an SVG come from a salt, which would otherwise be random; text of a PDF stays text.
    with rc_context({"svg.hashsalt": "zoo", "pdf.fonttype": 42}):
        figure.savefig(file, format=format, dpi=dpi or DPI, **options[format])
    return file.getvalue()


def _resize(figure: Any, width: float) -> None:
    """Makes a figure so many inches wide; text keeps its size, and titles take more lines."""
    inches = figure.get_size_inches()
    figure.set_size_inches(inches * (width / inches[0]))
    for axes in figure.axes:
        title, room = axes.title.get_text(), width * axes.get_position().width
        if "$" not in title:
            axes.title.set_text(_wrapped(title, room * 11 / axes.title.get_fontsize()))
    if title := figure.get_suptitle():
        figure.suptitle(_wrapped(title, width), **_HEADING)
    if note := figure.get_supxlabel():
        figure.supxlabel(_wrapped(note, width * 11 / 9), fontsize=9)


def squares(count: int, side: float) -> tuple[Any, list[Any]]:
    """A figure of so many square panels, in rows of three at most (four make two rows of two), and their axes."""
    columns = 2 if count == 4 else min(count, 3)
    rows = math.ceil(count / columns)
    figure, _ = canvas(side * columns, (side + 0.1) * rows + 0.3, rows, columns, share=False)
    for spare in figure.axes[count:]:
        spare.remove()
    return figure, figure.axes


def span(points: "Tensor") -> tuple["Tensor", float]:
    """The centre (2,) of the smallest square around points (n, 2), and half of its side, not 0."""
    low, high = points.min(0).values, points.max(0).values
    return (low + high) / 2, float((high - low).max()) / 2 or 1.0


def square(axes: Any, centre: "Tensor", reach: float) -> None:
    """Shows what is within ``reach`` of ``centre`` (2,), on axes of equal scale with the same few whole ticks on both."""
    from matplotlib.ticker import MaxNLocator

    x, y = centre.tolist()
    axes.set_aspect("equal")
    axes.set_xlim(x - reach, x + reach)
    axes.set_ylim(y - reach, y + reach)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))


def name_axes(axes: Any) -> None:
    """Names the coordinates of points in the plane: x_1 below, x_2 at panels that stand at the left."""
    axes.set_xlabel("$x_1$")
    place = axes.get_subplotspec()
    if place is None or place.is_first_col():
        axes.set_ylabel("$x_2$")


def colour_bar(figure: Any, axes: Any, mappable: Any, label: str, **options: Any) -> Any:
    """A colour bar beside ``axes``, as high as what they show."""
    beside = axes.inset_axes((1.03, 0.0, 0.04, 1.0))
    return figure.colorbar(mappable, cax=beside, label=label, format=lambda value, _: number(value), **options)


def text(text: str) -> str:
    """``text`` as it is: a dollar begins no formula."""
    return text.replace("$", r"\$")


def to_title(figure: Any, title: str) -> None:
    """Writes the title line of a figure, wrapped to its width."""
    if title:
        figure.suptitle(text(_wrapped(title, figure.get_size_inches()[0])), **_HEADING)


def _wrapped(title: str, inches: float) -> str:
    return textwrap.fill(" ".join(title.split()), max(16, int(inches * 12.5)))
