"""Plots as PNG bytes: scatter plots of 2-D samples, score fields, curves over training steps, quality over cost."""

import io
import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from zoo_core.errors import UsageError
from zoo_core.numbers_table import rounded

if TYPE_CHECKING:
    from torch import Tensor

    from zoo_core.figures import Density, Field
    from zoo_core.quality import Panel

__all__ = ["clouds", "curves", "density", "quality", "scatter", "score_fields"]


def _figure(width: float, height: float, rows: int = 1, columns: int = 1, share: bool = True) -> tuple[Any, Any]:
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


def clouds(points: "Tensor", titles: Sequence[str], metadata: Mapping[str, str] | None = None, title: str = "") -> bytes:
    """Points (n, k, 2), a panel for each of k moments under its title; each shows all of its points, and no less than the last one does."""
    figure, panels = _panels(len(titles), 3.4)
    least = _span(points[:, -1])[1]
    for axes, panel, caption in zip(panels, points.unbind(1), titles, strict=True):
        axes.scatter(panel[:, 0].numpy(), panel[:, 1].numpy(), s=min(max(3000 / len(panel), 1.5), 20.0), alpha=0.6, linewidths=0)
        axes.set_title(_text(caption), fontsize=10)
        centre, reach = _span(panel)
        _square(axes, centre, 1.1 * max(reach, least))
    figure.suptitle(_text(title), fontsize=11)
    return _png(figure, metadata)


def score_fields(fields: "Sequence[Field]", paths: "Sequence[Tensor]", metadata: Mapping[str, str] | None = None, title: str = "") -> bytes:
    """A panel for each field, and over its arrows the paths, each (steps, 2) from a circle to a star.

    The lengths of arrows are as the square roots of those of the scores, the longest a step of the grid: far from the data scores are so
    long that beside them no other could be seen.
    """
    figure, panels = _panels(len(fields), 4.8)
    for axes, field in zip(panels, fields, strict=True):
        centre, reach = _span(field.at)
        cell = 2 * reach / max(math.sqrt(len(field.at)) - 1, 1.0)
        length = field.score.norm(dim=1, keepdim=True).clamp(min=1e-30)
        arrows = field.score * (cell / (length * length.max()).sqrt())
        at = {"angles": "xy", "scale_units": "xy", "scale": 1, "color": "0.55", "width": 0.0035, "pivot": "mid"}
        axes.quiver(*field.at.T.numpy(), *arrows.T.numpy(), zorder=1, **at)
        for i, path in enumerate(paths):
            axes.plot(*path.T.numpy(), color=f"C{i}", linewidth=0.9, alpha=0.75, zorder=2)
            axes.plot(*path[0].numpy(), marker="o", color=f"C{i}", markersize=6, markeredgecolor="white", zorder=3)
            axes.plot(*path[-1].numpy(), marker="*", color=f"C{i}", markersize=15, markeredgecolor="white", zorder=4)
        axes.set_title(f"score at $\\sigma$ = {field.sigma:.3g}", fontsize=10)
        axes.set_xlabel("$x_1$")
        axes.set_ylabel("$x_2$")
        _square(axes, centre, reach + cell)
    figure.suptitle(_text(title), fontsize=11)
    return _png(figure, metadata)


def _panels(count: int, side: float) -> tuple[Any, list[Any]]:
    """A figure of so many square panels, in rows of three at most, and their axes."""
    columns = min(count, 3)
    rows = math.ceil(count / columns)
    figure, _ = _figure(side * columns, (side + 0.1) * rows + 0.3, rows, columns, share=False)
    for spare in figure.axes[count:]:
        spare.remove()
    return figure, figure.axes


def _span(points: "Tensor") -> tuple["Tensor", float]:
    """The centre (2,) of the smallest square around points (n, 2), and half of its side, not 0."""
    low, high = points.min(0).values, points.max(0).values
    return (low + high) / 2, float((high - low).max()) / 2 or 1.0


def _square(axes: Any, centre: "Tensor", reach: float) -> None:
    """Shows what is within ``reach`` of ``centre`` (2,), on axes of equal scale."""
    x, y = centre.tolist()
    axes.set_aspect("equal")
    axes.set_xlim(x - reach, x + reach)
    axes.set_ylim(y - reach, y + reach)


def density(found: "Density", points: "Tensor", metadata: Mapping[str, str] | None = None, title: str = "") -> bytes:
    """A density over the plane, its colour bar from 0 on, and the points (n, 2) above it, on axes of equal scale."""
    figure, axes = _figure(6.4, 5.2)
    image = axes.imshow(found.values.numpy(), origin="lower", extent=found.extent, cmap="Blues", vmin=0, interpolation="nearest")
    size = min(max(2000 / len(points), 1.0), 12.0)
    axes.scatter(
        points[:, 0].numpy(), points[:, 1].numpy(), s=size, c="#d1495b", alpha=0.6, linewidths=0, label=f"{len(points):,} of the data"
    )
    axes.set_xlim(*found.extent[:2])
    axes.set_ylim(*found.extent[2:])
    axes.set_xlabel("$x_1$")
    axes.set_ylabel("$x_2$")
    axes.set_title(_text(title), fontsize=11)
    axes.legend(loc="upper left", fontsize=8, frameon=False, markerscale=2)
    figure.colorbar(image, ax=axes, label=found.caption, shrink=0.85)
    return _png(figure, metadata)


def curves(
    steps: Sequence[float], values: Mapping[str, Sequence[float | None]], metadata: Mapping[str, str] | None = None, title: str = ""
) -> bytes:
    """Each curve over the steps: its points faint, their running mean on top; the axis is logarithmic where all values are positive.

    None is a step at which there was no value.
    """
    from matplotlib.ticker import LogLocator

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
        low, high = axes.get_ylim()
        if high < 10 * low:  # else the curve would lie below, or above, the only numbers
            axes.yaxis.set_minor_locator(LogLocator(subs=(1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8)))
    axes.grid(alpha=0.3, which="both", linewidth=0.5)
    axes.set_xlabel("training step")
    axes.set_ylabel("loss")
    axes.set_title(title, fontsize=11)
    axes.legend(frameon=False)
    return _png(figure, metadata)


def quality(panels: "Sequence[Panel]", metadata: Mapping[str, str] | None = None, title: str = "") -> bytes:
    """Each metric in a row: over evaluations of the net at the left, over seconds at the right; dashed, what halves of real ones reach."""
    figure, grid = _figure(10, 0.4 + 3.8 * len(panels), len(panels), 2)
    names = dict.fromkeys(name for panel in panels for name in panel.curves)
    colours = {name: f"C{i}" for i, name in enumerate(names)}
    for (left, right), panel in zip(grid.reshape(-1, 2), panels, strict=True):
        _over(left, panel, "nfe", colours)
        _over(right, panel, "seconds", colours)
        left.set_xlabel("evaluations of the net")
        right.set_xlabel("seconds per image" + (f" ({_text(' or '.join(panel.processors))})" if panel.processors else ""))
        left.set_ylabel(_text(panel.metric))
        left.set_title(_text(textwrap.fill(panel.caption, 140)), fontsize=9, loc="left")
        left.legend(frameon=False, fontsize=9)
        low = min(point.value - point.stderr for points in panel.curves.values() for point in points)
        high = max(point.value for points in panel.curves.values() for point in points)
        if min(low, low if panel.floor is None else panel.floor) > 0 and high > 10 * low:
            left.set_yscale("log")
            left.yaxis.set_major_formatter("{x:g}")
    figure.suptitle(_text(title), fontsize=11)
    return _png(figure, metadata)


def _text(text: str) -> str:
    """``text`` as it is: a dollar begins no formula."""
    return text.replace("$", r"\$")


def _over(axes: Any, panel: "Panel", cost: str, colours: Mapping[str, str]) -> None:
    """The curves over ``nfe`` or ``seconds``, of those points that have it, on a logarithmic axis with plain labels."""
    from matplotlib.ticker import FixedLocator, LogLocator, NullLocator

    places: list[float] = []
    style: dict[str, Any] = {"marker": "o", "markersize": 4, "capsize": 3, "linewidth": 1.5}
    for name, points in panel.curves.items():
        known = [(getattr(point, cost), point.value, point.stderr) for point in points if getattr(point, cost)]
        if known:
            at, values, errors = zip(*known, strict=True)
            axes.errorbar(at, values, errors, color=colours[name], label=_text(name), **style)
            places += at
    if panel.floor is not None:
        axes.axhline(panel.floor, color="0.3", linestyle="--", linewidth=1, label="real halves")
    axes.set_xscale("log", base=2 if cost == "nfe" else 10)
    # Within less than a decade there may be no round number at all.
    wide = cost == "seconds" and max(places, default=1.0) > 8 * min(places, default=1.0)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)) if wide else FixedLocator(_apart(places)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(lambda place, _: rounded(place, 4 if cost == "nfe" else 2))
    axes.grid(alpha=0.3, linewidth=0.5)
    if not places:
        axes.text(0.5, 0.5, "not recorded", transform=axes.transAxes, ha="center", color="0.5")


def _apart(places: Sequence[float]) -> list[float]:
    """Those places that leave room for a label on a logarithmic axis."""
    kept: list[float] = []
    for place in sorted(set(places)):
        if not kept or place > 1.15 * kept[-1]:
            kept.append(place)
    return kept


def _smooth(points: Sequence[float]) -> list[float]:
    """The mean of each point and as many neighbours to the left as to the right: 2 % of the curve, fewer at its ends.

    Fewest at the beginning, where a loss is so steep that the mean of many lies far above it.
    """
    most, last = max(1, len(points) // 50), len(points) - 1
    reaches = [min(most, i // 3, last - i) for i in range(len(points))]
    return [sum(points[i - reach : i + reach + 1]) / (2 * reach + 1) for i, reach in enumerate(reaches)]
