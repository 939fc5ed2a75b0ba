"""Ways to spoil real images: known harms, for a number to stand beside."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from zoo_core.data.dataset import Data
from zoo_core.evaluation.features import Change
from zoo_core.images import is_image
from zoo_core.rng import Stream, generator

__all__ = ["COLLAPSED", "HARMS", "Harm", "halves", "harms"]

COLLAPSED = 10
HARMS = ("blur", "noise", "class left out", f"{COLLAPSED} images")


@dataclass(frozen=True, kw_only=True)
class Harm:
    """A harm: the places ``index`` of the samples that are left, with copies, and what is done to them."""

    name: str
    index: Tensor
    change: Change | None = None


def halves(data: Data) -> tuple[Tensor, Tensor]:
    """The places of two disjoint halves of the data, drawn at random; one sample of an odd number is left over."""
    order, half = torch.from_numpy(generator(0, 0, Stream.DATA).permutation(len(data))), len(data) // 2
    return order[:half], order[half : 2 * half]


def harms(data: Data, index: Tensor) -> Iterator[Harm]:
    """What is done to the samples at ``index``, each harm for itself.

    ``blur``, a Gaussian of one pixel, and ``noise``, of standard deviation 0.1 where values are in [-1, 1], for images; ``class left out``,
    the first, where there are classes; ``10 images``, again and again, as of a generator whose modes collapsed.
    """
    if is_image(data.event.shape):
        yield Harm(name="blur", index=index, change=_blurred)
        yield Harm(name="noise", index=index, change=_noisy)
    if data.labels is not None and data.labels.min() < data.labels.max():
        yield Harm(name="class left out", index=index[data.labels[index] != data.labels.min()])
    yield Harm(name=f"{COLLAPSED} images", index=index[torch.arange(len(index)) % COLLAPSED])


def _blurred(x: Tensor, index: Tensor) -> Tensor:
    reach = min(3, *(side - 1 for side in x.shape[2:]))
    distance = torch.arange(-reach, reach + 1.0)
    kernel = torch.exp(-(distance**2) / 2)
    kernel = (kernel / kernel.sum()).expand(x.shape[1], 1, 1, -1)
    for weights in (kernel, kernel.transpose(2, 3)):
        pad = [weights.shape[3] // 2] * 2 + [weights.shape[2] // 2] * 2
        x = nn.functional.conv2d(nn.functional.pad(x, pad, mode="reflect"), weights, groups=x.shape[1])
    return x


def _noisy(x: Tensor, index: Tensor) -> Tensor:
    rows = [generator(1, int(number), Stream.DATA).standard_normal(x.shape[1:], dtype="float32") for number in index]
    return x + 0.1 * torch.stack([torch.from_numpy(row) for row in rows])
