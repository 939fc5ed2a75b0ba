"""The metrics of samples: frozen dataclasses whose fields are their options, registered by name like samplers.

A metric says what it needs to have been gathered of the real and of the drawn samples, and turns that into an :class:`Estimate`.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from math import sqrt
from typing import ClassVar

import torch
from torch import Tensor

from zoo_core.errors import CapabilityError, UsageError
from zoo_core.evaluation import distances
from zoo_core.evaluation.statistics import ClassScores, Estimate, Moments

__all__ = [
    "ClassAccuracy",
    "Coverage",
    "Density",
    "FrechetDistance",
    "Gathered",
    "InceptionScore",
    "KernelDistance",
    "Metric",
    "NearestTrain",
    "Precision",
    "Recall",
]

PARTS = 20


@dataclass
class Gathered:
    """What is known of a set of samples.

    Args:
        dim: of a feature vector.
        classes: of the space's class probabilities; 0 for none.
        keeps: whether features are kept, and not only what streams.
        moments: of the features, in parts by the sample's number, so that a jackknife can leave each out.
        scores: the Inception score so far.
        features: (n, dim), in the order of the samples' numbers, where they are kept.
        labels: int64 (n,): the classes that were asked for, where there are any.
        probabilities: (n, classes), where they are kept.
    """

    dim: int
    classes: int = 0
    keeps: bool = True
    moments: list[Moments] = field(default_factory=list)
    scores: ClassScores | None = None
    features: Tensor = field(default_factory=lambda: torch.empty(0))
    labels: Tensor | None = None
    probabilities: Tensor = field(default_factory=lambda: torch.empty(0))

    def __post_init__(self) -> None:
        self.moments = [Moments(self.dim) for _ in range(PARTS)]
        self.scores = ClassScores(self.classes) if self.classes else None
        self.features, self.probabilities = torch.empty(0, self.dim), torch.empty(0, self.classes)

    @property
    def count(self) -> int:
        """How many samples were added."""
        return sum(part.count for part in self.moments)

    def add(self, features: Tensor, probabilities: Tensor | None, index: Tensor, labels: Tensor | None = None) -> None:
        """Adds the samples number ``index`` (n,): features (n, dim), probabilities (n, classes), labels (n,)."""
        for part, moments in enumerate(self.moments):
            moments.add(features[index % PARTS == part])
        if self.scores is not None and probabilities is not None:
            self.scores.add(probabilities, index)
        if self.keeps:
            self.features = torch.cat([self.features, features.cpu()])
            if probabilities is not None:
                self.probabilities = torch.cat([self.probabilities, probabilities.cpu()])
        if labels is not None:
            self.labels = labels if self.labels is None else torch.cat([self.labels, labels])

    def total(self, without: int | None = None) -> Moments:
        """The moments of all samples, or of all but those of a part."""
        moments = Moments(self.dim)
        for part, some in enumerate(self.moments):
            if part != without:
                moments.merge(some)
        return moments


class Metric(ABC):
    """A number that says something of a model's samples.

    Attributes:
        features: whether all features must be kept, and what streams is not enough.
        classes: whether the feature space must give class probabilities.
        labels: whether the samples must have been drawn with labels.
        real: whether it compares with real samples.
        better: ``lower`` or ``higher``.
    """

    __slots__ = ()
    features: ClassVar[bool] = False
    classes: ClassVar[bool] = False
    labels: ClassVar[bool] = False
    real: ClassVar[bool] = True
    better: ClassVar[str] = "lower"

    @abstractmethod
    def __call__(self, real: Gathered, drawn: Gathered) -> Estimate:
        """The number, and its standard error where one is known."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FrechetDistance(Metric):
    """See :func:`zoo_core.evaluation.distances.frechet`.

    The standard error is a jackknife's over 20 parts of the drawn samples; there is none in more than 512 dimensions, where each part costs
    a minute.
    """

    def __call__(self, real: Gathered, drawn: Gathered) -> Estimate:
        against = real.total()
        value = distances.frechet(against, drawn.total())
        if min(part.count for part in drawn.moments) < 2 or drawn.dim > 512:
            return Estimate(value)
        left_out = torch.tensor([distances.frechet(against, drawn.total(without=part)) for part in range(PARTS)])
        return Estimate(value, sqrt((PARTS - 1) * float(left_out.var(correction=0))))


@dataclass(frozen=True, kw_only=True, slots=True)
class KernelDistance(Metric):
    """See :func:`zoo_core.evaluation.distances.kid`."""

    features = True
    degree: int = 3

    def __call__(self, real: Gathered, drawn: Gathered) -> Estimate:
        return distances.kid(real.features, drawn.features, degree=self.degree)


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


@dataclass(frozen=True, kw_only=True, slots=True)
class Precision(Metric):
    """See :func:`zoo_core.evaluation.distances.precision_recall`."""

    features = True
    better = "higher"
    k: int = 3

    def __call__(self, real: Gathered, drawn: Gathered) -> Estimate:
        return distances.precision_recall(real.features, drawn.features, k=self.k)[0]


@dataclass(frozen=True, kw_only=True, slots=True)
class Recall(Metric):
    """See :func:`zoo_core.evaluation.distances.precision_recall`."""

    features = True
    better = "higher"
    k: int = 3

    def __call__(self, real: Gathered, drawn: Gathered) -> Estimate:
        return distances.precision_recall(real.features, drawn.features, k=self.k)[1]


@dataclass(frozen=True, kw_only=True, slots=True)
class Density(Metric):
    """See :func:`zoo_core.evaluation.distances.density_coverage`."""

    features = True
    better = "higher"
    k: int = 5

    def __call__(self, real: Gathered, drawn: Gathered) -> Estimate:
        return distances.density_coverage(real.features, drawn.features, k=self.k)[0]


@dataclass(frozen=True, kw_only=True, slots=True)
class Coverage(Metric):
    """See :func:`zoo_core.evaluation.distances.density_coverage`."""

    features = True
    better = "higher"
    k: int = 5

    def __call__(self, real: Gathered, drawn: Gathered) -> Estimate:
        return distances.density_coverage(real.features, drawn.features, k=self.k)[1]


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
class NearestTrain(Metric):
    """How far samples are from the nearest training image, as a share of how far these are from each other.

    The mean over samples of the distance to the nearest real image, divided by the mean over real images of the distance to the nearest
    other one, in the feature space. About 1 where samples are as new as real images are; towards 0 where they are copies.
    """

    features = True
    better = "higher"

    def __call__(self, real: Gathered, drawn: Gathered) -> Estimate:
        to_real = distances.nearest(drawn.features, real.features)[0].flatten()
        # Of two nearest, the first is the image itself.
        among = distances.nearest(real.features, real.features, k=2)[0][:, 1].mean()
        return Estimate(float(to_real.mean() / among), float(to_real.std() / among) / sqrt(len(to_real)))
