"""The folder of a run: whose it is, where it goes on from, and what it says of itself."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from zoo_core.config import dump_json, load_json
from zoo_core.curves import read_metrics
from zoo_core.errors import IncompatibleCheckpoint, UsageError
from zoo_core.files import write_file
from zoo_core.recipes import Recipe
from zoo_core.training.checkpoint import Snapshot, newest

__all__ = ["Origin", "flat", "open_run"]

# Changing these does not change what the steps compute, so a resumed run may.
_FREE = ("steps", "save_every", "keep", "sample_every", "log_every")


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where a run goes on from.

    Args:
        snapshot: the state to restore; None for a new run.
        facts: what every checkpoint of the run records: the data's digest, the source's commit, and ``forks``, the changes of recipe or
            data that the user insisted on.
        forked: whether there was such a change just now.
    """

    snapshot: Snapshot | None
    facts: dict[str, Any] = field(default_factory=dict)
    forked: bool = False


def open_run(out: Path, recipe: Recipe, *, digest: str, commit: str, resume: bool, fork: bool) -> Origin:
    """Looks into the folder for a run of this recipe on this data, and writes recipe.json. The folder's lock is held.

    Raises:
        UsageError: it holds a run and ``resume`` is False.
        IncompatibleCheckpoint: it holds a run of another recipe or other data and ``fork`` is False, or of more steps.
    """
    if not resume and (out / "recipe.json").exists():
        raise UsageError(f"{out} holds a run already", "choose another --out, or leave --no-resume out to go on with it")
    for leftover in out.glob("**/.tmp-*"):  # of a process that was killed while it wrote
        leftover.unlink(missing_ok=True) if leftover.is_file() else shutil.rmtree(leftover, ignore_errors=True)
    facts: dict[str, Any] = {"data_digest": digest, "commit": commit, "forks": []}
    snapshot = newest(out / "steps")
    if snapshot is not None and snapshot.step > recipe.fit.steps:
        raise IncompatibleCheckpoint(f"the run in {out} is at step {snapshot.step}, past {recipe.fit.steps}", "choose another --out")
    begun = snapshot is not None or (out / "export" / "model.safetensors").exists()
    changed = _changes(out / "recipe.json", recipe) if begun else {}  # a run that never saved anything has nothing to lose
    if snapshot is not None and snapshot.facts.get("data_digest") != digest:
        changed["data"] = [snapshot.facts.get("data_digest"), digest]
    if changed and not fork:
        shown = "another recipe or other data ("
        shown += ", ".join(f"{key}: {_short(before)} -> {_short(now)}" for key, (before, now) in list(changed.items())[:3])
        raise IncompatibleCheckpoint(f"{out} holds a run of {shown})", "choose another --out, or --fork to go on with the change")
    if snapshot is not None:
        facts = {name: snapshot.facts.get(name, value) for name, value in facts.items()}
        if changed:
            facts.update(data_digest=digest, forks=[*facts["forks"], {"step": snapshot.step, "changed": changed}])
    write_file(out / "recipe.json", dump_json(recipe.to_dict()).encode())
    _trim_metrics(out / "metrics.jsonl", snapshot.step if snapshot else 0)
    return Origin(snapshot=snapshot, facts=facts, forked=bool(changed))


def _changes(path: Path, recipe: Recipe) -> dict[str, list[Any]]:
    """What differs from the recipe in the folder, as [before, now]."""
    if not path.exists():
        return {}
    before, now = flat(load_json(path)), flat(recipe.to_dict())
    free = {f"fit.{name}" for name in _FREE if name != "steps" or recipe.fit.lr_schedule == "constant"}
    free |= {"data.path", "data.root", "data.download"}  # what was read is compared by its digest
    keys = [key for key in {**before, **now} if key not in free and before.get(key) != now.get(key)]
    return {key: [before.get(key), now.get(key)] for key in keys}


def flat(data: Any, prefix: str = "") -> Mapping[str, Any]:
    """Nested dictionaries as one, with keys such as ``fit.steps``."""
    if not isinstance(data, dict) or not data:
        return {prefix.rstrip("."): data}
    return {key: value for name, item in data.items() for key, value in flat(item, f"{prefix}{name}.").items()}


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:12]}..."


def _trim_metrics(path: Path, step: int) -> None:
    """Drops the lines of steps after the checkpoint that the run goes on from: they come again."""
    if path.exists():
        rows = [row for row in read_metrics(path) if row["step"] <= step]
        write_file(path, "".join(f"{json.dumps(row)}\n" for row in rows).encode())
