"""Inpainting by a loaded model: beside a known part of samples, the rest is drawn."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, cast

import torch
from torch import Tensor

from zoo_core.arguments import as_int
from zoo_core.capabilities import capability_error
from zoo_core.errors import UsageError
from zoo_core.interfaces import Denoiser, Filler, LabelsLike, OnStep, Sampler, SamplerLike, SchedulerLike
from zoo_core.pretrained.sampler_options import check_callback, check_denoises
from zoo_core.pretrained.sampling import Sampling
from zoo_core.registry.faults import check_samples
from zoo_core.rng import ImageRng
from zoo_core.samplers import Inpainted, resampled
from zoo_core.samplers.latent_space import latent_mask
from zoo_core.samplers.masks import known_values

__all__ = ["Inpainting"]


class Inpainting(Sampling):
    """The part of :class:`zoo_core.pretrained.Pretrained` that inpaints.

    >>> from zoo_core import load
    >>> points = load("ncsn-gaussian-mixture")
    >>> x = points.inpaint(torch.zeros(4, 2), torch.tensor([True, False]), steps=4, sampler="heun")
    >>> x[:, 0].tolist()
    [0.0, 0.0, 0.0, 0.0]
    """

    def inpaint(
        self,
        x: Tensor,
        mask: Tensor | str,
        *,
        seed: int = 0,
        sampler: SamplerLike | None = None,
        scheduler: SchedulerLike | None = None,
        labels: LabelsLike = None,
        guidance: float | None = None,
        condition: Tensor | None = None,
        jump: int = 1,
        times: int = 5,
        batch_size: int = 64,
        on_step: OnStep | None = None,
        first: int = 0,
        **options: Any,
    ) -> Tensor:
        """Keeps the known part of ``x`` bit for bit and fills in the rest: float32 (n, *event.shape), on the CPU.

        The sampler walks with :class:`zoo_core.samplers.Inpainted` along the levels of :func:`zoo_core.samplers.resampled` (RePaint,
        Lugmayr et al. 2022, arXiv:2201.09865), with ``times`` as many forward passes as ``sample``. Row i has the noise of image
        ``first`` + i. A model with the capability ``latent`` walks in its latents, of which a cell is known where all of its pixels are;
        the known pixels are put into what it decodes. A model with the capability ``unmask`` begins with the known places shown, and takes
        as many passes as ``sample``; one with the capability ``fill`` takes a single pass, without a sampler. For both, jump and times have
        no effect. All other arguments and errors are those of :meth:`sample`.

        Args:
            x: samples (n, *event.shape) within the range of the event; read only where the mask is 1, NaN is allowed elsewhere.
            mask: True or 1 where ``x`` is known, False or 0 elsewhere, of a shape that broadcasts to that of ``x``; or the name of the
                part of an image that is known: ``top``, ``bottom``, ``left``, ``right``, ``centre`` or ``border``.
            jump: number of levels that the walk goes down before it goes up again.
            times: number of times that it goes down each stretch; 1 goes straight down, and fits less well.

        Raises:
            UsageError: if ``x`` or the mask has a wrong shape or wrong values, or the sampler cannot inpaint.
            CapabilityError: if the model can neither denoise, unmask nor fill, or cannot encode samples into images of latents.
        """
        fills = self._fills()
        check_callback(on_step)
        known, mask = known_values(self._samples(x), mask, self.event)
        n = as_int("the number of rows of x", len(known), 1)
        if fills:
            unused = {"sampler": sampler, "scheduler": scheduler, "labels": labels, "guidance": guidance, "condition": condition}
            return self._filled(known, mask, unused | options, batch_size, seed, first)
        chosen, sigmas = self._walk(sampler, scheduler, self.inpaint, options)
        classes, given = self._checked(labels, condition, guidance, n, as_int("first", first))
        if chosen.requires == "unmask":
            return self._infilled(known, mask, chosen, classes, batch_size, seed, first, on_step)
        check_denoises(chosen, "inpaint")
        path = _path(chosen, sigmas, as_int("jump", jump, 1), as_int("times", times, 1, 1000))
        values, part = self._latent_part(known, mask, classes) if "latent" in self.capabilities else (known, mask)

        def walk(rows: slice, rng: ImageRng, y: Tensor | None) -> Tensor:
            model = Inpainted(cast(Denoiser, self._given(given, rows, seed, first, guidance)), values[rows], part[rows].float())
            return chosen(model, rng, sigmas=path, labels=y, on_step=on_step)

        out = self._drawn(walk, chosen, n, classes, batch_size, seed, first)
        # With the masked score, and if the sampler does not end with an estimate, x is only near the known values.
        return torch.where(mask.cpu(), known.cpu(), out)

    def _filled(self, known: Tensor, mask: Tensor, unused: Mapping[str, Any], batch_size: int, seed: int, first: int) -> Tensor:
        """Samples whose unknown part a model with the capability ``fill`` fills in, in batches.

        Raises:
            UsageError: if an argument of a walk is given.
        """
        if given := [name for name, value in unused.items() if value is not None]:
            raise UsageError(f"{self.name} fills in one pass: it takes no {given[0]}", f"leave {given[0]} out")
        seed, first, size = as_int("seed", seed), as_int("first", first), as_int("batch_size", batch_size, 1)
        model = cast(Filler, self.model)
        parts = []
        for begin in range(0, len(known), size):
            rows = slice(begin, begin + size)
            x = known[rows]
            rng = ImageRng(seed, range(first + begin, first + begin + len(x)), self.device)
            with self._inference():
                drawn = model.fill(torch.where(mask[rows], x, 0.0), mask[rows], rng)
            check_samples(model.fill, drawn, tuple(x.shape))
            parts.append(torch.where(mask[rows], x, drawn.float()).cpu())
        return torch.cat(parts)

    def _fills(self) -> bool:
        """Whether the model fills in one pass, without a sampler.

        Raises:
            CapabilityError: if it cannot inpaint at all.
        """
        fills = "fill" in self.capabilities and not self.denoises
        if "unmask" not in self.capabilities and not fills:
            self.require_walk("inpaint", others="unmask fill")
        return fills

    def _infilled(
        self,
        known: Tensor,
        mask: Tensor,
        sampler: Sampler,
        classes: Tensor | None,
        batch_size: int,
        seed: int,
        first: int,
        on_step: OnStep | None,
    ) -> Tensor:
        """Texts (n, *event.shape) with their unknown places drawn by a sampler of masked models."""
        start = torch.where(mask, known, cast(int, self.event.categories))

        def walk(rows: slice, rng: ImageRng, y: Tensor | None) -> Tensor:
            return sampler(self.model, rng, x=start[rows], labels=y, on_step=on_step)

        return self._drawn(walk, sampler, len(start), classes, batch_size, seed, first)

    def _latent_part(self, known: Tensor, mask: Tensor, classes: Tensor | None) -> tuple[Tensor, Tensor]:
        """The known part of latents, with its mask (n, 1, h, w). Before samples are encoded, unknown pixels get the known ones' mean."""
        if self.event.categories is not None and self._latent_shape[: known.ndim - 1] == self.event.shape:  # a vector for each place
            return self.encode(known, classes).to(self.device), mask[..., None]
        side = self._latent_shape[1:]
        if len(side) != 2 or known.ndim != 4 or any(whole % part for whole, part in zip(known.shape[2:], side, strict=True)):
            raise capability_error(f"{self.name} cannot inpaint: its latents are no smaller images of its samples", "denoise")
        count = mask.sum(dim=(2, 3), keepdim=True).clamp(min=1)
        filled = torch.where(mask, known, known.sum(dim=(2, 3), keepdim=True) / count)
        return self.encode(filled, classes).to(self.device), latent_mask(mask, cast(tuple[int, int], tuple(side)))


def _path(sampler: Sampler, sigmas: Sequence[float], jump: int, times: int) -> tuple[float, ...]:
    """The levels of inpainting.

    Raises:
        UsageError: if they rise, and the sampler cannot.
    """
    path = resampled(sigmas, jump=jump, times=times)
    if not sampler.can_rise and any(after > before for before, after in pairwise(path)):
        hint = "take another sampler, or times=1, which goes straight down"
        raise UsageError(f"{type(sampler).__name__} cannot go back up to a noise level, as inpainting does", hint)
    return path
