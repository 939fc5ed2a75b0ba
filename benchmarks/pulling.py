"""A verified pull of 50 MB from a loopback server against the Hub's own client, and verified reading against bare hashing."""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors.torch import save

from benchmarks.timing import Ratio, compare
from zoo_core import cards
from zoo_core.checkpoint.files import WEIGHTS
from zoo_core.config import dump_json
from zoo_core.hub.fetch import fetch, pull
from zoo_core.testing.hub import LoopbackHub, loopback_hub

REPO = "zoo/cats"
NUMBERS = 12_500_000


def measure() -> Iterator[Ratio]:
    """A pull into an empty cache, then reading from that cache."""
    with tempfile.TemporaryDirectory() as folder, loopback_hub() as hub:
        # The client reads its environment when it is imported, which is below.
        os.environ.update(hub.environment(Path(folder)))
        os.environ.pop("HF_HUB_OFFLINE", None)
        yield _pulling(hub, Path(folder) / "hub")
        yield _verifying()


def _pulling(hub: LoopbackHub, cache: Path) -> Ratio:
    from huggingface_hub import snapshot_download

    config = {"format": 1, "weights_version": 1, "model": {"name": "fake"}}
    weights = save({"weight": torch.randn(NUMBERS, generator=torch.Generator().manual_seed(0))})
    hub.add_repo(REPO, {"config.json": dump_json(config).encode(), "README.md": cards.draft("cats", config, {}).encode(), WEIGHTS: weights})

    def empty() -> None:
        shutil.rmtree(cache, ignore_errors=True)

    def ours() -> None:
        empty()
        pull(REPO)

    def theirs() -> None:
        empty()
        snapshot_download(REPO)

    return compare("pull of 50 MB, verified", ours, "snapshot_download, which verifies nothing", theirs, budget=1.3, rounds=9)


def _verifying() -> Ratio:
    [files] = pull(REPO)
    path = files.folder / WEIGHTS
    return compare(
        "reading 50 MB verified",
        lambda: fetch(f"{REPO}@{files.folder.name}").read(WEIGHTS),
        "read and hashlib",
        lambda: hashlib.sha256(path.read_bytes()).hexdigest(),
        budget=1.25,
        rounds=15,
    )
