"""Checkpoints written on the spot: real folders with real weights, as files and as a plugin that pins them."""

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import nn

from zoo_core import cards
from zoo_core.config import dump_json, encode
from zoo_core.interfaces import ModelConfig, Sampler, Scheduler
from zoo_core.testing.plugins import write_plugin

__all__ = ["pins_of", "write_checkpoint", "write_checkpoint_plugin"]


def write_checkpoint(
    folder: Path, model: nn.Module, config: ModelConfig, sampler: Sampler | None = None, scheduler: Scheduler | None = None
) -> Path:
    """Writes a checkpoint folder: config.json, model.safetensors and a draft card.

    Args:
        folder: folder, created if it is missing.
        model: model whose weights are written.
        config: config of the model; its family must be registered.
        sampler: sampler of the checkpoint; none when None.
        scheduler: noise levels of the checkpoint; the sampler's own when None.

    Returns:
        ``folder``, which ``local:FOLDER`` means.
    """
    folder.mkdir(parents=True, exist_ok=True)
    version = getattr(type(model), "weights_version", 1)
    plain: dict[str, Any] = {"format": 1, "weights_version": version, "model": encode(config), "sampler": encode(sampler)}
    plain |= {"scheduler": encode(scheduler)} if scheduler else {}
    state = {name: value.detach().cpu().clone(memory_format=torch.contiguous_format) for name, value in model.state_dict().items()}
    (folder / "config.json").write_text(dump_json(plain))
    (folder / "model.safetensors").write_bytes(save(state, metadata={"format": "pt"}))
    (folder / "README.md").write_text(cards.draft(folder.name, plain, {}))
    return folder


def pins_of(folder: Path) -> dict[str, Any]:
    """The entry of checkpoints.json for the present files of a checkpoint folder."""
    config = json.loads((folder / "config.json").read_bytes())
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
    return {
        "family": config["model"]["name"],
        "summary": f"a {config['model']['name']} for tests",
        "license": "unknown",
        "dataset": "fake-data",
        "files": {name: {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)} for name, data in files.items()},
    }


def write_checkpoint_plugin(
    folder: Path,
    name: str,
    model: nn.Module,
    config: ModelConfig,
    sampler: Sampler | None = None,
    *,
    dist: str = "zoo-blobs",
) -> Path:
    """Writes the distribution ``dist``, which carries the checkpoint ``name`` and pins its files; further calls add checkpoints.

    Returns:
        The checkpoint's folder, ``folder/model_cards/NAME``; install ``folder``.
    """
    written = write_checkpoint(folder / "model_cards" / name, model, config, sampler)
    path = folder / "checkpoints.json"
    pins = json.loads(path.read_bytes()) if path.exists() else {}
    path.write_text(dump_json({**pins, name: pins_of(written)}))
    source = (
        "from zoo_core.hookspecs import hookimpl\nfrom zoo_core.specs import checkpoints\n\n\n"
        "@hookimpl\ndef zoo_specs():\n    return checkpoints(__name__)\n"
    )
    write_plugin(folder, dist, source)
    return written
