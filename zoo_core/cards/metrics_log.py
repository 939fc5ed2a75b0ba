"""The metrics.jsonl of a run: one JSON object per line, with the ``step`` and the values that were logged at it."""

import json
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

__all__ = ["Curve", "curve", "read_metrics", "recorded_curve"]

Curve = dict[str, list[float | None]]
"""The steps under ``step``, and the values at those steps by name; None at steps without a value."""

_BESIDE = ("step", "seconds")
_LONGEST = 1 << 20  # bytes of a line


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The objects in a metrics.jsonl.

    Lines that a crash cut short, and other lines that are not an object with a step, are left out.

    Args:
        path: path of the file; without a file the list is empty.
    """
    rows = []
    if path.is_file():  # a pipe would block
        with path.open("rb") as file:
            while line := file.readline(_LONGEST):
                with suppress(ValueError, RecursionError):
                    row = json.loads(line)
                    if isinstance(row, dict) and _is_number(row.get("step")):
                        rows.append(row)
    return rows


def curve(rows: Sequence[Mapping[str, Any]], points: int | None = None) -> Curve:
    """The values of the rows, by name.

    Args:
        rows: rows of :func:`read_metrics`.
        points: the largest number of points; more rows are averaged over stretches of steps. A mean is over the rows
            that have the value, since a phase that does not run at every step is absent from some.

    Example:
        >>> from zoo_core.cards.metrics_log import curve
        >>> curve([{"step": 10, "loss": 2.0}, {"step": 20, "loss": 1.0}], points=1)
        {'step': [20], 'loss': [1.5]}
    """
    stride = max(1, -(-len(rows) // points)) if points else 1
    chunks = [rows[i : i + stride] for i in range(0, len(rows), stride)]
    names = [name for name in dict.fromkeys(name for row in rows for name in row) if name not in _BESIDE]
    values: Curve = {name: [_mean(chunk, name) for chunk in chunks] for name in names}
    return {"step": [chunk[-1]["step"] for chunk in chunks], **values}


def recorded_curve(training: Mapping[str, Any]) -> Curve:
    """The curve in a training.json; empty if it has none that is well-formed.

    Its columns are lists of numbers or None, as long as the list of steps.
    """
    columns = training.get("curve")
    if not (isinstance(columns, dict) and all(isinstance(column, list) for column in columns.values())):
        return {}
    are_numbers = all(value is None or _is_number(value) for column in columns.values() for value in column)
    steps = columns.get("step", [])
    return columns if are_numbers and None not in steps and {len(column) for column in columns.values()} == {len(steps)} else {}


def _mean(rows: Sequence[Mapping[str, Any]], name: str) -> float | None:
    values = [float(row[name]) for row in rows if _is_number(row.get(name))]
    return round(sum(values) / len(values), 6) if values else None


def _is_number(value: object) -> bool:
    return type(value) in (int, float) and math.isfinite(value)  # type: ignore[arg-type]  # of these two types
