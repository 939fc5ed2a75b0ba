"""``zoo evaluate``."""

import json
import os
from pathlib import Path
from typing import Any

import click

from zoo_core.cli.console import echo_json, inert, say, table
from zoo_core.config import apply_overrides, decode, dump_json, load_json
from zoo_core.errors import UsageError
from zoo_core.files import write_file
from zoo_core.interfaces import DatasetConfig

__all__ = ["evaluate"]

# What tells one record of a checkpoint from another; a new one takes the place of the old.
_KEY = ("metric", "options", "features", "sampler", "seed", "n", "dataset", "split")


@click.command()
@click.argument("reference")
@click.option("--metrics", default="fd", show_default=True, metavar="NAME,...", help="What to measure; `zoo list metrics`.")
@click.option("-n", "n", type=click.IntRange(2), metavar="N", help="Samples to draw.  [default: as many as there are real ones]")
@click.option("--data", "data", metavar="NAME[:PATH]", help="The real samples.  [default: what it was trained on]")
@click.option("--data-root", metavar="DIR", help="Where the files of mnist, cifar10, ... are. Default: $ZOO_DATA.")
@click.option("--features", metavar="NAME", help="A checkpoint with features, inception, or timm:NAME.  [default: by the data]")
@click.option("--sampler", metavar="NAME", help="A sampler with its own defaults.  [default: the checkpoint's]")
@click.option("--steps", metavar="N,...", help="Steps of the sampler; several measure each.")
@click.option(
    "-o", "--option", "options", multiple=True, metavar="KEY=VALUE", help="An option of the sampler, or data.KEY=VALUE; repeatable."
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the samples.")
@click.option("--batch-size", type=click.IntRange(1), default=64, show_default=True, metavar="N", help="How many at once.")
@click.option("--device", metavar="NAME", help="cpu, cuda, ...  [default: the first accelerator, or the CPU]")
@click.option("--floors", is_flag=True, help="Also compare real halves, as they are and harmed.")
@click.option("--json", "as_json", is_flag=True, help="Print the records as JSON.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="A metrics.json to put the records into.")
def evaluate(reference: str, metrics: str, steps: str | None, as_json: bool, out: Path | None, **given: Any) -> None:
    """Measure the samples of the checkpoint REFERENCE against real ones.

    Under torchrun, the processes share the work, and the numbers stay the same.

    \b
    Examples:
      zoo evaluate local:runs/digits --metrics fd,kid -n 1000
      zoo evaluate ddpm-afhq-cat --features timm:resnet18 -n 1000
      zoo evaluate local:runs/digits --sampler ddim --steps 5,10,20,50
      zoo evaluate local:runs/digits --floors --out metrics.json
    """
    names = [name.strip() for name in metrics.split(",") if name.strip()]
    data = _data(given["data"], given["data_root"], given["options"])
    options = [text for text in given["options"] if not text.startswith("data.")]
    numbers = _numbers(steps)
    from zoo_core.evaluation.evaluate import evaluate as measure
    from zoo_core.training.processes import Processes

    records: list[dict[str, Any]] = []
    for number in numbers:
        chosen = apply_overrides(
            {"name": given["sampler"]} if given["sampler"] else {}, [*([f"steps={number}"] if number else []), *options]
        )
        with _Progress() as progress:
            records += measure(
                reference,
                names,
                n=given["n"],
                data=data,
                features=given["features"],
                sampler=chosen or None,
                seed=given["seed"],
                batch_size=given["batch_size"],
                device=given["device"],
                floors=given["floors"] and number == numbers[0],
                on_batch=progress,
            )
    Processes.leave()
    if os.environ.get("RANK", "0") != "0":
        return
    if out:
        _put(out, records)
    if as_json:
        echo_json({"metrics": records})
    else:
        _show(records)


def _data(text: str | None, root: str | None, options: tuple[str, ...]) -> DatasetConfig | None:
    changes = [option.removeprefix("data.") for option in options if option.startswith("data.")]
    if text is None:
        if root or changes:
            raise UsageError("--data-root and -o data.KEY=VALUE need --data", "add --data NAME")
        return None
    name, _, path = text.partition(":")
    plain = {"name": name, **({"path": path} if path else {}), **({"root": root} if root else {})}
    config: DatasetConfig = decode(DatasetConfig, apply_overrides(plain, changes), "data")
    return config


def _numbers(steps: str | None) -> list[int | None]:
    try:
        return [int(part) for part in steps.split(",")] if steps else [None]
    except ValueError:
        raise UsageError(f"--steps {steps!r} is no list of numbers", "write it as --steps 20 or --steps 5,10,20,50") from None


def _put(path: Path, records: list[dict[str, Any]]) -> None:
    """Puts the records into a metrics.json, each in the place of one of the same measurement."""
    kept = load_json(path).get("metrics", []) if path.exists() else []
    new = [_key(record) for record in records]
    write_file(path, dump_json({"metrics": [*(record for record in kept if _key(record) not in new), *records]}).encode())
    say(inert(f"{path}: {len(records)} records"))


def _key(record: dict[str, Any]) -> str:
    return json.dumps([record.get(name) for name in _KEY], sort_keys=True)


def _show(records: list[dict[str, Any]]) -> None:
    rows = []
    for record in records:
        floor, harms = record.get("floor"), record.get("harms", {})
        beside = [f"floor {floor['value']:.4g}"] if floor else []
        beside += [f"{name} {entry['value']:.4g}" for name, entry in harms.items()]
        counts = f"{record['n']['drawn']:,}" + (f" / {record['n']['real']:,}" if "real" in record["n"] else "")
        rows.append([record["metric"], _told(record), counts, record["features"]["name"], str(record["nfe"]), ", ".join(beside)])
    table(["METRIC", "VALUE", "DRAWN / REAL", "FEATURES", "NFE", "REAL HALVES"], rows)


def _told(record: dict[str, Any]) -> str:
    return f"{record['value']:.4g}" + (f" +- {record['stderr']:.2g}" if record["stderr"] is not None else "")


class _Progress:
    """A bar of images on a terminal; nothing in a pipe."""

    def __enter__(self) -> "_Progress":
        from tqdm import tqdm

        self.bar = tqdm(unit="img", disable=None, leave=False)
        return self

    def __exit__(self, *exc: object) -> None:
        self.bar.close()

    def __call__(self, n: int) -> None:
        self.bar.update(n)
