"""Statistics of samples that stream: they are added batch by batch, merged across processes, and kept as plain tensors.

All is float64 and on the CPU, whatever the features were: some accelerators have no float64. Neither the batch size, nor the order, nor the
number of processes changes a result, but for rounding.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt
from typing import Self

import torch
from torch import Tensor

from zoo_core.errors import ConfigError, UsageError, ZooError

__all__ = ["SATURATED", "ClassScores", "Estimate", "Moments", "check_features", "check_finite", "check_probabilities", "pixel_moments"]

SATURATED = 0.98
"""Beyond this absolute value a pixel of an image in [-1, 1] counts as saturated: 8-bit levels 0 to 2 and 253 to 255."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number and its standard error, in the same unit; None where no standard error is known."""

    value: float
    stderr: float | None = None


def check_features(features: Tensor, name: str = "features", *, dim: int | None = None, at_least: int = 0) -> Tensor:
    """The features (n, dim) as they are, but detached and on the CPU: one vector a sample, of any real dtype.

    Raises:
        UsageError: another shape, complex numbers, or fewer than ``at_least`` samples.
        ZooError: some feature is not finite.
    """
    if features.ndim != 2 or features.shape[1] == 0:
        raise UsageError(f"{name} must be one vector a sample, (n, dim), not {tuple(features.shape)}", "flatten them to two dimensions")
    if dim is not None and features.shape[1] != dim:
        raise UsageError(f"{name} have {features.shape[1]} dimensions, not {dim}", "compare what one and the same network gives")
    if features.is_complex():
        raise UsageError(f"{name} must be real numbers, not {features.dtype}", "pass real and imaginary parts side by side")
    if len(features) < at_least:
        raise UsageError(f"{name} of {len(features)} samples are too few: at least {at_least} are needed", "draw more samples")
    features = features.detach().cpu()
    check_finite(features, name)
    return features


def check_finite(values: Tensor, name: str) -> None:
    """Raises ZooError if any of the values is NaN or infinite."""
    if not values.isfinite().all():
        hint = "look at the samples: a model that diverged gives such numbers, and so does an overflow in float16"
        raise ZooError(f"{name} are not all finite numbers", hint)


def check_probabilities(probabilities: Tensor, *, classes: int | None = None) -> Tensor:
    """Probabilities (n, classes) in float64, each row made to sum to one; off by up to 0.01 is taken as rounding of half precision.

    Raises:
        UsageError: another shape, or rows that are no probabilities.
        ZooError: some are not finite.
    """
    p = check_features(probabilities, "probabilities", dim=classes).double()
    total = p.sum(1, keepdim=True)
    if (p < 0).any() or ((total - 1).abs() > 0.01).any():
        raise UsageError("probabilities must be at least 0 and sum to 1 in each row", "pass logits through softmax first")
    return p / total


class Moments:
    """Count, mean and covariance of features, by the pairwise updates of Chan, Golub & LeVeque (1983), which do not cancel.

    Two parts a and b with n = n_a + n_b samples and delta = mu_b - mu_a join as

        mu = mu_a + delta n_b / n        M = M_a + M_b + delta delta^T n_a n_b / n

    where M is the sum of the outer products of the deviations from the mean. Memory is 8 dim^2 bytes, however many samples there are.

    Args:
        dim: the length of a feature vector.

    Raises:
        ConfigError: ``dim`` is less than 1.
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
        """Adds features (n, dim) of any real dtype; n may be 0. After an error all is as it was before.

        Raises:
            UsageError: another shape.
            ZooError: some feature is not finite, or so large that its square is not.
        """
        x = check_features(features, dim=self.dim).double()
        if len(x):
            mean = x.mean(0)
            deviations = x - mean
            self._join(len(x), mean, deviations.T @ deviations)

    def merge(self, other: "Moments") -> None:
        """Adds all that ``other`` has seen, and leaves it alone.

        Raises:
            UsageError: it has another ``dim``.
        """
        if other.dim != self.dim:
            raise UsageError(f"moments of {other.dim} and of {self.dim} dimensions cannot be merged", "use features of one network")
        if other.count:
            self._join(other.count, other._mean, other._scatter)

    def _join(self, count: int, mean: Tensor, scatter: Tensor) -> None:
        n = self.count + count
        delta = mean - self._mean
        # New tensors, never in place: what state() gave out stays as it was.
        M = self._scatter + scatter + torch.outer(delta, delta) * (self.count * count / n)
        check_finite(M, "squares of the features")
        self.count, self._mean, self._scatter = n, self._mean + delta * (count / n), M

    @property
    def mean(self) -> Tensor:
        """mu, float64 (dim,).

        Raises:
            UsageError: nothing was added.
        """
        self._need(1)
        return self._mean

    @property
    def covariance(self) -> Tensor:
        """C = M / (N - 1), float64 (dim, dim).

        Raises:
            UsageError: fewer than 2 samples were added.
        """
        self._need(2)
        return self._scatter / (self.count - 1)

    def _need(self, count: int) -> None:
        if self.count < count:
            raise UsageError(f"features of {self.count} samples are too few: at least {count} are needed", "add more samples")

    def state(self) -> dict[str, Tensor]:
        """All there is as plain tensors: ``count`` int64 (), ``mean`` (dim,) and ``scatter`` M (dim, dim), float64."""
        return {"count": torch.tensor(self.count), "mean": self._mean, "scatter": self._scatter}

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> Self:
        """The moments that gave this state.

        Raises:
            UsageError: it is no state of moments.
            ZooError: it holds numbers that are not finite.
        """
        _check_names(state, "count", "mean", "scatter")
        moments = cls(state["mean"].numel())
        moments.count = int(_tensor(state, "count", torch.int64, ()))
        moments._mean = _tensor(state, "mean", torch.float64, (moments.dim,))
        moments._scatter = _tensor(state, "scatter", torch.float64, (moments.dim, moments.dim))
        return moments


def _check_names(state: Mapping[str, Tensor], *names: str) -> None:
    if set(state) != set(names):
        raise UsageError(f"a state must hold {', '.join(names)}, not {', '.join(sorted(state)) or 'nothing'}", "pass what state() gave")


def _tensor(state: Mapping[str, Tensor], name: str, dtype: torch.dtype, shape: tuple[int, ...]) -> Tensor:
    tensor = state[name].detach().cpu()
    if tensor.dtype != dtype or tensor.shape != shape:
        has = f"{tensor.dtype} {tuple(tensor.shape)}"
        raise UsageError(f"{name!r} of a state must be {dtype} {shape}, not {has}", "pass what state() gave")
    check_finite(tensor, f"values of {name!r}")
    if dtype == torch.int64 and (tensor < 0).any():
        raise UsageError(f"{name!r} of a state must not be negative", "pass what state() gave")
    return tensor


class ClassScores:
    """The Inception Score exp(E_x KL(p(y | x) || p(y))) (Salimans et al. 2016, arXiv:1606.03498, section 4), in [1, classes].

    With N samples, E KL = E sum_y p(y | x) log p(y | x) - sum_y p(y) log p(y), so that sums suffice; p(y) is the mean of p(y | x).

    Each sample belongs to one of ``splits`` parts, by its index alone: part floor(splits * frac(index / golden ratio)). Runs of indices
    fall evenly on all parts, as they would by ``index % splits``; but a sample's label often is its index modulo some number too, and then
    parts by remainder would hold one class each.

    Args:
        classes: the number of classes.
        splits: the number of parts for the standard error; papers take 10.

    Raises:
        ConfigError: an argument is less than 1.
    """

    def __init__(self, classes: int, splits: int = 10) -> None:
        if classes < 1 or not 1 <= splits < 2**31:
            raise ConfigError(f"classes and splits must be at least 1, not {classes} and {splits}", "papers take 10 splits")
        self._count = torch.zeros(splits, dtype=torch.int64)
        self._p = torch.zeros(splits, classes, dtype=torch.float64)
        self._plogp = torch.zeros(splits, dtype=torch.float64)

    @property
    def count(self) -> int:
        """How many samples were added."""
        return int(self._count.sum())

    def __repr__(self) -> str:
        return f"ClassScores({self._p.shape[1]}, splits={len(self._count)}, count={self.count})"

    def add(self, probabilities: Tensor, index: Tensor) -> None:
        """Adds probabilities (n, classes) of any floating dtype, of the samples number ``index``, integers (n,) of at least 0.

        Raises:
            UsageError: another shape, rows that are no probabilities, or an index that is none.
            ZooError: some probability is not finite.
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
        # 2^32 / golden ratio; what overflows does not reach the low 32 bits.
        return ((index * 2654435769 & 0xFFFFFFFF) * len(self._count)) >> 32

    def merge(self, other: "ClassScores") -> None:
        """Adds all that ``other`` has seen, and leaves it alone.

        Raises:
            UsageError: it has other classes or splits.
        """
        if other._p.shape != self._p.shape:
            raise UsageError(f"{other!r} and {self!r} cannot be merged", "use the same classes and splits")
        self._count = self._count + other._count
        self._p = self._p + other._p
        self._plogp = self._plogp + other._plogp

    def score(self) -> Estimate:
        """The score over all samples at once; its standard error is the splits' standard deviation (unbiased) / sqrt(splits).

        Papers give the mean of the splits' scores instead, and their standard deviation: both follow from :meth:`split_scores`. That mean
        is lower, since a split has fewer samples and scores grow with their number. No standard error where a split has fewer than 2
        samples, or where there is one split.

        Raises:
            UsageError: nothing was added.
        """
        if not self.count:
            raise UsageError("a score needs samples, and none were added", "add some")
        value = float(_score(self._count.sum(0), self._p.sum(0), self._plogp.sum(0)))
        splits = len(self._count)
        if splits < 2 or int(self._count.min()) < 2:
            return Estimate(value, None)
        return Estimate(value, float(self.split_scores().std()) / sqrt(splits))

    def split_scores(self) -> Tensor:
        """The score of each split on its own, float64 (splits,); NaN where it is empty. The papers' "mean +- std" is of these."""
        return _score(self._count, self._p, self._plogp)

    def state(self) -> dict[str, Tensor]:
        """All there is as plain tensors: ``count`` int64 (splits,), ``p`` (splits, classes) and ``plogp`` (splits,), sums in float64."""
        return {"count": self._count, "p": self._p, "plogp": self._plogp}

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> Self:
        """The scores that gave this state.

        Raises:
            UsageError: it is no state of scores.
            ZooError: it holds numbers that are not finite.
        """
        _check_names(state, "count", "p", "plogp")
        if state["p"].ndim != 2:
            raise UsageError("'p' of a state must be (splits, classes)", "pass what state() gave")
        splits, classes = state["p"].shape
        scores = cls(classes, splits)
        scores._count = _tensor(state, "count", torch.int64, (splits,))
        scores._p = _tensor(state, "p", torch.float64, (splits, classes))
        scores._plogp = _tensor(state, "plogp", torch.float64, (splits,))
        return scores


def _score(count: Tensor, p: Tensor, plogp: Tensor) -> Tensor:
    """exp(E KL) of sums over ``count`` samples (...), with ``p`` (..., classes) and ``plogp`` (...)."""
    marginal = p / count.unsqueeze(-1)
    # E KL is not negative; by rounding it may be.
    return torch.exp((plogp / count - torch.xlogy(marginal, marginal).sum(-1)).clamp(min=0))


def pixel_moments(x: Tensor) -> Tensor:
    """Of each image of ``x`` (n, c, h, w): the mean of its values, that of their squares, and the share of those beyond SATURATED.

    Float64 (n, 3), on the CPU. What leaves [-1, 1] counts as the end of the range, as a picture shows it.
    """
    values = x.detach().cpu().double().clamp(-1, 1).flatten(1)
    return torch.stack([values.mean(1), values.square().mean(1), (values.abs() > SATURATED).double().mean(1)], dim=1)
