"""Curves over training steps: losses, and metrics of samples that were measured during training."""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from zoo_core.cards.numbers import better_of
from zoo_core.figures.canvas import canvas, text, to_title
from zoo_core.figures.titles import number

__all__ = ["curves", "draw_loss", "draw_metric", "metric_curves", "sense"]

_FEW = 20
Values = Sequence[float | None]


def curves(steps: Sequence[float], losses: Mapping[str, Values], title: str = "") -> Any:
    """A figure of losses over training steps; see :func:`draw_loss`."""
    figure, axes = canvas(7, 4)
    draw_loss(axes, steps, losses)
    to_title(figure, title)
    return figure


def draw_loss(axes: Any, steps: Sequence[float], losses: Mapping[str, Values]) -> None:
    """Draws losses over the steps on matplotlib axes: logged values are faint, with their running mean on top.

    Fewer than 20 values are marked, without a mean. The vertical axis is logarithmic if all values are positive.

    Args:
        axes: matplotlib axes.
        steps: training steps.
        losses: a value for each step, by the names of the losses; None for a step without a value.
    """
    every = []
    means = set()
    for i, (name, column) in enumerate(losses.items()):
        at, values = _known(steps, column)
        every += values
        label = text(name.removeprefix("loss."))
        if len(values) < _FEW:
            axes.plot(at, values, color=f"C{i}", linewidth=1.5, marker="o", markersize=5, label=label)
            continue
        axes.plot(at, values, color=f"C{i}", alpha=0.3, linewidth=0.8)
        axes.plot(at, _smooth(values), color=f"C{i}", linewidth=1.8, label=label)
        means.add((_stride(at), 2 * _reach(len(values)) + 1))
    for stride, count in sorted(means):
        logged = "faint: as logged" + (f", mean of {number(stride, 12)} steps" if stride > 1 else "")
        axes.plot([], [], color="0.5", alpha=0.5, linewidth=0.8, label=logged)
        axes.plot([], [], color="0.5", linewidth=1.8, label=f"bold: running mean over {number(stride * count, 12)} steps")
    _steps_axis(axes, steps)
    _plain_scale(axes, every)
    axes.grid(alpha=0.3, linewidth=0.5)
    axes.set_ylabel("loss", labelpad=8)
    axes.legend(fontsize=9, edgecolor="none", framealpha=0.9)


def metric_curves(steps: Sequence[float], metrics: Mapping[str, Values], title: str = "") -> Any:
    """A figure with a panel for each metric over the steps; see :func:`draw_metric`."""
    figure, _ = canvas(7, 0.5 + 3.3 * len(metrics), len(metrics), 1)
    for axes, (name, values) in zip(figure.axes, metrics.items(), strict=True):
        draw_metric(axes, steps, name, values)
    to_title(figure, title)
    return figure


def draw_metric(axes: Any, steps: Sequence[float], name: str, column: Values) -> None:
    """Draws a metric over the steps on matplotlib axes, with the first, the best and the last value beside their points."""
    at, values = _known(steps, column)
    axes.plot(at, values, color="C0", linewidth=1.5, marker="o", markersize=4 if len(at) > _FEW else 6)
    places = {0, len(values) - 1} | ({values.index(min(values))} if better_of(name) == "lower" else set())
    places |= {values.index(max(values))} if better_of(name) == "higher" else set()
    for place in sorted(places):
        beside = {"textcoords": "offset points", "xytext": (0, 8), "ha": "center", "fontsize": 9}
        axes.annotate(number(values[place], 3), (at[place], values[place]), **beside)
    axes.margins(x=0.06, y=0.16)
    _steps_axis(axes, at)
    _plain_scale(axes, values)
    axes.grid(alpha=0.3, linewidth=0.5)
    axes.set_ylabel(text(f"{name}{sense(name)}"), labelpad=8)


def sense(metric: str) -> str:
    """The direction in which a metric improves, for a label.

    >>> sense("fd")
    ', lower is better'
    """
    better = better_of(metric)
    return f", {better} is better" if better in ("lower", "higher") else f", best {better}" if better else ""


def _known(steps: Sequence[float], column: Values) -> tuple[list[float], list[float]]:
    known = [(step, value) for step, value in zip(steps, column, strict=True) if value is not None]
    return [step for step, _ in known], [value for _, value in known]


def _steps_axis(axes: Any, steps: Sequence[float]) -> None:
    """Labels the horizontal axis with training steps from 0 on, whole and with commas."""
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(7, integer=True, steps=[1, 2, 2.5, 5, 10]))
    axes.xaxis.set_major_formatter(lambda step, _: number(step, 12))
    axes.set_xlim(left=min(0, axes.get_xlim()[0]), right=max(steps, default=1) * 1.03 or 1)
    axes.set_xlabel("training step")


def _plain_scale(axes: Any, values: Sequence[float]) -> None:
    """Makes the vertical axis logarithmic if all values are positive, with a few plain numbers that do not touch."""
    from matplotlib.ticker import FixedLocator, LogLocator, MaxNLocator, NullLocator

    if min(values, default=0.0) <= 0:
        return
    axes.set_yscale("log")
    bottom, top = axes.get_ylim()
    if top / bottom < 8:
        room = MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]).tick_values(bottom, top)
        axes.yaxis.set_major_locator(FixedLocator([place for place in room if bottom <= place <= top]))
    else:
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if top / bottom < 200 else (1,), numticks=9))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(lambda place, _: number(place, 4))


def _stride(at: Sequence[float]) -> float:
    """The median number of steps between one value and the next."""
    gaps = sorted(after - before for before, after in pairwise(at))
    return gaps[len(gaps) // 2] if gaps else 1


def _reach(count: int) -> int:
    return max(1, count // 50)


def _smooth(points: Sequence[float]) -> list[float]:
    """The mean of each point and as many neighbours on both sides: 2 % of the curve, and fewer at its ends.

    The beginning gets the fewest: a loss is so steep there that a mean over many values lies far above it.
    """
    last = len(points) - 1
    reaches = [min(_reach(len(points)), i // 3, last - i) for i in range(len(points))]
    return [math.fsum(points[i - reach : i + reach + 1]) / (2 * reach + 1) for i, reach in enumerate(reaches)]
