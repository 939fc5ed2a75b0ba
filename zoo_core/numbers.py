"""metrics.json: the numbers of a checkpoint.

It is ``{"metrics": [{"metric": "fd", "value": 12.3, "stderr": 0.4, "dataset": "afhq", "split": "val", ...}, ...]}``. An entry has the name
of a metric, a value and a data set; ``split``, ``stderr``, ``unit`` and whatever else says what the number is may follow, and go with it
wherever it is told.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from zoo_core.errors import ConfigError

__all__ = ["METRICS", "model_index", "numbers"]

METRICS = "metrics.json"


def numbers(metrics: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """The entries of a metrics.json.

    Raises:
        ConfigError: it is not what the zoo writes, with the path of the field.
    """
    entries = metrics.get("metrics")
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ConfigError(f'{METRICS} must be {{"metrics": [...]}} with a list of objects', "correct it, or leave it out")
    for place, entry in enumerate(entries):
        _check(entry, f"{METRICS}: metrics[{place}]")
    return entries


def _check(entry: Mapping[str, Any], where: str) -> None:
    def demand(condition: bool, what: str) -> None:
        if not condition:
            raise ConfigError(f"{where}{what}", "correct that value")

    for key in ("metric", "dataset"):
        demand(isinstance(entry.get(key), str) and bool(entry[key]), f".{key} must be a name")
    for key in ("split", "unit"):
        demand(isinstance(entry.get(key, ""), str), f".{key} must be a string")
    demand(_is_number(entry.get("value")), ".value must be a finite number")
    demand(entry.get("stderr") is None or (_is_number(entry["stderr"]) and entry["stderr"] >= 0), ".stderr must be a number of at least 0")
    demand(_is_finite(dict(entry)), " must hold finite numbers")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and _is_finite(value)


def _is_finite(value: object) -> bool:
    """Whether every number in a JSON value can be told exactly in a card."""
    if isinstance(value, dict | list):
        return all(map(_is_finite, value.values() if isinstance(value, dict) else value))
    return not isinstance(value, int | float) or (abs(value) < 2**63 and math.isfinite(value))


def model_index(name: str, metrics: Mapping[str, Any], pipeline: str) -> list[dict[str, Any]]:
    """The numbers of a metrics.json as the Hub reads them from the front matter of the card of ``name``.

    Raises:
        ConfigError: as :func:`numbers` does.
    """
    results: dict[tuple[str, str], dict[str, Any]] = {}
    for entry in numbers(metrics):
        more = {key: value for key, value in entry.items() if key not in ("metric", "value", "dataset", "split")}
        dataset, split = entry["dataset"], entry.get("split", "")
        told = {"type": dataset, "name": dataset} | ({"split": split} if split else {})
        result = results.setdefault((dataset, split), {"task": {"type": pipeline or "other"}, "dataset": told, "metrics": []})
        result["metrics"].append({"type": entry["metric"], "value": entry["value"]} | ({"args": more} if more else {}))
    return [{"name": name, "results": [*results.values()]}]
