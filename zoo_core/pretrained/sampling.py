"""Sampling of a loaded model: from noise or a given start, beside a known part, and along a path."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor, nn

from zoo_core.arguments import as_int, as_levels, check_in_range, single
from zoo_core.capabilities import capability_error, supports
from zoo_core.errors import ResourceError, UsageError
from zoo_core.interfaces import (
    Conditional,
    Decoder,
    Denoiser,
    Event,
    Labelled,
    LabelsLike,
    OnStep,
    Sampler,
    SamplerLike,
    SchedulerLike,
)
from zoo_core.pretrained.conditions import check_guidance, conditioned, conditions_of, labels_of, prompted
from zoo_core.pretrained.inference import Inference
from zoo_core.pretrained.sampler_options import check_callback, check_noisy, how_many, levels_from, with_options
from zoo_core.registry.faults import check_samples
from zoo_core.rng import ImageRng, Stream
from zoo_core.samplers.factory import as_sampler, as_scheduler
from zoo_core.samplers.interpolation import mix
from zoo_core.samplers.latent_space import decoded
from zoo_core.schedulers import Continuous
from zoo_core.suggestions import keywords_of, unknown_keyword

__all__ = ["Sampling"]


class Sampling(Inference):
    """The part of :class:`zoo_core.pretrained.Pretrained` that draws samples.

    >>> from zoo_core import load
    >>> load("realnvp-moons").sample(4, seed=0).shape
    torch.Size([4, 2])
    """

    def sample(
        self,
        n: int | None = None,
        *,
        seed: int = 0,
        sampler: SamplerLike | None = None,
        scheduler: SchedulerLike | None = None,
        labels: LabelsLike = None,
        guidance: float | None = None,
        condition: Tensor | None = None,
        prompts: str | Sequence[str] | None = None,
        x: Tensor | None = None,
        sigma: float | None = None,
        batch_size: int = 64,
        on_step: OnStep | None = None,
        first: int = 0,
        **options: Any,
    ) -> Tensor:
        """Draws images ``first`` ... ``first + n - 1`` of a seed, each by its own noise: float32 (n, *event.shape), images in [-1, 1].

            cats.sample(x=cats.add_noise(images, 2.0), sigma=2.0)  # SDEdit (Meng et al. 2022, arXiv:2108.01073)

        Args:
            n: number of images; the number of rows of ``x`` or ``condition`` if one is given.
            seed: seed in [0, 2**64).
            sampler: sampler, or its name with its own defaults, or options of the default sampler such as ``{"steps": 20}``.
            scheduler: scheduler of the noise levels; that of :meth:`scheduler_of` if None.
            labels: classes, as numbers or names. If None, a class-conditional model draws image i of class i modulo their number.
            guidance: scale of classifier-free guidance; 1 is the plain conditional model.
            condition: conditions (n, *condition_event.shape), or one for all; if None, samples of ``base``, or the model's examples.
            prompts: texts in place of conditions, one for each image or one for all, for models of texts.
            x: samples, or latents if these are denoised, with noise of level ``sigma`` to start from, as :meth:`add_noise` makes them.
            sigma: noise level of ``x``; the ``steps`` levels of the sampler lie between it and 0.
            batch_size: number of images that are computed at once; changes speed and memory only.
            on_step: callback that sees every step of every batch; its states are latents if those are denoised.
            first: number of the first image.
            options: options of the sampler, such as ``steps=10`` or ``eta=0.5``.

        Raises:
            UsageError: if a number is out of range, labels, condition, x or sigma do not fit, or an option is unknown.
            ResourceError: if the memory is too small for n images.
            ConfigError: if there is no such sampler or scheduler, or an option has a wrong value.
            CapabilityError: if the model lacks what the sampler, the labels, the condition or guidance need.
            PluginError: if the sampler or the model does not return samples.
        """
        check_callback(on_step)
        start = None if x is None else self._states(x)
        condition = prompted(self, prompts, condition)
        n, first = how_many(n, start, sigma, condition), as_int("first", first)
        walker, sigmas = self._walk(sampler, scheduler, self.sample, options, sigma)
        condition, labels, guidance = self._base_samples(condition, n, seed, first, labels, guidance, batch_size)
        classes, given = self._checked(labels, condition, guidance, n, first)
        check_noisy(start, sigmas, cast(Denoiser, self.sampled_model).event)

        def walk(rows: slice, rng: ImageRng, y: Tensor | None) -> Tensor:
            model = self._given(given, rows, seed, first, guidance)
            x = None if start is None else _started(model, rng, sigmas[0], start[rows])
            return walker(model, rng, sigmas=sigmas, x=x, labels=y, on_step=on_step)

        return self._drawn(walk, walker, n, classes, batch_size, seed, first)

    def add_noise(self, x: Tensor, sigma: float | Tensor, *, seed: int = 0, first: int = 0) -> Tensor:
        """Adds noise of level ``sigma`` to clean samples, x + sigma * eps: float32 (n, *event.shape), on the CPU.

        A model with the capability ``latent`` encodes them first, and returns noisy latents.

        eps of row i depends on the seed and on the number ``first`` + i alone, not on the level; ``sample`` draws other noise with that
        seed. The figure ``forward`` shows these samples.

        Args:
            x: clean samples (n, *event.shape).
            sigma: noise level, at least 0, one for all rows or (n,).
            seed: seed in [0, 2**64).
            first: number of the first row.

        Raises:
            UsageError: if an argument has a wrong type, shape or value.
        """
        self.require_walk("be given noisy samples")
        x = check_in_range(self._samples(x), self.event).float()
        if "latent" in self.capabilities:
            x = self.encode(x).to(self.device)
        seed = as_int("seed", seed)
        first = as_int("first", first)
        eps = ImageRng(seed, range(first, first + len(x)), self.device, stream=Stream.NOISE).normal(*x.shape[1:])
        levels = as_levels(sigma, len(x)).to(x).view(-1, *[1] * (x.ndim - 1))
        return (x + levels * eps).cpu()

    def interpolate(
        self,
        a: "int | Tensor",
        b: "int | Tensor",
        *,
        steps: int = 8,
        spherical: bool = True,
        seed: int = 0,
        labels: int | None = None,
        sampler: SamplerLike | None = None,
        **options: Any,
    ) -> Tensor:
        """Draws a path from one sample to another through latents or starting noise: float32 (steps, *event.shape).

        Args:
            a: number of an image of ``seed``, or a sample (*event.shape) to encode.
            b: the other end, likewise. Both are numbers or both are samples, if latents are denoised.
            steps: number of points on the path, including both ends.
            spherical: interpolates along a great circle (slerp), which keeps the typical length of Gaussian vectors; else linearly.
            seed: seed of the images ``a`` and ``b``.
            labels: class of all points. If None, a class-conditional model keeps the class of image ``a``, so the last point is image
                ``b`` only if that has the same class.
            sampler: sampler of a model that denoises; ``ddim`` if None, so that only the start differs along the path.
            options: options of the sampler; its number of steps is given as ``sampler={"name": "ddim", "steps": 20}``.

        Raises:
            UsageError: if an argument has a wrong type or value.
            CapabilityError: if the model cannot encode a given sample, or can neither decode nor denoise.
        """
        steps = as_int("steps", steps, 2)
        seed = as_int("seed", seed)
        if not isinstance(spherical, bool):
            raise UsageError(f"spherical must be True or False, not {str(spherical)[:40]!r}")
        a, b = (end if isinstance(end, Tensor) else as_int("an image's number", end) for end in (a, b))
        weights = torch.linspace(0, 1, steps, device=self.device)
        if labels is None and isinstance(a, int) and getattr(self.model, "needs_labels", False):
            labels = a % cast(Labelled, self.model).num_classes
        classes = labels_of(self, labels, steps)
        encodes = "latent" in self.capabilities and isinstance(a, Tensor) and isinstance(b, Tensor)
        if encodes or not self.denoises:
            if not encodes:
                self.require("decode", "interpolate")
            if options:
                raise unknown_keyword(f"interpolate of {self.name}", next(iter(options)), keywords_of(self.interpolate))
            z = mix(self._latent(a, seed, labels), self._latent(b, seed, labels), weights, spherical)
            return self.decode(z, classes)
        if not (isinstance(a, int) and isinstance(b, int)):
            if "encode" in self.capabilities:
                raise UsageError("both ends must be numbers, or both samples", "draw the one with a number by sample(1, first=...)")
            raise capability_error(f"{self.name} cannot encode samples", "encode")
        chosen, sigmas = self._walk({"name": "ddim"} if sampler is None else sampler, None, self.interpolate, options)
        model = cast(Denoiser, self.sampled_model)
        # Every row draws the noise of image a, so that only the start differs even if the sampler adds noise.
        rng = ImageRng(seed, [a] * steps, self.device)
        with self._inference():
            start = model.start(rng, sigmas[0])[0], model.start(ImageRng(seed, [b], self.device), sigmas[0])[0]
            x = decoded(self.model, chosen(model, rng, sigmas=sigmas, x=mix(*start, weights, spherical), labels=classes), classes)
        return single(x).cpu()

    def _walk(
        self, sampler: Any, scheduler: Any, call: Callable[..., object], options: Mapping[str, Any], sigma: float | None = None
    ) -> tuple[Sampler, tuple[float, ...]]:
        """The sampler with its options, and the noise levels from the largest, or from ``sigma``, down to 0."""
        chosen = self.sampler if sampler is None else as_sampler(sampler, self.sampler)
        chosen = with_options(chosen, options, call)
        if not supports(self.capabilities, chosen.requires):
            self.require(chosen.requires, "be sampled so")
        placed = self.scheduler_of(chosen) if scheduler is None else as_scheduler(scheduler)
        if sigma is None:
            return chosen, chosen.noise_levels(self.sampled_model, placed)
        self.require_walk("start from noisy samples")
        if scheduler is None and isinstance(placed, Continuous):
            placed = replace(placed, sigma_max=None)  # to begin at sigma, if that is above
        return chosen, levels_from(chosen, cast(Denoiser, self.sampled_model), placed, sigma)

    def _drawn(
        self,
        walk: Callable[[slice, ImageRng, Tensor | None], Tensor],
        sampler: Sampler,
        n: int,
        classes: Tensor | None,
        batch_size: int,
        seed: int,
        first: int,
    ) -> Tensor:
        """The samples that ``walk`` returns for rows 0 ... n - 1, in batches, each with its own noise; row 0 is image ``first``."""
        seed = as_int("seed", seed)
        size = as_int("batch_size", batch_size, 1)
        out = _empty(n, self.event)
        for begin in range(0, n, size):
            rows = slice(begin, min(begin + size, n))
            rng = ImageRng(seed, range(first + rows.start, first + rows.stop), self.device)
            with self._inference():
                y = None if classes is None else classes[rows]
                samples = walk(rows, rng, y)
                if "latent" in self.capabilities:
                    check_samples(type(sampler), samples, (len(samples), *self._latent_shape))
                    samples = decoded(self.model, samples, y)
            check_samples(type(sampler), samples, out[rows].shape, self.event.categories)
            out[rows] = samples
        return out

    def _checked(
        self, labels: LabelsLike, condition: Tensor | None, guidance: float | None, n: int, first: int
    ) -> tuple[Tensor | None, Tensor | None]:
        """The classes and the conditions of n samples, which can be guided by that scale."""
        classes, given = labels_of(self, labels, n, first), conditions_of(self, condition, n, first)
        if guidance is not None:
            check_guidance(self, guidance, classes, given)
        return classes, given

    def _given(self, condition: Tensor | None, rows: slice, seed: int, first: int, guidance: float | None) -> nn.Module | Denoiser:
        """The model that a sampler gets for some rows; row 0 is image ``first``."""
        images = range(first + rows.start, first + rows.stop)
        rng = ImageRng(as_int("seed", seed), images, self.device, stream=Stream.CONDITION)
        return conditioned(self, None if condition is None else condition[rows], rng, guidance)

    def _base_samples(
        self, condition: Tensor | None, n: int, seed: int, first: int, labels: LabelsLike, guidance: float | None, batch_size: int
    ) -> tuple[Tensor | None, LabelsLike, float | None]:
        """The conditions that are given, or that the first stages of a cascade draw; the labels and guidance that are left for the last."""
        base = cast(Sampling | None, self.base)
        if base is None or condition is not None:
            return condition, labels, guidance
        theirs: dict[str, Any] = {"labels": labels, "guidance": guidance} if "labels" in base.capabilities else {}
        condition = base.sample(n, seed=seed, first=first, batch_size=batch_size, **theirs).to(self.device)
        if (bounds := cast(Conditional, self.model).condition_event.range) is not None:
            condition = condition.clamp(*bounds)
        return condition, *((labels, guidance) if "labels" in self.capabilities or not theirs else (None, None))

    def _latent(self, end: "int | Tensor", seed: int, labels: int | None) -> Tensor:
        if isinstance(end, Tensor):
            return self.encode(end[None], labels)[0].to(self.device)
        with self._inference():
            return cast(Decoder, self.model).prior(ImageRng(seed, [end], self.device))[0]


def _started(model: Any, rng: ImageRng, sigma: float, x: Tensor) -> Tensor:
    """``x``, after a start that is drawn and dropped, so that the steps draw the same noise as after a start of their own."""
    model.start(rng, sigma)
    return x


def _empty(n: int, event: Event) -> Tensor:
    try:
        return torch.empty(n, *event.shape, dtype=torch.float32 if event.categories is None else torch.int64)
    except (RuntimeError, MemoryError) as error:
        raise ResourceError(f"no memory for {n} samples", "draw them in parts: first= is the number of the first one") from error
