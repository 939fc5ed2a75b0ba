"""Samples from a model in training, always of the same noise, and a sheet of them."""

import json
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from zoo_core.config import encode
from zoo_core.images import is_image, save_npz, save_samples
from zoo_core.interfaces import Sampler
from zoo_core.rng import ImageRng

__all__ = ["draw", "save_sheet"]

COUNT, SEED = 64, 0


def save_sheet(path: Path, model: nn.Module, sampler: Sampler, device: torch.device) -> None:
    """Draws images 0 ... 63 of seed 0, one class after the other where the model has labels, and writes them as a PNG.

    What cannot be drawn, such as a vector of five numbers, is written as an .npz beside it.

    Raises:
        ResourceError: the disk is full or the folder cannot be written.
    """
    classes = cast(int, getattr(model, "num_classes", 0))
    x = draw(model, sampler, device, range(COUNT), torch.arange(COUNT) % classes if classes else None)
    facts = {"sampler": json.dumps(encode(sampler)), "seed": str(SEED)}
    shape = tuple(x.shape[1:])
    if is_image(shape) or (shape == (2,) and find_spec("matplotlib")):
        save_samples(path, x, facts)
    else:
        save_npz(path.with_suffix(".npz"), x, facts)


def draw(model: nn.Module, sampler: Sampler, device: torch.device, index: Sequence[int], labels: Tensor | None) -> Tensor:
    """Images ``index`` of seed 0 from a model in training, float32 (n, *event.shape), on the CPU."""
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            y = None if labels is None else labels.to(device)
            x = sampler(model, ImageRng(SEED, index, device), sigmas=sampler.noise_levels(model, None), labels=y)
    finally:
        model.train(was_training)
    return x.float().cpu()
