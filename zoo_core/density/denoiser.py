"""Log-probabilities of denoisers: by the probability-flow ODE, and by the variational bound of DDPM.

Both use the coordinate x_sigma = x_0 + sigma * eps, and so apply to every :class:`zoo_core.interfaces.Denoiser`.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor

from zoo_core.density.runge_kutta import MAX_EVALUATIONS, solve
from zoo_core.errors import CapabilityError, UsageError, ZooError
from zoo_core.images import exact_uint8
from zoo_core.interfaces import Denoiser, DiscreteScheduler, LogProb, Rng

__all__ = ["COARSER", "EXACT_DIMS", "METHODS", "PROBES", "TOLERANCE", "Bound", "bound", "ode"]

METHODS = MappingProxyType({"own": "density", "ode": "denoise", "bound": "denoise"})
"""The methods of a log-probability, and the capability that each needs."""
EXACT_DIMS = 16
"""The number of dimensions up to which the trace is exact by default."""
PROBES = 4
"""The default number of probes of Hutchinson's estimate."""
TOLERANCE = 1e-5
COARSER = 10.0
"""The tolerance of the coarser solution, from which the standard error is estimated, over that of the solution."""


# The probability-flow ODE


@torch.no_grad()
def ode(
    model: Denoiser,
    x: Tensor,
    rng: Rng | None = None,
    labels: Tensor | None = None,
    *,
    k: int | None = None,
    tolerance: float = TOLERANCE,
    max_evaluations: int = MAX_EVALUATIONS,
) -> LogProb:
    """The log-density of ``x`` as samples at noise level sigma_min (not of clean data), by the probability-flow ODE.

    Song et al. 2021, arXiv:2011.13456, eqs. 39 and 40. From sigma_min to sigma_max of the model's ``sigma_range``,

        dx/dsigma  = (x - D(x, sigma)) / sigma
        log p(x_0) = log N(x_T; 0, sigma_max^2 I) + integral of div((x - D(x, sigma)) / sigma) dsigma

    The trace in the divergence is exact, by d backward passes, or Hutchinson's estimate: the mean of v . (dD/dx) v over ``k`` probes v of
    random signs, which are the same at every level.

    Args:
        model: denoiser.
        x: samples (n, *event.shape), float32 or float64; the model computes in this dtype.
        rng: generator of the probes, with a row for each sample; may be None if the trace is exact.
        labels: int64 (n,), or None.
        k: number of probes, at least 2; None for the exact trace up to EXACT_DIMS dimensions, and PROBES beyond.
        tolerance: error of a step, relative to 1 + |y| for the state y (see :class:`_FlowODE`), and per dimension for log p.
        max_evaluations: limit of the evaluations of the model per sample.

    Returns:
        An estimate of a ``continuous`` log-density. Its squared standard error is the sum of three squares: the standard error of the
        probes; the solver's estimate of its error; and the difference of the terms of log p to those of a solution with COARSER times the
        tolerance. That difference is an error of the coarser solution, so mostly larger than that of the value, but it is no bound. Not
        included are errors of the network, and the difference between the data at sigma_max and N(0, sigma_max^2 I).

    Raises:
        UsageError: if k is 1.
        ConfigError: if the ODE needs more than ``max_evaluations`` evaluations.
        ZooError: if the model returns values that are not finite.
    """
    probes, exact = _probes(x, rng, k)
    flow = _FlowODE(model, x, labels, probes, exact)
    prior, integrals, local_error = flow.solve(tolerance, max_evaluations)
    coarse_prior, coarse_integrals, _ = flow.solve(COARSER * tolerance, max_evaluations)
    integral = flow.trace(integrals)
    # Term by term: the errors of two terms may cancel by chance.
    path_error = (prior - coarse_prior).abs() + (integral - flow.trace(coarse_integrals)).abs()
    variance = path_error**2 + local_error**2 + (0 if exact else integrals.var(1) / len(probes))
    log_p = prior + flow.log_volume + integral
    return LogProb(value=log_p.to(x.dtype), kind="estimate", stderr=variance.sqrt().to(x.dtype))


def _probes(x: Tensor, rng: Rng | None, k: int | None) -> tuple[Tensor, bool]:
    """Probes (p, n, *event.shape), and True if they are the unit vectors, with which the trace is exact."""
    d = x[0].numel() if len(x) else 1
    if k is None and d <= EXACT_DIMS:
        return torch.eye(d).to(x).view(d, 1, *x.shape[1:]).expand(d, *x.shape), True
    count = PROBES if k is None else k
    if count < 2 or rng is None:
        raise UsageError("fewer than 2 probes have no standard error", "pass k=2 or more")
    return (2.0 * rng.integers(0, 2, count, *x.shape[1:]) - 1).to(x).transpose(0, 1), False


@dataclass(frozen=True, slots=True)
class _FlowODE:
    """The probability-flow ODE in y = x / s, s = sqrt(1 + sigma^2), over t = log sigma, where the slope vanishes at both ends:

        dy/dt      = (y / s - D(s y, sigma)) / s
        log p(x_0) = log N(x_T; 0, sigma_max^2 I) + d log(s_T / s_0) + integral of (d / s^2 - tr dD/dx) dt

    Args:
        model: denoiser.
        x: samples (n, *event.shape).
        labels: int64 (n,), or None.
        probes: (p, n, *event.shape).
        exact: True if the probes are the unit vectors; then traces are sums over them, and otherwise means.
    """

    model: Denoiser
    x: Tensor
    labels: Tensor | None
    probes: Tensor
    exact: bool

    @property
    def dims(self) -> int:
        return self.x[0].numel() if len(self.x) else 1

    @property
    def scales(self) -> tuple[float, float]:
        """s_0 and s_T."""
        low, high = self.model.sigma_range
        return math.sqrt(1 + low**2), math.sqrt(1 + high**2)

    @property
    def log_volume(self) -> float:
        """d log(s_T / s_0)."""
        s_0, s_T = self.scales
        return self.dims * math.log(s_T / s_0)

    def trace(self, products: Tensor) -> Tensor:
        """A trace (n,) from its products with the probes (n, p)."""
        return products.sum(1) if self.exact else products.mean(1)

    def slope(self, t: Tensor, z: Tensor, rows: Tensor) -> Tensor:
        """The slopes (m, d + p) of y and of the integral for each probe."""
        sigma = t.exp()
        s = (1 + sigma**2).sqrt().unsqueeze(1)
        y = z[:, : self.dims]
        x_sigma = (s * y).view(-1, *self.x.shape[1:]).to(self.x.dtype)
        labels = None if self.labels is None else self.labels[rows]
        x_0, products = _denoised(self.model, x_sigma, sigma, labels, self.probes[:, rows])
        dims_per_probe = 1 if self.exact else self.dims
        return torch.cat([(y / s - x_0.flatten(1)) / s, dims_per_probe / s**2 - products], dim=1)

    def solve(self, tolerance: float, max_evaluations: int) -> tuple[Tensor, Tensor, Tensor]:
        """The log-density of x_T (n,), the integral for each probe (n, p), and the estimated error of the integral (n,)."""
        low, high = self.model.sigma_range
        s_0, s_T = self.scales
        d = self.dims
        integrals = self.x.new_zeros(len(self.x), self.probes.shape[0], dtype=torch.float64)
        start = torch.cat([self.x.double().flatten(1) / s_0, integrals], dim=1)

        def norm(error: Tensor, z: Tensor) -> Tensor:
            y_error = (error[:, :d] / (tolerance * (1 + z[:, :d].abs()))).square().mean(1).sqrt()
            return torch.maximum(y_error, self.trace(error[:, d:]).abs() / (tolerance * d))

        end, error = solve(self.slope, start, math.log(low), math.log(high), norm, max_evaluations)
        prior = -0.5 * (s_T * end[:, :d] / high).square().sum(1) - d * (math.log(high) + 0.5 * math.log(2 * math.pi))
        return prior, end[:, d:], self.trace(error[:, d:])


def _denoised(model: Denoiser, x: Tensor, sigma: Tensor, labels: Tensor | None, probes: Tensor) -> tuple[Tensor, Tensor]:
    """D(x, sigma) (n, *event.shape), and v . (dD/dx) v for each probe (n, p); float64."""
    with torch.enable_grad():
        x = x.detach().requires_grad_(True)
        x_0 = model.denoise(x, sigma, labels)
        products = torch.stack([_product(x_0, x, v) for v in probes], dim=1)
    wrong = ~(x_0.flatten(1).isfinite().all(1) & products.isfinite().all(1))
    if bool(wrong.any()):
        raise ZooError(f"the model returns values that are not finite at sigma {sigma[wrong][0]:.3g}", "look at its samples, and at x")
    return x_0.detach().double(), products


def _product(x_0: Tensor, x: Tensor, v: Tensor) -> Tensor:
    """v . (dx_0/dx) v, float64 (n,); 0 for a denoiser that ignores x."""
    slope = torch.autograd.grad(x_0, x, v, retain_graph=True, allow_unused=True)[0] if x_0.requires_grad else None
    return (torch.zeros_like(v) if slope is None else slope * v).flatten(1).double().sum(1)


# The variational bound


@dataclass(frozen=True, kw_only=True, slots=True)
class Bound(LogProb):
    """DDPM's lower bound of the log-mass of 8-bit images, value = -(prior + consistency + reconstruction), and its terms.

    Args:
        prior: L_T, the information of the noisiest image about x, in nats (n,); it needs no draws.
        consistency: L_1 + ... + L_(T-1), in nats (n,).
        reconstruction: L_0, in nats (n,).

    >>> zeros, ones = torch.zeros(2), torch.ones(2)
    >>> terms = Bound(value=-ones, kind="lower_bound", space="uint8", prior=zeros, consistency=zeros, reconstruction=ones).terms
    >>> terms["reconstruction"].value
    tensor([-1., -1.])
    """

    prior: Tensor
    consistency: Tensor
    reconstruction: Tensor

    @property
    def terms(self) -> Mapping[str, LogProb]:
        """The contributions of the terms to the log-probability, by their names."""
        names = ("prior", "consistency", "reconstruction")
        return {name: LogProb(value=-getattr(self, name), kind=self.kind, space=self.space) for name in names}


@torch.no_grad()
def bound(model: Denoiser, x: Tensor, rng: Rng, labels: Tensor | None = None, *, k: int | None = None) -> Bound:
    """The variational bound of the log-mass of 8-bit images (Ho et al. 2020, arXiv:2006.11239, eq. 5), with the levels of training.

    With x_t = x_sigma / sqrt(1 + sigma^2), SNR_t = 1 / sigma_t^2, and reverse steps of the posterior's variance (beta-tilde),

        L_T     = KL(N(x, sigma_T^2 I) | N(0, (1 + sigma_T^2) I))
        L_(t-1) = 1/2 (SNR_(t-1) - SNR_t) E|x - D(x_sigma, sigma_t)|^2,   t = 2 ... T
        L_0     = -E log of the mass of each pixel's level under N(D(x_sigma, sigma_1), beta_1 I)

    (ibid., eqs. 7, 8 and 13; beta_1 = sigma_1^2 / (1 + sigma_1^2), since beta-tilde_1 = 0). The interval of the lowest level extends to
    minus infinity, that of the highest to infinity.

    Args:
        model: denoiser of images, whose scheduler has discrete levels.
        x: 8-bit images in [-1, 1], (n, *event.shape).
        rng: generator of the noise, with a row for each image.
        labels: int64 (n,), or None.
        k: number of draws, in each of which one random level of t = 2 ... T stands for all: 2 k forward passes, and a standard error from
            k = 2 on. None uses every level once, in T passes; its noise is random too, but has no standard error.

    Raises:
        CapabilityError: if the noise levels are continuous.
        UsageError: if the model does not draw images in [-1, 1], ``x`` is not made of 8-bit images, or k is less than 1.
    """
    if not isinstance(model.scheduler, DiscreteScheduler):
        raise CapabilityError("a model with continuous noise levels has no variational bound", "use the method ode")
    if model.event.range != (-1.0, 1.0):
        raise UsageError("the variational bound is defined for 8-bit images in [-1, 1]", "points have a density: use the method ode")
    if k is not None and k < 1:
        raise UsageError(f"k must be at least 1, not {k}")
    pixels = exact_uint8(x)
    levels = torch.tensor(model.scheduler.levels, dtype=torch.float64, device=x.device)
    terms = _Terms(model, x, pixels, rng, labels, levels)
    if k is None:
        drawn = [(terms.all_levels(), terms.reconstruction())]
    else:
        drawn = [(terms.random_level(), terms.reconstruction()) for _ in range(k)]
    consistency, reconstruction = (torch.stack(draws) for draws in zip(*drawn, strict=True))
    total = consistency + reconstruction
    prior = _prior(x, levels[-1])
    value = -(prior + total.mean(0))
    return Bound(
        value=value.to(x.dtype),
        kind="lower_bound",
        space="uint8",
        stderr=(total.std(0) / math.sqrt(len(total))).to(x.dtype) if len(total) > 1 else None,
        prior=prior.to(x.dtype),
        consistency=consistency.mean(0).to(x.dtype),
        reconstruction=reconstruction.mean(0).to(x.dtype),
    )


def _prior(x: Tensor, sigma: Tensor) -> Tensor:
    """L_T, float64 (n,)."""
    total = 1 + sigma**2
    return 0.5 * ((sigma**2 + x.double() ** 2) / total - 1 + (total / sigma**2).log()).flatten(1).sum(1)


@dataclass(frozen=True, slots=True)
class _Terms:
    """The terms of the bound that are estimated by draws, each float64 (n,)."""

    model: Denoiser
    x: Tensor
    pixels: Tensor
    rng: Rng
    labels: Tensor | None
    levels: Tensor

    def _estimate(self, sigma: Tensor) -> Tensor:
        """D at x with fresh noise of the levels ``sigma`` (n,), float64 (n, d)."""
        noise = self.rng.normal(*self.x.shape[1:]).to(self.x)
        noisy = self.x + sigma.view(-1, *[1] * (self.x.ndim - 1)).to(self.x) * noise
        return self.model.denoise(noisy, sigma, self.labels).flatten(1).double()

    def _step(self, t: Tensor) -> Tensor:
        """A draw of L_(t-1) for t in 2 ... T, int64 (n,)."""
        sigma, below = self.levels[t - 1], self.levels[t - 2]
        squared = (self.x.flatten(1).double() - self._estimate(sigma)).square().sum(1)
        return 0.5 * (below**-2 - sigma**-2) * squared

    def all_levels(self) -> Tensor:
        """L_1 + ... + L_(T-1), with a draw of each."""
        n, T = len(self.x), len(self.levels)
        parts: Iterator[Tensor] = (self._step(torch.full((n,), t, device=self.x.device)) for t in range(2, T + 1))
        return sum(parts, self.levels.new_zeros(n))

    def random_level(self) -> Tensor:
        """T - 1 times a random one of L_1, ..., L_(T-1) for each row; its expectation is that of :meth:`all_levels`."""
        T = len(self.levels)
        return (T - 1) * self._step(self.rng.integers(2, T + 1)) if T > 1 else self.levels.new_zeros(len(self.x))

    def reconstruction(self) -> Tensor:
        """A draw of L_0."""
        sigma = self.levels[:1].expand(len(self.x))
        std = sigma[:1] / (1 + sigma[:1] ** 2).sqrt()
        return -_log_mass(self.pixels.flatten(1), self._estimate(sigma), std).sum(1)


def _log_mass(pixels: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """The log-mass of the interval of each 8-bit level under N(mean, std^2), float64 (Ho et al. 2020, eq. 13)."""
    level = pixels.double() / 127.5 - 1
    low = torch.where(pixels == 0, -math.inf, (level - 1 / 255 - mean) / std)
    high = torch.where(pixels == 255, math.inf, (level + 1 / 255 - mean) / std)
    # In the upper tail both probabilities round to 1: use the mirrored interval there.
    upper = low + high > 0
    low, high = torch.where(upper, -high, low), torch.where(upper, -low, high)
    below, above = torch.special.log_ndtr(low), torch.special.log_ndtr(high)
    return above + torch.log(-torch.expm1(below - above))
