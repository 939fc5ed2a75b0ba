"""Losses over training steps."""

import math
from collections.abc import Mapping, Sequence

from zoo_core.figures.canvas import canvas, png

__all__ = ["curves"]


def curves(
    steps: Sequence[float], values: Mapping[str, Sequence[float | None]], metadata: Mapping[str, str] | None = None, title: str = ""
) -> bytes:
    """Each curve over the steps: its points faint, their running mean on top; the axis is logarithmic where all values are positive.

    None is a step at which there was no value.
    """
    from matplotlib.ticker import LogLocator

    figure, axes = canvas(7, 4)
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
        low, high = axes.get_ylim()
        if high < 10 * low:  # else the curve would lie below, or above, the only numbers
            axes.yaxis.set_minor_locator(LogLocator(subs=(1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8)))
    axes.grid(alpha=0.3, which="both", linewidth=0.5)
    axes.set_xlabel("training step")
    axes.set_ylabel("loss")
    axes.set_title(title, fontsize=11)
    axes.legend(frameon=False)
    return png(figure, metadata)


def _smooth(points: Sequence[float]) -> list[float]:
    """The mean of each point and as many neighbours to the left as to the right: 2 % of the curve, fewer at its ends.

    Fewest at the beginning, where a loss is so steep that the mean of many lies far above it.
    """
    most, last = max(1, len(points) // 50), len(points) - 1
    reaches = [min(most, i // 3, last - i) for i in range(len(points))]
    return [sum(points[i - reach : i + reach + 1]) / (2 * reach + 1) for i, reach in enumerate(reaches)]
