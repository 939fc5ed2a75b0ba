"""A repository, a run and its files, for tests of publishing."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save

from zoo_core import cards
from zoo_core.config import dump_json, load_json
from zoo_core.images import png
from zoo_core.publishing import Published, publish
from zoo_core.testing import write_checkpoint
from zoo_core.testing.fake import Fake
from zoo_core.testing.fake_config import FakeConfig
from zoo_core.testing.hub import LoopbackHub

CAT = "zoo/cat"
OURS = "cat, by zoo-core 0.1.0"  # the title of an older version
IMAGES = FakeConfig(shape=(3, 8, 8), bounded=True)
PNG = png(torch.zeros(3, 4, 4, dtype=torch.uint8))
METRICS: dict[str, Any] = {
    "metrics": [
        {"metric": "fd", "value": 12.3, "stderr": 0.4, "unit": "", "dataset": "afhq", "split": "val", "n": 500},
        {"metric": "precision", "value": 1, "dataset": "afhq", "split": "val"},
        {"metric": "nll", "value": 1e-5, "unit": "bits/dim", "dataset": "mnist"},
    ]
}


def write_run(run: Path, name: str = "cat") -> Path:
    """Writes a finished run with a draft card; returns the folder of its checkpoint."""
    folder = write_checkpoint(run / "export", Fake(IMAGES), IMAGES)
    (run / "recipe.json").write_text("{}")
    training = {"steps": 10, "versions": {"torch": "2.15.0"}}
    (folder / "training.json").write_text(dump_json(training))
    (folder / "README.md").write_text(cards.draft(name, load_json(folder / "config.json"), training))
    (folder / "samples.png").write_bytes(PNG)
    return folder


def put(run: str | Path, license: str | None = "mit", **options: Any) -> Published:
    """Publishes a run as ``zoo/cat``."""
    return publish(run, CAT, license=license, **options)


def files_of(hub: LoopbackHub, repo: str = CAT) -> dict[str, bytes]:
    """The files of a repository, without the one that every new repository has."""
    return {name: blob.data for name, blob in hub.repos[repo].head.files.items() if name != ".gitattributes"}


def rewrite(path: Path, old: str, new: str) -> None:
    """Replaces text in a file, which must be there."""
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def weights(change: Callable[[dict[str, torch.Tensor]], object]) -> Callable[[Path], None]:
    """Changes the weights in a folder."""

    def changed(folder: Path) -> None:
        state = load((folder / "model.safetensors").read_bytes())
        change(state)
        (folder / "model.safetensors").write_bytes(save(state))

    return changed
