"""Samplers: frozen dataclasses that walk along given noise levels, in the coordinate x_sigma = x_0 + sigma * eps.

They know capabilities, not families: whatever can ``denoise`` can be sampled by every sampler that requires it. Sigmas are float64 and the
state is float32 or wider, whatever the net computes in: a bfloat16 state ruins samples at sigma 1000.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import sqrt
from typing import TYPE_CHECKING, ClassVar, cast

from zoo_core.config import check_range
from zoo_core.errors import UsageError
from zoo_core.interfaces import Decoder, Denoiser, OnStep, Rng, Sampler, Scheduler

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Ancestral", "Guided", "Latent"]


class Guided:
    """Classifier-free guidance (Ho & Salimans 2022, arXiv:2207.12598) as a denoiser around a denoiser.

    D(x, sigma, y) = D(x, sigma) + scale * (D(x, sigma, y) - D(x, sigma)): scale 0 ignores the label, 1 is the plain conditional model. (The
    paper's w is scale - 1.) Two forward passes a step.
    """

    def __init__(self, model: Denoiser, scale: float) -> None:
        self.model = model
        self.scale = scale
        self.event = model.event
        self.sigma_range = model.sigma_range
        self.scheduler = model.scheduler

    def start(self, rng: Rng, sigma: float) -> "Tensor":
        return self.model.start(rng, sigma)

    def denoise(self, x: "Tensor", sigma: "Tensor", labels: "Tensor | None" = None) -> "Tensor":
        if labels is None:
            raise UsageError("guidance needs labels", "pass labels=, or --labels on the command line")
        free = self.model.denoise(x, sigma)
        return free + self.scale * (self.model.denoise(x, sigma, labels) - free)


@dataclass(frozen=True, kw_only=True, slots=True)
class Ancestral(Sampler):
    """Ancestral sampling with a share ``eta`` of fresh noise; one loop for DDPM, DDIM and Euler.

    From sigma to sigma' < sigma, with x0_hat = D(x, sigma):

        sigma_up   = eta * sigma' sqrt(sigma^2 - sigma'^2) / sigma
        sigma_down = sqrt(sigma'^2 - sigma_up^2)
        x'         = x0_hat + sigma_down / sigma * (x - x0_hat) + sigma_up * z

    eta = 1 is Algorithm 2 of Ho et al. 2020 (arXiv:2006.11239) with the variance beta-tilde; eta = 0 is DDIM (Song et al. 2021,
    arXiv:2010.02502, eq. 12), which is Euler's method on the probability-flow ODE.

    Args:
        steps: number of noise levels, and of forward passes.
        eta: in [0, 1].
        clip: clamps x0_hat to the range of the model's event, where it has one.
    """

    requires: ClassVar[str] = "denoise"

    steps: int = 50
    eta: float = 1.0
    clip: bool = True

    def __post_init__(self) -> None:
        check_range(self, steps=(1, 100_000), eta=(0.0, 1.0))

    def noise_levels(self, model: object, scheduler: Scheduler | None) -> tuple[float, ...]:
        return _levels(self.steps, cast(Denoiser, model), scheduler)

    def __call__(
        self,
        model: object,
        rng: Rng,
        *,
        sigmas: Sequence[float] = (),
        x: "Tensor | None" = None,
        labels: "Tensor | None" = None,
        on_step: OnStep | None = None,
    ) -> "Tensor":
        model = cast(Denoiser, model)
        sigmas = sigmas or self.noise_levels(model, None)
        x = model.start(rng, sigmas[0]) if x is None else x
        x = x.float() if x.element_size() < 4 else x
        for i, (sigma, sigma_next) in enumerate(pairwise(sigmas)):
            x0 = _denoised(model, x, sigma, labels, self.clip)
            if on_step:
                on_step(i, sigma, x, x0)
            sigma_up = self.eta * sigma_next * sqrt(sigma**2 - sigma_next**2) / sigma
            sigma_down = sqrt(max(sigma_next**2 - sigma_up**2, 0.0))  # by rounding it may be negative
            x = x0 + (x - x0) * (sigma_down / sigma)
            if sigma_up > 0:
                x = x + rng.normal(*model.event.shape).to(x) * sigma_up
        if on_step:
            on_step(len(sigmas) - 1, 0.0, x, x)
        return x


@dataclass(frozen=True, kw_only=True, slots=True)
class Latent(Sampler):
    """Draws a latent from the prior and decodes it: one forward pass.

    Args:
        temperature: scales the latent; below 1 trades variety for typicality.
    """

    requires: ClassVar[str] = "decode"

    temperature: float = 1.0

    def __post_init__(self) -> None:
        check_range(self, temperature=(0.0, 100.0))

    def noise_levels(self, model: object, scheduler: Scheduler | None) -> tuple[float, ...]:
        if scheduler is not None:
            raise UsageError("the latent sampler walks along no noise levels", "leave the scheduler out")
        return ()

    def __call__(
        self,
        model: object,
        rng: Rng,
        *,
        sigmas: Sequence[float] = (),
        x: "Tensor | None" = None,
        labels: "Tensor | None" = None,
        on_step: OnStep | None = None,
    ) -> "Tensor":
        model = cast(Decoder, model)
        z = model.prior(rng) * self.temperature if x is None else x
        x = model.decode(z, labels)
        if on_step:
            on_step(0, 0.0, x, x)
        return x


def _levels(steps: int, model: Denoiser, scheduler: Scheduler | None) -> tuple[float, ...]:
    return (scheduler or model.scheduler).sigmas(steps, *model.sigma_range)


def _denoised(model: Denoiser, x: "Tensor", sigma: float, labels: "Tensor | None", clip: bool) -> "Tensor":
    import torch

    x0 = model.denoise(x, torch.full((len(x),), sigma, dtype=torch.float64, device=x.device), labels)
    return x0.clamp(*model.event.range) if clip and model.event.range else x0
