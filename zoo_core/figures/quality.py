"""Quality against cost: metrics of samples over evaluations of the net and over time, from the records of a metrics.json."""

import json
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from zoo_core.cards.markdown import describe
from zoo_core.cards.metrics_json import comparable_groups, is_number, is_of_samples, seconds_per_sample, subrecord
from zoo_core.cards.numbers import PLAIN, caption, rounded, unit_of
from zoo_core.errors import UsageError
from zoo_core.figures.canvas import canvas, text, to_title
from zoo_core.figures.titles import known_as
from zoo_core.figures.training import sense

__all__ = ["Panel", "Point", "draw_quality", "panels", "plot_quality"]

Record = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """A measurement.

    >>> Point(nfe=20, value=11.5, stderr=0.3)
    Point(nfe=20, value=11.5, stderr=0.3, seconds=None)

    Args:
        nfe: number of evaluations of the net for a sample.
        value: value of the metric.
        stderr: standard error of the value; 0 if unknown.
        seconds: time to draw a sample; None if unknown.
    """

    nfe: float
    value: float
    stderr: float = 0.0
    seconds: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Panel:
    """Measurements of one metric that can be compared.

    >>> panel = Panel(metric="fd", caption="10,000 samples", curves={"ddim": [Point(nfe=10, value=20.0), Point(nfe=20, value=11.5)]})
    >>> [point.value for point in panel.curves["ddim"]]
    [20.0, 11.5]

    Args:
        metric: name of the metric, with its options.
        caption: description of the samples and of the real samples.
        curves: measurements by sampler, the cheapest first; the name of a sampler has its options if there are several of it.
        floor: value for two halves of the real samples; None if unknown.
        processors: processors on which the time was measured.
        unit: name of a sample: image or point.
        sense: direction in which the metric improves, for a label.
    """

    metric: str
    caption: str
    curves: Mapping[str, Sequence[Point]]
    floor: float | None = None
    processors: tuple[str, ...] = ()
    unit: str = "sample"
    sense: str = ""


def panels(records: Sequence[Record], metrics: Sequence[str] = ()) -> list[Panel]:
    """A panel for each metric and each group of records that can be compared.

    Args:
        records: records of a metrics.json.
        metrics: names of metrics, without options; ``fd``, or else the first metric in the records, when empty.

    Returns:
        The panels; empty without records of samples that have their number of net evaluations.

    Raises:
        UsageError: if there are such records, but not of one of ``metrics``.
    """
    drawn = [record for record in records if is_of_samples(record) and is_number(record.get("nfe")) and record["nfe"] > 0]
    names = list(dict.fromkeys(str(record["metric"]) for record in drawn))
    if not names:
        return []
    wanted = metrics or [name for name in ("fd", *names) if name in names][:1]
    if missing := [name for name in wanted if name not in names]:
        raise UsageError(f"there are no numbers of {missing[0]} for samples", f"there are those of {', '.join(names)}")
    result = []
    for name in wanted:
        for group in comparable_groups([record for record in drawn if record["metric"] == name]):
            titles = dict.fromkeys(_title(record) for record in group)
            result += [_panel(title, [record for record in group if _title(record) == title]) for title in titles]
    return result


def _title(record: Record) -> str:
    return describe({**subrecord(record, "options"), "name": record["metric"]})


def _panel(title: str, group: Sequence[Record]) -> Panel:
    curves: dict[str, list[Point]] = {}
    for name, record in zip(_names(group), group, strict=True):
        stderr = record.get("stderr")
        error = float(stderr) if is_number(stderr) else 0.0
        point = Point(nfe=record["nfe"], value=record["value"], stderr=error, seconds=seconds_per_sample(record))
        curves.setdefault(name, []).append(point)
    floors = [subrecord(record, "floor").get("value") for record in group]
    return Panel(
        metric=title,
        caption=caption(group, PLAIN),
        curves={name: sorted(points, key=lambda point: point.nfe) for name, points in curves.items()},
        floor=next((float(floor) for floor in floors if is_number(floor)), None),
        unit=unit_of(group),
        sense=sense(str(group[0]["metric"])),
        processors=tuple(
            dict.fromkeys(
                str(record["processor"]) for record in group if record.get("processor") and seconds_per_sample(record) is not None
            )
        ),
    )


def _names(group: Sequence[Record]) -> list[str]:
    """The name of each record's curve: its sampler and scheduler, and the options that set it apart from others of that name."""
    known = [[known_as(part) for part in (subrecord(record, "sampler"), subrecord(record, "scheduler")) if part] for record in group]
    names = [" on ".join(name for name, _ in parts if name) for parts in known]
    options = [[f"{key} {_plain(value)}" for _, changed in parts for key, value in changed.items()] for parts in known]
    for own, record in zip(options, group, strict=True):
        own += [f"guidance {record['guidance']:g}"] if is_number(record.get("guidance")) else []
    unique = []
    for name, own in zip(names, options, strict=True):
        others = [other for called, other in zip(names, options, strict=True) if called == name]
        differs = [option for option in own if any(option not in other for other in others)]
        unique.append(name + (f" ({', '.join(differs)})" if differs else ""))
    return unique


def _plain(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else json.dumps(value)


def plot_quality(panels: Sequence[Panel], title: str = "") -> Any:
    """A figure with a row for each metric: over evaluations of the net at the left, over seconds at the right.

    The dashed line is the value for two halves of the real samples.
    """
    figure, _ = canvas(10, 0.5 + 3.9 * len(panels))
    figure.clear()
    rows = figure.subfigures(len(panels), 1, squeeze=False)[:, 0]
    names = list(dict.fromkeys(name for panel in panels for name in panel.curves))
    styles = {name: _style(i) for i, name in enumerate(names)}
    for row, panel in zip(rows, panels, strict=True):
        left, right = row.subplots(1, 2, sharey=True)
        for axes in (left, right):
            axes.spines[["top", "right"]].set_visible(False)
        draw_quality(left, panel, "nfe", styles)
        draw_quality(right, panel, "seconds", styles)
        left.set_ylabel(text(f"{panel.metric}{panel.sense}"))
        row.suptitle(text("\n".join(textwrap.wrap(panel.caption, 160))), fontsize=9)
        if panel is panels[0]:
            left.legend(fontsize=9, edgecolor="none", framealpha=0.9)
    to_title(figure, title)
    return figure


def _style(place: int) -> dict[str, Any]:
    """Colour, marker and line of a curve, which differ without colour too."""
    return {"color": f"C{place % 10}", "marker": "osD^vPX*<>"[place % 10], "linestyle": ("-", (0, (5, 1)), (0, (1, 1)))[place % 3]}


def draw_quality(axes: Any, panel: Panel, cost: str, styles: Mapping[str, Mapping[str, Any]] | None = None) -> None:
    """Draws the curves of a panel on matplotlib axes, over a logarithmic cost.

    Args:
        axes: matplotlib axes.
        panel: curves to draw; points without the cost are left out.
        cost: ``nfe`` or ``seconds``.
        styles: options of ``axes.errorbar`` for each curve.
    """
    from matplotlib.ticker import FixedLocator, LogLocator, NullLocator

    places: list[float] = []
    styles = styles or {name: _style(i) for i, name in enumerate(panel.curves)}
    for name, points in panel.curves.items():
        known = [(getattr(point, cost), point.value, point.stderr) for point in points if getattr(point, cost)]
        if known:
            at, values, errors = zip(*known, strict=True)
            axes.errorbar(at, values, errors, label=text(name), markersize=5, capsize=3, linewidth=1.5, **styles[name])
            places += at
    if panel.floor is not None:
        axes.axhline(panel.floor, color="0.3", linestyle="--", linewidth=1, label="real halves")
    axes.set_xscale("log", base=2 if cost == "nfe" else 10)
    # Within less than a decade there may be no round number.
    wide = cost == "seconds" and max(places, default=1.0) > 8 * min(places, default=1.0)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)) if wide else FixedLocator(_apart(places)))
    axes.xaxis.set_minor_locator(NullLocator())
    if places and min(places) == max(places):  # a logarithmic axis of one place would have no width
        axes.set_xlim(places[0] / 2, places[0] * 2)
    axes.xaxis.set_major_formatter(lambda place, _: rounded(place, 4 if cost == "nfe" else 2))
    axes.grid(alpha=0.3, linewidth=0.5)
    timed = f" ({text(' or '.join(panel.processors))})" if panel.processors else ""
    axes.set_xlabel("evaluations of the net (NFE)" if cost == "nfe" else f"seconds per {panel.unit}{timed}")
    low = min(point.value - point.stderr for points in panel.curves.values() for point in points)
    high = max(point.value for points in panel.curves.values() for point in points)
    if min(low, low if panel.floor is None else panel.floor) > 0 and high > 10 * low:
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:g}")
    if not places:
        axes.text(0.5, 0.5, "not recorded", transform=axes.transAxes, ha="center", color="0.5")


def _apart(places: Sequence[float]) -> list[float]:
    """The places that leave room for labels on a logarithmic axis."""
    kept: list[float] = []
    for place in sorted(set(places)):
        if not kept or place > 1.15 * kept[-1]:
            kept.append(place)
    return kept
