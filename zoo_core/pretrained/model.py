"""A trained model, ready to use: what ``zoo_core.load`` returns."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import pairwise
from typing import Any, cast

import torch
from torch import Tensor

from zoo_core.arguments import floats, level, whole, within
from zoo_core.capabilities import incapable
from zoo_core.checkpoint.build import build
from zoo_core.checkpoint.config import CheckpointConfig, family_of
from zoo_core.checkpoint.files import Files
from zoo_core.errors import ResourceError, UsageError
from zoo_core.interfaces import (
    Classify,
    Decoder,
    Denoiser,
    Encoder,
    Features,
    Labelled,
    LogProb,
    OnStep,
    Sampler,
    Scheduler,
)
from zoo_core.pretrained.conditions import Labels, guided, labels_of
from zoo_core.pretrained.levels import check_callback, check_denoises, check_noisy, how_many, levels_from, with_options
from zoo_core.pretrained.loaded import Loaded
from zoo_core.pretrained.log_prob import check_space, joined, log_prob_of, method_of
from zoo_core.registry.faults import check_samples
from zoo_core.rng import ImageRng, Stream
from zoo_core.samplers import Inpainted, resampled
from zoo_core.samplers.choice import as_sampler, as_scheduler
from zoo_core.samplers.interpolation import mix
from zoo_core.samplers.masks import given
from zoo_core.schedulers import Continuous
from zoo_core.suggestions import keywords_of, unknown_keyword

__all__ = ["Pretrained", "assemble"]


class Pretrained(Loaded):
    """A trained model with its config and card.

    Everything that it draws is a function of a seed and an image's number; torch's global generator is neither read nor moved. Results
    carry no gradients; for those, call ``model`` itself.

    Attributes:
        model: the ``nn.Module`` of the family, in eval mode.
        config: the family's config.
        family: the family's spec.
        files: where it came from.
    """

    def sample(
        self,
        n: int | None = None,
        *,
        seed: int = 0,
        sampler: "str | Mapping[str, Any] | Sampler | None" = None,
        scheduler: "str | Mapping[str, Any] | Scheduler | None" = None,
        labels: Labels = None,
        guidance: float | None = None,
        x: Tensor | None = None,
        sigma: float | None = None,
        batch_size: int = 64,
        on_step: OnStep | None = None,
        first: int = 0,
        **options: Any,
    ) -> Tensor:
        """Images ``first`` ... ``first + n - 1`` of a seed, float32 (n, *event.shape), on the CPU; images are in [-1, 1].

        The noise of an image depends on the seed and on its number alone.

            cats.sample(16, sampler="dpmpp-2m", scheduler="karras", steps=10)
            cats.sample(x=cats.add_noise(images, 2.0), sigma=2.0)  # SDEdit (Meng et al. 2022, arXiv:2108.01073)

        Args:
            n: how many; the rows of ``x`` where that is given.
            seed: in [0, 2**64).
            sampler: a name, with that sampler's own defaults; options of the default sampler, ``{"steps": 20}``; or a Sampler.
            scheduler: noise levels other than those of :meth:`scheduler_of`.
            labels: a class for all, or one for each, as numbers or as names of ``classes``. When None, a model that knows nothing but
                classes draws image i of class i modulo their number.
            guidance: scale of classifier-free guidance: 1 is the plain conditional model.
            x: where to start instead of at pure noise: samples with noise of level ``sigma``, x_0 + sigma * eps, (n, *event.shape), as
                :meth:`add_noise` makes them. Row i draws what image ``first`` + i draws after its start.
            sigma: the noise level of ``x``; the sampler's ``steps`` levels lie between it and 0.
            batch_size: how many at once; changes speed and memory.
            on_step: sees every step of every batch.
            first: number of the first image.
            options: of the sampler, such as ``steps=10`` or ``eta=0.5``.

        Raises:
            UsageError: n, first or batch_size is out of range, labels, x or sigma do not fit, or the sampler has no such option.
            ResourceError: there is no memory for so many.
            ConfigError: there is no such sampler or scheduler, or one of its options is wrong.
            CapabilityError: the model cannot do what the sampler, the labels or guidance need.
            PluginError: the sampler, or the model, gave something else than samples.
        """
        check_callback(on_step)
        start = None if x is None else self._samples(x)
        n, first = how_many(n, start, sigma), whole("first", first)
        chosen, sigmas = self._walk(sampler, scheduler, self.sample, options, sigma)
        classes = labels_of(self, labels, n, first)
        model = self.model if guidance is None else guided(self, guidance, classes)
        if start is not None:
            check_noisy(start, sigmas[0], self.event)

        def walk(rows: slice, rng: ImageRng, y: Tensor | None) -> Tensor:
            if start is None:
                return chosen(model, rng, sigmas=sigmas, labels=y, on_step=on_step)
            cast(Denoiser, model).start(rng, sigmas[0])  # and so the walk draws what it does after a start of its own
            return chosen(model, rng, sigmas=sigmas, x=start[rows], labels=y, on_step=on_step)

        return self._drawn(walk, chosen, n, classes, batch_size, seed, first)

    def add_noise(self, x: Tensor, sigma: float | Tensor, *, seed: int = 0, first: int = 0) -> Tensor:
        """Clean samples under noise of level ``sigma``, x + sigma * eps: float32 (n, *event.shape), on the CPU.

        eps of row i is a function of the seed and of the number ``first`` + i, at every level the same; ``sample`` draws other noise with
        that seed. The figure ``forward`` shows these samples.

        Args:
            x: samples (n, *event.shape).
            sigma: at least 0, one for all or (n,).
            seed: in [0, 2**64).
            first: number of the first row.

        Raises:
            UsageError: one of these is something else.
        """
        self.require("denoise", "be given noisy samples")
        x, seed, first = within(self._samples(x), self.event).float(), whole("seed", seed), whole("first", first)
        eps = ImageRng(seed, range(first, first + len(x)), self.device, stream=Stream.NOISE).normal(*self.event.shape)
        levels = level(sigma, len(x)).to(x).view(-1, *[1] * len(self.event.shape))
        return (x + levels * eps).cpu()

    def inpaint(
        self,
        x: Tensor,
        mask: Tensor | str,
        *,
        seed: int = 0,
        sampler: "str | Mapping[str, Any] | Sampler | None" = None,
        scheduler: "str | Mapping[str, Any] | Scheduler | None" = None,
        labels: Labels = None,
        guidance: float | None = None,
        jump: int = 1,
        times: int = 5,
        batch_size: int = 64,
        on_step: OnStep | None = None,
        first: int = 0,
        **options: Any,
    ) -> Tensor:
        """Keeps the known part of ``x`` bit for bit and fills in the rest: float32 (n, *event.shape), on the CPU.

        :class:`zoo_core.samplers.Inpainted` around the model, along levels :func:`zoo_core.samplers.resampled` (RePaint, Lugmayr et al.
        2022, arXiv:2201.09865): ``times`` as many forward passes as ``sample`` makes. Row i has the noise of image ``first`` + i.

        Args:
            x: samples (n, *event.shape), within the event's range; counts where the mask is 1 alone, and may be NaN elsewhere.
            mask: True or 1 where ``x`` is known, False or 0 elsewhere; of a shape that broadcasts to that of ``x``. Of images also the part
                that is known: ``top``, ``bottom``, ``left``, ``right``, ``centre`` or ``border``.
            jump: how many levels the walk goes down before it goes up again.
            times: how often it goes down each stretch; 1 goes straight down, and fits less well.

        The rest, and what is raised, is that of ``sample``.

        Raises:
            UsageError: ``x`` or the mask has a wrong shape or wrong values, or the sampler is not one of denoisers, or not one that
                ``rises``, and ``times`` is not 1.
            CapabilityError: the model cannot denoise.
        """
        self.require("denoise", "inpaint")
        check_callback(on_step)
        known, mask = given(self._samples(x), mask, self.event)
        n, (chosen, sigmas) = whole("the number of rows of x", len(known), 1), self._walk(sampler, scheduler, self.inpaint, options)
        check_denoises(chosen, "inpaint")
        path = resampled(sigmas, jump=whole("jump", jump, 1), times=whole("times", times, 1, 1000))
        if not chosen.rises and any(after > before for before, after in pairwise(path)):
            hint = "take another sampler, or times=1, which goes straight down"
            raise UsageError(f"{type(chosen).__name__} cannot go back up to a noise level, as inpainting does", hint)
        classes = labels_of(self, labels, n, whole("first", first))
        model = cast(Denoiser, self.model) if guidance is None else guided(self, guidance, classes)

        def walk(rows: slice, rng: ImageRng, y: Tensor | None) -> Tensor:
            return chosen(Inpainted(model, known[rows], mask[rows].float()), rng, sigmas=path, labels=y, on_step=on_step)

        out = self._drawn(walk, chosen, n, classes, batch_size, seed, first)
        # With the masked score, and where the sampler does not end with an estimate, x is only near what is known.
        return torch.where(mask.cpu(), known.cpu(), out)

    def interpolate(
        self,
        a: "int | Tensor",
        b: "int | Tensor",
        *,
        steps: int = 8,
        spherical: bool = True,
        seed: int = 0,
        labels: int | None = None,
        sampler: "str | Mapping[str, Any] | Sampler | None" = None,
        **options: Any,
    ) -> Tensor:
        """A path from one sample to another, float32 (steps, *event.shape), through latents or starting noise.

        Args:
            a: an image's number (of ``seed``), or a sample (*event.shape) to encode.
            b: the other end.
            steps: points on the path, both ends among them.
            spherical: along a great circle (slerp), which keeps the length that Gaussian vectors have; straight when False.
            seed: of the images that ``a`` and ``b`` number.
            labels: one class for all. When None, a model that knows nothing but classes stays in that of image ``a``, in which the end is
                image ``b`` only where that is of it too.
            sampler: for models that denoise; ``ddim`` when None, so that nothing but the start differs along the path.
            options: of the sampler; its steps are ``sampler={"name": "ddim", "steps": 20}``.
        """
        steps, seed = whole("steps", steps, 2), whole("seed", seed)
        if not isinstance(spherical, bool):
            raise UsageError(f"spherical must be True or False, not {str(spherical)[:40]!r}")
        a, b = (end if isinstance(end, Tensor) else whole("an image's number", end) for end in (a, b))
        weights = torch.linspace(0, 1, steps, device=self.device)
        if labels is None and isinstance(a, int) and getattr(self.model, "needs_labels", False):
            labels = a % cast(Labelled, self.model).num_classes
        classes = labels_of(self, labels, steps)
        if "denoise" not in self.capabilities:
            self.require("decode", "interpolate")
            if options:
                raise unknown_keyword(f"interpolate of {self.name}", next(iter(options)), keywords_of(self.interpolate))
            z = mix(self._latent(a, seed, labels), self._latent(b, seed, labels), weights, spherical)
            return self.decode(z, classes)
        if not (isinstance(a, int) and isinstance(b, int)):
            raise incapable(f"{self.name} cannot encode samples", "encode")
        chosen, sigmas = self._walk({"name": "ddim"} if sampler is None else sampler, None, self.interpolate, options)
        model = cast(Denoiser, self.model)
        # Every row goes on drawing what image a draws, so that with noise in the sampler too only the start differs.
        rng = ImageRng(seed, [a] * steps, self.device)
        with self._inference():
            start = model.start(rng, sigmas[0])[0], model.start(ImageRng(seed, [b], self.device), sigmas[0])[0]
            x = chosen(model, rng, sigmas=sigmas, x=mix(*start, weights, spherical), labels=classes)
        return x.float().cpu()

    def encode(self, x: Tensor, labels: Labels = None) -> Tensor:
        """Latents of samples ``x`` (n, *event.shape): the exact inverse of ``decode`` for a flow, the posterior's mean for a VAE."""
        self.require("encode", "encode samples")
        return self._run(cast(Encoder, self.model).encode, within(self._samples(x), self.event), labels_of(self, labels, len(x)))

    def decode(self, z: Tensor, labels: Labels = None) -> Tensor:
        """Samples (n, *event.shape) from latents."""
        self.require("decode", "decode latents")
        z = floats("z", z, self._latent_shape).to(self.device)
        return self._run(cast(Decoder, self.model).decode, z, labels_of(self, labels, len(z)))

    @cached_property
    def _latent_shape(self) -> tuple[int, ...]:
        with self._inference():
            return tuple(cast(Decoder, self.model).prior(ImageRng(0, [0], self.device)).shape[1:])

    def reconstruct(self, x: Tensor, labels: Labels = None) -> Tensor:
        """``decode(encode(x))``, (n, *event.shape)."""
        self.require("encode", "encode samples")
        return self.decode(self.encode(x, labels), labels)

    def log_prob(
        self,
        x: Tensor,
        labels: Labels = None,
        *,
        method: str | None = None,
        seed: int = 0,
        k: int | None = None,
        first: int = 0,
        batch_size: int = 64,
    ) -> LogProb:
        """The log-probability of each sample of ``x`` (n, *event.shape), in nats, with what kind of number it is of what space.

        The model computes in float32 whatever ``dtype`` it was moved to: narrower types err by more than the differences that matter. Row i
        draws the noise of image ``first`` + i of the seed, so the batch size changes no draw.

        Args:
            x: samples of the space: any values for a density, levels of 8-bit images, or -1 to 1 for binary ones.
            labels: a class for all, or one for each.
            method: ``own``, what the family itself says (the capability ``density``); ``ode``, the density of the probability-flow ODE of a
                denoiser, :func:`zoo_core.density.denoiser.ode`; ``bound``, the variational bound of a denoiser,
                :func:`zoo_core.density.denoiser.bound`, which has the terms. None is ``own`` where there is one, and otherwise ``ode``.
            seed: of the draws.
            k: the number of draws: of a Monte Carlo bound, 1 when None; for the others see their functions.
            first: number of the first row, for those who go through a large set in pieces.
            batch_size: how many at once; changes speed and memory.

        Raises:
            CapabilityError: the model cannot give one, or not by that method.
            UsageError: ``x`` has another shape, is not finite, or is not of the space; labels, k, ... are out of range; no such method.
            ConfigError: the ODE was not solved in as many evaluations as it may take.
            ZooError: the model gives values that are not finite.
        """
        x, chosen = within(self._samples(x), self.event), self.log_prob_method(method)
        n = whole("the number of rows of x", len(x), 1)
        seed, first, size = whole("seed", seed), whole("first", first), whole("batch_size", batch_size, 1)
        draws, classes = None if k is None else whole("k", k, 1), labels_of(self, labels, n)
        found = []
        for begin in range(0, n, size):
            rows = slice(begin, min(begin + size, n))
            rng = ImageRng(seed, range(first + rows.start, first + rows.stop), self.device)
            with self._inference(torch.float32):
                each = x[rows].float(), rng, None if classes is None else classes[rows], draws
                found.append(log_prob_of(self.model, chosen, *each))
            check_space(x[rows], found[-1].space)
        return joined(found)

    def log_prob_method(self, method: str | None = None) -> str:
        """The method by which :meth:`log_prob` goes: ``own``, ``ode`` or ``bound``.

        Raises:
            CapabilityError: the model cannot give a log-probability, or not by that ``method``.
            UsageError: there is no such method.
        """
        return method_of(self, method)

    def denoise(self, x: Tensor, sigma: "float | Tensor", labels: Labels = None) -> Tensor:
        """E[x_0 | x_sigma = x], estimated: ``x`` (n, *event.shape) at noise level ``sigma``, one for all or (n,)."""
        self.require("denoise", "denoise")
        x = self._samples(x)
        levels = level(sigma, len(x)).to(self.device)
        denoise = cast(Denoiser, self.model).denoise
        return self._run(lambda x, y: denoise(x, levels, y), x, labels_of(self, labels, len(x)))

    def features(self, x: Tensor, *, batch_size: int = 256) -> Tensor:
        """Features of samples ``x`` (n, *event.shape), float32 (n, d); ``batch_size`` changes speed and memory."""
        self.require("features", "give features")
        return self._rows(cast(Features, self.model).features, within(floats("x", x, self.event.shape), self.event), batch_size)

    def classify(self, x: Tensor, *, batch_size: int = 256) -> Tensor:
        """Log-probabilities of the classes of samples ``x`` (n, *event.shape), float32 (n, num_classes); ``batch_size`` as above."""
        self.require("classify", "tell classes")
        return self._rows(cast(Classify, self.model).classify, within(floats("x", x, self.event.shape), self.event), batch_size)

    def _rows(self, function: Callable[[Tensor], Tensor], x: Tensor, batch_size: int) -> Tensor:
        size = whole("batch_size", batch_size, 1)
        parts = [x[first : first + size].to(self.device) for first in range(0, max(len(x), 1), size)]
        return torch.cat([self._run(lambda rows, _: function(rows), part, None) for part in parts])

    def _walk(
        self, sampler: Any, scheduler: Any, call: Callable[..., object], options: Mapping[str, Any], sigma: float | None = None
    ) -> tuple[Sampler, tuple[float, ...]]:
        """The sampler with its options, and the noise levels from the largest, or from ``sigma``, down to 0."""
        chosen = self.sampler if sampler is None else as_sampler(sampler, self.sampler)
        chosen = with_options(chosen, options, call)
        self.require(chosen.requires, "be sampled so")
        placed = self.scheduler_of(chosen) if scheduler is None else as_scheduler(scheduler)
        if sigma is None:
            return chosen, chosen.noise_levels(self.model, placed)
        self.require("denoise", "start from noisy samples")
        if scheduler is None and isinstance(placed, Continuous):
            placed = replace(placed, sigma_max=None)  # to begin at sigma, if that is above
        return chosen, levels_from(chosen, cast(Denoiser, self.model), placed, sigma)

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
        """What ``walk`` makes of rows 0 ... n - 1 in batches, each with the noise of its images; row 0 is image ``first``."""
        seed, size = whole("seed", seed), whole("batch_size", batch_size, 1)
        out = _room(n, self.event.shape)
        for begin in range(0, n, size):
            rows = slice(begin, min(begin + size, n))
            rng = ImageRng(seed, range(first + rows.start, first + rows.stop), self.device)
            with self._inference():
                made = walk(rows, rng, None if classes is None else classes[rows])
            check_samples(type(sampler), made, out[rows].shape)
            out[rows] = made
        return out

    def _latent(self, end: "int | Tensor", seed: int, labels: int | None) -> Tensor:
        if isinstance(end, Tensor):
            return self.encode(end[None], labels)[0].to(self.device)
        with self._inference():
            return cast(Decoder, self.model).prior(ImageRng(seed, [end], self.device))[0]


def _room(n: int, shape: Sequence[int]) -> Tensor:
    try:
        return torch.empty(n, *shape)
    except (RuntimeError, MemoryError) as error:
        raise ResourceError(f"no memory for {n} samples", "draw them in parts: first= is the number of the first one") from error


def assemble(
    files: Files, config: CheckpointConfig, *, device: torch.device | str | None = None, dtype: torch.dtype | str | None = None
) -> Pretrained:
    """Builds the model of a checkpoint from its verified files; raises as :func:`zoo_core.load` does."""
    model = build(files, config)
    return Pretrained(model=model, config=config, family=family_of(config), files=files).to(device, dtype)
