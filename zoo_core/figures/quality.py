"""Quality against cost: a metric of samples over evaluations of the net and over time, from the records of a metrics.json."""

import json
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from zoo_core.errors import UsageError
from zoo_core.figures.canvas import canvas, png, text
from zoo_core.markdown import describe
from zoo_core.numbers import comparable, fields, is_number, is_of_samples, seconds_each
from zoo_core.numbers_table import PLAIN, caption, rounded

__all__ = ["Panel", "Point", "panels", "plot_quality"]

Record = Mapping[str, Any]

_UNTOLD = ("name", "steps")  # in the name of a curve, whose points are steps


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """A measurement.

    Args:
        nfe: evaluations of the net for a sample.
        value: of the metric.
        stderr: its standard error; 0 where none is known.
        seconds: what drawing a sample took; None where nobody knows.
    """

    nfe: float
    value: float
    stderr: float = 0.0
    seconds: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Panel:
    """A metric of samples that can be compared.

    Args:
        metric: its name, with its options.
        caption: of what samples, against what.
        curves: the measurements of each sampler, from the cheapest on; a sampler's name has its options where there are several of it.
        floor: what two halves of the real samples reach; None where nobody knows.
        processors: on which the time was taken.
    """

    metric: str
    caption: str
    curves: Mapping[str, Sequence[Point]]
    floor: float | None = None
    processors: tuple[str, ...] = ()


def panels(records: Sequence[Record], metrics: Sequence[str] = ()) -> list[Panel]:
    """The panels of each metric, one for each group of records that can be compared.

    Args:
        records: of a metrics.json.
        metrics: their names, without options; ``fd``, or else the first that there is, when empty.

    Returns:
        the panels; none where there are no records of samples with their evaluations of the net.

    Raises:
        UsageError: there are some, and none of such a metric.
    """
    drawn = [record for record in records if is_of_samples(record) and is_number(record.get("nfe")) and record["nfe"] > 0]
    names = list(dict.fromkeys(str(record["metric"]) for record in drawn))
    if not names:
        return []
    wanted = metrics or [name for name in ("fd", *names) if name in names][:1]
    if missing := [name for name in wanted if name not in names]:
        raise UsageError(f"there are no numbers of {missing[0]} for samples", f"there are those of {', '.join(names)}")
    found = []
    for name in wanted:
        for group in comparable([record for record in drawn if record["metric"] == name]):
            metrics_of = dict.fromkeys(_title(record) for record in group)
            found += [_panel(title, [record for record in group if _title(record) == title]) for title in metrics_of]
    return found


def _title(record: Record) -> str:
    return describe({**fields(record, "options"), "name": record["metric"]})


def _panel(title: str, group: Sequence[Record]) -> Panel:
    curves: dict[str, list[Point]] = {}
    for name, record in zip(_names(group), group, strict=True):
        stderr = record.get("stderr")
        error = float(stderr) if is_number(stderr) else 0.0
        point = Point(nfe=record["nfe"], value=record["value"], stderr=error, seconds=seconds_each(record))
        curves.setdefault(name, []).append(point)
    floors = [fields(record, "floor").get("value") for record in group]
    return Panel(
        metric=title,
        caption=caption(group, PLAIN),
        curves={name: sorted(points, key=lambda point: point.nfe) for name, points in curves.items()},
        floor=next((float(floor) for floor in floors if is_number(floor)), None),
        processors=tuple(dict.fromkeys(str(record["processor"]) for record in group if record.get("processor"))),
    )


def _names(group: Sequence[Record]) -> list[str]:
    """What the curve of each record is called: its sampler and scheduler, and the options in which it differs from others so called."""
    names = [" on ".join(str(part["name"]) for part in _walk(record) if part.get("name")) for record in group]
    options = [[f"{key}={json.dumps(part[key])}" for part in _walk(record) for key in part if key not in _UNTOLD] for record in group]
    told = []
    for name, own in zip(names, options, strict=True):
        others = [other for called, other in zip(names, options, strict=True) if called == name]
        differs = [option for option in own if any(option not in other for other in others)]
        told.append(": ".join(filter(None, [name, ", ".join(differs)])))
    return told


def _walk(record: Record) -> tuple[Record, Record]:
    return fields(record, "sampler"), fields(record, "scheduler")


def plot_quality(panels: "Sequence[Panel]", metadata: Mapping[str, str] | None = None, title: str = "") -> bytes:
    """Each metric in a row: over evaluations of the net at the left, over seconds at the right; dashed, what halves of real ones reach."""
    figure, grid = canvas(10, 0.4 + 3.8 * len(panels), len(panels), 2)
    names = dict.fromkeys(name for panel in panels for name in panel.curves)
    colours = {name: f"C{i}" for i, name in enumerate(names)}
    for (left, right), panel in zip(grid.reshape(-1, 2), panels, strict=True):
        _over(left, panel, "nfe", colours)
        _over(right, panel, "seconds", colours)
        left.set_xlabel("evaluations of the net")
        right.set_xlabel("seconds per image" + (f" ({text(' or '.join(panel.processors))})" if panel.processors else ""))
        left.set_ylabel(text(panel.metric))
        left.set_title(text(textwrap.fill(panel.caption, 140)), fontsize=9, loc="left")
        left.legend(frameon=False, fontsize=9)
        low = min(point.value - point.stderr for points in panel.curves.values() for point in points)
        high = max(point.value for points in panel.curves.values() for point in points)
        if min(low, low if panel.floor is None else panel.floor) > 0 and high > 10 * low:
            left.set_yscale("log")
            left.yaxis.set_major_formatter("{x:g}")
    figure.suptitle(text(title), fontsize=11)
    return png(figure, metadata)


def _over(axes: Any, panel: "Panel", cost: str, colours: Mapping[str, str]) -> None:
    """The curves over ``nfe`` or ``seconds``, of those points that have it, on a logarithmic axis with plain labels."""
    from matplotlib.ticker import FixedLocator, LogLocator, NullLocator

    places: list[float] = []
    style: dict[str, Any] = {"marker": "o", "markersize": 4, "capsize": 3, "linewidth": 1.5}
    for name, points in panel.curves.items():
        known = [(getattr(point, cost), point.value, point.stderr) for point in points if getattr(point, cost)]
        if known:
            at, values, errors = zip(*known, strict=True)
            axes.errorbar(at, values, errors, color=colours[name], label=text(name), **style)
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
