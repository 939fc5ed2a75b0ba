"""Figures of records: losses of a training, numbers of an evaluation. They need no model."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from zoo_core import __version__
from zoo_core.cli.console import inert, say
from zoo_core.cli.figure.common import checked
from zoo_core.config import load_json
from zoo_core.curves import Curve, curve, read_metrics
from zoo_core.errors import UsageError
from zoo_core.hub import TRAINING, fetch
from zoo_core.numbers import METRICS, numbers

__all__ = ["draw_loss", "draw_quality"]

_STEPS = "metrics.jsonl"


def draw_loss(target: str, out: Path | None) -> None:
    """The losses of a run or a checkpoint over its steps."""
    from zoo_core.figures.training import curves
    from zoo_core.files import write_file

    name, found = _curve(target)
    path = checked(out, name, "loss")
    losses = {key: values for key, values in found.items() if key == "loss" or key.startswith("loss.")}
    if not losses or not found.get("step"):
        raise UsageError(f"{target} has no record of a loss", f"it is in a run's {_STEPS}, and in a checkpoint's {TRAINING}")
    steps = [step for step in found["step"] if step is not None]
    write_file(path, curves(steps, losses, {"reference": target}, title=name))
    say(inert(f"{path}: {', '.join(losses)} over {steps[-1]:,} steps"))


def _curve(target: str) -> tuple[str, Curve]:
    """A name, and the steps and losses of a run folder or a checkpoint."""
    folder = Path(target.removeprefix("local:")).expanduser()
    for run in (folder, folder.parent if folder.name == "export" else folder):
        if (run / _STEPS).is_file():
            return run.resolve().name, curve(read_metrics(run / _STEPS))
    if folder.is_dir() and not target.startswith("local:"):
        raise UsageError(f"{folder} is no run folder: it has no {_STEPS}", "a checkpoint in a folder is written local:PATH")
    files = fetch(target)
    recorded: Curve = files.json(TRAINING).get("curve", {}) if TRAINING in files.names else {}
    return files.name, recorded


def draw_quality(target: str, out: Path | None, *, metrics: Sequence[str]) -> None:
    """What metrics say of a checkpoint's samples, over what these cost."""
    from zoo_core.figures.quality import panels, plot_quality
    from zoo_core.files import write_file

    name, records = _records(target)
    path = checked(out, name, "quality")
    found = panels(records, metrics)
    if not found:
        hint = f"`zoo evaluate {target} --steps 5,10,20,50 --out FOLDER/{METRICS}` makes them, for `zoo figure FOLDER quality`"
        raise UsageError(f"{target} has no numbers of its samples", hint)
    facts = {"Software": f"zoo-core {__version__}", "reference": target, "metrics": ", ".join(panel.metric for panel in found)}
    write_file(path, plot_quality(found, facts, title=name))
    say(inert(f"{path}: " + "; ".join(f"{panel.metric} of {', '.join(panel.curves)}" for panel in found)))


def _records(target: str) -> tuple[str, Sequence[Mapping[str, Any]]]:
    """A name, and the records of the metrics.json of a folder, of a run's export or of a checkpoint."""
    folder = Path(target.removeprefix("local:")).expanduser()
    name = (folder.parent if folder.name == "export" else folder).resolve().name
    for place in (folder, folder / "export"):
        if (place / METRICS).is_file():
            return name, numbers(load_json(place / METRICS))
    if folder.is_dir():
        return name, ()
    files = fetch(target)
    return files.name, numbers(files.json(METRICS)) if METRICS in files.names else ()
