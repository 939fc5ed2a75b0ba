"""``python -m benchmarks.sheet REFERENCE METRICS.json OUT.png``: the same seeds by every sampler of a metrics.json.

Draws a row of images for each sampler that `zoo evaluate --out METRICS.json` measured the checkpoint with, and prints the numbers as a
table in markdown. Every row begins from the same noise.
"""

import os
import sys
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as `zoo` does; read when torch is imported

import torch

import zoo_core
from zoo_core.config import load_json
from zoo_core.files import write_file
from zoo_core.images import labelled_grid, png
from zoo_core.numbers import fields, numbers, seconds_each
from zoo_core.numbers_table import rounded, sampler_of

COLUMNS = 10


def main(reference: str, metrics: Path, out: Path) -> None:
    model = zoo_core.load(reference)
    records = [record for record in numbers(load_json(metrics)) if record["metric"] == "fd"]
    records.sort(key=lambda record: -record["value"])
    rows, captions = [], []
    print("| sampler | passes | seconds an image | FD |\n|---|---:|---:|---:|")
    for record in records:
        scheduler = fields(record, "scheduler")
        rows.append(model.sample(COLUMNS, seed=0, sampler=record["sampler"], scheduler=scheduler or None))
        name = " on ".join(filter(None, [record["sampler"]["name"], scheduler.get("name")]))
        captions.append(f"{name}, {record['nfe']}: fd {record['value']:.2f}")
        told = f"{record['value']:.2f} ± {record['stderr']:.2f}"
        print(f"| `{sampler_of(record)}` | {record['nfe']} | {rounded(seconds_each(record) or 0.0, 2)} | {told} |")
    write_file(out, png(labelled_grid(torch.stack(rows), rows=captions), {"reference": reference}))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
