"""Denoisers around a denoiser: samplers take them for any other."""

from typing import TYPE_CHECKING

from zoo_core.errors import UsageError
from zoo_core.interfaces import Denoiser, Rng

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Guided", "Inpainted", "Masked"]


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


class Inpainted:
    """A denoiser that knows a part of the sample: D'(x, sigma) = M * known + (1 - M) * D(x, sigma).

    Whatever walks down with it ends with ``known`` where the mask is 1, and with what fits beside it elsewhere.

    Args:
        model: the denoiser around which it is.
        known: (n, *event.shape), or what broadcasts to it; counts where the mask is 1 alone.
        mask: M in [0, 1], of a shape that broadcasts to that of ``known``.
    """

    def __init__(self, model: Denoiser, known: "Tensor", mask: "Tensor") -> None:
        self.model = model
        self.known = known
        self.mask = mask
        self.event = model.event
        self.sigma_range = model.sigma_range
        self.scheduler = model.scheduler

    def start(self, rng: Rng, sigma: float) -> "Tensor":
        return self.model.start(rng, sigma)

    def denoise(self, x: "Tensor", sigma: "Tensor", labels: "Tensor | None" = None) -> "Tensor":
        return self.model.denoise(x, sigma, labels).lerp(self.known.to(x), self.mask.to(x))


class Masked:
    """The masked score s(x | known) = s(x) - 2 M (x - known), with which courses inpaint by Langevin dynamics, as a denoiser:

        D'(x, sigma) = D(x, sigma) - 2 sigma^2 M (x - known)

    It is the score of the model's density times N(x; known, 1/2) where the mask is 1, whatever the level: x ends near ``known``, with that
    Gaussian's spread, and not at it. :class:`Inpainted` has no such spread and goes with every sampler; this one is for
    :class:`~zoo_core.samplers.Langevin` alone, which takes it with ``masked_score`` and says which steps are small enough.

    Args:
        model: the denoiser around which it is.
        known: (n, *event.shape), or what broadcasts to it; counts where the mask is 1 alone.
        mask: M in [0, 1], of a shape that broadcasts to that of ``known``.
        clip: clamps D, and not D', to the range of the model's event, where it has one.
    """

    def __init__(self, model: Denoiser, known: "Tensor", mask: "Tensor", *, clip: bool = False) -> None:
        self.model = model
        self.known = known
        self.mask = mask
        self.clip = clip
        self.event = model.event
        self.sigma_range = model.sigma_range
        self.scheduler = model.scheduler

    def start(self, rng: Rng, sigma: float) -> "Tensor":
        return self.model.start(rng, sigma)

    def denoise(self, x: "Tensor", sigma: "Tensor", labels: "Tensor | None" = None) -> "Tensor":
        x0 = self.model.denoise(x, sigma, labels)
        x0 = x0.clamp(*self.event.range) if self.clip and self.event.range else x0
        pull = (2 * sigma**2).to(x).view(-1, *[1] * (x.ndim - 1)) * self.mask.to(x)
        return x0 - pull * (x - self.known.to(x))
