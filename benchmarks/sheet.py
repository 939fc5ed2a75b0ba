"""``python -m benchmarks.sheet REFERENCE METRICS.json OUT.png``: images of the same seeds by every sampler of a metrics.json.

Draws a row of images for each sampler in METRICS.json, as `zoo evaluate --metrics fd,pixel-std,pixel-saturation --out METRICS.json` writes
it, and prints the numbers as a table in markdown, with those of halves of the real data if `--floors` measured them. Every row begins from
the same noise.
"""

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as `zoo` does; read when torch is imported

import torch  # see above

import zoo_core
from benchmarks.timing import machine
from zoo_core.atomic import write_file
from zoo_core.cards.metrics_json import metric_records, sampler_and_scheduler, seconds_per_sample, subrecord
from zoo_core.cards.numbers import rounded, sampler_of
from zoo_core.config import load_json
from zoo_core.figures.titles import walk_text
from zoo_core.images import labelled_grid, png
from zoo_core.interfaces import Denoiser

COLUMNS = 10
METRICS = ("fd", "pixel-std", "pixel-saturation")
Record = Mapping[str, Any]


def by_sampler(records: list[Record]) -> list[dict[str, Record]]:
    """The records of each sampler that has an fd, by their metrics; samplers with the largest distances first."""
    groups: dict[str, dict[str, Record]] = {}
    for record in records:
        groups.setdefault(json.dumps(sampler_and_scheduler(record), sort_keys=True), {})[record["metric"]] = record
    return sorted((group for group in groups.values() if "fd" in group), key=lambda group: -group["fd"]["value"])


def cells(values: Mapping[str, Record]) -> str:
    """The three numbers as cells of the table, fd with its standard error if there is one; missing numbers are empty cells."""
    fd, std, share = (values.get(name) for name in METRICS)
    error = f" ± {fd['stderr']:.2f}" if fd and fd["stderr"] is not None else ""
    texts = [f"{fd['value']:.2f}{error}" if fd else "", f"{std['value']:.3f}" if std else ""]
    return " | ".join([*texts, f"{share['value']:.1%}" if share else ""])


def main(reference: str, metrics: Path, out: Path) -> None:
    model = zoo_core.load(reference)
    rows, captions = [], []
    print(f"{machine()}\n")
    print("| sampler | passes | seconds an image | fd | pixel-std | pixel-saturation |\n|---|---:|---:|---:|---:|---:|")
    samplers = by_sampler([record for record in metric_records(load_json(metrics)) if record["metric"] in METRICS])
    for each in samplers:
        fd = each["fd"]
        scheduler = subrecord(fd, "scheduler")
        rows.append(model.sample(COLUMNS, seed=0, sampler=fd["sampler"], scheduler=scheduler or cast(Denoiser, model.model).scheduler))
        contrast = f", std {each['pixel-std']['value']:.2f}" if "pixel-std" in each else ""
        captions.append(f"{walk_text(fd['sampler'], scheduler)}: fd {fd['value']:.2f}{contrast}")
        seconds = seconds_per_sample(fd)
        print(f"| `{sampler_of(fd)}` | {fd['nfe']} | {'' if seconds is None else rounded(seconds, 2)} | {cells(each)} |")
    floors = {name: record["floor"] for each in samplers for name, record in each.items() if "floor" in record}
    if floors:
        print(f"| real halves | | | {cells(floors)} |")
    write_file(out, png(labelled_grid(torch.stack(rows), rows=captions), {"reference": reference}))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
