"""What the samplers of denoisers have in common: how they begin and end, and what they may ask for on the way."""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import sqrt
from typing import TYPE_CHECKING, ClassVar, cast

from zoo_core.arguments import levels
from zoo_core.errors import ConfigError
from zoo_core.interfaces import Denoiser, OnStep, Rng, Sampler, Scheduler
from zoo_core.registry.faults import check_samples

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Guide", "Walk", "resampled"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Guide:
    """What a walk asks on its way: the clean sample, fresh noise; and whom it tells where it is.

    ``count`` is the number of steps in all, ``first`` that of the first step of this walk.
    """

    model: Denoiser
    rng: Rng
    labels: "Tensor | None"
    clip: bool
    on_step: OnStep | None
    count: int
    first: int = 0

    def denoised(self, x: "Tensor", sigma: float) -> "Tensor":
        """x0_hat = D(x, sigma), of the shape of ``x``; within the event's range where the sampler clips and the event has one."""
        x0 = self.model.denoise(x, levels(sigma, x), self.labels)
        check_samples(self.model.denoise, x0, x.shape)
        return x0.clamp(*self.model.event.range) if self.clip and self.model.event.range else x0

    def noise(self, x: "Tensor") -> "Tensor":
        """Fresh standard normal noise z, of the shape and dtype of ``x``. It is the Rng's: not to be changed in place."""
        return self.rng.normal(*self.model.event.shape).to(x)

    def show(self, step: int, sigma: float, x: "Tensor", x0: "Tensor") -> None:
        """Tells ``on_step``, which may keep both tensors: neither is changed in place afterwards."""
        if self.on_step:
            self.on_step(self.first + step, sigma, x, x0)


class Walk(Sampler):
    """Base of the samplers of denoisers. Their options ``steps`` and ``clip`` are fields of each of them.

    Where the given ``sigmas`` rise, as those of :func:`resampled` do, fresh noise takes x there: x + sqrt(sigma'^2 - sigma^2) z. The level
    at which the path turns is passed without a look: ``on_step`` does not see it.
    """

    __slots__ = ()
    requires: ClassVar[str] = "denoise"
    rises: ClassVar[bool] = True
    steps: int
    clip: bool

    @abstractmethod
    def walk(self, x: "Tensor", sigmas: Sequence[float], guide: Guide) -> "Tensor":
        """From ``x`` at noise level sigmas[0] down to sigmas[-1], not always 0. Shows every level but the last; leaves ``x`` as it is."""

    def left_at(self, sigmas: Sequence[float]) -> float:
        """The noise level at which :meth:`walk` leaves x, from where a rise takes it up again."""
        return sigmas[-1]

    def noise_levels(self, model: object, scheduler: Scheduler | None) -> tuple[float, ...]:
        model = cast(Denoiser, model)
        return (scheduler or model.scheduler).sigmas(self.steps, *model.sigma_range)

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
        guide = Guide(model=model, rng=rng, labels=labels, clip=self.clip, on_step=on_step, count=len(sigmas) - 1)
        left = 0.0
        for first, falling in _falls(sigmas):
            if first:
                x = x.add(guide.noise(x), alpha=sqrt(falling[0] ** 2 - left**2))
            x, left = self.walk(x, falling, replace(guide, first=first)), self.left_at(falling)
        guide.show(len(sigmas) - 1, 0.0, x, x)
        return x


def _falls(sigmas: Sequence[float]) -> Iterator[tuple[int, Sequence[float]]]:
    """The parts of a path between which it rises, each with the number of its first level."""
    ends = [0, *(i for i, (a, b) in enumerate(pairwise(sigmas), 1) if b > a), len(sigmas)]
    return ((first, sigmas[first:end]) for first, end in pairwise(ends))


def resampled(sigmas: Sequence[float], *, jump: int = 1, times: int = 5) -> tuple[float, ...]:
    """A path that goes down every ``jump`` levels of ``sigmas`` not once but ``times`` times, rising in between (RePaint's schedule).

    Lugmayr et al. 2022, arXiv:2201.09865, section 4.2: what is drawn beside a known part has to come to fit it, level by level. Takes
    ``times`` as many forward passes, but for the last step. That to 0 is taken once: it is to a mean, and if it were repeated, each time
    from fresh noise, the means of means would lose up to half of the variance.

    Args:
        sigmas: decreasing, the last of them 0.
        jump: at least 1.
        times: at least 1, which leaves ``sigmas`` as they are.

    Raises:
        ConfigError: jump or times is out of range.
    """
    if jump < 1 or times < 1:
        raise ConfigError(f"jump and times must be at least 1, not {jump}, {times}")
    *levels, end = sigmas
    path = levels[:1]
    for first in range(0, len(levels) - 1, jump):
        top, *below = levels[first : first + jump + 1]
        path += [*below, top] * (times - 1) + below
    return (*path, end)
