"""Classical models of data: principal components, Gaussian mixtures and cluster centres. They compute in torch; scikit-learn fits them."""

import math
from abc import ABC, abstractmethod
from math import prod
from typing import ClassVar

import torch
from torch import Tensor, nn

from zoo_classical.config import GaussianMixtureConfig, KMeansConfig, PCAConfig
from zoo_core.arguments import level_dtype
from zoo_core.density.transforms import continuous_log_prob
from zoo_core.interfaces import Event, LogProb, Rng

__all__ = ["PCA", "GaussianMixture", "KMeans"]

LOG_2PI = math.log(2 * math.pi)
LEAST = 1e-6  # share of a component in the choice of one, so that each has a latent


def _wide(x: Tensor) -> Tensor:
    """``x`` in float64, or in float32 on a device that has no float64: distances are differences of large numbers."""
    return x.to(level_dtype(x.device))


def _set(*shape: int, value: float = 0.0) -> nn.Parameter:
    """A parameter that a closed form sets and no optimizer trains."""
    return nn.Parameter(torch.full(shape, value), requires_grad=False)


class _Samples(nn.Module):
    """Samples as vectors: images in [-1, 1], or points."""

    channels_last: ClassVar[bool] = False

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.shape = shape
        self.dims = prod(shape)
        self.images = len(shape) == 3

    @property
    def event(self) -> Event:
        return Event(shape=self.shape, range=(-1.0, 1.0) if self.images else None)

    def _shaped(self, x: Tensor) -> Tensor:
        """Vectors (n, d) as samples, within the range of images."""
        x = x.view(-1, *self.shape)
        return x.clamp(-1, 1) if self.images else x


class _WithDensity(_Samples, ABC):
    """Samples with a density of vectors."""

    @abstractmethod
    def log_density(self, x: Tensor) -> Tensor:
        """The log-density (n,) of continuous samples ``x`` (n, *event.shape), per unit of volume, in nats."""

    def log_prob(self, x: Tensor, labels: Tensor | None = None, *, rng: Rng | None = None, k: int = 1) -> LogProb:
        """Exact for points; for images a lower bound on the log-mass of the 8-bit image, from ``k`` draws of dequantising noise.

        Args:
            x: (n, *event.shape); images are rounded to the nearest of the 256 levels.
            labels: ignored.
            rng: source of the noise; None for that of images 0 ... n - 1 of seed 0.
            k: number of draws; more give a tighter bound.
        """
        return continuous_log_prob(self.log_density, x, images=self.images, rng=rng, k=k)


class PCA(_WithDensity):
    """x = mu + W z + sigma eps, with z and eps standard normal: p(x) = N(mu, W W^T + sigma^2 I) (Tipping & Bishop 1999, eqs. 3 to 6).

    ``decode`` is E[x | z] = mu + W z and ``encode`` the posterior's mean M^-1 W^T (x - mu), M = W^T W + sigma^2 I (eq. 8). Principal
    component analysis itself is the limit sigma -> 0: ``axes`` and ``variances`` are its eigenvectors and eigenvalues, ``project`` its
    reconstruction.

    Example:
        >>> net = PCA(PCAConfig(shape=(3,), components=2))
        >>> net.decode(torch.zeros(4, 2)).shape, net.log_prob(torch.zeros(4, 3)).kind
        (torch.Size([4, 3]), 'exact')
    """

    def __init__(self, config: PCAConfig) -> None:
        super().__init__(config.shape)
        self.mean = _set(self.dims)
        self.loadings = nn.Parameter(torch.eye(self.dims, config.components), requires_grad=False)
        self.log_noise = _set(value=-1.0)  # log sigma

    @property
    def components(self) -> int:
        """The number of principal components."""
        return self.loadings.shape[1]

    @property
    def noise(self) -> Tensor:
        """sigma^2, ()."""
        return (2 * self.log_noise).exp()

    @property
    def axes(self) -> Tensor:
        """The principal axes, orthonormal columns (d, q), of the largest variance first; the largest number of each is positive."""
        axes = torch.linalg.svd(self.loadings, full_matrices=False)[0]
        return axes * axes.gather(0, axes.abs().argmax(0, keepdim=True)).sign()

    @property
    def variances(self) -> Tensor:
        """The variance along each axis, (q,): the first eigenvalues of the covariance."""
        return torch.linalg.svdvals(self.loadings).square() + self.noise

    def prior(self, rng: Rng) -> Tensor:
        return rng.normal(self.components)

    def decode(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        return self._shaped(self.mean + z @ self.loadings.T)

    def encode(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        return torch.linalg.solve(self._m(), self.loadings.T @ self._centred(x).T).T.to(x.dtype)

    def project(self, x: Tensor) -> Tensor:
        """The nearest points of the principal subspace, (n, *event.shape), to ``x`` (n, *event.shape)."""
        axes = self.axes
        return self._shaped(self.mean + self._centred(x) @ axes @ axes.T)

    def log_density(self, x: Tensor) -> Tensor:
        c = _wide(self._centred(x))
        w, noise = _wide(self.loadings), (2 * _wide(self.log_noise)).exp()
        root = torch.linalg.cholesky(w.T @ w + noise * torch.eye(self.components, dtype=w.dtype, device=w.device))
        y = torch.linalg.solve_triangular(root, (c @ w).T, upper=False)  # so that |y|^2 = c^T W M^-1 W^T c
        distance = (c.square().sum(1) - y.square().sum(0)) / noise
        log_det = 2 * root.diagonal().log().sum() + (self.dims - self.components) * noise.log()
        return (-0.5 * (distance + log_det + self.dims * LOG_2PI)).to(x.dtype)

    def _centred(self, x: Tensor) -> Tensor:
        return x.flatten(1) - self.mean

    def _m(self) -> Tensor:
        return self.loadings.T @ self.loadings + self.noise * torch.eye(self.components, device=self.loadings.device)


class _Weighted(_Samples):
    """Parts with weights; the first latent of a sample, a standard normal z_0, chooses its part by u = Phi(z_0)."""

    weights: nn.Parameter

    def _ends(self) -> Tensor:
        """The ends of the parts' intervals of u, increasing to 1, (k,)."""
        shares = _wide(self.weights).clamp(min=LEAST)
        return (shares / shares.sum()).cumsum(0)

    def _chosen(self, z: Tensor) -> Tensor:
        """The parts, int64 (n,), of first latents ``z`` (n,)."""
        u = torch.special.ndtr(_wide(z))
        return torch.searchsorted(self._ends(), u, right=True).clamp(max=len(self.weights) - 1)

    def _choice(self, part: Tensor) -> Tensor:
        """The first latents (n,) in the middle of the intervals of parts, int64 (n,)."""
        ends = self._ends()
        begins = torch.cat([ends.new_zeros(1), ends[:-1]])
        return torch.special.ndtri((begins + ends) / 2)[part]


class GaussianMixture(_Weighted, _WithDensity):
    """p(y) = sum_k w_k N(y; mu_k, L_k L_k^T), of the sample itself or of its coordinates in a subspace.

    With a subspace, x = m + A y + sigma e, with orthonormal columns A and e standard normal in the other directions: then p(x) is
    p(y) N(e; 0, sigma^2 I).

    A latent is z = (z_0, z_1, ...): u = Phi(z_0) chooses the component k, and y = mu_k + L_k (z_1, ...). ``decode`` leaves the noise
    outside of the subspace out, as E[x | z] does. ``encode`` takes the component of the largest responsibility, and the middle of its
    interval of u, so that decode(encode(x)) is x, or its projection.

    Example:
        >>> net = GaussianMixture(GaussianMixtureConfig(components=3))
        >>> net.decode(torch.zeros(4, 3)).shape, net.log_prob(torch.zeros(4, 2)).kind
        (torch.Size([4, 2]), 'exact')
    """

    def __init__(self, config: GaussianMixtureConfig) -> None:
        super().__init__(config.shape)
        k, r = config.components, config.subspace or self.dims
        self.subspace = config.subspace
        self.weights = _set(k, value=1 / k)
        self.means = _set(k, r)
        self.roots = nn.Parameter(torch.eye(r).repeat(k, 1, 1), requires_grad=False)  # L_k
        if config.subspace is not None:
            self.origin = _set(self.dims)
            self.axes = nn.Parameter(torch.eye(self.dims, r), requires_grad=False)
            self.log_noise = _set(value=-1.0)  # log sigma

    def prior(self, rng: Rng) -> Tensor:
        return rng.normal(1 + self.means.shape[1])

    def decode(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        part = self._chosen(z[:, 0])
        y = self.means[part] + (self.roots.tril()[part] @ z[:, 1:, None])[:, :, 0]
        return self._shaped(y if self.subspace is None else self.origin + y @ self.axes.T)

    def encode(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        y, _ = self.coordinates(x)
        part = self._joint(y).argmax(1)
        inside = torch.linalg.solve_triangular(_wide(self.roots).tril()[part], (y - self.means[part])[:, :, None], upper=False)
        return torch.cat([self._choice(part)[:, None], inside[:, :, 0]], dim=1).to(x.dtype)

    def assign(self, x: Tensor) -> Tensor:
        """The component of the largest responsibility, int64 (n,), for ``x`` (n, *event.shape)."""
        return self._joint(self.coordinates(x)[0]).argmax(1)

    def log_density(self, x: Tensor) -> Tensor:
        y, outside = self.coordinates(x)
        return (self._joint(y).logsumexp(1) + outside).to(x.dtype)

    def coordinates(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """y (n, r) of ``x`` (n, *event.shape), and the log-density (n,) of the rest of x, both in float64.

        Stored axes are orthonormal up to rounding; their Gram matrix G = A^T A makes the density exactly that of these.
        """
        x = _wide(x.flatten(1))
        if self.subspace is None:
            return x, x.new_zeros(len(x))
        axes, c = _wide(self.axes), x - self.origin
        gram = axes.T @ axes
        y = torch.linalg.solve(gram, (c @ axes).T).T
        rest, log_noise = self.dims - self.subspace, _wide(self.log_noise)
        distance = (c - y @ axes.T).square().sum(1) * (-2 * log_noise).exp()
        return y, -0.5 * (distance + rest * (LOG_2PI + 2 * log_noise) + torch.linalg.slogdet(gram)[1])

    def _joint(self, y: Tensor) -> Tensor:
        """log w_k N(y; mu_k, L_k L_k^T), (n, k), of ``y``, float64 (n, r)."""
        logs = []
        shares = _wide(self.weights).clamp(min=0)
        for share, mean, root in zip(shares / shares.sum(), _wide(self.means), _wide(self.roots).tril(), strict=True):
            white = torch.linalg.solve_triangular(root, (y - mean).T, upper=False)
            log_det = root.diagonal().abs().log().sum()
            logs.append(share.log() - 0.5 * (white.square().sum(0) + len(root) * LOG_2PI) - log_det)
        return torch.stack(logs, dim=1)


class KMeans(_Weighted):
    """Centres and the shares of the data that are nearest to each: a sample is a centre, drawn by its share.

    A latent is one standard normal number, which chooses the centre by u = Phi(z). ``encode`` gives the middle of the interval of the
    nearest centre, so that decode(encode(x)) is that centre: the reconstruction of vector quantisation.

    Example:
        >>> net = KMeans(KMeansConfig(shape=(2,), clusters=3))
        >>> net.encode(torch.zeros(4, 2)).shape
        torch.Size([4, 1])
    """

    def __init__(self, config: KMeansConfig) -> None:
        super().__init__(config.shape)
        self.weights = _set(config.clusters, value=1 / config.clusters)
        self.centres = _set(config.clusters, self.dims)

    def prior(self, rng: Rng) -> Tensor:
        return rng.normal(1)

    def decode(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        return self._shaped(self.centres[self._chosen(z[:, 0])])

    def encode(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        return self._choice(self.assign(x))[:, None].to(x.dtype)

    def assign(self, x: Tensor) -> Tensor:
        """The nearest centre, int64 (n,), for ``x`` (n, *event.shape)."""
        return torch.cdist(x.flatten(1), self.centres.to(x.dtype)).argmin(1)
