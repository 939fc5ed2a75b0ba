"""Matplotlib figures without pyplot: axes, panels, and PNG bytes."""

import io
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from zoo_core.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["canvas", "png", "span", "square", "squares", "text"]


def canvas(width: float, height: float, rows: int = 1, columns: int = 1, share: bool = True) -> tuple[Any, Any]:
    """A figure and its axes: one, or an array (rows, columns) where there are several; those of a row ``share`` the vertical axis."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UsageError("plots need matplotlib, which is not installed", "pip install 'zoo-core[plot]'") from error
    figure = Figure(figsize=(width, height), dpi=120, layout="constrained")
    axes = figure.subplots(rows, columns, sharey="row" if share else "none")
    for each in figure.axes:
        each.spines[["top", "right"]].set_visible(False)
    return figure, axes


def squares(count: int, side: float) -> tuple[Any, list[Any]]:
    """A figure of so many square panels, in rows of three at most, and their axes."""
    columns = min(count, 3)
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
    """Shows what is within ``reach`` of ``centre`` (2,), on axes of equal scale."""
    x, y = centre.tolist()
    axes.set_aspect("equal")
    axes.set_xlim(x - reach, x + reach)
    axes.set_ylim(y - reach, y + reach)


def text(text: str) -> str:
    """``text`` as it is: a dollar begins no formula."""
    return text.replace("$", r"\$")


def png(figure: Any, metadata: Mapping[str, str] | None) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format="png", metadata={"Software": None, **(metadata or {})})
    return file.getvalue()
