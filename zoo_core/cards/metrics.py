"""metrics.json: the numbers of a checkpoint.

It is ``{"metrics": [{"metric": "fd", "value": 12.3, "stderr": 0.4, "dataset": "afhq", "split": "val", ...}, ...]}``. An entry has the name
of a metric, a value and a data set; ``split``, ``stderr``, ``unit`` and whatever else says what the number is may follow.
"""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard

from zoo_core.errors import ConfigError

__all__ = [
    "METRICS",
    "by_sampler",
    "comparable",
    "count",
    "fields",
    "is_number",
    "is_of_samples",
    "model_index",
    "numbers",
    "seconds_each",
    "walk",
]

METRICS = "metrics.json"
# What the front matter says of a number: all else is in metrics.json, and would not fit there.
_ARGS = ("stderr", "unit", "kind", "space", "method", "options", "n", "sampler", "scheduler", "nfe", "seed")


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
    demand(is_number(entry.get("value")), ".value must be a finite number")
    demand(entry.get("stderr") is None or (is_number(entry["stderr"]) and entry["stderr"] >= 0), ".stderr must be a number of at least 0")
    demand(_is_finite(dict(entry)), " must hold finite numbers")


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether ``value`` is a finite number, and no bool."""
    return isinstance(value, int | float) and not isinstance(value, bool) and _is_finite(value)


def _is_finite(value: object) -> bool:
    """Whether every number in a JSON value can be told exactly in a card."""
    if isinstance(value, dict | list):
        return all(map(_is_finite, value.values() if isinstance(value, dict) else value))
    return not isinstance(value, int | float) or (abs(value) < 2**63 and math.isfinite(value))


def model_index(
    name: str, metrics: Mapping[str, Any], pipeline: str, sampler: object = None, scheduler: object = None
) -> list[dict[str, Any]]:
    """The numbers of a metrics.json as the Hub reads them from the front matter of the card of ``name``.

    Of the numbers of samples, those by the checkpoint's own ``sampler`` and ``scheduler``, or all
    where there are none: dozens would bury the card.

    Raises:
        ConfigError: as :func:`numbers` does.
    """
    results: dict[tuple[str, str], dict[str, Any]] = {}
    for entry in by_sampler(numbers(metrics), sampler, scheduler):
        more = {key: entry[key] for key in _ARGS if key in entry}
        if "name" in fields(entry, "features"):
            more["features"] = fields(entry, "features")["name"]
        dataset, split = entry["dataset"], entry.get("split", "")
        told = {"type": dataset, "name": dataset} | ({"split": split} if split else {})
        result = results.setdefault((dataset, split), {"task": {"type": pipeline or "other"}, "dataset": told, "metrics": []})
        result["metrics"].append({"type": entry["metric"], "value": entry["value"]} | ({"args": more} if more else {}))
    return [{"name": name, "results": [*results.values()]}]


def walk(record: Mapping[str, Any]) -> tuple[Any, Any]:
    """The sampler of a record, and the scheduler, None for the model's own noise levels, both as they would be written today."""
    from zoo_core.samplers.choice import written_now  # which reads cards, which read numbers

    return written_now(record.get("sampler")), written_now(record.get("scheduler"), "scheduler")


def by_sampler(records: Sequence[Mapping[str, Any]], sampler: object, scheduler: object = None) -> list[Mapping[str, Any]]:
    """The numbers by this ``sampler`` along the levels of this ``scheduler``, None for the model's own, and those that are of no samples.

    Where there are none by that sampler, the numbers by all.
    """
    asked = walk({"sampler": sampler, "scheduler": scheduler})
    own = [record for record in records if is_of_samples(record) and walk(record) == asked]
    return [record for record in records if not own or record in own or not is_of_samples(record)]


def fields(record: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """What stands under ``key``, where that is an object; otherwise nothing."""
    value = record.get(key)
    return value if isinstance(value, dict) else {}


def is_of_samples(record: Mapping[str, Any]) -> bool:
    """Whether it is a number of samples that were drawn, and not of a model on data."""
    return isinstance(record.get("sampler"), dict)


def count(record: Mapping[str, Any], of: str) -> int | None:
    """How many ``real`` or ``drawn`` samples a number is of; a plain ``n`` counts what the number is of."""
    n = record.get("n")
    found = n.get(of) if isinstance(n, dict) else n if of == ("drawn" if is_of_samples(record) else "real") else None
    return found if type(found) is int else None


def seconds_each(record: Mapping[str, Any]) -> float | None:
    """How long it took to draw one sample, in seconds, where the record says it: in the fastest batch, or else on average."""
    if is_number(record.get("pace")):
        return record["pace"]
    seconds, drawn = record.get("seconds"), count(record, "drawn")
    return seconds / drawn if is_number(seconds) and drawn else None


def comparable(records: Sequence[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    """The records of samples in groups: in each, as many samples of a seed and of the same weights, beside the same data, in one space.

    A metric that takes no real samples stands with those that do.
    """
    groups: dict[str, list[Mapping[str, Any]]] = {}
    real: dict[str, int | None] = {}
    sampled = [(record, _basis(record), count(record, "real")) for record in records if is_of_samples(record)]
    for _, basis, n in sampled:
        real[basis] = real.get(basis) or n
    for record, basis, n in sampled:
        groups.setdefault(f"{basis} {n or real[basis]}", []).append(record)
    return [*groups.values()]


def _basis(record: Mapping[str, Any]) -> str:
    data, features = (fields(record, key) for key in ("data", "features"))
    plain = [record.get(key) for key in ("dataset", "split", "seed", "weights")]
    return json.dumps([*plain, data.get("digest"), features.get("name"), features.get("digest"), count(record, "drawn")], sort_keys=True)
