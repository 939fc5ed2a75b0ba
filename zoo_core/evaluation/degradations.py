"""Degradations of real images: known harms, whose numbers stand beside those of drawn samples."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from zoo_core.data.dataset import Data
from zoo_core.evaluation.features import Change
from zoo_core.images import is_image
from zoo_core.rng import Stream, generator

__all__ = ["COLLAPSED", "DEGRADATIONS", "Degradation", "degradations", "halves"]

COLLAPSED = 10
DEGRADATIONS = ("blur", "noise", "class left out", f"{COLLAPSED} images")


@dataclass(frozen=True, kw_only=True)
class Degradation:
    """A degraded copy of real samples.

    Args:
        name: one of :data:`DEGRADATIONS`.
        index: places in the data set of the samples that it keeps, int64 (n,); a place may occur more than once.
        change: function that changes the samples; None leaves them unchanged.

    >>> Degradation(name="2 images", index=torch.tensor([0, 1, 0, 1])).index.unique().tolist()
    [0, 1]
    """

    name: str
    index: Tensor
    change: Change | None = None


def halves(data: Data) -> tuple[Tensor, Tensor]:
    """Places of two disjoint random halves of a data set, int64 (len(data) // 2,) each; of an odd number, one sample is left over."""
    order = torch.from_numpy(generator(0, 0, Stream.DATA).permutation(len(data)))
    half = len(data) // 2
    return order[:half], order[half : 2 * half]


def degradations(data: Data, index: Tensor) -> Iterator[Degradation]:
    """Yields the degradations of the samples at ``index``, each by itself.

    For images: ``blur`` by a Gaussian of one pixel, and ``noise`` of standard deviation 0.1, where values are in [-1, 1]. For data with
    several classes: ``class left out``, the first. For all data: ``10 images``, repeated as by a generator whose modes collapsed.

    Args:
        data: the data set.
        index: places of the samples, int64 (n,).

    >>> import torch
    >>> points = Data(x=torch.zeros(30, 2), labels=torch.arange(30) % 3)
    >>> [(item.name, len(item.index)) for item in degradations(points, torch.arange(30))]
    [('class left out', 20), ('10 images', 30)]
    """
    if is_image(data.event.shape):
        yield Degradation(name="blur", index=index, change=_blurred)
        yield Degradation(name="noise", index=index, change=_noisy)
    if data.labels is not None and data.labels.min() < data.labels.max():
        yield Degradation(name="class left out", index=index[data.labels[index] != data.labels.min()])
    yield Degradation(name=f"{COLLAPSED} images", index=index[torch.arange(len(index)) % COLLAPSED])


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
