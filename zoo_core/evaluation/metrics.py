"""The metrics: frozen dataclasses whose fields are their options, registered by name like samplers.

A :class:`Metric` says what it needs to have been gathered of the real and of the drawn samples, and turns that into an :class:`Estimate`. A
:class:`DataMetric` is a mean over real samples of what the model itself says of each; nothing is drawn.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from math import sqrt
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from zoo_core.capabilities import capability_error
from zoo_core.config import check_range
from zoo_core.errors import CapabilityError, UsageError
from zoo_core.evaluation import distances
from zoo_core.evaluation.features import Gathered
from zoo_core.evaluation.statistics import Estimate

if TYPE_CHECKING:
    from zoo_core.pretrained import Pretrained

__all__ = [
    "Answers",
    "ClassAccuracy",
    "ClassConfidence",
    "ClassSpread",
    "Coverage",
    "DataMetric",
    "Density",
    "FrechetDistance",
    "InceptionScore",
    "KernelDistance",
    "Metric",
    "NearestTrain",
    "Precision",
    "Recall",
]


class Metric(ABC):
    """A number that says something of a model's samples.

    Attributes:
        features: whether all features must be kept, and what streams is not enough.
        classes: whether the feature space must give class probabilities.
        labels: whether the samples must have been drawn with labels.
        real: whether it compares with real samples.
        pixels: whether it is of the pixels of images, and of the drawn ones alone; real halves then stand beside it as floors.
        better: ``lower``, ``higher``, ``near 1``, or ``near real``: as near as can be to the number of real samples.
    """

    __slots__ = ()
    features: ClassVar[bool] = False
    classes: ClassVar[bool] = False
    labels: ClassVar[bool] = False
    real: ClassVar[bool] = True
    pixels: ClassVar[bool] = False
    better: ClassVar[str] = "lower"

    @abstractmethod
    def __call__(self, real: Gathered, drawn: Gathered) -> Estimate:
        """The number, and its standard error where one is known."""

    def enough(self, dim: int, classes: int) -> int:
        """Of fewer samples than this, drawn or real, the number says little, and its record and ``zoo evaluate`` warn of it.

        Args:
            dim: of a feature vector.
            classes: that the feature space tells apart, or else those of the model; 0 for none.
        """
        return 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Answers:
    """What a model says of real samples.

    Args:
        values: (n,), of which the metric is the mean.
        facts: what kind of numbers they are, such as ``kind``, which the record says too.
        terms: (n,) each: parts whose sum is ``values``, where there are any.
    """

    values: Tensor
    facts: Mapping[str, str] = field(default_factory=dict)
    terms: Mapping[str, Tensor] = field(default_factory=dict)


class DataMetric(ABC):
    """The mean over real samples of what a model says of each.

    Attributes:
        requires: the capability that the model must have; empty where :meth:`check` tells.
        labels: whether the samples must have labels.
        better: ``lower`` or ``higher``.
        unit: of the number; empty for none.
    """

    __slots__ = ()
    requires: ClassVar[str]
    labels: ClassVar[bool] = False
    better: ClassVar[str] = "lower"
    unit: ClassVar[str] = ""

    def check(self, model: "Pretrained", name: str) -> None:
        """Asked before the data is looked for; ``name`` is the metric's own, for the message.

        Raises:
            CapabilityError: the model cannot answer.
        """
        if self.requires and self.requires not in model.capabilities:
            raise capability_error(f"{name} needs a model that can {self.requires}, and {model.name} cannot", self.requires)

    @abstractmethod
    def __call__(self, model: "Pretrained", x: Tensor, labels: Tensor | None, first: int) -> Answers:
        """What the model says of samples number ``first`` ... of the data, ``x`` (n, *event.shape) with labels (n,)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FrechetDistance(Metric):
    """See :func:`zoo_core.evaluation.distances.frechet`.

    The standard error is a jackknife's over 20 parts of the drawn samples; there is none in more than 512 dimensions, where each part costs
    a minute.
    """

    def __call__(self, real: Gathered, drawn: Gathered) -> Estimate:
        against = real.total()
        value = distances.frechet(against, drawn.total())
        parts = len(drawn.moments)
        if parts < 2 or min(part.count for part in drawn.moments) < 2:
            return Estimate(value)
        left_out = torch.tensor([distances.frechet(against, drawn.total(without=part)) for part in range(parts)])
        return Estimate(value, sqrt((parts - 1) * float(left_out.var(correction=0))))

    def enough(self, dim: int, classes: int) -> int:
        return dim  # below, the covariance has directions without variance


@dataclass(frozen=True, kw_only=True, slots=True)
class KernelDistance(Metric):
    """See :func:`zoo_core.evaluation.distances.kid`."""

    features = True
    degree: int = 3

    def __post_init__(self) -> None:
        check_range(self, degree=(1, 10))

    def __call__(self, real: Gathered, drawn: Gathered) -> Estimate:
        return distances.kid(real.features, drawn.features, degree=self.degree)

    def enough(self, dim: int, classes: int) -> int:
        return dim  # below, cubes of single pairs outweigh the rest


@dataclass(frozen=True, kw_only=True, slots=True)
class InceptionScore(Metric):
    """See :class:`zoo_core.evaluation.statistics.ClassScores`."""

    classes = True
    real = False
    better = "higher"

    def __call__(self, real: Gathered, drawn: Gathered) -> Estimate:
        if drawn.scores is None:
            raise CapabilityError("a feature space without classes gives no score", "choose --features that classify")
        return drawn.scores.score()

    def enough(self, dim: int, classes: int) -> int:
        return 10 * classes  # log of it is (classes - 1) / 2n too low


# Two metrics come of one pass over all pairs: the second finds what the first was given.


@lru_cache(maxsize=1)
def _precision_recall(real: Gathered, drawn: Gathered, k: int) -> tuple[Estimate, Estimate]:
    return distances.precision_recall(real.features, drawn.features, k=k)


@lru_cache(maxsize=1)
def _density_coverage(real: Gathered, drawn: Gathered, k: int) -> tuple[Estimate, Estimate]:
    return distances.density_coverage(real.features, drawn.features, k=k)


def _enough_neighbours(k: int) -> int:
    """How many samples make balls to the k-th neighbour local: of few, each reaches over a large part of the data."""
    return 30 * k


@dataclass(frozen=True, kw_only=True, slots=True)
class Precision(Metric):
    """See :func:`zoo_core.evaluation.distances.precision_recall`."""

    features = True
    better = "higher"
    k: int = 3

    def __post_init__(self) -> None:
        check_range(self, k=(1, 1000))

    def __call__(self, real: Gathered, drawn: Gathered) -> Estimate:
        return _precision_recall(real, drawn, self.k)[0]

    def enough(self, dim: int, classes: int) -> int:
        return _enough_neighbours(self.k)


@dataclass(frozen=True, kw_only=True, slots=True)
class Recall(Metric):
    """See :func:`zoo_core.evaluation.distances.precision_recall`."""

    features = True
    better = "higher"
    k: int = 3

    def __post_init__(self) -> None:
        check_range(self, k=(1, 1000))

    def __call__(self, real: Gathered, drawn: Gathered) -> Estimate:
        return _precision_recall(real, drawn, self.k)[1]

    def enough(self, dim: int, classes: int) -> int:
        return _enough_neighbours(self.k)


@dataclass(frozen=True, kw_only=True, slots=True)
class Density(Metric):
    """See :func:`zoo_core.evaluation.distances.density_coverage`."""

    features = True
    better = "higher"
    k: int = 5

    def __post_init__(self) -> None:
        check_range(self, k=(1, 1000))

    def __call__(self, real: Gathered, drawn: Gathered) -> Estimate:
        return _density_coverage(real, drawn, self.k)[0]

    def enough(self, dim: int, classes: int) -> int:
        return _enough_neighbours(self.k)


@dataclass(frozen=True, kw_only=True, slots=True)
class Coverage(Metric):
    """See :func:`zoo_core.evaluation.distances.density_coverage`."""

    features = True
    better = "higher"
    k: int = 5

    def __post_init__(self) -> None:
        check_range(self, k=(1, 1000))

    def __call__(self, real: Gathered, drawn: Gathered) -> Estimate:
        return _density_coverage(real, drawn, self.k)[1]

    def enough(self, dim: int, classes: int) -> int:
        return _enough_neighbours(self.k)


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassAccuracy(Metric):
    """The share of samples that the feature space's classifier takes for the class that was asked for."""

    features = True
    classes = True
    labels = True
    real = False
    better = "higher"

    def __call__(self, real: Gathered, drawn: Gathered) -> Estimate:
        if drawn.labels is None:
            raise UsageError("class-accuracy needs samples of chosen classes", "evaluate a model that has labels")
        return distances.class_accuracy(drawn.probabilities, drawn.labels)


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassConfidence(Metric):
    """The share of samples whose most probable class has at least the probability ``p``, to the feature space's classifier; in [0, 1].

    It sees samples that are nothing in particular and no lack of variety: a model that draws one image again and again reaches 1. The
    standard error is binomial.

    Args:
        p: probability in (0, 1].
    """

    features = True
    classes = True
    real = False
    better = "higher"
    p: float = 0.9

    def __post_init__(self) -> None:
        check_range(self, p=(1e-6, 1.0))

    def __call__(self, real: Gathered, drawn: Gathered) -> Estimate:
        return distances.class_confidence(drawn.probabilities, self.p)


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassSpread(Metric):
    """See :func:`zoo_core.evaluation.distances.class_spread`. The real samples need labels."""

    features = True
    labels = True
    better = "near 1"

    def __call__(self, real: Gathered, drawn: Gathered) -> Estimate:
        if drawn.labels is None or real.labels is None:
            raise UsageError("class-spread needs samples of chosen classes and real ones with labels", "leave it out")
        return distances.class_spread(real.features, real.labels, drawn.features, drawn.labels)

    def enough(self, dim: int, classes: int) -> int:
        return 10 * classes


@dataclass(frozen=True, kw_only=True, slots=True)
class NearestTrain(Metric):
    """How far samples are from the nearest training image, as a share of how far these are from each other.

    The mean over samples of the distance to the nearest real image, divided by the mean over real images of the distance to the nearest
    other one, in the feature space. About 1 where samples are as new as real images are; towards 0 where they are copies.
    """

    features = True
    better = "near 1"

    def __call__(self, real: Gathered, drawn: Gathered) -> Estimate:
        to_real = distances.nearest(drawn.features, real.features)[0].flatten()
        # Of two nearest, the first is the image itself.
        among = distances.nearest(real.features, real.features, k=2)[0][:, 1].mean()
        stderr = float(to_real.std() / among) / sqrt(len(to_real)) if len(to_real) > 1 else None
        return Estimate(float(to_real.mean() / among), stderr)
