"""Figures of records: losses and metrics of a training run, numbers of an evaluation. They need no model."""

import hashlib
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from zoo_core import __version__
from zoo_core.cards.metrics_json import METRICS, metric_records, subrecord
from zoo_core.cards.metrics_log import Curve, curve, read_metrics, recorded_curve
from zoo_core.checkpoint.files import TRAINING, WEIGHTS
from zoo_core.cli.figure.common import Page
from zoo_core.config import load_json
from zoo_core.errors import UsageError, ZooError
from zoo_core.figures.titles import number, title_line
from zoo_core.hub.fetch import fetch
from zoo_core.registry import registry
from zoo_core.specs import MetricSpec

__all__ = ["draw_guidance", "draw_loss", "draw_metrics", "draw_quality", "draw_truncation", "drawable_records"]

_STEPS = "metrics.jsonl"


def drawable_records(target: str) -> list[str]:
    """Those of ``loss``, ``metrics``, ``quality``, ``guidance`` and ``truncation`` for which a run or a checkpoint has numbers."""
    try:
        _, _, logged = _curve(target)
    except UsageError:  # a folder without a run
        logged = {}
    _, records = _records(target)
    from zoo_core.figures.guidance import trade_offs
    from zoo_core.figures.truncation import truncation_curves

    enough = {
        "loss": bool(_losses(logged)),
        "metrics": bool(_measured(logged)),
        "quality": len(_costs(records)) > 1,
        "guidance": bool(trade_offs(records)),
        "truncation": bool(truncation_curves(records)),
    }
    return [kind for kind, drawable in enough.items() if drawable]


def draw_loss(target: str, page: Page) -> None:
    """The losses of a run or a checkpoint over its steps.

    Raises:
        UsageError: if it has no record of them.
    """
    from zoo_core.figures.training import curves

    name, title, logged = _curve(target)
    page = page.named(name, "loss")
    losses = _losses(logged)
    if not losses:
        raise UsageError(f"{target} has no record of a loss", f"it is in a run's {_STEPS}, and in a checkpoint's {TRAINING}")
    steps = [step for step in logged["step"] if step is not None]
    line = title_line(title, f"{number(steps[-1], 12)} steps")
    page.plot(curves(steps, losses, page.titled(line)), _facts(target, steps=steps[-1]), line)
    page.say(f"{', '.join(losses)} over {steps[-1]:,} steps")


def _losses(logged: Curve) -> Curve:
    if not logged.get("step"):
        return {}
    return {key: values for key, values in logged.items() if key == "loss" or key.startswith("loss.")}


def draw_metrics(target: str, page: Page, *, metrics: Sequence[str]) -> None:
    """The metrics of samples that a run measured during training, over its steps.

    Raises:
        UsageError: if it measured none, or not those of ``metrics``.
    """
    from zoo_core.figures.training import metric_curves

    name, title, logged = _curve(target)
    page = page.named(name, "metrics")
    known = _measured(logged)
    if not known:
        hint = "`zoo train ... --eval-every N` measures; `zoo figure REF quality` draws the numbers of `zoo evaluate`"
        raise UsageError(f"{target} measured no metrics while it trained", hint)
    if missing := [each for each in metrics if each not in known]:
        raise UsageError(f"{target} did not measure {missing[0]} while it trained", f"it measured {', '.join(known)}")
    shown = {key: known[key] for key in metrics or known}
    steps = [step for step in logged["step"] if step is not None]
    line = title_line(title, "measured while it trained")
    page.plot(metric_curves(steps, shown, page.titled(line)), _facts(target, metrics=", ".join(shown)), line)
    ends = []
    for key, values in shown.items():
        measured = [(step, value) for step, value in zip(steps, values, strict=True) if value is not None]
        (first, begin), (last, end) = measured[0], measured[-1]
        ends.append(f"{key} {begin:.4g} at step {first:,}, {end:.4g} at step {last:,}")
    page.say("; ".join(ends))


def _measured(logged: Curve) -> Curve:
    return {key: values for key, values in logged.items() if registry().offers(MetricSpec, key)}


def _curve(target: str) -> tuple[str, str, Curve]:
    """The name, the title and the logged numbers of a run folder or a checkpoint.

    Raises:
        UsageError: if it is a folder without a run.
    """
    folder = Path(target.removeprefix("local:")).expanduser()
    for run in (folder, folder.parent if folder.name == "export" else folder):
        if (run / _STEPS).is_file():
            return run.resolve().name, _title(run), curve(read_metrics(run / _STEPS))
    if folder.is_dir() and not target.startswith("local:"):
        raise UsageError(f"{folder} is not a run folder: it has no {_STEPS}", "a checkpoint in a folder is written local:PATH")
    files = fetch(target)
    return files.name, files.name, recorded_curve(files.json(TRAINING)) if TRAINING in files.names else {}


def _title(run: Path) -> str:
    """The last two names of a run's path, and its family and data: ``runs/mine, vae on mnist``."""
    recipe = run / "recipe.json"
    try:
        plain = load_json(recipe) if recipe.is_file() else {}
    except ZooError:
        plain = {}
    family, data = (str(subrecord(plain, key).get("name", "")) for key in ("model", "data"))
    origin = " on ".join(filter(None, [family, data]))
    return ", ".join(filter(None, ["/".join(run.resolve().parts[-2:]), origin]))


def _facts(target: str, **facts: object) -> dict[str, str]:
    """The source of a figure of records, with the digest of the weights if they are there."""
    folder = Path(target.removeprefix("local:")).expanduser()
    weights = next((place / WEIGHTS for place in (folder, folder / "export") if (place / WEIGHTS).is_file()), None)
    if weights is not None:
        digest: str | None = hashlib.sha256(weights.read_bytes()).hexdigest()
    else:
        digest = None if folder.is_dir() else fetch(target).digest(WEIGHTS)
    known = {"Software": f"zoo-core {__version__}", "reference": target, "weights": f"sha256:{digest}" if digest else None, **facts}
    return {key: str(value) for key, value in known.items() if value is not None}


def draw_quality(target: str, page: Page, *, metrics: Sequence[str]) -> None:
    """Metrics of a checkpoint's samples over their cost.

    Raises:
        UsageError: if it has no numbers of its samples, or at one cost alone.
    """
    from zoo_core.figures.quality import panels, plot_quality

    name, records = _records(target)
    page = page.named(name, "quality")
    drawn = panels(records, metrics)
    if not drawn:
        raise UsageError(f"{target} has no numbers of its samples", _made_by(target))
    costs = _costs(records, metrics)
    if costs == {1}:
        hint = "`zoo compare` shows its numbers beside those of other checkpoints"
        raise UsageError(f"{target} draws in one pass: there is no quality over cost to draw", hint)
    if len(costs) == 1:
        raise UsageError(f"{target} was measured at {min(costs):g} evaluations of the net alone, which makes no curve", _made_by(target))
    facts = _facts(target, metrics=", ".join(panel.metric for panel in drawn))
    line = title_line(name, "quality against cost")
    page.plot(plot_quality(drawn, page.titled(line)), facts, line)
    page.say("; ".join(f"{panel.metric} of {', '.join(panel.curves)}" for panel in drawn))


def draw_guidance(target: str, page: Page, *, metrics: Sequence[str]) -> None:
    """Metrics of a checkpoint's samples over the scale of classifier-free guidance.

    Raises:
        UsageError: if none was measured at two or more scales.
    """
    from zoo_core.figures.guidance import plot_trade_offs, trade_offs

    name, records = _records(target)
    page = page.named(name, "guidance")
    made = trade_offs(records, metrics)
    if not made:
        folder = Path(target.removeprefix("local:")).expanduser()
        reference = f"local:{target}" if folder.is_dir() and not target.startswith("local:") else target
        hint = f"`zoo evaluate {reference} --metrics fd,class-accuracy --guidance 1,2,4 --out FOLDER/{METRICS}` makes them"
        raise UsageError(f"{target} has no numbers at two or more guidance scales", hint)
    line = title_line(name, "guidance")
    page.plot(plot_trade_offs(made, page.titled(line)), _facts(target, metrics=", ".join(each.metric for each in made)), line)
    page.say("; ".join(f"{each.metric} at scale {', '.join(f'{scale:g}' for scale in each.scales)}" for each in made))


def draw_truncation(target: str, page: Page, *, metrics: Sequence[str]) -> None:
    """A metric of a checkpoint's samples against another over the truncation of latents.

    Raises:
        UsageError: if ``metrics`` are not two, or were not both measured at two or more truncations.
    """
    from zoo_core.figures.truncation import plot_truncation, truncation_curves

    if len(metrics) not in (0, 2):
        raise UsageError(
            f"the figure truncation has two metrics, not {len(metrics)}", "pass --metric for each; without, they are fd and recall"
        )
    up, across = metrics or ("fd", "recall")
    name, records = _records(target)
    page = page.named(name, "truncation")
    curves = truncation_curves(records, up, across)
    if not curves:
        folder = Path(target.removeprefix("local:")).expanduser()
        reference = f"local:{target}" if folder.is_dir() and not target.startswith("local:") else target
        hint = f"`zoo evaluate {reference} --metrics {up},{across} -o truncation=0.5 --out FOLDER/{METRICS}` adds those of one"
        raise UsageError(f"{target} has no numbers of {up} and {across} at two or more truncations", hint)
    line = title_line(name, "truncation")
    page.plot(plot_truncation(curves, page.titled(line), up, across), _facts(target, metrics=f"{up}, {across}"), line)
    bounds = [[f"{bound:g}" if bound < math.inf else "none" for bound in each.bounds] for each in curves]
    page.say("; ".join(f"{up} against {across} at truncation {', '.join(each)}" for each in bounds))


def _costs(records: Sequence[Mapping[str, Any]], metrics: Sequence[str] = ()) -> set[float]:
    """The numbers of network evaluations at which samples were measured, of those that the figure ``quality`` draws."""
    from zoo_core.figures.quality import panels

    return {point.nfe for panel in panels(records, metrics) for points in panel.curves.values() for point in points}


def _made_by(target: str) -> str:
    folder = Path(target.removeprefix("local:")).expanduser()
    if (folder / _STEPS).is_file() and _measured(curve(read_metrics(folder / _STEPS))):
        return f"`zoo figure {target} metrics` draws its metrics while it trained; `zoo evaluate --steps 5,10,20` measures more"
    reference = f"local:{target}" if folder.is_dir() and not target.startswith("local:") else target
    return f"`zoo evaluate {reference} --steps 5,10,20,50 --out FOLDER/{METRICS}` makes them, for `zoo figure FOLDER quality`"


def _records(target: str) -> tuple[str, Sequence[Mapping[str, Any]]]:
    """A name, and the records of the metrics.json of a folder, of a run's export or of a checkpoint."""
    folder = Path(target.removeprefix("local:")).expanduser()
    name = (folder.parent if folder.name == "export" else folder).resolve().name
    for place in (folder, folder / "export"):
        if (place / METRICS).is_file():
            return name, metric_records(load_json(place / METRICS))
    if folder.is_dir():
        return name, ()
    files = fetch(target)
    return files.name, metric_records(files.json(METRICS)) if METRICS in files.names else ()
