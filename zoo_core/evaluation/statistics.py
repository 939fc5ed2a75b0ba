"""Streaming statistics of samples: they are added batch by batch, merged across processes, and stored as plain tensors.

All tensors are float64 on the CPU, for features of any dtype and device: some accelerators have no float64. Up to rounding, results do not
depend on the batch size, the order, or the number of processes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import sqrt
from typing import Self

import torch
from torch import Tensor

from zoo_core.errors import ConfigError, UsageError, ZooError

__all__ = ["SATURATED", "ClassScores", "Estimate", "Moments", "check_features", "check_finite", "check_probabilities", "pixel_moments"]

SATURATED = 0.98
"""The absolute value beyond which a pixel of an image in [-1, 1] is saturated: 8-bit levels 0 to 2 and 253 to 255."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number and its standard error in the same unit.

    Args:
        value: number.
        stderr: standard error; None if it is not known.
        terms: named numbers of its parts, for the record; may be empty.

    >>> Estimate(0.5, stderr=0.1)
    Estimate(value=0.5, stderr=0.1)
    """

    value: float
    stderr: float | None = None
    terms: Mapping[str, "Estimate"] = field(default_factory=dict, repr=False)


def check_features(features: Tensor, name: str = "features", *, dim: int | None = None, at_least: int = 0) -> Tensor:
    """Checks features and returns them, detached and on the CPU.

    Args:
        features: (n, dim), one vector per sample, of any real dtype.
        name: name of the features, for messages.
        dim: number of dimensions that they must have; None for any.
        at_least: least number of samples.

    Raises:
        UsageError: if they have another shape, are complex, or are too few.
        ZooError: if some feature is not finite.
    """
    if features.ndim != 2 or features.shape[1] == 0:
        raise UsageError(f"{name} must be one vector per sample, (n, dim), not {tuple(features.shape)}", "flatten them to two dimensions")
    if dim is not None and features.shape[1] != dim:
        raise UsageError(f"{name} have {features.shape[1]} dimensions, not {dim}", "compare features of one network")
    if features.is_complex():
        raise UsageError(f"{name} must be real numbers, not {features.dtype}", "pass real and imaginary parts side by side")
    if len(features) < at_least:
        raise UsageError(f"{name} of {len(features)} samples are too few: at least {at_least} are needed", "draw more samples")
    features = features.detach().cpu()
    check_finite(features, name)
    return features


def check_finite(values: Tensor, name: str) -> None:
    """Raises ZooError if a value is NaN or infinite; ``name`` is the name of the values, for the message."""
    if not values.isfinite().all():
        hint = "look at the samples: a model that diverged returns such numbers, and so does an overflow in float16"
        raise ZooError(f"{name} are not all finite numbers", hint)


def check_probabilities(probabilities: Tensor, *, classes: int | None = None) -> Tensor:
    """Checks probabilities and returns them in float64, with rows that sum to 1; sums off by up to 0.01 count as rounding.

    Args:
        probabilities: (n, classes).
        classes: number of classes; None for any.

    Raises:
        UsageError: if they have another shape, or rows are not probabilities.
        ZooError: if some are not finite.
    """
    p = check_features(probabilities, "probabilities", dim=classes).double()
    total = p.sum(1, keepdim=True)
    if (p < 0).any() or ((total - 1).abs() > 0.01).any():
        raise UsageError("probabilities must be at least 0 and sum to 1 in each row", "pass logits through softmax first")
    return p / total


class Moments:
    """Count, mean and covariance of features, by the updates of Chan, Golub & LeVeque (1983), which do not lose digits by cancellation.

    Two parts a and b with n = n_a + n_b samples and delta = mu_b - mu_a merge as

        mu = mu_a + delta n_b / n        M = M_a + M_b + delta delta^T n_a n_b / n

    where M is the sum of the outer products of the deviations from the mean. Memory is 8 dim^2 bytes for any number of samples.

    Args:
        dim: length of a feature vector.

    Raises:
        ConfigError: if ``dim`` is less than 1.

    >>> moments = Moments(2)
    >>> moments.add(torch.tensor([[0.0, 1.0], [2.0, 1.0]]))
    >>> moments.mean.tolist(), moments.covariance.tolist()
    ([1.0, 1.0], [[2.0, 0.0], [0.0, 0.0]])
    """

    def __init__(self, dim: int) -> None:
        if dim < 1:
            raise ConfigError(f"dim must be at least 1, not {dim}", "pass the length of a feature vector")
        self.count = 0
        self._mean = torch.zeros(dim, dtype=torch.float64)
        self._scatter = torch.zeros(dim, dim, dtype=torch.float64)

    @property
    def dim(self) -> int:
        """The length of a feature vector."""
        return len(self._mean)

    def __repr__(self) -> str:
        return f"Moments({self.dim}, count={self.count})"

    def add(self, features: Tensor) -> None:
        """Adds features (n, dim) of any real dtype; n may be 0. An error leaves the moments unchanged.

        Raises:
            UsageError: if they have another shape.
            ZooError: if some feature, or its square, is not finite.
        """
        x = check_features(features, dim=self.dim).double()
        if len(x):
            mean = x.mean(0)
            deviations = x - mean
            self._merge(len(x), mean, deviations.T @ deviations)

    def merge(self, other: "Moments") -> None:
        """Adds the samples of ``other``, which stays unchanged.

        Raises:
            UsageError: if it has another ``dim``.
        """
        if other.dim != self.dim:
            raise UsageError(f"moments of {other.dim} and of {self.dim} dimensions cannot be merged", "use features of one network")
        if other.count:
            self._merge(other.count, other._mean, other._scatter)

    def _merge(self, count: int, mean: Tensor, scatter: Tensor) -> None:
        n = self.count + count
        delta = mean - self._mean
        # New tensors, never in place: tensors that state() returned stay unchanged.
        M = self._scatter + scatter + torch.outer(delta, delta) * (self.count * count / n)
        check_finite(M, "squares of the features")
        self.count, self._mean, self._scatter = n, self._mean + delta * (count / n), M

    @property
    def mean(self) -> Tensor:
        """The mean mu, float64 (dim,).

        Raises:
            UsageError: if no sample was added.
        """
        self._check_count(1)
        return self._mean

    @property
    def covariance(self) -> Tensor:
        """The covariance C = M / (N - 1), float64 (dim, dim).

        Raises:
            UsageError: if fewer than 2 samples were added.
        """
        self._check_count(2)
        return self._scatter / (self.count - 1)

    def _check_count(self, count: int) -> None:
        if self.count < count:
            raise UsageError(f"features of {self.count} samples are too few: at least {count} are needed", "add more samples")

    def state(self) -> dict[str, Tensor]:
        """The state as plain tensors: ``count`` int64 (), ``mean`` (dim,) and ``scatter`` M (dim, dim), float64."""
        return {"count": torch.tensor(self.count), "mean": self._mean, "scatter": self._scatter}

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> Self:
        """Restores moments from a state that :meth:`state` returned.

        Raises:
            UsageError: if it is not a state of moments.
            ZooError: if it holds numbers that are not finite.
        """
        _check_names(state, "count", "mean", "scatter")
        moments = cls(state["mean"].numel())
        moments.count = int(_tensor(state, "count", torch.int64, ()))
        moments._mean = _tensor(state, "mean", torch.float64, (moments.dim,))
        moments._scatter = _tensor(state, "scatter", torch.float64, (moments.dim, moments.dim))
        return moments


def _check_names(state: Mapping[str, Tensor], *names: str) -> None:
    if set(state) != set(names):
        raise UsageError(f"a state must hold {', '.join(names)}, not {', '.join(sorted(state)) or 'nothing'}", "pass a result of state()")


def _tensor(state: Mapping[str, Tensor], name: str, dtype: torch.dtype, shape: tuple[int, ...]) -> Tensor:
    tensor = state[name].detach().cpu()
    if tensor.dtype != dtype or tensor.shape != shape:
        has = f"{tensor.dtype} {tuple(tensor.shape)}"
        raise UsageError(f"{name!r} of a state must be {dtype} {shape}, not {has}", "pass a result of state()")
    check_finite(tensor, f"values of {name!r}")
    if dtype == torch.int64 and (tensor < 0).any():
        raise UsageError(f"{name!r} of a state must not be negative", "pass a result of state()")
    return tensor


class ClassScores:
    """The Inception Score exp(E_x KL(p(y | x) || p(y))) (Salimans et al. 2016, arXiv:1606.03498, section 4), in [1, classes].

    With N samples, E KL = E sum_y p(y | x) log p(y | x) - sum_y p(y) log p(y), so that sums suffice; p(y) is the mean of p(y | x).

    Each sample belongs to one of ``splits`` parts, by its index alone: part floor(splits * frac(index / golden ratio)). Consecutive indices
    fall evenly on all parts, as they would by ``index % splits``. But a sample's label is often its index modulo some number too, and then
    parts by remainder would hold one class each.

    Args:
        classes: number of classes.
        splits: number of parts for the standard error; papers use 10.

    Raises:
        ConfigError: if an argument is less than 1.

    >>> scores = ClassScores(classes=2)
    >>> scores.add(torch.eye(2).repeat(20, 1), torch.arange(40))
    >>> scores.score().value
    2.0
    """

    def __init__(self, classes: int, splits: int = 10) -> None:
        if classes < 1 or not 1 <= splits < 2**31:
            raise ConfigError(f"classes and splits must be at least 1, not {classes} and {splits}", "papers use 10 splits")
        self._count = torch.zeros(splits, dtype=torch.int64)
        self._p = torch.zeros(splits, classes, dtype=torch.float64)
        self._plogp = torch.zeros(splits, dtype=torch.float64)

    @property
    def count(self) -> int:
        """The number of samples that were added."""
        return int(self._count.sum())

    def __repr__(self) -> str:
        return f"ClassScores({self._p.shape[1]}, splits={len(self._count)}, count={self.count})"

    def add(self, probabilities: Tensor, index: Tensor) -> None:
        """Adds samples.

        Args:
            probabilities: (n, classes) of any floating-point dtype.
            index: numbers of the samples, integers (n,) of at least 0.

        Raises:
            UsageError: if a shape is wrong, rows are not probabilities, or the index is not made of such integers.
            ZooError: if some probability is not finite.
        """
        p = check_probabilities(probabilities, classes=self._p.shape[1])
        part = self._part(index, len(p))
        self._count = self._count.index_add(0, part, torch.ones_like(part))
        self._p = self._p.index_add(0, part, p)
        self._plogp = self._plogp.index_add(0, part, torch.xlogy(p, p).sum(1))

    def _part(self, index: Tensor, n: int) -> Tensor:
        if index.shape != (n,) or index.is_floating_point() or index.is_complex() or index.dtype == torch.bool:
            raise UsageError(f"index must be {n} integers, not {index.dtype} {tuple(index.shape)}", "pass the number of each sample")
        index = index.detach().cpu().long()
        if (index < 0).any():
            raise UsageError("index must not be negative", "pass the number of each sample, from 0")
        # 2^32 / golden ratio; an overflow does not reach the low 32 bits.
        return ((index * 2654435769 & 0xFFFFFFFF) * len(self._count)) >> 32

    def merge(self, other: "ClassScores") -> None:
        """Adds the samples of ``other``, which stays unchanged.

        Raises:
            UsageError: if it has other classes or splits.
        """
        if other._p.shape != self._p.shape:
            raise UsageError(f"{other!r} and {self!r} cannot be merged", "use the same classes and splits")
        self._count = self._count + other._count
        self._p = self._p + other._p
        self._plogp = self._plogp + other._plogp

    def score(self) -> Estimate:
        """The score over all samples; its standard error is the (unbiased) standard deviation of the splits' scores / sqrt(splits).

        Papers report the mean and the standard deviation of the splits' scores instead: both follow from :meth:`split_scores`. That mean is
        lower, since a split has fewer samples and scores grow with their number. There is no standard error if a split has fewer than 2
        samples, or if there is a single split.

        Raises:
            UsageError: if no sample was added.
        """
        if not self.count:
            raise UsageError("a score needs samples, and none were added", "add some")
        value = float(_score(self._count.sum(0), self._p.sum(0), self._plogp.sum(0)))
        splits = len(self._count)
        if splits < 2 or int(self._count.min()) < 2:
            return Estimate(value, None)
        return Estimate(value, float(self.split_scores().std()) / sqrt(splits))

    def split_scores(self) -> Tensor:
        """The score of each split, float64 (splits,); NaN for an empty one. "Mean +- std" in papers is computed from these."""
        return _score(self._count, self._p, self._plogp)

    def state(self) -> dict[str, Tensor]:
        """The state as plain tensors: ``count`` int64 (splits,), and the sums ``p`` (splits, classes) and ``plogp`` (splits,), float64."""
        return {"count": self._count, "p": self._p, "plogp": self._plogp}

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> Self:
        """Restores scores from a state that :meth:`state` returned.

        Raises:
            UsageError: if it is not a state of scores.
            ZooError: if it holds numbers that are not finite.
        """
        _check_names(state, "count", "p", "plogp")
        if state["p"].ndim != 2:
            raise UsageError("'p' of a state must be (splits, classes)", "pass a result of state()")
        splits, classes = state["p"].shape
        scores = cls(classes, splits)
        scores._count = _tensor(state, "count", torch.int64, (splits,))
        scores._p = _tensor(state, "p", torch.float64, (splits, classes))
        scores._plogp = _tensor(state, "plogp", torch.float64, (splits,))
        return scores


def _score(count: Tensor, p: Tensor, plogp: Tensor) -> Tensor:
    """exp(E KL) from the sums ``p`` (..., classes) and ``plogp`` (...) over ``count`` samples (...)."""
    marginal = p / count.unsqueeze(-1)
    # E KL is at least 0; rounding may make it negative.
    return torch.exp((plogp / count - torch.xlogy(marginal, marginal).sum(-1)).clamp(min=0))


def pixel_moments(x: Tensor) -> Tensor:
    """The mean of an image's values, the mean of their squares, and the share of values beyond SATURATED.

    Args:
        x: images (n, c, h, w). Values outside [-1, 1] are clamped, as in a picture.

    Returns:
        Float64 (n, 3) on the CPU.

    >>> pixel_moments(torch.tensor([-1.0, 0.0, 0.0, 1.0]).view(1, 1, 2, 2)).tolist()
    [[0.0, 0.5, 0.5]]
    """
    values = x.detach().cpu().double().clamp(-1, 1).flatten(1)
    return torch.stack([values.mean(1), values.square().mean(1), (values.abs() > SATURATED).double().mean(1)], dim=1)
