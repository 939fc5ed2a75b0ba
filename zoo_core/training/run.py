"""The folder of a run: whose it is, where it goes on from, and what it says of itself."""

import json
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from zoo_core.config import dump_json, load_json
from zoo_core.curves import read_metrics
from zoo_core.errors import IncompatibleCheckpoint, UsageError
from zoo_core.files import write_file
from zoo_core.precision import DTYPES
from zoo_core.recipes import Recipe
from zoo_core.training.checkpoint import Snapshot, newest

__all__ = ["Origin", "claim_run", "find_run", "flat"]

# Changing these does not change what the steps compute, so a resumed run may.
_LEFTOVER = re.compile(r"\.tmp-.+-[0-9a-f]{8}")  # of a process that was killed while it wrote
_FREE = ("steps", "save_every", "keep", "sample_every", "log_every")


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where a run goes on from.

    Args:
        snapshot: the state to restore; None for a new run.
        facts: what every checkpoint of the run records: its recipe, the data's digest, the source's commit, and ``forks``, the changes of
            recipe or data that the user insisted on.
        forked: whether there was such a change just now.
        recipe: the recipe with the precision that the run began with, where that was for the hardware to choose.
    """

    recipe: Recipe
    snapshot: Snapshot | None
    facts: dict[str, Any] = field(default_factory=dict)
    forked: bool = False


def find_run(out: Path, recipe: Recipe, *, digest: str, commit: str, resume: bool, fork: bool, auto: bool = False) -> Origin:
    """Looks into the folder for a run of this recipe on this data, and changes nothing there but to sweep. The folder's lock is held.

    With ``auto``, the hardware chose the recipe's precision, and that of a run in the folder goes before it.

    Raises:
        UsageError: it holds a run and ``resume`` is False.
        IncompatibleCheckpoint: it holds a run of another recipe or other data and ``fork`` is False, or of more steps.
    """
    for folder in (out, out / "export", out / "samples"):
        for leftover in folder.glob(".tmp-*"):
            if _LEFTOVER.fullmatch(leftover.name) and leftover.is_file():
                leftover.unlink(missing_ok=True)
    snapshot, exported = newest(out / "steps"), (out / "export" / "model.safetensors").exists()
    if not resume and (snapshot is not None or exported):
        raise UsageError(f"{out} holds a run already", "choose another --out, or leave --no-resume out to go on with it")
    if snapshot is not None and snapshot.step > recipe.fit.steps:
        raise IncompatibleCheckpoint(f"the run in {out} is at step {snapshot.step}, past {recipe.fit.steps}", "choose another --out")
    before = _before(out, snapshot, exported)
    recipe = _as_begun(recipe, before, out) if auto and before else recipe
    changed = _changes(before, recipe)
    if snapshot is not None and snapshot.facts.get("data_digest") != digest:
        changed["data"] = [snapshot.facts.get("data_digest"), digest]
    if changed and not fork:
        shown = "another recipe or other data ("
        shown += ", ".join(f"{key}: {_short(before)} -> {_short(now)}" for key, (before, now) in list(changed.items())[:3])
        raise IncompatibleCheckpoint(f"{out} holds a run of {shown})", "choose another --out, or --fork to go on with the change")
    facts: dict[str, Any] = {"data_digest": digest, "commit": commit, "forks": [], "recipe": recipe.to_dict()}
    if snapshot is not None:
        kept = {name: snapshot.facts.get(name, facts[name]) for name in ("commit", "forks")}
        facts = {**facts, **kept}
        if changed:
            facts["forks"] = [*facts["forks"], {"step": snapshot.step, "changed": changed}]
    return Origin(recipe=recipe, snapshot=snapshot, facts=facts, forked=bool(changed))


def _as_begun(recipe: Recipe, recorded: Mapping[str, Any], out: Path) -> Recipe:
    """The recipe with the precision of the run that is recorded, if that is one which the hardware chooses."""
    began, now = recorded.get("fit", {}).get("precision"), recipe.fit.precision
    if began == now or began not in ("no", "bf16"):
        return recipe
    what = f"the run in {out} goes on in {began} ({DTYPES[began]}), as it began; on this machine auto would be {now} ({DTYPES[now]})"
    warnings.warn(f"{what} -- -o fit.precision={now} --fork changes it", RuntimeWarning, stacklevel=2)
    return replace(recipe, fit=replace(recipe.fit, precision=began))


def claim_run(out: Path, recipe: Recipe, step: int) -> None:
    """Makes the folder that of a run of ``recipe`` which goes on from ``step``: writes recipe.json, and trims metrics.jsonl."""
    write_file(out / "recipe.json", dump_json(recipe.to_dict()).encode())
    _trim_metrics(out / "metrics.jsonl", step)


def _before(out: Path, snapshot: Snapshot | None, exported: bool) -> Mapping[str, Any] | None:
    """The recipe of the run in the folder. A run that never saved anything has nothing to lose, and so none."""
    if snapshot is not None:
        recorded: Mapping[str, Any] | None = snapshot.facts.get("recipe")
        return recorded
    return load_json(out / "recipe.json") if exported and (out / "recipe.json").exists() else None


def _changes(recorded: Mapping[str, Any] | None, recipe: Recipe) -> dict[str, list[Any]]:
    """What differs from the recipe that is recorded, as [before, now]."""
    if recorded is None:
        return {}
    before, now = flat(recorded), flat(recipe.to_dict())
    free = {f"fit.{name}" for name in _FREE if name != "steps" or recipe.fit.lr_schedule == "constant"}
    free |= {"data.path", "data.root", "data.download"}  # what was read is compared by its digest
    keys = [key for key in {**before, **now} if key not in free and before.get(key) != now.get(key)]
    return {key: [before.get(key), now.get(key)] for key in keys}


def flat(data: Any, prefix: str = "") -> Mapping[str, Any]:
    """Nested dictionaries as one, with keys such as ``fit.steps``."""
    if not isinstance(data, Mapping) or not data:
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
