"""The metrics.jsonl of a run: a JSON object a line, with the ``step`` and whatever was logged since the line before."""

import json
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

__all__ = ["Curve", "curve", "read_metrics", "recorded_curve"]

Curve = dict[str, list[float | None]]
"""``step``, and by name the values at those steps; None where a value was not logged."""

_BESIDE = ("step", "seconds")
_LONGEST = 1 << 20  # bytes of a line


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The lines of a metrics.jsonl; lines that a crash cut short, and others that are no object with a step, are left out."""
    rows = []
    if path.is_file():  # a pipe would hold us for ever
        with path.open("rb") as file:
            while line := file.readline(_LONGEST):
                with suppress(ValueError, RecursionError):
                    row = json.loads(line)
                    if isinstance(row, dict) and _is_number(row.get("step")):
                        rows.append(row)
    return rows


def curve(rows: Sequence[Mapping[str, Any]], points: int | None = None) -> Curve:
    """What the rows logged, by name; with ``points``, means over at most so many stretches of steps.

    A phase that does not run at every step is absent from some rows: a mean is over the rows that have the value.
    """
    stride = max(1, -(-len(rows) // points)) if points else 1
    chunks = [rows[i : i + stride] for i in range(0, len(rows), stride)]
    names = [name for name in dict.fromkeys(name for row in rows for name in row) if name not in _BESIDE]
    values: Curve = {name: [_mean(chunk, name) for chunk in chunks] for name in names}
    return {"step": [chunk[-1]["step"] for chunk in chunks], **values}


def recorded_curve(training: Mapping[str, Any]) -> Curve:
    """The curve in a training record; empty where it has none that can be drawn: columns of numbers or None, as long as their steps."""
    found = training.get("curve")
    if not (isinstance(found, dict) and all(isinstance(column, list) for column in found.values())):
        return {}
    values = all(value is None or _is_number(value) for column in found.values() for value in column)
    steps = found.get("step", [])
    return found if values and None not in steps and {len(column) for column in found.values()} == {len(steps)} else {}


def _mean(rows: Sequence[Mapping[str, Any]], name: str) -> float | None:
    found = [float(row[name]) for row in rows if _is_number(row.get(name))]
    return round(sum(found) / len(found), 6) if found else None


def _is_number(value: object) -> bool:
    return type(value) in (int, float) and math.isfinite(value)  # type: ignore[arg-type]  # of these two types
