"""``zoo evaluate``."""

import os
from pathlib import Path
from typing import Any

import click

from zoo_core.cards.numbers import PLAIN, nature, relation
from zoo_core.cli.console import echo_json, inert, say
from zoo_core.cli.options import OF_SCHEDULER, REFERENCE, data_option, scheduler_option
from zoo_core.cli.progress import Progress
from zoo_core.cli.tables import number, table
from zoo_core.config import apply_overrides
from zoo_core.errors import UsageError
from zoo_core.registry import registry
from zoo_core.specs import MetricSpec

__all__ = ["evaluate"]


@click.command()
@click.argument("reference", type=REFERENCE)
@click.option("--metrics", default="fd", show_default=True, metavar="NAME,...", help="What to measure; `zoo list metrics`.")
@click.option("-n", "--n", "n", type=click.IntRange(2), metavar="N", help="Samples to draw.  [default: as many as there are real ones]")
@click.option("--data", "data", metavar="[DIST:]NAME[:PATH]", help="The real samples.  [default: what it was trained on]")
@click.option("--data-root", metavar="DIR", help="Where the files of mnist, cifar10, ... are. Default: $ZOO_DATA.")
@click.option("--features", metavar="NAME", help="A checkpoint with features, inception, or timm:NAME.  [default: by the data]")
@click.option("--sampler", metavar="NAME", help="A sampler with its own defaults.  [default: the checkpoint's]")
@click.option("--scheduler", metavar="NAME", help="The noise levels, as `zoo sample` has it.  [default: the checkpoint's]")
@click.option("--steps", metavar="N,...", help="Steps of the sampler; several measure each.")
@click.option(
    "-o",
    "--option",
    "options",
    multiple=True,
    metavar="KEY=VALUE",
    help="Of the sampler, or scheduler.KEY, data.KEY, METRIC.KEY.",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the samples.")
@click.option("--batch-size", type=click.IntRange(1), default=64, show_default=True, metavar="N", help="How many at once.")
@click.option("--device", metavar="NAME", help="cpu, cuda, ...  [default: the first accelerator, or the CPU]")
@click.option("--floors", is_flag=True, help="Also compare real halves, as they are and harmed.")
@click.option("--json", "as_json", is_flag=True, help="Print the records as JSON.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="A metrics.json to put the records into.")
def evaluate(reference: str, metrics: str, steps: str | None, as_json: bool, out: Path | None, **given: Any) -> None:
    """Measure the checkpoint REFERENCE: its samples against real ones, or what it makes of these.

    The real ones are those that it was trained on, or those of --data. Under torchrun, the processes share the work, and the numbers
    stay the same.

    \b
    Examples:
      zoo evaluate local:runs/digits --metrics fd,kid -n 1000
      zoo evaluate ddpm-afhq-cat --features timm:resnet18 -n 1000
      zoo evaluate local:runs/digits --sampler ddim --steps 5,10,20,50
      zoo evaluate ddpm-afhq-cat --sampler heun --scheduler karras --steps 5
      zoo evaluate local:runs/digits --floors --out metrics.json
      zoo evaluate classifier-mnist --metrics accuracy -o data.split=test
      zoo evaluate ddpm-afhq-cat --metrics bpd -o bpd.method=bound -n 100
    """
    names = [name.strip() for name in metrics.split(",") if name.strip()]
    data = data_option(reference, given["data"], given["data_root"], given["options"])
    schedule = scheduler_option(given["scheduler"], given["options"])
    of_metrics, options = _of_metrics([text for text in given["options"] if not text.startswith(("data.", OF_SCHEDULER))])
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
    finally:  # what was measured before something failed, or Ctrl-C
        if records and os.environ.get("RANK", "0") == "0":
            if as_json:
                echo_json({"metrics": records})
            else:
                _show(records)
            for record in records:
                if "few" in record:
                    say(inert(_warning(record)))


def _of_metrics(options: list[str]) -> tuple[dict[str, Any], list[str]]:
    """Options of metrics, by the metrics' names, and all others."""
    registered = registry().claims(MetricSpec)
    ours = [text for text in options if text.partition("=")[0].rpartition(".")[0] in registered]
    return apply_overrides({}, ours), [text for text in options if text not in ours]


def _samplers(name: str | None, steps: str | None, options: list[str]) -> list[dict[str, Any] | None]:
    """What ``--sampler``, ``--steps`` and ``-o`` make of the checkpoint's sampler; None where they say nothing."""
    try:
        numbers = [[f"steps={part}"] for part in dict.fromkeys(int(part) for part in steps.split(","))] if steps else [[]]
    except ValueError:
        raise UsageError(f"--steps {steps!r} is no list of numbers", "write it as --steps 20 or --steps 5,10,20,50") from None
    return [apply_overrides({"name": name} if name else {}, [*number, *options]) or None for number in numbers]


def _show(records: list[dict[str, Any]]) -> None:
    rows = []
    for record in records:
        floor, harms = record.get("floor"), record.get("harms", {})
        beside = [f"floor {number(floor['value'])}"] if floor else []
        beside += [f"{name} {number(entry['value'])}" for name, entry in harms.items()]
        counts = " / ".join(f"{record['n'][kind]:,}" if kind in record["n"] else "-" for kind in ("drawn", "real"))
        features, nfe = record.get("features", {}).get("name", ""), str(record.get("nfe", ""))
        rows.append([record["metric"], _told(record), nature(record, PLAIN), counts, features, nfe, ", ".join(beside)])
    heads = ["METRIC", "VALUE", "UNIT", "DRAWN / REAL", "FEATURES", "NFE", "REAL HALVES"]
    filled = [column for column in range(len(heads)) if any(row[column] for row in rows)]
    chosen = [[row[column] for column in filled] for row in rows]
    table([heads[column] for column in filled], chosen, drop=("FEATURES", "NFE", "DRAWN / REAL"), right=("NFE",))


def _warning(record: dict[str, Any]) -> str:
    """That a number is of too few samples to say much, and what is recorded of more."""
    few, name, n = record["few"], record["metric"], min(record["n"].values())
    recorded = few.get("recorded")
    known = f"; its record says {number(recorded['value'], recorded.get('stderr'))} of {recorded['n']['drawn']:,}" if recorded else ""
    return f"zoo: warning: {name} of {n:,} samples says little: take at least {few['enough']:,}{known}"


def _told(record: dict[str, Any]) -> str:
    return relation(record, PLAIN) + number(record["value"], record["stderr"])
