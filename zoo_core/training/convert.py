"""Conversion of a checkpoint's weights to another dtype: a checkpoint folder of half the size."""

import hashlib
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from zoo_core import __version__, cards
from zoo_core.atomic import write_file
from zoo_core.checkpoint.files import CARD, CONFIG, TRAINING, WEIGHTS
from zoo_core.config import dump_json
from zoo_core.errors import UsageError
from zoo_core.evaluation.golden import write_golden
from zoo_core.pretrained import Pretrained
from zoo_core.training.export import stored
from zoo_core.training.preview import save_sheet

__all__ = ["DTYPES", "convert"]

DTYPES = ("float32", "float16", "bfloat16")
"""The dtypes in which weights may be stored."""
_COPIED = ("LICENSE",)


def convert(model: Pretrained, folder: Path, dtype: str) -> Path:
    """Writes a checkpoint folder with the weights of a loaded checkpoint in another dtype, and returns it.

    The record of the training is that of the original, with the new dtype and the digest of the original weights. The sheet and the golden
    samples are drawn anew. Numbers are not taken over, since they are those of other weights: ``zoo evaluate`` measures again.

    Args:
        model: loaded checkpoint.
        folder: folder to write, new or empty.
        dtype: ``float32``, ``float16`` or ``bfloat16``.

    Raises:
        UsageError: if the folder has files, or the dtype is none of these.
        ConfigError: if a weight is too large for the dtype.
        ResourceError: if the folder cannot be written to.

    Example:
        >>> import tempfile
        >>> from zoo_core.loading import load
        >>> model = load("realnvp-moons")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     half = convert(model, Path(folder), "float16")
        ...     load(f"local:{half}").sample(2, seed=0).shape
        torch.Size([2, 2])
    """
    if dtype not in DTYPES:
        raise UsageError(f"weights cannot be stored as {dtype!r}", f"choose one of {', '.join(DTYPES)}")
    if folder.exists() and any(folder.iterdir()):
        raise UsageError(f"{folder} is not empty", "name a new folder")
    state = stored(model.model, getattr(torch, dtype), "dtype")
    net = deepcopy(model.model)
    net.load_state_dict(state)
    folder.mkdir(parents=True, exist_ok=True)
    weights = save(state, metadata={"format": "pt"})
    write_file(folder / WEIGHTS, weights)
    for name in (CONFIG, *(name for name in _COPIED if name in model.files.names)):
        write_file(folder / name, model.files.read(name))
    config = model.files.json(CONFIG)
    training = _record(model, dtype)
    write_file(folder / TRAINING, dump_json(training).encode())
    write_file(folder / CARD, cards.draft(folder.name, config, training, reference=f"{cards.LOCAL}{folder}").encode())
    if config.get("sampler") is not None:
        facts = {"Software": f"zoo-core {__version__}", "weights": f"sha256:{hashlib.sha256(weights).hexdigest()}"}
        save_sheet(folder / "samples.png", net, model.sampler, model.device, model.scheduler_of(model.sampler), facts)
        write_golden(folder)
    return folder


def _record(model: Pretrained, dtype: str) -> dict[str, Any]:
    """The content of training.json: as of the original, with the new dtype and the digest of the original weights."""
    record: dict[str, Any] = dict(model.files.json(TRAINING)) if TRAINING in model.files.names else {}
    if isinstance(fit := record.get("recipe", {}).get("fit"), dict):
        record["recipe"] = {**record["recipe"], "fit": {**fit, "export_dtype": dtype}}
    return {**record, "converted_from": model.files.digest(WEIGHTS)}
