"""What a metric says of samples, over what they cost: the curves of ``zoo figure REF quality``, from the records of a metrics.json."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from zoo_core.errors import UsageError
from zoo_core.markdown import describe
from zoo_core.numbers import comparable, fields, is_number, is_of_samples, seconds_each
from zoo_core.numbers_table import PLAIN, caption

__all__ = ["Panel", "Point", "panels"]

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
