"""Metrics of samples in a feature space: distances, precision and recall, class scores."""

from dataclasses import dataclass
from math import sqrt

import torch

from zoo_core.config import check_range
from zoo_core.errors import CapabilityError, UsageError
from zoo_core.evaluation import distances
from zoo_core.evaluation.features import Gathered
from zoo_core.evaluation.metrics import Joint, Metric
from zoo_core.evaluation.statistics import Estimate

__all__ = [
    "ClassAccuracy",
    "ClassConfidence",
    "ClassSpread",
    "Coverage",
    "Density",
    "FrechetDistance",
    "InceptionScore",
    "KernelDistance",
    "NearestTrain",
    "Precision",
    "Recall",
]


@dataclass(frozen=True, kw_only=True, slots=True)
class FrechetDistance(Metric):
    """The squared Frechet distance of Gaussians fitted to the features; see :func:`zoo_core.evaluation.distances.frechet`.

    The standard error is that of a jackknife over 20 parts of the drawn samples. In more than 512 dimensions, where each part costs a
    minute, there is none.

    >>> import torch
    >>> x = torch.tensor([[-1.0], [1.0]])
    >>> FrechetDistance()(Gathered.from_features(x), Gathered.from_features(x + 3)).value
    9.0
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
    """The kernel distance (KID, where features are Inception's); see :func:`zoo_core.evaluation.distances.kid`.

    Args:
        degree: degree of the polynomial kernel, in [1, 10].

    >>> import torch
    >>> x = torch.tensor([[-1.0], [1.0]])
    >>> KernelDistance(degree=1)(Gathered.from_features(x), Gathered.from_features(x + 3)).value
    7.0
    """

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
    """The Inception Score, in [1, classes]; see :class:`zoo_core.evaluation.statistics.ClassScores`.

    >>> import torch
    >>> drawn = Gathered(1, classes=2)
    >>> drawn.add(torch.zeros(2, 1), torch.eye(2), torch.arange(2))
    >>> InceptionScore()(Gathered(1), drawn).value
    2.0
    """

    classes = True
    real = False
    better = "higher"

    def __call__(self, real: Gathered, drawn: Gathered) -> Estimate:
        if drawn.scores is None:
            raise CapabilityError("a feature space without classes gives no score", "choose --features that classify")
        return drawn.scores.score()

    def enough(self, dim: int, classes: int) -> int:
        return 10 * classes  # log of it is (classes - 1) / 2n too low


@dataclass(frozen=True, kw_only=True, slots=True)
class _Neighbours(Joint, Metric):
    """Metrics of balls that reach to the k-th nearest neighbour."""

    features = True
    better = "higher"
    k: int = 3

    def __post_init__(self) -> None:
        check_range(self, k=(1, 1000))

    def enough(self, dim: int, classes: int) -> int:
        return 30 * self.k  # of fewer samples, each ball reaches over a large part of the data


@dataclass(frozen=True, kw_only=True, slots=True)
class _PrecisionRecall(_Neighbours):
    """Both results of :func:`zoo_core.evaluation.distances.precision_recall`, by one pass over all pairs."""

    def compute(self, real: Gathered, drawn: Gathered) -> tuple[Estimate, Estimate]:
        return distances.precision_recall(real.features, drawn.features, k=self.k)


@dataclass(frozen=True, kw_only=True, slots=True)
class Precision(_PrecisionRecall):
    """The share of drawn samples that look like real ones; see :func:`zoo_core.evaluation.distances.precision_recall`.

    Args:
        k: balls reach to the k-th nearest neighbour, in [1, 1000].

    >>> import torch
    >>> x = torch.arange(8.0).view(8, 1)
    >>> Precision(k=1)(Gathered.from_features(x), Gathered.from_features(x + 4)).value
    0.625
    """

    def extract(self, computed: tuple[Estimate, Estimate]) -> Estimate:
        return computed[0]


@dataclass(frozen=True, kw_only=True, slots=True)
class Recall(_PrecisionRecall):
    """The share of real samples that look like drawn ones; see :func:`zoo_core.evaluation.distances.precision_recall`.

    Args:
        k: balls reach to the k-th nearest neighbour, in [1, 1000].

    >>> import torch
    >>> x = torch.arange(8.0).view(8, 1)
    >>> Recall(k=1)(Gathered.from_features(x), Gathered.from_features(x[:4])).value
    0.625
    """

    def extract(self, computed: tuple[Estimate, Estimate]) -> Estimate:
        return computed[1]


@dataclass(frozen=True, kw_only=True, slots=True)
class _DensityCoverage(_Neighbours):
    """Both results of :func:`zoo_core.evaluation.distances.density_coverage`, by one pass over all pairs."""

    k: int = 5

    def compute(self, real: Gathered, drawn: Gathered) -> tuple[Estimate, Estimate]:
        return distances.density_coverage(real.features, drawn.features, k=self.k)


@dataclass(frozen=True, kw_only=True, slots=True)
class Density(_DensityCoverage):
    """The number of balls of real samples around a drawn one, over k; see :func:`zoo_core.evaluation.distances.density_coverage`.

    Args:
        k: balls reach to the k-th nearest neighbour, in [1, 1000].

    >>> import torch
    >>> x = torch.arange(8.0).view(8, 1)
    >>> Density(k=1)(Gathered.from_features(x), Gathered.from_features(x + 0.5)).value
    1.875
    """

    def extract(self, computed: tuple[Estimate, Estimate]) -> Estimate:
        return computed[0]


@dataclass(frozen=True, kw_only=True, slots=True)
class Coverage(_DensityCoverage):
    """The share of real samples whose ball holds a drawn one; see :func:`zoo_core.evaluation.distances.density_coverage`.

    Args:
        k: balls reach to the k-th nearest neighbour, in [1, 1000].

    >>> import torch
    >>> x = torch.arange(8.0).view(8, 1)
    >>> Coverage(k=1)(Gathered.from_features(x), Gathered.from_features(x[:1])).value
    0.25
    """

    def extract(self, computed: tuple[Estimate, Estimate]) -> Estimate:
        return computed[1]


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassAccuracy(Metric):
    """The share of drawn samples that the feature space's classifier assigns to the class they were drawn for, in [0, 1].

    >>> import torch
    >>> drawn = Gathered(1, classes=2)
    >>> drawn.add(torch.zeros(4, 1), torch.eye(2).repeat(2, 1), torch.arange(4), torch.tensor([0, 1, 0, 0]))
    >>> ClassAccuracy()(Gathered(1), drawn).value
    0.75
    """

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
    """The share of drawn samples whose most probable class has at least probability ``p``, in [0, 1].

    The feature space's classifier gives the probabilities. The metric finds samples that belong to no class, and does not find a lack of
    variety: a model that draws one image again and again reaches 1. The standard error is binomial.

    Args:
        p: threshold of the probability, in (0, 1].

    >>> import torch
    >>> drawn = Gathered(1, classes=2)
    >>> drawn.add(torch.zeros(2, 1), torch.tensor([[0.95, 0.05], [0.6, 0.4]]), torch.arange(2))
    >>> ClassConfidence(p=0.9)(Gathered(1), drawn).value
    0.5
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
    """The variety within classes relative to real samples, which need labels; see :func:`zoo_core.evaluation.distances.class_spread`.

    >>> import torch
    >>> x, labels = torch.tensor([[0.0], [2.0]]), torch.tensor([0, 0])
    >>> ClassSpread()(Gathered.from_features(x, labels), Gathered.from_features(x / 2, labels)).value
    0.5
    """

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
    """The distance of drawn samples to the nearest training image, relative to that of training images to each other.

    The mean over drawn samples of the distance to the nearest real image, divided by the mean over real images of the distance to the
    nearest other one, in the feature space. It is about 1 if samples are as new as real images are, and falls towards 0 for copies.

    >>> import torch
    >>> x = torch.tensor([[0.0], [2.0], [4.0]])
    >>> NearestTrain()(Gathered.from_features(x), Gathered.from_features(x + 0.5)).value
    0.25
    """

    features = True
    better = "near 1"

    def __call__(self, real: Gathered, drawn: Gathered) -> Estimate:
        to_real = distances.nearest(drawn.features, real.features)[0].flatten()
        # Of two nearest, the first is the image itself.
        among = distances.nearest(real.features, real.features, k=2)[0][:, 1].mean()
        stderr = float(to_real.std() / among) / sqrt(len(to_real)) if len(to_real) > 1 else None
        return Estimate(float(to_real.mean() / among), stderr)
