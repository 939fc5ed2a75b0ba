"""Fitting classical models by scikit-learn: closed forms, steps of EM and of Lloyd's algorithm, in phases without an optimizer."""

import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from textwrap import shorten
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from zoo_classical.config import GaussianMixtureTrainerConfig, KMeansTrainerConfig, PCATrainerConfig
from zoo_classical.model import PCA, GaussianMixture, KMeans
from zoo_core.errors import ConfigError, ResourceError, ZooError
from zoo_core.interfaces import Rng
from zoo_core.training.trainer import Batch, Loss, Trainer

__all__ = ["GaussianMixtureTrainer", "KMeansTrainer", "PCATrainer"]

_Array = NDArray[np.float64]
LEAST = 1e-12  # of variances and counts, so that logarithms and quotients are finite


def _vectors(x: Tensor) -> _Array:
    """Samples (n, ...) as rows of numbers, (n, d)."""
    rows: _Array = x.flatten(1).cpu().double().numpy()
    return rows


def _seed(rng: Rng) -> int:
    """A seed for scikit-learn, from the random numbers of the first row."""
    return int(rng.integers(0, 2**31 - 1)[0])


def _check_rows(batch: Batch, least: int, what: str) -> None:
    if len(batch.x) < least:
        hint = f"--batch-size {least} is the least; a batch should hold all of the data"
        raise ConfigError(f"a batch of {len(batch.x)} rows cannot give {least} {what}", hint)


@contextmanager
def _sklearn() -> Iterator[None]:
    """Inside a ``with`` block, scikit-learn does not warn that one step is not convergence, and its refusals are errors of the zoo.

    Raises:
        ResourceError: if scikit-learn is not installed.
        ZooError: if it cannot fit the data, such as values that are not finite, or a covariance that is singular.
    """
    try:
        from sklearn.exceptions import ConvergenceWarning
    except ImportError as error:
        raise ResourceError("fitting needs scikit-learn, which is not installed", "pip install scikit-learn") from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        try:
            yield
        except ValueError as error:  # LinAlgError is one
            what = f"scikit-learn cannot fit this batch: {shorten(str(error), 120, placeholder=' ...')}"
            raise ZooError(what, "look at the data; -o trainer.floor=1e-3 keeps the covariances of gmm apart from singular ones") from error


def _put(parameter: Tensor, value: "NDArray[Any] | float") -> None:
    parameter.copy_(torch.as_tensor(value).to(parameter))


@dataclass(frozen=True, slots=True)
class _Principal:
    """Principal components of rows (n, d).

    Args:
        seen: number of rows.
        mean, variance: mean and variance of each dimension, (d,).
        axes: principal axes (q, d).
        singular: singular values of the centred rows, (q,).
    """

    seen: int
    mean: _Array
    variance: _Array
    axes: _Array
    singular: _Array

    @property
    def explained(self) -> _Array:
        """The variance along each axis, (q,), with which the likelihood is largest: a mean over n rows."""
        values: _Array = self.singular**2 / self.seen
        return values

    @property
    def noise(self) -> float:
        """The mean variance along the other directions."""
        rest = self.variance.sum() - self.explained.sum()
        return float(max(rest / (len(self.mean) - len(self.axes)), LEAST))


def _principal(x: _Array, components: int) -> _Principal:
    """The first principal components of the rows of ``x``, by the eigenvectors of their covariance."""
    with _sklearn():
        from sklearn import decomposition

        solver = decomposition.PCA(components, svd_solver="covariance_eigh").fit(x)
    return _Principal(len(x), solver.mean_, x.var(axis=0), solver.components_, solver.singular_values_)


class _Fitted(Trainer):
    """A trainer of one phase, ``fit``, which no optimizer takes."""

    def phases(self, step: int) -> tuple[str, ...]:
        return ("fit",)

    def parameters_of(self, phase: str) -> Iterable[nn.Parameter]:
        return ()


class PCATrainer(_Fitted):
    """The maximum of the likelihood: W = U (Lambda - sigma^2)^1/2, with sigma^2 the mean of the other eigenvalues.

    (Tipping & Bishop 1999, eqs. 7 and 8.) One batch of all of the data gives these exactly. Over several batches, scikit-learn's
    ``IncrementalPCA`` keeps the principal axes and the moments of the rows that it has seen (Ross et al. 2008): mean and total variance
    stay exact, the axes nearly so. The loss is -log p of the batch after the step, in nats, of samples without dequantisation.

    Example:
        >>> from zoo_core.rng import StepRng
        >>> from zoo_classical.config import PCAConfig
        >>> trainer = PCATrainer(PCA(PCAConfig(shape=(3,), components=1)), PCATrainerConfig())
        >>> x = torch.tensor([[3.0, 0.1, 0.0], [-3.0, -0.1, 0.0], [1.0, 0.0, 0.1], [-1.0, 0.0, -0.1]])
        >>> _ = trainer("fit", Batch(x=x, labels=None, index=torch.arange(4)), StepRng(0, 0, 4))
        >>> [round(value, 1) for value in trainer.model.axes[:, 0].abs().tolist()]
        [1.0, 0.0, 0.0]
    """

    model: PCA
    seen: Tensor
    singular: Tensor
    axes: Tensor
    variance: Tensor

    def __init__(self, model: PCA, config: PCATrainerConfig) -> None:
        super().__init__(model, config)
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))
        self.register_buffer("singular", torch.zeros(model.components))
        self.register_buffer("axes", torch.zeros(model.components, model.dims))
        self.register_buffer("variance", torch.zeros(model.dims))

    def forward(self, phase: str, batch: Batch, rng: Rng) -> Loss:
        model, x = self.model, _vectors(batch.x)
        _check_rows(batch, model.components + 1, "principal components and the variance of the rest")
        found = self._next(x) if int(self.seen) else _principal(x, model.components)
        _put(self.seen, found.seen)
        _put(self.singular, found.singular)
        _put(self.axes, found.axes)
        _put(self.variance, found.variance)
        _put(model.mean, found.mean)
        _put(model.loadings, found.axes.T * np.sqrt(np.maximum(found.explained - found.noise, 0.0)))
        _put(model.log_noise, 0.5 * float(np.log(found.noise)))
        share = torch.as_tensor(found.explained.sum() / max(found.variance.sum(), LEAST), dtype=torch.float32)
        return Loss(value=-model.log_density(batch.x).mean(), logs={"explained": share})

    def _next(self, x: _Array) -> "_Principal":
        """The components of the rows before and of those of ``x``."""
        with _sklearn():
            from sklearn.decomposition import IncrementalPCA

            solver = IncrementalPCA(self.model.components)
            solver.components_ = self.axes.cpu().double().numpy()
            solver.singular_values_ = self.singular.cpu().double().numpy()
            solver.mean_ = self.model.mean.cpu().double().numpy()
            solver.var_ = self.variance.cpu().double().numpy()
            solver.n_samples_seen_ = int(self.seen)
            solver.n_features_in_ = self.model.dims
            solver.partial_fit(x)
        return _Principal(solver.n_samples_seen_, solver.mean_, solver.var_, solver.components_, solver.singular_values_)


class GaussianMixtureTrainer(_Fitted):
    """Steps of expectation maximisation (Dempster et al. 1977), by scikit-learn's ``GaussianMixture``.

    Before the first step, k-means gives the first responsibilities, and for a model with a subspace the principal components of the first
    batch its axes. The loss is -log p of the batch before the step, in nats: on batches of all of the data it never rises.

    Example:
        >>> from zoo_core.rng import StepRng
        >>> from zoo_classical.config import GaussianMixtureConfig
        >>> model = GaussianMixture(GaussianMixtureConfig(shape=(1,), components=2))
        >>> trainer = GaussianMixtureTrainer(model, GaussianMixtureTrainerConfig())
        >>> batch = Batch(x=torch.tensor([[-2.0], [-2.2], [3.0], [3.2]]), labels=None, index=torch.arange(4))
        >>> trainer.prepare(batch, StepRng(0, 0, 4))
        >>> sorted(round(mean, 1) for mean in model.means.flatten().tolist())
        [-2.1, 3.1]
    """

    model: GaussianMixture

    def __init__(self, model: GaussianMixture, config: GaussianMixtureTrainerConfig) -> None:
        super().__init__(model, config)
        self.floor = config.floor

    def prepare(self, batch: Batch, rng: Rng) -> None:
        model = self.model
        _check_rows(batch, max(len(model.weights), 1 + (model.subspace or 0)), "Gaussians")
        if model.subspace is not None:
            found = _principal(_vectors(batch.x), model.subspace)
            _put(model.origin, found.mean)
            _put(model.axes, found.axes.T)
            _put(model.log_noise, 0.5 * float(np.log(found.noise)))
        with _sklearn():
            from sklearn.cluster import KMeans as Clusters

            y = _vectors(model.coordinates(batch.x)[0])
            nearest = Clusters(len(model.weights), n_init=1, random_state=_seed(rng)).fit(y).labels_
        shares = np.eye(len(model.weights))[nearest]
        counts = shares.sum(0) + 1e-10
        means = shares.T @ y / counts[:, None]
        covariances = np.stack([(share * (y - mean).T) @ (y - mean) for share, mean in zip(shares.T, means, strict=True)])
        with _sklearn():
            self._set(counts / counts.sum(), means, covariances / counts[:, None, None] + self.floor * np.eye(y.shape[1]))

    def forward(self, phase: str, batch: Batch, rng: Rng) -> Loss:
        model = self.model
        _check_rows(batch, max(len(model.weights), 2), "Gaussians")
        y, outside = model.coordinates(batch.x)
        with _sklearn():
            from sklearn.mixture import GaussianMixture as Mixture

            shares = model.weights.cpu().double().numpy().clip(LEAST)
            inverse = np.linalg.inv(model.roots.tril().cpu().double().numpy())
            solver = Mixture(
                len(shares),
                max_iter=1,
                reg_covar=self.floor,
                weights_init=shares / shares.sum(),
                means_init=model.means.cpu().double().numpy(),
                precisions_init=inverse.transpose(0, 2, 1) @ inverse,
            ).fit(_vectors(y))
            self._set(solver.weights_, solver.means_, solver.covariances_)
        return Loss(value=-(outside.mean() + solver.lower_bound_).float())

    def _set(self, weights: _Array, means: _Array, covariances: _Array) -> None:
        _put(self.model.weights, weights)
        _put(self.model.means, means)
        _put(self.model.roots, np.linalg.cholesky(covariances))


class KMeansTrainer(_Fitted):
    """Steps of Lloyd's algorithm: a centre becomes the mean of the rows nearest to it. A centre without rows stays.

    Before the first step, scikit-learn draws the centres by k-means++. With ``memory``, a centre is the mean over the rows of earlier
    batches too. The loss is the mean squared distance to the nearest centre before the step; on batches of all of the data it never rises.

    Example:
        >>> from zoo_core.rng import StepRng
        >>> from zoo_classical.config import KMeansConfig
        >>> trainer = KMeansTrainer(KMeans(KMeansConfig(shape=(1,), clusters=2)), KMeansTrainerConfig())
        >>> batch = Batch(x=torch.tensor([[0.0], [1.0], [10.0], [11.0]]), labels=None, index=torch.arange(4))
        >>> trainer.prepare(batch, StepRng(0, 0, 4))
        >>> trainer("fit", batch, StepRng(0, 0, 4)).value.item() >= 0.25
        True
    """

    model: KMeans
    counts: Tensor

    def __init__(self, model: KMeans, config: KMeansTrainerConfig) -> None:
        super().__init__(model, config)
        self.memory = config.memory
        self.register_buffer("counts", torch.zeros(len(model.centres)))

    def prepare(self, batch: Batch, rng: Rng) -> None:
        _check_rows(batch, len(self.counts), "centres")
        with _sklearn():
            from sklearn.cluster import kmeans_plusplus

            centres, _ = kmeans_plusplus(_vectors(batch.x), len(self.counts), random_state=_seed(rng))
        _put(self.model.centres, centres)

    def forward(self, phase: str, batch: Batch, rng: Rng) -> Loss:
        nearest = self.model.assign(batch.x).cpu()
        x, centres = batch.x.flatten(1).cpu().double(), self.model.centres.cpu().double()
        value = (x - centres[nearest]).square().sum(1).mean()
        here = torch.bincount(nearest, minlength=len(centres)).double()
        sums = torch.zeros_like(centres).index_add_(0, nearest, x)
        before = self.memory * self.counts.cpu().double()
        counts = before + here
        moved = (before[:, None] * centres + sums) / counts.clamp(min=LEAST)[:, None]
        self.counts.copy_(counts)
        self.model.centres.copy_(torch.where(counts[:, None] > 0, moved, centres))
        self.model.weights.copy_(counts / counts.sum())
        return Loss(value=value.float(), logs={"empty": (here == 0).sum()})
