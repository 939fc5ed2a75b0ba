"""Metrics of pixels: contrast in numbers, which distances between features need not see."""

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

    It is about the mean of all values, so images that differ in brightness count too. The standard error is by the delta method, over
    images.
    """

    real = False
    pixels = True
    better = "near real"

    def __call__(self, real: Gathered, drawn: Gathered) -> Estimate:
        means, squares, _ = _columns(drawn)
        mean = means.mean()
        variance = squares.mean() - mean**2
        if not variance > 0:
            return Estimate(0.0, 0.0)
        std = float(variance.sqrt())
        return Estimate(std, float((squares - 2 * mean * means).std()) / (2 * std * sqrt(len(means))))


@dataclass(frozen=True, kw_only=True, slots=True)
class PixelSaturation(Metric):
    """The share of values beyond +-0.98, where images are in [-1, 1]: what is burnt out, or as black as can be.

    The standard error is over images.
    """

    real = False
    pixels = True
    better = "near real"

    def __call__(self, real: Gathered, drawn: Gathered) -> Estimate:
        _, _, shares = _columns(drawn)
        return Estimate(float(shares.mean()), float(shares.std()) / sqrt(len(shares)))


def _columns(drawn: Gathered) -> tuple[Tensor, ...]:
    if len(drawn.pixels) < 2:
        raise UsageError(f"the pixels of {len(drawn.pixels)} images are too few: at least 2 are needed", "draw more samples")
    return drawn.pixels.unbind(1)
