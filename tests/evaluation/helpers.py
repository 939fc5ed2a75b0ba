"""Features, moments and gathered statistics for tests of evaluation."""

import torch
from torch import Tensor

from zoo_core.evaluation.features import PARTS, Gathered
from zoo_core.evaluation.statistics import ClassScores, Moments

DIM = 6


def normal(n: int, dim: int, seed: int = 0) -> Tensor:
    return torch.randn(n, dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def softmax(n: int, classes: int, seed: int = 0) -> Tensor:
    return torch.softmax(2 * normal(n, classes, seed), 1)


def moments(features: Tensor, batch: int | None = None) -> Moments:
    result = Moments(features.shape[1])
    for part in features.split(batch or len(features)):  # type: ignore[no-untyped-call]  # torch's own
        result.add(part)
    return result


def gaussian(mean: Tensor, covariance: Tensor) -> Moments:
    """Moments that are exactly these, as of 1001 samples."""
    return Moments.from_state({"count": torch.tensor(1001), "mean": mean, "scatter": covariance * 1000})


def rotation(dim: int, seed: int = 0) -> Tensor:
    q: Tensor = torch.linalg.qr(normal(dim, dim, seed))[0]
    return q


def scores(p: Tensor, splits: int = 10, batch: int | None = None) -> ClassScores:
    result = ClassScores(p.shape[1], splits)
    batch = batch or len(p)
    for start in range(0, len(p), batch):
        result.add(p[start : start + batch], torch.arange(start, min(start + batch, len(p))))
    return result


def gathered(x: Tensor, batch_size: int = 1000, probabilities: Tensor | None = None, labels: Tensor | None = None) -> Gathered:
    made = Gathered(x.shape[1], 0 if probabilities is None else probabilities.shape[1], parts=PARTS)
    for first in range(0, len(x), batch_size):
        rows = slice(first, first + batch_size)
        made.add(
            x[rows],
            None if probabilities is None else probabilities[rows],
            torch.arange(len(x))[rows],
            None if labels is None else labels[rows],
        )
    return made


def noise(count: int, seed: int, shift: float = 0.0) -> Tensor:
    return torch.randn(count, DIM, generator=torch.Generator().manual_seed(seed)) + shift
