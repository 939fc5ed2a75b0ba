"""metrics.json: the numbers of a checkpoint, a record for each.

It is ``{"metrics": [{"metric": "fd", "value": 12.3, "stderr": 0.4, "dataset": "afhq", "split": "val", ...}, ...]}``. A
record has the name of a metric, a value and a data set. Other fields are optional: ``split``, ``stderr``, ``unit``,
``sampler``, ``n`` and more.
"""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeGuard

from zoo_core.errors import ConfigError

__all__ = [
    "METRICS",
    "by_sampler",
    "comparable_groups",
    "drawing_of",
    "is_number",
    "is_of_samples",
    "metric_records",
    "model_index",
    "sample_count",
    "seconds_per_sample",
    "subrecord",
]

METRICS = "metrics.json"
# Fields that the front matter repeats; the others would not fit there.
_ARGS = ("stderr", "interval", "unit", "kind", "space", "method", "options", "n", "sampler", "scheduler", "guidance", "nfe", "seed")


def metric_records(metrics: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """The records of a metrics.json, checked.

    Args:
        metrics: content of the file.

    Raises:
        ConfigError: if a record is not valid; the message has the path of the field.
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
    """Whether ``value`` is a finite number, and not a bool."""
    return isinstance(value, int | float) and not isinstance(value, bool) and _is_finite(value)


def _is_finite(value: object) -> bool:
    """Whether every number in a JSON value is finite, and small enough for YAML."""
    if isinstance(value, dict | list):
        return all(map(_is_finite, value.values() if isinstance(value, dict) else value))
    return not isinstance(value, int | float) or (abs(value) < 2**63 and math.isfinite(value))


def model_index(
    name: str, metrics: Mapping[str, Any], pipeline: str, sampler: object = None, scheduler: object = None
) -> list[dict[str, Any]]:
    """The ``model-index`` of a card's front matter, from which the Hub reads numbers.

    Numbers of samples are limited to those by the checkpoint's own sampler and scheduler, if there are any: dozens
    would bury the card.

    Args:
        name: name of the model.
        metrics: content of its metrics.json.
        pipeline: the Hub's tag of its task; may be empty.
        sampler: the checkpoint's sampler, as in its config.json.
        scheduler: the checkpoint's scheduler; None for the model's own noise levels.

    Raises:
        ConfigError: as :func:`metric_records` does.
    """
    results: dict[tuple[str, str], dict[str, Any]] = {}
    for entry in by_sampler(metric_records(metrics), sampler, scheduler):
        args = {key: entry[key] for key in _ARGS if key in entry}
        if "name" in subrecord(entry, "features"):
            args["features"] = subrecord(entry, "features")["name"]
        name_of_data = entry["dataset"]
        split = entry.get("split", "")
        dataset = {"type": name_of_data, "name": name_of_data} | ({"split": split} if split else {})
        result = results.setdefault((name_of_data, split), {"task": {"type": pipeline or "other"}, "dataset": dataset, "metrics": []})
        result["metrics"].append({"type": entry["metric"], "value": entry["value"]} | ({"args": args} if args else {}))
    return [{"name": name, "results": [*results.values()]}]


def drawing_of(record: Mapping[str, Any]) -> tuple[Any, Any, Any]:
    """Sampler, scheduler and guidance scale of a record, in their present notation.

    No scheduler means the model's own noise levels, and no scale means no guidance.
    """
    from zoo_core.samplers.factory import with_current_defaults

    sampler = with_current_defaults(record.get("sampler"))
    return sampler, with_current_defaults(record.get("scheduler"), "scheduler"), record.get("guidance")


def by_sampler(records: Sequence[Mapping[str, Any]], sampler: object, scheduler: object = None) -> list[Mapping[str, Any]]:
    """The records by one sampler and scheduler without guidance, or by all if there are none, and the records that need no samples.

    Args:
        records: records of a metrics.json.
        sampler: a sampler, as in a config.json.
        scheduler: a scheduler; None for the model's own noise levels.
    """
    wanted = drawing_of({"sampler": sampler, "scheduler": scheduler})
    own = [record for record in records if is_of_samples(record) and drawing_of(record) == wanted]
    return [record for record in records if not own or record in own or not is_of_samples(record)]


def subrecord(record: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """The object under ``key``; empty if there is none."""
    value = record.get(key)
    return value if isinstance(value, dict) else {}


def is_of_samples(record: Mapping[str, Any]) -> bool:
    """Whether a record is of samples that were drawn, and not of a model on data."""
    return isinstance(record.get("sampler"), dict)


def sample_count(record: Mapping[str, Any], kind: Literal["real", "drawn"]) -> int | None:
    """The number of real or drawn samples of a record; None if it does not state one.

    Args:
        record: a record, whose ``n`` is an object with both numbers, or a plain number of the samples that were
            measured.
        kind: which samples to count.
    """
    n = record.get("n")
    measured = "drawn" if is_of_samples(record) else "real"
    number = n.get(kind) if isinstance(n, dict) else n if kind == measured else None
    return number if type(number) is int else None


def seconds_per_sample(record: Mapping[str, Any]) -> float | None:
    """Seconds to draw one sample, in the fastest batch if the record states it, else on average.

    None if it states neither.
    """
    if is_number(record.get("pace")):
        return record["pace"]
    seconds = record.get("seconds")
    drawn = sample_count(record, "drawn")
    return seconds / drawn if is_number(seconds) and drawn else None


def comparable_groups(records: Sequence[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    """The records of samples, in groups whose numbers can be compared.

    The records of a group have the same number of samples, seed, weights, data and feature space. A metric that uses no
    real samples joins the first group that it could belong to.
    """
    groups: dict[str, list[Mapping[str, Any]]] = {}
    real: dict[str, int | None] = {}
    sampled = [(record, _basis(record), sample_count(record, "real")) for record in records if is_of_samples(record)]
    for _, basis, n in sampled:
        real[basis] = real.get(basis) or n
    for record, basis, n in sampled:
        groups.setdefault(f"{basis} {n or real[basis]}", []).append(record)
    return [*groups.values()]


def _basis(record: Mapping[str, Any]) -> str:
    data, features = (subrecord(record, key) for key in ("data", "features"))
    plain = [record.get(key) for key in ("dataset", "split", "seed", "weights")]
    return json.dumps(
        [*plain, data.get("digest"), features.get("name"), features.get("digest"), sample_count(record, "drawn")], sort_keys=True
    )
