"""Plots as PNG bytes: scatter plots of 2-D samples, and curves over training steps."""

import io
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from zoo_core.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["curves", "scatter"]


def _figure(width: float, height: float) -> tuple[Any, Any]:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UsageError("plots need matplotlib, which is not installed", "pip install 'zoo-core[plot]'") from error
    figure = Figure(figsize=(width, height), dpi=120, layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _png(figure: Any, metadata: Mapping[str, str] | None) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format="png", metadata={"Software": None, **(metadata or {})})
    return file.getvalue()


def scatter(points: "Tensor", metadata: Mapping[str, str] | None = None, labels: "Tensor | None" = None) -> bytes:
    """Points (n, 2), coloured by ``labels`` int64 (n,) where there are any, on axes of equal scale."""
    figure, axes = _figure(5, 5)
    colour: dict[str, Any] = {"c": labels.numpy(), "cmap": "tab10" if int(labels.max()) < 10 else "viridis"} if labels is not None else {}
    size = min(max(4000 / len(points), 1.0), 24.0)
    axes.scatter(points[:, 0].numpy(), points[:, 1].numpy(), s=size, alpha=0.7, linewidths=0, **colour)
    axes.set_aspect("equal", adjustable="datalim")
    axes.set_xlabel("$x_1$")
    axes.set_ylabel("$x_2$")
    return _png(figure, metadata)


def curves(
    steps: Sequence[float], values: Mapping[str, Sequence[float | None]], metadata: Mapping[str, str] | None = None, title: str = ""
) -> bytes:
    """Each curve over the steps: its points faint, their running mean on top; the axis is logarithmic where all values are positive.

    None is a step at which there was no value.
    """
    figure, axes = _figure(7, 4)
    least = math.inf
    for i, (name, column) in enumerate(values.items()):
        known = [(step, value) for step, value in zip(steps, column, strict=True) if value is not None]
        at, points = [step for step, _ in known], [value for _, value in known]
        axes.plot(at, points, color=f"C{i}", alpha=0.25, linewidth=1)
        axes.plot(at, _smooth(points), color=f"C{i}", linewidth=1.8, label=name)
        least = min([least, *points])
    axes.xaxis.get_major_locator().set_params(integer=True)
    if least > 0:
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter("{x:g}")
    axes.grid(alpha=0.3, which="both", linewidth=0.5)
    axes.set_xlabel("training step")
    axes.set_ylabel("loss")
    axes.set_title(title, fontsize=11)
    axes.legend(frameon=False)
    return _png(figure, metadata)


def _smooth(points: Sequence[float]) -> list[float]:
    """The mean of each point and as many neighbours to the left as to the right: 2 % of the curve, fewer at its ends."""
    most, last = max(1, len(points) // 50), len(points) - 1
    reaches = [min(most, i, last - i) for i in range(len(points))]
    return [sum(points[i - reach : i + reach + 1]) / (2 * reach + 1) for i, reach in enumerate(reaches)]
