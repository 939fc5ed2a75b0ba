"""Differentiable augmentation of what a critic sees (Zhao et al. 2020, arXiv:2006.10738), for training on few images."""

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from zoo_core.interfaces import Rng

__all__ = ["Augmentation", "augmented"]

Augmentation = Literal["colour", "translation", "cutout"]
"""``colour``: brightness, saturation and contrast; ``translation``: by up to 1/8 of the side; ``cutout``: of a square of half the side."""

_REACH = 8  # of translation: 1/8 of the side
_HOLE = 2  # of cutout: 1/2 of the side


def augmented(x: Tensor, names: Sequence[Augmentation], rng: Rng) -> Tensor:
    """Images ``x`` (n, c, h, w) in [-1, 1], each augmented by draws of its own row; a gradient passes through to ``x``.

    Both the real and the generated images of both phases are augmented, so that the critic does not learn the real ones by heart and the
    generator does not learn the augmentations (section 3.2). What comes from outside, or is cut out, is 0, as in the authors' code.

    >>> from zoo_core.rng import StepRng
    >>> augmented(torch.ones(2, 3, 8, 8), ["cutout"], StepRng(0, 0, 2)).shape
    torch.Size([2, 3, 8, 8])

    Args:
        x: images.
        names: the augmentations, in their order.
        rng: random numbers, a row for each image.
    """
    for name in names:
        x = {"colour": _coloured, "translation": _translated, "cutout": _cut_out}[name](x, rng)
    return x


def _coloured(x: Tensor, rng: Rng) -> Tensor:
    brightness, saturation, contrast = (rng.uniform(1, 1, 1).to(x) for _ in range(3))
    x = x + (brightness - 0.5)
    grey = x.mean(dim=1, keepdim=True)
    x = grey + 2 * saturation * (x - grey)
    mean = x.mean(dim=(1, 2, 3), keepdim=True)
    return mean + (0.5 + contrast) * (x - mean)


def _translated(x: Tensor, rng: Rng) -> Tensor:
    n, _, height, width = x.shape
    reach = [int(side / _REACH + 0.5) for side in (height, width)]
    down, right = (rng.integers(0, 2 * most + 1) for most in reach)
    padded = F.pad(x, (reach[1], reach[1], reach[0], reach[0]))
    rows = down[:, None] + torch.arange(height, device=x.device)
    columns = right[:, None] + torch.arange(width, device=x.device)
    image = torch.arange(n, device=x.device)[:, None, None]
    return padded.permute(0, 2, 3, 1)[image, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def _cut_out(x: Tensor, rng: Rng) -> Tensor:
    hidden = []
    for side in x.shape[2:]:
        hole = int(side / _HOLE + 0.5)
        first = rng.integers(0, side + 1 - hole % 2) - hole // 2  # at the border, a part of the square lies outside
        place = torch.arange(side, device=x.device)
        hidden.append((place >= first[:, None]) & (place < first[:, None] + hole))
    both = hidden[0][:, :, None] & hidden[1][:, None, :]
    return x * ~both[:, None]
