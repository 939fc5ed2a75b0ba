"""Multistep solvers: one forward pass a step, and the estimates of earlier steps. Of order 2 (DPM-Solver++(2M)), 3 (UniPC) and 4."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import expm1, inf, log, prod, sqrt
from typing import TYPE_CHECKING

from zoo_core.config import check_range
from zoo_core.samplers.base import DenoiserSampler, StepContext, check_clip

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["DPMSolver2M", "LinearMultistep", "SDEDPMSolver2M", "UniPC"]


@dataclass(frozen=True, kw_only=True, slots=True)
class DPMSolver2M(DenoiserSampler):
    """DPM-Solver++(2M) (Lu et al. 2022, arXiv:2211.01095, Algorithm 2), a multistep method in the predicted x_0.

    In lambda = -log sigma, with h = lambda' - lambda the step and r = h_previous / h,

        D  = (1 + 1/(2r)) x0_hat - 1/(2r) x0_hat_previous
        x' = sigma'/sigma x - (exp(-h) - 1) D

    which is Algorithm 2 with alpha = 1, where the paper's x_t is our x_sigma. The first step uses D = x0_hat, and so does the last one, to
    sigma' = 0, where h is infinite. The method has order 2. Forward passes: ``steps``.

    >>> import torch
    >>> from zoo_core.rng import ImageRng
    >>> from zoo_core.testing.fake import FakeDenoiser
    >>> from zoo_core.testing.fake_config import FakeDenoiserConfig
    >>> model = FakeDenoiser(FakeDenoiserConfig(shape=(2,)))
    >>> with torch.no_grad():
    ...     DPMSolver2M(steps=10)(model, ImageRng(0, range(4))).shape
    torch.Size([4, 2])

    Args:
        steps: number of noise levels.
        clip: whether to clamp x0_hat to the range of the model's event, if it has one; see :class:`zoo_core.samplers.base.DenoiserSampler`.

    Raises:
        ConfigError: if an option is out of range.
    """

    steps: int = 20
    clip: bool | float = True

    def __post_init__(self) -> None:
        check_range(self, steps=(1, 100_000))
        check_clip(self.clip)

    def walk(self, x: "Tensor", sigmas: Sequence[float], context: StepContext) -> "Tensor":
        return _two_step(x, sigmas, context, eta=0.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class SDEDPMSolver2M(DenoiserSampler):
    """SDE-DPM-Solver++(2M) (Lu et al. 2022, arXiv:2211.01095, section 6): ``dpmpp-2m`` with a share ``eta`` of fresh noise.

    With h and D as for :class:`DPMSolver2M`,

        x' = q x + (1 - q) D + sigma' sqrt(1 - exp(-2 eta h)) z,    q = exp(-(1 + eta) h)

    eta = 1 is the paper's solver of the reverse SDE, eta = 0 is ``dpmpp-2m``. The variance of samples has an error of order 1 in the step.
    No noise is added in the step to 0. Forward passes: ``steps``.

    >>> import torch
    >>> from zoo_core.rng import ImageRng
    >>> from zoo_core.testing.fake import FakeDenoiser
    >>> from zoo_core.testing.fake_config import FakeDenoiserConfig
    >>> model = FakeDenoiser(FakeDenoiserConfig(shape=(2,)))
    >>> with torch.no_grad():
    ...     SDEDPMSolver2M(steps=10)(model, ImageRng(0, range(4))).shape
    torch.Size([4, 2])

    Args:
        steps: number of noise levels.
        eta: share of fresh noise, in [0, 1].
        clip: as for :class:`DPMSolver2M`.

    Raises:
        ConfigError: if an option is out of range.
    """

    steps: int = 20
    eta: float = 1.0
    clip: bool | float = True

    def __post_init__(self) -> None:
        check_range(self, steps=(1, 100_000), eta=(0.0, 1.0))
        check_clip(self.clip)

    def walk(self, x: "Tensor", sigmas: Sequence[float], context: StepContext) -> "Tensor":
        return _two_step(x, sigmas, context, self.eta)


def _two_step(x: "Tensor", sigmas: Sequence[float], context: StepContext, eta: float) -> "Tensor":
    """The walk of both solvers."""
    previous: tuple[Tensor, float] | None = None
    for i, (sigma, sigma_next) in enumerate(pairwise(sigmas)):
        D = x0 = context.denoised(x, sigma)
        context.show(i, sigma, x, x0)
        h = log(sigma / sigma_next) if sigma_next > 0 else inf
        if previous and sigma_next > 0:
            x0_previous, h_previous = previous
            D = x0_previous.lerp(x0, 1 + h / (2 * h_previous))
        ratio = sigma_next / sigma  # exp(-h)
        x = D.lerp(x, ratio ** (1 + eta))
        if eta > 0 and sigma_next > 0:
            x.add_(context.noise(x), alpha=sigma_next * sqrt(1 - ratio ** (2 * eta)))
        previous = x0, h
    return x


@dataclass(frozen=True, kw_only=True, slots=True)
class LinearMultistep(DenoiserSampler):
    """The Adams-Bashforth method in sigma for dx/dsigma = d = (x - D(x, sigma)) / sigma, with uneven steps.

        x' = x + integral from sigma to sigma' of P(s) ds,    P the polynomial through the slopes d of the last ``order`` levels

    It is ``LMSDiscreteScheduler`` of diffusers and ``lms`` of k-diffusion, and, since d is the predicted noise, rho-AB-DEIS of Zhang & Chen
    2022 (arXiv:2204.13902, section 3.3). The first steps have the orders 1, 2, ... The last step, to sigma' = 0, leads to D.

    Forward passes: ``steps``.

    >>> import torch
    >>> from zoo_core.rng import ImageRng
    >>> from zoo_core.testing.fake import FakeDenoiser
    >>> from zoo_core.testing.fake_config import FakeDenoiserConfig
    >>> model = FakeDenoiser(FakeDenoiserConfig(shape=(2,)))
    >>> with torch.no_grad():
    ...     LinearMultistep(steps=10)(model, ImageRng(0, range(4))).shape
    torch.Size([4, 2])

    Args:
        steps: number of noise levels.
        order: number of slopes, 1 to 4; 1 is Euler's method.
        clip: whether to clamp D to the range of the model's event, if it has one; see :class:`zoo_core.samplers.base.DenoiserSampler`.

    Raises:
        ConfigError: if an option is out of range.
    """

    steps: int = 20
    order: int = 4
    clip: bool | float = True

    def __post_init__(self) -> None:
        check_range(self, steps=(1, 100_000), order=(1, 4))
        check_clip(self.clip)

    def walk(self, x: "Tensor", sigmas: Sequence[float], context: StepContext) -> "Tensor":
        slopes: list[tuple[float, Tensor]] = []  # the newest first
        for i, (sigma, sigma_next) in enumerate(pairwise(sigmas)):
            x0 = context.denoised(x, sigma)
            context.show(i, sigma, x, x0)
            if sigma_next == 0:
                return x0
            slopes = [(sigma, (x - x0) / sigma), *slopes[: self.order - 1]]
            shares = _shares([level for level, _ in slopes], sigma, sigma_next)
            for share, (_, slope) in zip(shares, slopes, strict=True):
                x = x.add(slope, alpha=(sigma_next - sigma) * share)
        return x


def _shares(nodes: Sequence[float], start: float, end: float) -> list[float]:
    """The means over [start, end] of the Lagrange polynomials of at most 4 nodes, by Gauss's rule of two points, exact to degree 3."""
    middle = (start + end) / 2
    away = (end - start) / (2 * sqrt(3))
    return [
        sum(prod((s - other) / (node - other) for other in nodes if other != node) for s in (middle - away, middle + away)) / 2
        for node in nodes
    ]


@dataclass(frozen=True, kw_only=True, slots=True)
class UniPC(DenoiserSampler):
    """UniPC-2 (Zhao et al. 2023, arXiv:2302.04867), a predictor and a corrector in the predicted x_0, with B(h) = e^h - 1.

    The predictor is the step of ``dpmpp-2m``. At the next level the same estimate m' = D(x', sigma') serves twice: for the corrector, which
    moves x' by a formula of one order more, and for the step after it. With h the step in lambda = -log sigma, m the estimate at sigma and
    m_p the one before it, at lambda - h_p,

        D  = m + a (m - m_p) h / h_p + b (m' - m)
        x' = sigma'/sigma x + (1 - exp(-h)) D

    where the predictor has a = 1/2 and b = 0, and the corrector has a and b of the paper's system (eq. 5) for two points. The order is 3.
    The last step, to sigma' = 0, leads to m. Forward passes: ``steps``.

    >>> import torch
    >>> from zoo_core.rng import ImageRng
    >>> from zoo_core.testing.fake import FakeDenoiser
    >>> from zoo_core.testing.fake_config import FakeDenoiserConfig
    >>> model = FakeDenoiser(FakeDenoiserConfig(shape=(2,)))
    >>> with torch.no_grad():
    ...     UniPC(steps=10)(model, ImageRng(0, range(4))).shape
    torch.Size([4, 2])

    Args:
        steps: number of noise levels.
        clip: whether to clamp estimates to the range of the model's event, if it has one; see
            :class:`zoo_core.samplers.base.DenoiserSampler`.

    Raises:
        ConfigError: if an option is out of range.
    """

    steps: int = 20
    clip: bool | float = True

    def __post_init__(self) -> None:
        check_range(self, steps=(1, 100_000))
        check_clip(self.clip)

    def walk(self, x: "Tensor", sigmas: Sequence[float], context: StepContext) -> "Tensor":
        estimates: list[tuple[float, Tensor]] = []  # the newest first
        before = x  # the corrected state at the level before
        for i, (sigma, sigma_next) in enumerate(pairwise(sigmas)):
            x0 = context.denoised(x, sigma)
            context.show(i, sigma, x, x0)
            if estimates:
                x = _corrected(before, estimates, sigma, x0)
            estimates = [(sigma, x0), *estimates[:1]]
            if sigma_next == 0:
                return x0
            before = x
            x = _mean(estimates, sigma_next, a=0.5).lerp(x, sigma_next / sigma)
        return x


def _mean(estimates: Sequence[tuple[float, "Tensor"]], end: float, a: float) -> "Tensor":
    """m + a (m - m_p) h / h_p; m alone where there is no m_p."""
    (sigma, m), *rest = estimates
    if not rest:
        return m
    sigma_p, m_p = rest[0]
    return m_p.lerp(m, 1 + a * log(sigma / end) / log(sigma_p / sigma))


def _corrected(x: "Tensor", estimates: Sequence[tuple[float, "Tensor"]], end: float, m_end: "Tensor") -> "Tensor":
    """The corrector's state at ``end``, from the state ``x`` at the level before and the estimate ``m_end`` of the predictor's state."""
    (sigma, m), *rest = estimates
    h = log(sigma / end)
    a, b = 0.0, 0.5
    if rest:
        # The conditions of orders 2 and 3: a + b = first, and -a h_p / h + b = second, in points at -h_p / h and 1.
        phi = 1 + expm1(-h) / h
        first = phi / -expm1(-h)
        second = 2 * (0.5 - phi / h) / -expm1(-h)
        r = log(rest[0][0] / sigma) / h
        a, b = (first - second) / (1 + r), (second + r * first) / (1 + r)
    D = _mean(estimates, end, a).add(m_end - m, alpha=b)
    return D.lerp(x, end / sigma)
