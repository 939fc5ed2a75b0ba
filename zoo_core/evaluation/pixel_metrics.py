"""Metrics of pixels: contrast and saturation, which distances between features may miss."""

from dataclasses import dataclass
from math import sqrt

from torch import Tensor

from zoo_core.errors import UsageError
from zoo_core.evaluation.features import Gathered
from zoo_core.evaluation.metrics import Metric
from zoo_core.evaluation.statistics import Estimate

__all__ = ["PixelSaturation", "PixelStd"]


@dataclass(frozen=True, kw_only=True, slots=True)
class PixelStd(Metric):
    """The standard deviation of all values of all images, in [0, 1] for images in [-1, 1]: their contrast.

    Deviations are from the mean of all values, so that images of different brightness raise it too. The standard error is by the delta
    method, over images.

    >>> import torch
    >>> from zoo_core.evaluation.statistics import pixel_moments
    >>> x = torch.tensor([-0.5, 0.5]).repeat(2, 8).view(2, 1, 4, 4)
    >>> drawn = Gathered(1)
    >>> drawn.add(torch.zeros(2, 1), None, torch.arange(2), pixels=pixel_moments(x))
    >>> PixelStd()(Gathered(1), drawn).value
    0.5
    """

    real = False
    pixels = True
    better = "near real"

    def __call__(self, real: Gathered, drawn: Gathered) -> Estimate:
        means, squares, _ = _pixel_columns(drawn)
        mean = means.mean()
        variance = squares.mean() - mean**2
        if not variance > 0:
            return Estimate(0.0, 0.0)
        std = float(variance.sqrt())
        return Estimate(std, float((squares - 2 * mean * means).std()) / (2 * std * sqrt(len(means))))


@dataclass(frozen=True, kw_only=True, slots=True)
class PixelSaturation(Metric):
    """The share of values beyond +-0.98 in images in [-1, 1]: burnt out, or fully black.

    The standard error is over images.

    >>> import torch
    >>> from zoo_core.evaluation.statistics import pixel_moments
    >>> x = torch.tensor([-1.0, 0.0, 0.5, 0.99]).repeat(2, 4).view(2, 1, 4, 4)
    >>> drawn = Gathered(1)
    >>> drawn.add(torch.zeros(2, 1), None, torch.arange(2), pixels=pixel_moments(x))
    >>> PixelSaturation()(Gathered(1), drawn)
    Estimate(value=0.5, stderr=0.0)
    """

    real = False
    pixels = True
    better = "near real"

    def __call__(self, real: Gathered, drawn: Gathered) -> Estimate:
        _, _, shares = _pixel_columns(drawn)
        return Estimate(float(shares.mean()), float(shares.std()) / sqrt(len(shares)))


def _pixel_columns(drawn: Gathered) -> tuple[Tensor, ...]:
    """Mean, mean square and saturated share of each image, each float64 (n,)."""
    if len(drawn.pixels) < 2:
        raise UsageError(f"the pixels of {len(drawn.pixels)} images are too few: at least 2 are needed", "draw more samples")
    return drawn.pixels.unbind(1)
