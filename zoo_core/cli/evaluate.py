"""``zoo evaluate``."""

import math
import os
from pathlib import Path
from typing import Any

import click

from zoo_core.cards.numbers import PLAIN, nature, relation
from zoo_core.cli.console import echo_json, inert, say
from zoo_core.cli.options import OF_SCHEDULER, STAGES, data_option, option, scheduler_option
from zoo_core.cli.progress import Progress
from zoo_core.cli.tables import number, table
from zoo_core.config import apply_overrides
from zoo_core.errors import UsageError
from zoo_core.registry import registry
from zoo_core.specs import MetricSpec

__all__ = ["evaluate"]


@click.command()
@click.argument("reference", type=STAGES)
@option("metrics")
@option("n", type=click.IntRange(2), help="Number of samples to draw.  [default: as many as there are real ones]")
@option("data")
@option("data_root")
@option("features")
@option("sampler", help="A sampler with its own defaults.  [default: the checkpoint's]")
@option("scheduler")
@option("steps", type=str, metavar="N,...", help="Steps of the sampler; of several, each is measured.")
@click.option("--guidance", metavar="SCALE,...", help="Classifier-free guidance; of several scales, each is measured.")
@option("options", help="An option of the sampler, or scheduler.KEY, data.KEY, METRIC.KEY; repeatable.")
@option("seed")
@option("batch_size", type=click.IntRange(1))
@option("device")
@click.option("--floors", is_flag=True, help="Also compare halves of the real samples: as they are, and degraded.")
@click.option("--json", "as_json", is_flag=True, help="Print the records as JSON.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="A metrics.json to add the records to.")
def evaluate(reference: str, metrics: str, steps: str | None, guidance: str | None, as_json: bool, out: Path | None, **given: Any) -> None:
    """Measure the checkpoint REFERENCE: its samples against real ones, or its answers about real ones.

    The real samples are the training data, or those of --data. Under torchrun, the processes share the work, and the numbers stay
    the same.

    \b
    Examples:
      zoo evaluate local:runs/digits --metrics fd,kid -n 1000
      zoo evaluate ddpm-afhq-cat --features timm:resnet18 -n 1000
      zoo evaluate local:runs/digits --sampler ddim --steps 5,10,20,50
      zoo evaluate ddpm-afhq-cat --sampler heun --scheduler karras --steps 5
      zoo evaluate local:runs/clothes --metrics fd,recall --guidance 1,2,4
      zoo evaluate local:runs/digits --floors --out metrics.json
      zoo evaluate classifier-mnist --metrics accuracy -o data.split=test
      zoo evaluate ddpm-afhq-cat --metrics bpd -o bpd.method=bound -n 100
    """
    names = [name.strip() for name in metrics.split(",") if name.strip()]
    data = data_option(reference, given["data"], given["data_root"], given["options"])
    schedule = scheduler_option(given["scheduler"], given["options"])
    own = [text for text in given["options"] if not text.startswith(("data.", OF_SCHEDULER))]
    of_metrics, options = _split(own)
    records: list[dict[str, Any]] = []
    try:
        with Progress("evaluate") as progress:
            progress.status("loading PyTorch, the model and the data")
            from zoo_core.distributed import Processes
            from zoo_core.evaluation.evaluate import evaluate as measure

            measure(
                reference,
                names,
                options=of_metrics,
                n=given["n"],
                data=data,
                features=given["features"],
                samplers=_samplers(given["sampler"], steps, options),
                scheduler=schedule,
                guidance=_scales(guidance),
                seed=given["seed"],
                batch_size=given["batch_size"],
                device=given["device"],
                floors=given["floors"],
                out=out,
                on_batch=progress.add,
                on_stage=lambda name, total: progress.stage(f"evaluate: {name}", total),
                on_record=records.append,
            )
        Processes.leave()
        if out and os.environ.get("RANK", "0") == "0":
            say(inert(f"{out}: {len(records)} record{'s' if len(records) > 1 else ''}"))
    finally:  # also after an error or Ctrl-C: the records so far
        if records and os.environ.get("RANK", "0") == "0":
            if as_json:
                echo_json({"metrics": records})
            else:
                _show(records)
            for record in records:
                if "few" in record:
                    say(inert(_warning(record)))


def _split(options: list[str]) -> tuple[dict[str, Any], list[str]]:
    """The options of metrics, by the names of the metrics, and all others."""
    registered = registry().claims(MetricSpec)
    of_metrics = [text for text in options if text.partition("=")[0].rpartition(".")[0] in registered]
    return apply_overrides({}, of_metrics), [text for text in options if text not in of_metrics]


def _samplers(name: str | None, steps: str | None, options: list[str]) -> list[dict[str, Any] | None]:
    """A sampler for each of ``--steps``, as the changes to the checkpoint's own or as ``name`` with changes; None for no change.

    Raises:
        UsageError: if ``steps`` is not a list of numbers.
    """
    try:
        numbers = [[f"steps={part}"] for part in dict.fromkeys(int(part) for part in steps.split(","))] if steps else [[]]
    except ValueError:
        raise UsageError(f"--steps {steps!r} is not a list of numbers", "write it as --steps 20 or --steps 5,10,20,50") from None
    return [apply_overrides({"name": name} if name else {}, [*number, *options]) or None for number in numbers]


def _scales(text: str | None) -> list[float | None]:
    """The scales of ``--guidance``; None alone for no guidance.

    Raises:
        UsageError: if it is not a list of finite numbers.
    """
    if text is None:
        return [None]
    try:
        scales = [float(part) for part in text.split(",")]
    except ValueError:
        scales = [math.nan]
    if not all(map(math.isfinite, scales)):
        raise UsageError(f"--guidance {text!r} is not a list of numbers", "write it as --guidance 2 or --guidance 1,2,4")
    return list(dict.fromkeys(scales))


def _show(records: list[dict[str, Any]]) -> None:
    rows = []
    for record in records:
        floor = record.get("floor")
        halves = [f"floor {number(floor['value'])}"] if floor else []
        halves += [f"{name} {number(entry['value'])}" for name, entry in record.get("harms", {}).items()]
        counts = " / ".join(f"{record['n'][kind]:,}" if kind in record["n"] else "-" for kind in ("drawn", "real"))
        features = record.get("features", {}).get("name", "")
        nfe = str(record.get("nfe", ""))
        scale = f"{record['guidance']:g}" if "guidance" in record else ""
        value = relation(record, PLAIN) + number(record["value"], record["stderr"])
        rows.append([record["metric"], value, nature(record, PLAIN), counts, features, nfe, scale, ", ".join(halves)])
    heads = ["METRIC", "VALUE", "UNIT", "DRAWN / REAL", "FEATURES", "NFE", "GUIDANCE", "REAL HALVES"]
    filled = [column for column in range(len(heads)) if any(row[column] for row in rows)]
    shown = [[row[column] for column in filled] for row in rows]
    table([heads[column] for column in filled], shown, drop=("FEATURES", "NFE", "DRAWN / REAL"), right=("NFE",))


def _warning(record: dict[str, Any]) -> str:
    """A warning that a number comes from too few samples, with the checkpoint's record from more of them."""
    few = record["few"]
    n = min(record["n"].values())
    recorded = few.get("recorded")
    known = f"; its record says {number(recorded['value'], recorded.get('stderr'))} of {recorded['n']['drawn']:,}" if recorded else ""
    return f"zoo: warning: {record['metric']} of {n:,} samples says little: take at least {few['enough']:,}{known}"
