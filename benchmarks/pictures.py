"""``python -m benchmarks.pictures samplers-digits|inpaint-digits OUT.png [DATA]``: two pictures of docs/samplers.md.

``samplers-digits`` shows the digits of the same seeds by eight samplers. ``inpaint-digits`` shows digits of the test set of MNIST, with its
files in DATA or $ZOO_DATA, and three kinds of completions of their left halves. Every row has a title; the file records the samplers.
"""

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as `zoo` does; read when torch is imported

import torch  # see above
from torch import Tensor

import zoo_core
from zoo_core.atomic import write_file
from zoo_core.cli.figure.common import record_of
from zoo_core.data.dataset import load_data
from zoo_core.datasets import MNISTConfig
from zoo_core.figures.titles import title_line, walk_text
from zoo_core.images import labelled_grid, png
from zoo_core.samplers.masks import part_mask

NAME = "ncsn-mnist"
KARRAS = {"name": "karras"}
WAYS: tuple[tuple[Mapping[str, Any], Mapping[str, Any] | None], ...] = (
    ({"name": "ancestral", "steps": 50}, None),
    ({"name": "predictor-corrector", "steps": 25}, None),
    ({"name": "ddim", "steps": 20}, None),
    ({"name": "euler", "steps": 20}, KARRAS),
    ({"name": "heun", "steps": 10}, KARRAS),
    ({"name": "dpmpp-2m", "steps": 10}, KARRAS),
    ({"name": "dpmpp-2m", "steps": 20}, None),
    ({"name": "langevin", "steps": 20, "steps_per_level": 3}, None),
)
LANGEVIN = {"name": "langevin", "steps": 20, "steps_per_level": 50, "step": 0.2}
GEOMETRIC = {"name": "geometric", "sigma_max": 2.0}


def samplers(model: zoo_core.Pretrained) -> tuple[Tensor, list[str], str, dict[str, str]]:
    """Twelve digits of seed 0 by each sampler: the cells, the titles of the rows, the title, and a record of the samplers."""
    cells = torch.stack([model.sample(12, seed=0, sampler=sampler, scheduler=scheduler) for sampler, scheduler in WAYS])
    rows = [walk_text(*way).replace(" on ", "\non ") for way in WAYS]
    return cells, rows, title_line(NAME, "images 0 to 11 of seed 0 by eight ways"), {"ways": json.dumps(WAYS)}


def completions(model: zoo_core.Pretrained, root: str) -> tuple[Tensor, list[str], str, dict[str, str]]:
    """Eight test digits, their left halves, and three kinds of completions; returns the same as :func:`samplers`."""
    x = load_data(MNISTConfig(root=root, split="test")).rows(torch.arange(8))
    mask = part_mask("left", model.event.shape)
    ways: list[dict[str, Any]] = [
        {"sampler": {**LANGEVIN, "masked_score": True}, "scheduler": GEOMETRIC, "times": 1},
        {"sampler": LANGEVIN, "scheduler": GEOMETRIC, "times": 1},
        {"times": 5},
    ]
    completed = [model.inpaint(x, mask, **way) for way in ways]
    cells = torch.stack([x, x.where(mask.expand_as(x), 0.0), *completed])
    rows = ["image", "known", "langevin,\nmasked score", "langevin", f"{walk_text(model.sampler)},\neach level 5 times"]
    return cells, rows, title_line(NAME, "test digits completed from their left halves", "seed 0"), {"ways": json.dumps(ways)}


def main(kind: str, out: Path, root: str = "$ZOO_DATA") -> None:
    model = zoo_core.load(NAME)
    cells, rows, title, facts = samplers(model) if kind == "samplers-digits" else completions(model, root)
    columns = [str(i) for i in range(cells.shape[1])]
    pixels = labelled_grid(cells, title=title, rows=rows, columns=columns)
    write_file(out, png(pixels, record_of(model, title=title, seed=0, **facts)))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:4])
