"""The base class of the samplers of denoisers, and the context that it passes to each walk along the noise levels."""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import sqrt
from typing import TYPE_CHECKING, ClassVar

from zoo_core.arguments import levels_like
from zoo_core.errors import ConfigError
from zoo_core.interfaces import Denoiser, OnStep, Rng, Sampler, Scheduler
from zoo_core.registry.faults import check_samples
from zoo_core.samplers.wrappers import Inpainted

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["DenoiserSampler", "StepContext", "check_clip", "resampled"]


def check_clip(clip: bool | float) -> None:
    """Checks the option ``clip`` of a sampler.

    Raises:
        ConfigError: if it is a number outside (0, 1).
    """
    if not isinstance(clip, bool) and not 0 < clip < 1:
        raise ConfigError(f"clip must be true, false, or a share in (0, 1) such as 0.995, not {clip:g}")


def _thresholded(x0: "Tensor", share: float, low: float, high: float) -> "Tensor":
    """Dynamic thresholding (Saharia et al. 2022, arXiv:2205.11487, section 2.3), for values in [low, high]."""
    centre = (high + low) / 2
    half = (high - low) / 2
    values = (x0 - centre) / half
    ordered = values.abs().flatten(1).sort(dim=1).values
    place = share * (ordered.shape[1] - 1)
    first = int(place)
    s = ordered[:, first].lerp(ordered[:, min(first + 1, ordered.shape[1] - 1)], place - first).clamp(min=1.0)
    s = s.view(-1, *[1] * (x0.ndim - 1))
    return values.clamp(-s, s) / s * half + centre


@dataclass(frozen=True, kw_only=True, slots=True)
class StepContext:
    """The model, the random numbers and the callback of one call of a sampler.

    >>> from zoo_core.rng import ImageRng
    >>> from zoo_core.testing.fake import FakeDenoiser
    >>> from zoo_core.testing.fake_config import FakeDenoiserConfig
    >>> model = FakeDenoiser(FakeDenoiserConfig(shape=(2,)))
    >>> rng = ImageRng(0, range(4))
    >>> context = StepContext(model=model, rng=rng, labels=None, clip=False, on_step=None, count=10)
    >>> context.denoised(model.start(rng, 1.0), 1.0).shape
    torch.Size([4, 2])

    Attributes:
        model: the denoiser.
        rng: random numbers, one row for each sample.
        labels: int64 (n,), or None.
        clip: option of :class:`DenoiserSampler`.
        on_step: callback that sees every step.
        count: total number of steps.
        first: number of the first step of this walk.
    """

    model: Denoiser
    rng: Rng
    labels: "Tensor | None"
    clip: bool | float
    on_step: OnStep | None
    count: int
    first: int = 0

    def denoised(self, x: "Tensor", sigma: float) -> "Tensor":
        """The estimate x0_hat = D(x, sigma), of the shape of ``x``; brought into the range of the event as ``clip`` says."""
        x0 = self.model.denoise(x, levels_like(sigma, x), self.labels)
        check_samples(self.model.denoise, x0, x.shape)
        if not self.clip or not self.model.event.range:
            return x0
        if self.clip is True:
            return x0.clamp(*self.model.event.range)
        x0 = _thresholded(x0, self.clip, *self.model.event.range)
        return self.model.restore(x0) if isinstance(self.model, Inpainted) else x0

    def noise(self, x: "Tensor") -> "Tensor":
        """Fresh standard normal noise z, of the shape and dtype of ``x``. The Rng owns it: do not change it in place."""
        return self.rng.normal(*self.model.event.shape).to(x)

    def show(self, step: int, sigma: float, x: "Tensor", x0: "Tensor") -> None:
        """Calls ``on_step``, which may keep both tensors: do not change either in place afterwards."""
        if self.on_step:
            self.on_step(self.first + step, sigma, x, x0)


class DenoiserSampler(Sampler):
    """Base class of the samplers of denoisers. Each has the fields ``steps`` and ``clip``, and implements :meth:`walk`.

    ``clip`` is what happens to estimates of the clean sample where the model's event has a range. False leaves them. True clamps them. A
    share in (0, 1) is dynamic thresholding (Saharia et al. 2022, arXiv:2205.11487, section 2.3): with s the quantile of that share of the
    absolute values of a sample, for a range of [-1, 1], a sample with s > 1 is clamped to [-s, s] and divided by s. It keeps contrast
    within the range under strong guidance.

    Where the given ``sigmas`` rise, as those of :func:`resampled` do, fresh noise is added: x + sqrt(sigma'^2 - sigma^2) z. ``on_step``
    does not see the level at which the path turns.

    >>> from zoo_core.samplers import DPMSolver2M
    >>> isinstance(DPMSolver2M(steps=10), DenoiserSampler)
    True
    """

    __slots__ = ()
    requires: ClassVar[str] = "denoise"
    can_rise: ClassVar[bool] = True
    steps: int
    clip: bool | float

    @abstractmethod
    def walk(self, x: "Tensor", sigmas: Sequence[float], context: StepContext) -> "Tensor":
        """Moves ``x`` from noise level sigmas[0] down to sigmas[-1], which need not be 0.

        Calls ``context.show`` at every level but the last, and does not change ``x`` in place.
        """

    def final_level(self, sigmas: Sequence[float]) -> float:
        """The noise level of the samples that :meth:`walk` returns, from which a rise continues."""
        return sigmas[-1]

    def noise_levels(self, model: Denoiser, scheduler: Scheduler | None) -> tuple[float, ...]:
        return (scheduler or model.scheduler).sigmas(self.steps, *model.sigma_range)

    def __call__(
        self,
        model: Denoiser,
        rng: Rng,
        *,
        sigmas: Sequence[float] = (),
        x: "Tensor | None" = None,
        labels: "Tensor | None" = None,
        on_step: OnStep | None = None,
    ) -> "Tensor":
        sigmas = sigmas or self.noise_levels(model, None)
        x = model.start(rng, sigmas[0]) if x is None else x
        x = x.float() if x.element_size() < 4 else x
        context = StepContext(model=model, rng=rng, labels=labels, clip=self.clip, on_step=on_step, count=len(sigmas) - 1)
        level = 0.0
        for first, falling in _falling_parts(sigmas):
            if first:
                x = x.add(context.noise(x), alpha=sqrt(falling[0] ** 2 - level**2))
            x = self.walk(x, falling, replace(context, first=first))
            level = self.final_level(falling)
        context.show(len(sigmas) - 1, 0.0, x, x)
        return x


def _falling_parts(sigmas: Sequence[float]) -> Iterator[tuple[int, Sequence[float]]]:
    """The stretches of a path that fall, each with the number of its first level."""
    ends = [0, *(i for i, (a, b) in enumerate(pairwise(sigmas), 1) if b > a), len(sigmas)]
    return ((first, sigmas[first:end]) for first, end in pairwise(ends))


def resampled(sigmas: Sequence[float], *, jump: int = 1, times: int = 5) -> tuple[float, ...]:
    """The schedule of RePaint: a path that goes down every stretch of ``jump`` levels ``times`` times, and rises in between.

    Lugmayr et al. 2022, arXiv:2201.09865, section 4.2: the unknown part of a sample needs repeated steps to fit the known part. The path
    takes ``times`` as many forward passes, except for the step to 0, which is taken once: it moves to a mean, and means of repeated
    means, each from fresh noise, would lose up to half of the variance.

    >>> resampled([3.0, 2.0, 1.0, 0.0], times=2)
    (3.0, 2.0, 3.0, 2.0, 1.0, 2.0, 1.0, 0.0)

    Args:
        sigmas: decreasing noise levels; the last one is 0.
        jump: number of levels of a stretch, at least 1.
        times: number of times that each stretch is taken, at least 1; 1 returns ``sigmas``.

    Raises:
        ConfigError: if jump or times is out of range.
    """
    if jump < 1 or times < 1:
        raise ConfigError(f"jump and times must be at least 1, not {jump}, {times}")
    *levels, end = sigmas
    path = levels[:1]
    for first in range(0, len(levels) - 1, jump):
        top, *below = levels[first : first + jump + 1]
        path += [*below, top] * (times - 1) + below
    return (*path, end)
