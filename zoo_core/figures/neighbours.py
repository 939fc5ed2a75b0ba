"""Samples beside their nearest training images."""

from collections.abc import Callable

import torch
from torch import Tensor

from zoo_core.data.dataset import Data
from zoo_core.errors import ConfigError, UsageError
from zoo_core.evaluation import distances
from zoo_core.evaluation.feature_spaces import FeatureSpace
from zoo_core.figures.levels import images_of
from zoo_core.pretrained import Pretrained

__all__ = ["nearest"]


def nearest(
    pretrained: Pretrained,
    data: Data,
    judge: FeatureSpace,
    n: int,
    *,
    seed: int = 0,
    k: int = 5,
    batch_size: int = 64,
    on_batch: Callable[[int], None] = lambda n: None,
) -> tuple[Tensor, Tensor]:
    """Images 0 ... n - 1 of a seed, each with its ``k`` nearest training images in a feature space.

    Args:
        pretrained: model that draws the images.
        data: training images; if there are fewer than ``k``, all of them are neighbours.
        judge: feature space.
        n: number of images to draw.
        seed: seed of the images.
        k: number of training images for each.
        batch_size: number of images in a batch; changes speed and memory alone.
        on_batch: function called after each batch with the number of its training images.

    Returns:
        Images in [-1, 1], (n, 1 + k, c, h, w): the drawn one, then its neighbours, the nearest first; and their distances (n, k), float64,
        divided by the mean distance of a training image to the nearest other one: the unit of the metric ``nearest-train``.

    Raises:
        UsageError: if the samples are not images, there are fewer than 2 training images, or all of these are copies.
        ConfigError: if the data has samples of another shape.
    """
    shape = images_of(pretrained)
    if data.event.shape != shape:
        raise ConfigError(f"the data has samples of {list(data.event.shape)}, the model of {list(shape)}", "choose other --data")
    drawn = pretrained.sample(n, seed=seed, batch_size=batch_size)
    known = []
    for first in range(0, len(data), batch_size):
        rows = torch.arange(first, min(first + batch_size, len(data)))
        known.append(judge(data.rows(rows))[0].cpu())
        on_batch(len(rows))
    features = torch.cat(known)
    # The nearest of two is the image itself.
    unit = distances.nearest(features, features, k=2)[0][:, 1].mean()
    if unit == 0:
        raise UsageError("the training images are copies of each other, and give distances no unit", "choose other --data")
    lengths, index = distances.nearest(judge(drawn)[0].cpu(), features, k=min(k, len(data)))
    neighbours = data.rows(index.flatten()).view(*index.shape, *shape)
    return torch.cat([drawn.unsqueeze(1), neighbours], dim=1), lengths / unit
