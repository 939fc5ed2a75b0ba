"""``zoo data``."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from zoo_core.cli.completers import names_of
from zoo_core.cli.console import echo_json, inert, say
from zoo_core.cli.options import OutPath, option, writable
from zoo_core.cli.progress import loading
from zoo_core.config import apply_overrides, encode
from zoo_core.data.factory import as_dataset, dataset_values
from zoo_core.datasets import FolderConfig, TableConfig
from zoo_core.errors import UsageError
from zoo_core.hardware.memory import human_size
from zoo_core.interfaces import DatasetConfig

if TYPE_CHECKING:
    from zoo_core.data.dataset import Data

__all__ = ["data"]

_SHEET = 64
_POINTS = 2000
_NAMED = 12  # classes in a line
_SHOWN = 3  # captions in a line
_CAPTIONED = 36


@click.command()
@click.argument("name", metavar="[DIST:]NAME[:PATH]", shell_complete=names_of("datasets"))
@option("data_root")
@option("options", help="An option of the data set, such as size=64; repeatable.")
@click.option("--decode", is_flag=True, help="Decode a folder into the cache on disk now, whatever its size.")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
@click.option("--out", type=OutPath(), help="A .png to write a sheet of samples to; of few classes, a column for each.")
def data(name: str, data_root: str | None, options: tuple[str, ...], decode: bool, as_json: bool, out: Path | None) -> None:
    """Read a data set as training does, and say what it is.

    Files that cannot be read are named. Pictures in tables and on the Hub are decoded once, into the cache on disk ($ZOO_CACHE); so are
    those of a folder that would take more than a quarter of the memory.

    \b
    Examples:
      zoo data folder:photos -o size=64 --out sheet.png
      zoo data mnist --data-root data
      zoo data hub:zoo/cats:test -o size=64
      zoo data parquet:cats.parquet -o image=picture -o label=kind
      zoo data folder:photos -o size=64 --decode    later runs begin at once
    """
    changes = [text.removeprefix("data.") for text in options]
    config = as_dataset(apply_overrides(dataset_values(name), ([f"root={data_root}"] if data_root is not None else []) + changes))
    if decode and not isinstance(config, FolderConfig | TableConfig):
        raise UsageError(f"--decode: {encode(config)['name']} is read into memory", "leave it out")
    if out is not None:
        if out.suffix.lower() != ".png":
            raise UsageError(f"--out {out}: a sheet is a PNG", "name a .png")
        writable(out)
    with loading("data"):
        config, loaded, seconds = _load(config, decode)
    facts = _facts(config, loaded)
    if as_json:
        echo_json(facts)
    else:
        for key, text in _lines(facts, seconds):
            click.echo(f"{key:<10} {inert(text)}")
    if out is not None:
        _save_sheet(out, name, loaded, facts)
        say(inert(f"{out}: {facts['sheet']}"))


def _load(config: DatasetConfig, decode: bool) -> "tuple[DatasetConfig, Data, float]":
    """The config, with the commit of a data set on the Hub; the data; and the seconds that it took, without those of imports."""
    from zoo_core.data.dataset import load_data
    from zoo_core.data.loaders import folder_on_disk
    from zoo_core.hub.datasets import pin_dataset

    started = time.perf_counter()
    config = pin_dataset(config)
    loaded = folder_on_disk(config) if decode and isinstance(config, FolderConfig) else load_data(config)
    return config, loaded, time.perf_counter() - started


def _facts(config: DatasetConfig, loaded: "Data") -> dict[str, Any]:
    labels = loaded.labels
    counts = labels.bincount(minlength=len(loaded.classes)).tolist() if labels is not None else []
    names = [*loaded.classes, *map(str, range(len(loaded.classes), len(counts)))]
    size = loaded.x.numel() * loaded.x.element_size()
    return {
        "count": len(loaded),
        "shape": list(loaded.event.shape),
        "range": list(loaded.event.range or ()) or [float(value) for value in loaded.x.aminmax()],
        "classes": dict(zip(names, counts, strict=True)),
        **({"captions": list(loaded.captions[:_SHOWN])} if loaded.captions else {}),
        **({"attributes": {name: list(each.names) for name, each in loaded.attributes.items()}} if loaded.attributes else {}),
        "digest": loaded.digest,
        "bytes": size,
        "file": str(loaded.stored.path.parent) if loaded.stored is not None else None,
        "config": encode(config),
    }


def _lines(facts: Mapping[str, Any], seconds: float) -> list[tuple[str, str]]:
    shape = " x ".join(map(str, facts["shape"]))
    low, high = facts["range"]
    classes = [f"{name} {count:,}" for name, count in facts["classes"].items()]
    shown = ", ".join(classes[:_NAMED]) + (f", and {len(classes) - _NAMED:,} more" if len(classes) > _NAMED else "")
    place = f"on disk, {facts['file']}" if facts["file"] else "in memory"
    revision = facts["config"].get("revision")
    return [
        ("samples", f"{facts['count']:,} of {shape}, from {low:.3g} to {high:.3g}"),
        *([("classes", f"{len(classes):,}: {shown}")] if classes else [("classes", "none")]),
        *([("captions", "; ".join(facts["captions"]))] if "captions" in facts else []),
        *(
            [("attributes", ", ".join(f"{name} {len(values)}" for name, values in facts["attributes"].items()))]
            if "attributes" in facts
            else []
        ),
        *([("revision", revision)] if revision else []),
        ("digest", f"sha256:{facts['digest']}"),
        ("place", f"{human_size(facts['bytes'])} {place}; read in {seconds:.1f} s"),
    ]


def _save_sheet(out: Path, name: str, loaded: "Data", facts: dict[str, Any]) -> None:
    """Writes samples as a sheet: with their captions; or of 2 to 32 classes a column for each; otherwise taken from all of the set."""
    import torch

    from zoo_core import __version__
    from zoo_core.figures.samples import save_samples
    from zoo_core.images import class_columns

    labels = loaded.labels
    classes = [place for place, count in enumerate(facts["classes"].values()) if count]
    columns = None if loaded.captions else class_columns(len(classes), _SHEET)
    if columns and labels is not None and len(loaded.event.shape) == 3:
        rows = max(1, _SHEET // columns)
        each = [(labels == place).nonzero().flatten() for place in classes]
        least = min(rows * columns // len(classes), *map(len, each))
        spread = [where[torch.linspace(0, len(where) - 1, least).long()] for where in each]
        index = torch.stack(spread, dim=1).flatten()
        above = [list(facts["classes"])[place] for place in classes]
        facts["sheet"] = f"{len(index)} samples, a column for each class" if columns == len(classes) else f"{len(index)} samples"
        above = [above[place % len(above)] for place in range(columns)]
    else:
        most = _CAPTIONED if loaded.captions else _SHEET if len(loaded.event.shape) == 3 else _POINTS
        index = torch.linspace(0, len(loaded) - 1, min(most, len(loaded))).long()
        columns, above = None, []
        facts["sheet"] = f"{len(index)} samples"
    metadata = {"Software": f"zoo-core {__version__}", "data": f"sha256:{loaded.digest}"}
    captions = [inert(loaded.captions[place]) for place in index.tolist()] if loaded.captions else []
    save_samples(out, loaded.rows(index), metadata, columns, inert(name), [inert(text)[:24] for text in above], captions)
