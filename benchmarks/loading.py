"""``load()`` of a checkpoint of 10 MB, after ``import torch``."""

import hashlib
import json
from collections.abc import Iterator

import torch
from safetensors.torch import load_file

import zoo_core
from benchmarks.timing import Ratio, compare
from zoo_core.config import decode
from zoo_core.interfaces import ModelConfig
from zoo_core.registry import parse_reference
from zoo_ddpm.model import DDPM

NAME = "ddpm-afhq-cat"


def measure() -> Iterator[Ratio]:
    """The floor is the bare module on the device ``meta``, one pass of sha256 and one ``load_file``."""
    folder = parse_reference(NAME).spec().folder
    assert folder is not None
    config = decode(ModelConfig, json.loads((folder / "config.json").read_text())["model"])
    weights = folder / "model.safetensors"

    def floor() -> None:
        with torch.device("meta"):
            model = DDPM(config)  # type: ignore[arg-type]  # the config is of this family
        hashlib.sha256(weights.read_bytes()).hexdigest()
        model.load_state_dict(load_file(weights), strict=True, assign=True)

    yield compare(f"load({NAME!r})", lambda: zoo_core.load(NAME), "meta module, sha256, load_file", floor, budget=1.2, rounds=15)
