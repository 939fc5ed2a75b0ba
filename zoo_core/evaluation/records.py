"""metrics.json as it is kept: records of measurements, each in the place of an older one of the same."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from zoo_core.atomic import check_folder, write_file
from zoo_core.cards.metrics import metric_records, sampler_and_scheduler
from zoo_core.config import dump_json, load_json
from zoo_core.evaluation.reference_statistics import REFERENCE, read_references, with_reference
from zoo_core.evaluation.statistics import Moments

__all__ = ["check_kept", "keep"]

# What tells one measurement from another, beside the sampler and its noise levels.
_KEY = ("metric", "options", "features", "seed", "n", "dataset", "split", "data")


def check_kept(path: Path) -> None:
    """Raises, before hours of work, what :func:`keep` would raise after them."""
    if path.exists():
        metric_records(load_json(path))
    beside = path.with_name(REFERENCE)
    if beside.exists():
        read_references(beside.read_bytes())
    check_folder(path)


def keep(path: Path, records: Sequence[Mapping[str, Any]], moments: Mapping[str, Moments]) -> None:
    """Puts records into a metrics.json, and the statistics of the real samples into the reference.safetensors beside it.

    Args:
        path: of the metrics.json; it need not exist.
        records: of :func:`zoo_core.evaluation.evaluate.evaluate`.
        moments: of the real samples, by the digest of the feature space.

    Raises:
        ConfigError: one of the files is there and is not what the zoo writes.
        UnsafeContentError: the reference.safetensors is none.
    """
    check_kept(path)
    kept = load_json(path) if path.exists() else {}
    beside = path.with_name(REFERENCE)
    before = content = beside.read_bytes() if beside.exists() else None
    for record in records:
        if "real" in record["n"] and record.get("features", {}).get("digest") in moments:
            content = with_reference(content, record, moments[record["features"]["digest"]])
    if content is not None and content != before:
        write_file(beside, content)
    latest = {_key(record): record for record in [*kept.get("metrics", []), *records]}
    new = {_key(record) for record in records}
    ordered = [record for key, record in latest.items() if key not in new] + [latest[key] for key in dict.fromkeys(map(_key, records))]
    write_file(path, dump_json({**kept, "metrics": ordered}).encode())


def _key(record: Mapping[str, Any]) -> str:
    return json.dumps([*sampler_and_scheduler(record), *(record.get(name) for name in _KEY)], sort_keys=True)
