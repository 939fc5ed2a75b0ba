"""Log-probabilities of what only denoises: by the probability-flow ODE, and by the variational bound of DDPM.

Both are in the coordinate x_sigma = x_0 + sigma * eps, and so of every :class:`zoo_core.interfaces.Denoiser`.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor

from zoo_core.errors import CapabilityError, ConfigError, UsageError, ZooError
from zoo_core.images import exact_uint8
from zoo_core.interfaces import Denoiser, DiscreteScheduler, LogProb, Rng

__all__ = ["EXACT_DIMS", "METHODS", "MOST_EVALUATIONS", "PROBES", "TOLERANCE", "Bound", "bound", "ode", "solve"]

EXACT_DIMS = 16
"""Up to so many dimensions the divergence is exact unless probes are asked for."""
METHODS = MappingProxyType({"own": "density", "ode": "denoise", "bound": "denoise"})
"""By which a log-probability is had, and the capability that each needs."""
PROBES = 4
TOLERANCE = 1e-5
LOOSER = 10.0
"""How many times the tolerance the solution has that the standard error compares with."""
MOST_EVALUATIONS = 6000


# The ODE


@torch.no_grad()
def ode(
    model: Denoiser,
    x: Tensor,
    rng: Rng | None = None,
    labels: Tensor | None = None,
    *,
    k: int | None = None,
    tolerance: float = TOLERANCE,
    most: int = MOST_EVALUATIONS,
) -> LogProb:
    """The log-density of ``x`` as samples at noise level sigma_min, by the probability-flow ODE: not that of clean data.

    Song et al. 2021, arXiv:2011.13456, eqs. 39 and 40. From sigma_min to sigma_max of the model's ``sigma_range``,

        dx/dsigma  = (x - D(x, sigma)) / sigma
        log p(x_0) = log N(x_T; 0, sigma_max^2 I) + integral of div((x - D(x, sigma)) / sigma) dsigma

    It is solved in y = x / s, s = sqrt(1 + sigma^2), over t = log sigma, where the slope vanishes at both ends:

        dy/dt      = (y / s - D(s y, sigma)) / s
        log p(x_0) = log N(x_T; 0, sigma_max^2 I) + d log(s_T / s_0) + integral of (d / s^2 - tr dD/dx) dt

    The trace is exact, of d backward passes, or Hutchinson's estimate (ibid., eq. 40), the mean of v . (dD/dx) v over ``k`` probes v of
    random signs, the same at every level.

    Args:
        model: what denoises.
        x: (n, *event.shape), float32 or float64, which is what the model is given.
        rng: a row for each of ``x``, of which the probes are drawn; None only where the trace is exact.
        labels: int64 (n,), or None.
        k: the number of probes, at least 2; None for the exact trace up to EXACT_DIMS dimensions, and PROBES beyond.
        tolerance: of the solver, for a step: of y, relative to 1 + |y|, and of log p, for a dimension.
        most: evaluations of the model for a sample, before it is given up.

    Returns:
        an estimate of a ``continuous`` log-density. Its standard error is the root of the sum of three squares: the standard error of the
        probes, the solver's estimate of what its steps err by, and how far the terms of log p are from those of a solution of ``LOOSER``
        times the tolerance, which sees what an error of the path does to x_T, to the prior and to the trace. The last is an error of the
        looser solution, and so mostly larger than that of the value; it is no bound. It knows nothing of the net's error, nor of the
        difference between the data at sigma_max and N(0, sigma_max^2 I).

    Raises:
        UsageError: k is 1.
        ConfigError: the ODE could not be solved to the tolerance in so many evaluations.
        ZooError: the model gives values that are not finite.
    """
    lo, hi = model.sigma_range
    shape, d = x.shape[1:], x[0].numel() if len(x) else 1
    probes, count = _probes(x, rng, k)

    def slope(t: Tensor, z: Tensor, rows: Tensor) -> Tensor:
        sigma = t.exp()
        s = (1 + sigma**2).sqrt().unsqueeze(1)
        y = z[:, :d]
        x_sigma = (s * y).view(-1, *shape).to(x.dtype)
        x_0, traces = _denoised(model, x_sigma, sigma, None if labels is None else labels[rows], probes[:, rows])
        return torch.cat([(y / s - x_0.flatten(1)) / s, (d if count else 1) / s**2 - traces], dim=1)

    s_0, s_T = math.sqrt(1 + lo**2), math.sqrt(1 + hi**2)
    start = torch.cat([x.double().flatten(1) / s_0, x.new_zeros(len(x), probes.shape[0], dtype=torch.float64)], dim=1)

    def solved(tolerance: float) -> tuple[Tensor, Tensor, Tensor]:
        """The log-density of x_T, the integral for each probe, and the solver's estimate of the integral's error."""

        def norm(error: Tensor, z: Tensor) -> Tensor:
            of_y = (error[:, :d] / (tolerance * (1 + z[:, :d].abs()))).square().mean(1).sqrt()
            return torch.maximum(of_y, _total(error[:, d:], count).abs() / (tolerance * d))

        end, error = solve(slope, start, math.log(lo), math.log(hi), norm, most)
        prior = -0.5 * (s_T * end[:, :d] / hi).square().sum(1) - d * (math.log(hi) + 0.5 * math.log(2 * math.pi))
        return prior, end[:, d:], _total(error[:, d:], count)

    prior, integrals, local = solved(tolerance)
    coarse_prior, coarse_integrals, _ = solved(LOOSER * tolerance)
    integral = _total(integrals, count)
    # Term by term: the errors of two terms may cancel by chance.
    path = (prior - coarse_prior).abs() + (integral - _total(coarse_integrals, count)).abs()
    variance = path**2 + local**2 + (integrals.var(1) / count if count else 0)
    log_p = prior + d * math.log(s_T / s_0) + integral
    return LogProb(value=log_p.to(x.dtype), kind="estimate", stderr=variance.sqrt().to(x.dtype))


def _probes(x: Tensor, rng: Rng | None, k: int | None) -> tuple[Tensor, int]:
    """Probes (p, n, *event.shape), and their number where they are drawn; 0 where they are the unit vectors."""
    d = x[0].numel() if len(x) else 1
    if k is None and d <= EXACT_DIMS:
        return torch.eye(d).to(x).view(d, 1, *x.shape[1:]).expand(d, *x.shape), 0
    count = PROBES if k is None else k
    if count < 2 or rng is None:
        raise UsageError("of fewer than 2 probes there is no standard error", "pass k=2 or more")
    return (2.0 * rng.integers(0, 2, count, *x.shape[1:]) - 1).to(x).transpose(0, 1), count


def _total(each: Tensor, count: int) -> Tensor:
    """The trace, (n,), of what it is with each probe (n, p): their mean, or the sum over unit vectors."""
    return each.mean(1) if count else each.sum(1)


def _denoised(model: Denoiser, x: Tensor, sigma: Tensor, labels: Tensor | None, probes: Tensor) -> tuple[Tensor, Tensor]:
    """D(x, sigma), and v . (dD/dx) v for each probe, (n, p); float64."""
    with torch.enable_grad():
        x = x.detach().requires_grad_(True)
        x_0 = model.denoise(x, sigma, labels)
        products = torch.stack([_product(x_0, x, v) for v in probes], dim=1)
    wrong = ~(x_0.flatten(1).isfinite().all(1) & products.isfinite().all(1))
    if bool(wrong.any()):
        raise ZooError(f"the model gives values that are not finite at sigma {sigma[wrong][0]:.3g}", "look at its samples, and at x")
    return x_0.detach().double(), products


def _product(x_0: Tensor, x: Tensor, v: Tensor) -> Tensor:
    """v . (dx_0/dx) v, float64 (n,); 0 for a denoiser that does not look."""
    slope = torch.autograd.grad(x_0, x, v, retain_graph=True, allow_unused=True)[0] if x_0.requires_grad else None
    return (torch.zeros_like(v) if slope is None else slope * v).flatten(1).double().sum(1)


# Dormand & Prince 1980: of order 5, with an error estimate of order 4. The last row of A gives the solution, at which the next step begins.
_C = (1 / 5, 3 / 10, 4 / 5, 8 / 9, 1.0, 1.0)
_A = (
    (1 / 5,),
    (3 / 40, 9 / 40),
    (44 / 45, -56 / 15, 32 / 9),
    (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
    (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
    (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
)
_E = (71 / 57600, 0.0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40)

Slope = Callable[[Tensor, Tensor, Tensor], Tensor]
"""``slope(t, z, rows)``: dz/dt, of the shape of ``z``, of the rows number ``rows`` (m,), at times ``t`` (m,) and states ``z`` (m, dim)."""


def solve(
    slope: Slope, z: Tensor, begin: float, end: float, norm: Callable[[Tensor, Tensor], Tensor], most: int = MOST_EVALUATIONS
) -> tuple[Tensor, Tensor]:
    """Solves dz/dt = slope by the adaptive method of Dormand and Prince (1980), of order 5. Each row has steps of its own.

    So a row's steps and result do not depend on the rows beside it. It always comes to an end: after ``most`` evaluations it gives up.

    Args:
        slope: see :data:`Slope`.
        z: float64 (n, dim), at ``begin``.
        begin: where t starts.
        end: where it ends, after ``begin``.
        norm: ``norm(error, z)``, (m,), of what a step errs by and its end, both (m, dim): a step is taken where it is at most 1.
        most: evaluations of a row.

    Returns:
        z at ``end``, and the sum over its steps of the absolute values of their estimated errors; float64 (n, dim).

    Raises:
        ConfigError: ``most`` evaluations were not enough, as where a slope is not finite.
    """
    z, errors = z.clone(), torch.zeros_like(z)
    t, step = z.new_full((len(z),), begin), z.new_full((len(z),), (end - begin) / 50)
    rows = torch.arange(len(z), device=z.device)
    first = slope(t, z, rows) if len(z) else z
    evaluations = 1
    while len(rows):
        if evaluations + len(_C) > most:
            hint = "the model is stiff, or has no smooth denoiser; its bound, or fewer digits, may be had"
            raise ConfigError(f"the ODE of a sample was not solved in {most:,} evaluations of the model", hint)
        evaluations += len(_C)
        now, here = t[rows], z[rows]
        h = torch.minimum(step[rows], end - now)
        slopes, there = [first[rows]], here
        for c, row in zip(_C, _A, strict=True):
            there = here + h[:, None] * _weighted(row, slopes)
            slopes.append(slope(now + c * h, there, rows))
        error = h[:, None] * _weighted(_E, slopes)
        size = norm(error, there).nan_to_num(nan=math.inf)
        taken = size <= 1
        done = rows[taken]
        z[done], first[done] = there[taken], slopes[-1][taken]
        t[done] = torch.where(h == end - now, end, now + h)[taken]
        errors[done] += error[taken].abs()
        step[rows] = h * (0.9 * size.clamp(min=1e-10) ** -0.2).clamp(0.2, 5.0)
        rows = rows[t[rows] < end]
    return z, errors


def _weighted(weights: tuple[float, ...], slopes: list[Tensor]) -> Tensor:
    return sum((weight * slope for weight, slope in zip(weights, slopes, strict=True) if weight), torch.zeros_like(slopes[0]))


# The variational bound


@dataclass(frozen=True, kw_only=True, slots=True)
class Bound(LogProb):
    """DDPM's lower bound of the log-mass of 8-bit images, value = -(prior + consistency + reconstruction), and its terms.

    Args:
        prior: L_T, nats (n,): how much the noisiest image tells of x; without draws.
        consistency: L_1 + ... + L_(T-1), nats (n,).
        reconstruction: L_0, nats (n,).
    """

    prior: Tensor
    consistency: Tensor
    reconstruction: Tensor

    @property
    def terms(self) -> Mapping[str, LogProb]:
        """What each term adds to the log-probability, by its name."""
        each = {name: getattr(self, name) for name in ("prior", "consistency", "reconstruction")}
        return {name: LogProb(value=-value, kind=self.kind, space=self.space) for name, value in each.items()}


@torch.no_grad()
def bound(model: Denoiser, x: Tensor, rng: Rng, labels: Tensor | None = None, *, k: int | None = None) -> Bound:
    """The variational bound of the log-mass of 8-bit images (Ho et al. 2020, arXiv:2006.11239, eq. 5), for the levels of training.

    With x_t = x_sigma / sqrt(1 + sigma^2) and SNR_t = 1 / sigma_t^2, for steps back whose variance is that of the posterior (beta-tilde),

        L_T     = KL(N(x, sigma_T^2 I) | N(0, (1 + sigma_T^2) I))
        L_(t-1) = 1/2 (SNR_(t-1) - SNR_t) E|x - D(x_sigma, sigma_t)|^2,   t = 2 ... T
        L_0     = -E log of the mass that N(D(x_sigma, sigma_1), beta_1 I) gives to each pixel's level

    (ibid., eqs. 7, 8 and 13; beta_1 = sigma_1^2 / (1 + sigma_1^2), since beta-tilde_1 = 0). The lowest level's interval reaches to minus
    infinity, the highest one's to infinity.

    Args:
        model: a denoiser of images, whose scheduler has levels of its own.
        x: 8-bit images in [-1, 1], (n, *event.shape).
        rng: a row for each image.
        labels: int64 (n,), or None.
        k: how often one level of t = 2 ... T, drawn at random, stands for all of them: 2 k forward passes, and from k = 2 on a standard
            error. None takes every level once, in T passes; its noise is drawn all the same, and has no standard error.

    Raises:
        CapabilityError: the noise levels are continuous.
        UsageError: the model does not draw images in [-1, 1], x are no 8-bit images, or k is less than 1.
    """
    if not isinstance(model.scheduler, DiscreteScheduler):
        raise CapabilityError("a model of continuous noise levels has no variational bound", "every model that denoises has the method ode")
    if model.event.range != (-1.0, 1.0):
        raise UsageError("the variational bound is of 8-bit images in [-1, 1]", "points have a density: the method ode")
    if k is not None and k < 1:
        raise UsageError(f"k must be at least 1, not {k}")
    pixels = exact_uint8(x)
    levels = torch.tensor(model.scheduler.levels, dtype=torch.float64, device=x.device)
    draw = _Terms(model, x, pixels, rng, labels, levels)
    T = len(levels)
    drawn = [(draw.every(), draw.reconstruction())] if k is None else [(draw.some(), draw.reconstruction()) for _ in range(k)]
    consistency, reconstruction = (torch.stack(each) for each in zip(*drawn, strict=True))
    whole = consistency + reconstruction
    known = k is not None and k > 1
    prior = _prior(x, levels[T - 1])
    value = -(prior + whole.mean(0))
    return Bound(
        value=value.to(x.dtype),
        kind="lower_bound",
        space="uint8",
        stderr=(whole.std(0) / math.sqrt(len(whole))).to(x.dtype) if known else None,
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
    """Draws of the terms that need some, each float64 (n,)."""

    model: Denoiser
    x: Tensor
    pixels: Tensor
    rng: Rng
    labels: Tensor | None
    levels: Tensor

    def _guess(self, sigma: Tensor) -> Tensor:
        """D at fresh noise of the levels ``sigma`` (n,), float64 (n, d)."""
        noise = self.rng.normal(*self.x.shape[1:]).to(self.x)
        noisy = self.x + sigma.view(-1, *[1] * (self.x.ndim - 1)).to(self.x) * noise
        return self.model.denoise(noisy, sigma, self.labels).flatten(1).double()

    def _step(self, t: Tensor) -> Tensor:
        """L_(t-1) at t in 2 ... T, int64 (n,)."""
        sigma, below = self.levels[t - 1], self.levels[t - 2]
        squared = (self.x.flatten(1).double() - self._guess(sigma)).square().sum(1)
        return 0.5 * (below**-2 - sigma**-2) * squared

    def every(self) -> Tensor:
        """L_1 + ... + L_(T-1), a draw of each."""
        n, T = len(self.x), len(self.levels)
        parts: Iterator[Tensor] = (self._step(torch.full((n,), t, device=self.x.device)) for t in range(2, T + 1))
        return sum(parts, self.levels.new_zeros(n))

    def some(self) -> Tensor:
        """The same in expectation, of one level for each row."""
        T = len(self.levels)
        return (T - 1) * self._step(self.rng.integers(2, T + 1)) if T > 1 else self.levels.new_zeros(len(self.x))

    def reconstruction(self) -> Tensor:
        """A draw of L_0."""
        sigma = self.levels[:1].expand(len(self.x))
        std = sigma[:1] / (1 + sigma[:1] ** 2).sqrt()
        return -_log_mass(self.pixels.flatten(1), self._guess(sigma), std).sum(1)


def _log_mass(pixels: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """The logarithm of what N(mean, std^2) gives to the interval of each 8-bit level, float64 (Ho et al. 2020, eq. 13)."""
    level = pixels.double() / 127.5 - 1
    low = torch.where(pixels == 0, -math.inf, (level - 1 / 255 - mean) / std)
    high = torch.where(pixels == 255, math.inf, (level + 1 / 255 - mean) / std)
    # In the upper tail both probabilities round to 1: take the mirrored interval there.
    upper = low + high > 0
    low, high = torch.where(upper, -high, low), torch.where(upper, -low, high)
    below, above = torch.special.log_ndtr(low), torch.special.log_ndtr(high)
    return above + torch.log(-torch.expm1(below - above))
