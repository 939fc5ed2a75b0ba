"""Denoisers that wrap a denoiser: guidance and inpainting for every sampler."""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, cast

from zoo_core.errors import UsageError
from zoo_core.interfaces import Denoiser, Rng

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["DenoiserWrapper", "Guided", "Inpainted", "Masked"]


class DenoiserWrapper(ABC):
    """Base class of denoisers that change the estimate of another one; event, noise levels and start are those of that one.

    >>> class Scaled(DenoiserWrapper):
    ...     def denoise(self, x, sigma, labels=None):
    ...         return 0.5 * self.model.denoise(x, sigma, labels)

    Args:
        model: the denoiser to wrap.
    """

    def __init__(self, model: Denoiser) -> None:
        self.model = model
        self.event = model.event
        self.sigma_range = model.sigma_range
        self.scheduler = model.scheduler

    def start(self, rng: Rng, sigma: float) -> "Tensor":
        return self.model.start(rng, sigma)

    @abstractmethod
    def denoise(self, x: "Tensor", sigma: "Tensor", labels: "Tensor | None" = None) -> "Tensor":
        """The estimate of the clean sample; see :meth:`zoo_core.interfaces.Denoiser.denoise`."""


class Guided(DenoiserWrapper):
    """Classifier-free guidance (Ho & Salimans 2022, arXiv:2207.12598).

    D(x, sigma, y) = D(x, sigma) + scale * (D(x, sigma, y) - D(x, sigma)): scale 0 ignores the label, 1 is the plain conditional model. (The
    paper's w is scale - 1.) Two forward passes a step, but one for the scales 0 and 1, and where the net takes the scale as an input; see
    :class:`~zoo_core.interfaces.Labelled`. With other conditions than labels, D(x, sigma, y) is ``model`` and D(x, sigma) is
    ``unconditional``; labels are left out of the second too.

    >>> from zoo_core.testing.fake import FakeDenoiser
    >>> from zoo_core.testing.fake_config import FakeDenoiserConfig
    >>> Guided(FakeDenoiser(FakeDenoiserConfig(shape=(2,))), scale=3.0).event.shape
    (2,)

    Args:
        model: the denoiser to guide.
        scale: the guidance scale.
        unconditional: the denoiser without the condition of ``model``; the same one, whose condition are labels alone, if None.
    """

    def __init__(self, model: Denoiser, scale: float, unconditional: Denoiser | None = None) -> None:
        super().__init__(model)
        self.scale = scale
        self.unconditional = unconditional

    def denoise(self, x: "Tensor", sigma: "Tensor", labels: "Tensor | None" = None) -> "Tensor":
        if self.unconditional is not None:
            if self.scale == 1:
                return self.model.denoise(x, sigma, labels)
            without = self.unconditional.denoise(x, sigma)
            return without + self.scale * (self.model.denoise(x, sigma, labels) - without)
        if labels is None:
            raise UsageError("guidance needs labels", "pass labels=, or --labels on the command line")
        if getattr(self.model, "guidance_embeds", False):
            estimate: Tensor = cast(Any, self.model).denoise(x, sigma, labels, guidance=self.scale)
            return estimate
        if self.scale in (0, 1):
            return self.model.denoise(x, sigma, labels if self.scale else None)
        unconditional = self.model.denoise(x, sigma)
        return unconditional + self.scale * (self.model.denoise(x, sigma, labels) - unconditional)


class Inpainted(DenoiserWrapper):
    """A denoiser that knows a part of the sample: D'(x, sigma) = M * known + (1 - M) * D(x, sigma).

    A sampler that walks down with it ends with ``known`` where the mask is 1, and with samples that fit it elsewhere.

    >>> import torch
    >>> from zoo_core.testing.fake import FakeDenoiser
    >>> from zoo_core.testing.fake_config import FakeDenoiserConfig
    >>> model = FakeDenoiser(FakeDenoiserConfig(shape=(2,)))
    >>> Inpainted(model, torch.tensor([3.0, 0.0]), torch.tensor([1.0, 0.0])).denoise(torch.zeros(1, 2), torch.ones(1))[0, 0].item()
    3.0

    Args:
        model: the denoiser to wrap.
        known: known values (n, *event.shape), or of a shape that broadcasts to that; read only where the mask is 1.
        mask: M in [0, 1], of a shape that broadcasts to that of ``known``.
    """

    def __init__(self, model: Denoiser, known: "Tensor", mask: "Tensor") -> None:
        super().__init__(model)
        self.known = known
        self.mask = mask

    def denoise(self, x: "Tensor", sigma: "Tensor", labels: "Tensor | None" = None) -> "Tensor":
        return self.restore(self.model.denoise(x, sigma, labels))

    def restore(self, x0: "Tensor") -> "Tensor":
        """Puts the known part into an estimate of the clean sample, (n, *event.shape)."""
        return x0.lerp(self.known.to(x0), self.mask.to(x0))


class Masked(DenoiserWrapper):
    """The masked score s(x | known) = s(x) - 2 M (x - known), with which courses inpaint by Langevin dynamics, as a denoiser:

        D'(x, sigma) = D(x, sigma) - 2 sigma^2 M (x - known)

    It is the score of the model's density times N(x; known, 1/2) where the mask is 1, at every level: there x ends near ``known``, with the
    spread of that Gaussian, and not at it. :class:`Inpainted` has no such spread and works with every sampler; this class is for
    :class:`~zoo_core.samplers.Langevin` alone, whose option ``masked_score`` uses it and documents which steps are small enough.

    >>> from zoo_core.samplers import Langevin
    >>> Langevin(masked_score=True).masked_score
    True

    Args:
        model: the denoiser to wrap.
        known: known values (n, *event.shape), or of a shape that broadcasts to that; read only where the mask is 1.
        mask: M in [0, 1], of a shape that broadcasts to that of ``known``.
        clip: clamps D, and not D', to the range of the model's event, where it has one.
    """

    def __init__(self, model: Denoiser, known: "Tensor", mask: "Tensor", *, clip: bool = False) -> None:
        super().__init__(model)
        self.known = known
        self.mask = mask
        self.clip = clip

    def denoise(self, x: "Tensor", sigma: "Tensor", labels: "Tensor | None" = None) -> "Tensor":
        x0 = self.model.denoise(x, sigma, labels)
        x0 = x0.clamp(*self.event.range) if self.clip and self.event.range else x0
        pull = (2 * sigma**2).to(x).view(-1, *[1] * (x.ndim - 1)) * self.mask.to(x)
        return x0 - pull * (x - self.known.to(x))
