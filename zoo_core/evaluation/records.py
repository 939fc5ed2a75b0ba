"""Records of measurements in metrics.json: a new record replaces an older one of the same measurement."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from zoo_core.atomic import check_folder, write_file
from zoo_core.cards.metrics_json import drawing_of, metric_records
from zoo_core.config import dump_json, load_json
from zoo_core.evaluation.reference_statistics import REFERENCE, read_references, with_reference
from zoo_core.evaluation.statistics import Moments

__all__ = ["check_records", "save_records"]

# The fields that identify a measurement, beside the sampler and its noise levels.
_KEY = ("metric", "options", "features", "seed", "n", "dataset", "split", "data")


def check_records(path: Path) -> None:
    """Checks, before hours of work, that :func:`save_records` can write; raises the same errors."""
    if path.exists():
        metric_records(load_json(path))
    beside = path.with_name(REFERENCE)
    if beside.exists():
        read_references(beside.read_bytes())
    check_folder(path)


def save_records(path: Path, records: Sequence[Mapping[str, Any]], moments: Mapping[str, Moments]) -> None:
    """Writes records into a metrics.json, and the statistics of the real samples into the reference.safetensors beside it.

    Args:
        path: path of the metrics.json, which may be missing.
        records: records of :func:`zoo_core.evaluation.evaluate.evaluate`.
        moments: moments of the real samples, by the digest of the feature space.

    Raises:
        ConfigError: if one of the files exists and is malformed.
        UnsafeContentError: if the reference.safetensors is not a safetensors file.

    >>> import tempfile
    >>> record = {"metric": "is", "value": 1.5, "stderr": None, "n": {"drawn": 10}, "dataset": "moons"}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_records(Path(folder) / "metrics.json", [record], {})
    ...     save_records(Path(folder) / "metrics.json", [{**record, "value": 1.6}], {})
    ...     [kept] = load_json(Path(folder) / "metrics.json")["metrics"]
    >>> kept["value"]
    1.6
    """
    check_records(path)
    content = load_json(path) if path.exists() else {}
    beside = path.with_name(REFERENCE)
    old = reference = beside.read_bytes() if beside.exists() else None
    for record in records:
        if "real" in record["n"] and record.get("features", {}).get("digest") in moments:
            reference = with_reference(reference, record, moments[record["features"]["digest"]])
    if reference is not None and reference != old:
        write_file(beside, reference)
    latest = {_key(record): record for record in [*content.get("metrics", []), *records]}
    new = {_key(record) for record in records}
    ordered = [record for key, record in latest.items() if key not in new] + [latest[key] for key in dict.fromkeys(map(_key, records))]
    write_file(path, dump_json({**content, "metrics": ordered}).encode())


def _key(record: Mapping[str, Any]) -> str:
    return json.dumps([*drawing_of(record), *(record.get(name) for name in _KEY)], sort_keys=True)
