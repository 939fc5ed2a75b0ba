"""The folder of a run: its recipe, and the checkpoint from which it resumes."""

import json
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from zoo_core.atomic import write_file
from zoo_core.cards.metrics_log import read_metrics
from zoo_core.config import dump_json, load_json
from zoo_core.errors import ConfigError, IncompatibleCheckpoint, IntegrityError, UsageError, ZooError
from zoo_core.hardware.precision import DTYPES
from zoo_core.recipes import Recipe
from zoo_core.training.checkpoints import Snapshot, newest

__all__ = ["Origin", "claim_run", "find_run", "flat"]

_LEFTOVER = re.compile(r"\.tmp-.+-[0-9a-f]{8}")  # from a process that was killed while it wrote
# A resumed run may change these: they do not change the weights after a step.
_HARMLESS = re.compile(r"fit\.(save_every|keep|sample_every|log_every|export_dtype)|(sampler|scheduler)(\..+)?")
_PLACE = ("data.path", "data.root", "data.download", "data.repo", "data.revision")  # the data itself is compared by its digest
_TEACHER = re.compile(r"trainer\..+\.sha256")
_LONGEST = 140  # longest command that an error line has room for, in characters


@dataclass(frozen=True, kw_only=True)
class Origin:
    """The state from which a run starts or resumes.

    >>> from zoo_core.testing.fake_config import FakeConfig, FakeTrainerConfig
    >>> origin = Origin(recipe=Recipe(model=FakeConfig(), trainer=FakeTrainerConfig()), snapshot=Snapshot(step=50, parts={}, facts={}))
    >>> origin.lines(Path("runs/mine"), steps=100)
    ['going on from step 50 of 100']

    Args:
        recipe: recipe of the run; a precision that the hardware chose is that of the run's first step.
        snapshot: state to restore; None for a new run.
        facts: facts that every checkpoint of the run holds: its recipe, the data's digest, the source's commit, and ``forks``, the changes
            of recipe or data under ``--fork``.
        forked: whether ``--fork`` changes the recipe or the data now.
        harmless: changes that do not need ``--fork``, by key as [before, now].
    """

    recipe: Recipe
    snapshot: Snapshot | None
    facts: dict[str, Any] = field(default_factory=dict)
    forked: bool = False
    harmless: Mapping[str, list[Any]] = field(default_factory=dict)

    def lines(self, out: Path, steps: int) -> list[str]:
        """Messages for the user: the step from which the run resumes, and the harmless changes."""
        if self.snapshot is None:
            return []
        step = self.snapshot.step
        done = f"{out} has all of its {steps:,} steps: exporting it again"
        lines = [done if step == steps else f"going on from step {step:,} of {steps:,}"]
        if self.harmless:
            lines.append(f"changed, without effect on the weights of a step: {_listed(self.harmless)}")
        return lines


def find_run(
    out: Path,
    recipe: Recipe,
    *,
    digest: str,
    commit: str,
    resume: bool = True,
    fork: bool = False,
    auto: bool = False,
    uses_steps: bool = False,
    command: str = "",
) -> Origin:
    """Finds a run of this recipe on this data in a folder, whose lock is held. Only leftovers of crashes are removed from the folder.

    Args:
        out: run folder.
        recipe: recipe to train.
        digest: digest of the data.
        commit: commit of the source.
        resume: whether to resume a run in the folder; if False, it is refused.
        fork: whether to resume a run of another recipe or on other data.
        auto: whether the hardware chose the recipe's precision; that of a run in the folder then wins.
        uses_steps: whether the trainer's steps depend on their number in all.
        command: command line that an error suggests with ``--fork``.

    Raises:
        UsageError: if the folder holds a run and ``resume`` is False.
        IncompatibleCheckpoint: if the run is of another recipe or data and ``fork`` is False, or has more steps.
        IntegrityError: if the checkpoints of the run are damaged or gone.
    """
    _sweep(out)
    snapshot = newest(out / "steps")
    if not resume and (snapshot is not None or _has_export(out)):
        raise UsageError(f"{out} holds a run already", "choose another --out, or leave --no-resume out to go on with it")
    before: Mapping[str, Any] = (snapshot.facts.get("recipe") if snapshot else None) or {}
    recipe = _as_begun(recipe, before, out) if auto else recipe
    facts: dict[str, Any] = {"data_digest": digest, "commit": commit, "forks": [], "recipe": recipe.to_dict()}
    if snapshot is None:
        _check_new(out, recipe)
        return Origin(recipe=recipe, snapshot=None, facts=facts)
    changes = _changes(before, recipe)
    harmless = {key: each for key, each in changes.items() if _is_harmless(key, recipe, uses_steps)}
    serious = {key: each for key, each in changes.items() if key not in harmless}
    if snapshot.facts.get("data_digest") != digest:
        serious["data"] = [snapshot.facts.get("data_digest"), digest]
    if snapshot.step > recipe.fit.steps:
        what = f"the run in {out} is at step {snapshot.step:,}, past --steps {recipe.fit.steps:,}"
        raise IncompatibleCheckpoint(what, f"ask for --steps {snapshot.step} or more, or choose another --out")
    if taught := [key for key in serious if _TEACHER.fullmatch(key) and key.replace("sha256", "reference") not in serious and not fork]:
        before_, now = (str(digest)[:12] for digest in serious[taught[0]])
        what = f"the teacher's weights have changed since the run in {out} began: sha256 {before_}... -> {now}..."
        raise IntegrityError(what, "put its file back, or choose another --out")
    if serious and not fork:
        raise _refused(out, recipe, serious, command)
    facts |= {name: snapshot.facts.get(name, facts[name]) for name in ("commit", "forks")}
    if serious:
        facts["forks"] = [*facts["forks"], {"step": snapshot.step, "changed": serious}]
    return Origin(recipe=recipe, snapshot=snapshot, facts=facts, forked=bool(serious), harmless=harmless)


def _sweep(out: Path) -> None:
    """Removes the leftovers of killed processes."""
    for folder in (out, out / "export", out / "samples"):
        for leftover in folder.glob(".tmp-*"):
            if _LEFTOVER.fullmatch(leftover.name) and leftover.is_file():
                leftover.unlink(missing_ok=True)


def _as_begun(recipe: Recipe, recorded: Mapping[str, Any], out: Path) -> Recipe:
    """The recipe with the precision of the recorded run, if the hardware may choose that."""
    began = recorded.get("fit", {}).get("precision")
    now = recipe.fit.precision
    if began == now or began not in ("no", "bf16"):
        return recipe
    what = f"the run in {out} goes on in {began} ({DTYPES[began]}), as it began; on this machine auto would be {now} ({DTYPES[now]})"
    warnings.warn(f"{what} -- -o fit.precision={now} --fork changes it", RuntimeWarning, stacklevel=2)
    return replace(recipe, fit=replace(recipe.fit, precision=began))


def _refused(out: Path, recipe: Recipe, changed: Mapping[str, list[Any]], command: str) -> IncompatibleCheckpoint:
    """The error for a run of another recipe or other data, with the command that accepts the change."""
    again = f"{command} --fork" if command and len(command) <= _LONGEST else "the same command with --fork"
    if changed.keys() == {"fit.steps"}:
        before, now = changed["fit.steps"]
        what = f"{out} holds a run of {before:,} steps; its learning rate decays to 0 ({recipe.fit.lr_schedule}), so {now:,} steps differ"
        return IncompatibleCheckpoint(what, f"go on under the new schedule: {again}")
    what = f"{out} holds a run of another recipe or other data ({_listed(changed, 3)})"
    return IncompatibleCheckpoint(what, f"choose another --out, or go on with the change: {again}")


def _check_new(out: Path, recipe: Recipe) -> None:
    """Checks that a folder without checkpoints does not hold a run that has saved some.

    Raises:
        IntegrityError: if it does.
    """
    try:
        every = load_json(out / "recipe.json")["fit"]["save_every"]
    except (ConfigError, KeyError, TypeError):
        every = recipe.fit.save_every
    last = max((row["step"] for row in read_metrics(out / "metrics.jsonl")), default=0)
    if _has_export(out) or (isinstance(every, int) and last > every):
        evidence = "export/" if _has_export(out) else f"metrics to step {last:,}"
        what = f"{out} holds {evidence} of a run, and steps/ has none of its checkpoints"
        raise IntegrityError(what, f"put them back; to start anew choose another --out, or remove {out}")


def _has_export(out: Path) -> bool:
    return (out / "export" / "model.safetensors").exists()


def claim_run(out: Path, recipe: Recipe, step: int) -> None:
    """Writes the recipe of a run that resumes from ``step`` into its folder, and trims metrics.jsonl to that step."""
    _trim_metrics(out / "metrics.jsonl", step)
    write_file(out / "recipe.json", dump_json(recipe.to_dict()).encode())


def _changes(recorded: Mapping[str, Any], recipe: Recipe) -> dict[str, list[Any]]:
    """The differences from the recorded recipe, as [before, now]; empty without one, as in checkpoints of other versions."""
    if not recorded:
        return {}
    before = flat(_with_defaults(recorded))
    now = flat(recipe.to_dict())
    keys = [key for key in {**before, **now} if key not in _PLACE and before.get(key) != now.get(key)]
    return {key: [before.get(key), now.get(key)] for key in keys}


def _with_defaults(recorded: Mapping[str, Any]) -> Mapping[str, Any]:
    """A recorded recipe with the defaults of the fields that later versions added; as it is if it cannot be read."""
    try:
        return Recipe.from_dict(recorded).to_dict()
    except ZooError:
        return recorded


def _is_harmless(key: str, recipe: Recipe, uses_steps: bool) -> bool:
    """Whether a change leaves the weights of each step the same. The number of steps matters to a decaying rate and to some trainers."""
    return bool(_HARMLESS.fullmatch(key)) or (key == "fit.steps" and recipe.fit.lr_schedule == "constant" and not uses_steps)


def _listed(changed: Mapping[str, list[Any]], most: int | None = None) -> str:
    """The first ``most`` changes in words."""
    return ", ".join(f"{key}: {_short(before)} -> {_short(now)}" for key, (before, now) in list(changed.items())[:most])


def flat(data: Any, prefix: str = "") -> Mapping[str, Any]:
    """Nested dictionaries as a flat one, with keys such as ``fit.steps``.

    >>> flat({"fit": {"steps": 100, "ema": None}})
    {'fit.steps': 100, 'fit.ema': None}
    """
    if not isinstance(data, Mapping) or not data:
        return {prefix.rstrip("."): data}
    return {key: value for name, item in data.items() for key, value in flat(item, f"{prefix}{name}.").items()}


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:12]}..."


def _trim_metrics(path: Path, step: int) -> None:
    """Removes the lines after ``step``, which the resumed run writes again; all lines for a new run."""
    if path.exists():
        rows = [row for row in read_metrics(path) if step and row["step"] <= step]
        write_file(path, "".join(f"{json.dumps(row)}\n" for row in rows).encode())
