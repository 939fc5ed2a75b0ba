"""Reconstructions, interpolations, and the map of a latent plane."""

import math
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor

from zoo_core.catalogue import incapable
from zoo_core.errors import UsageError
from zoo_core.figures.levels import images_of
from zoo_core.interfaces import Decoder, Sampler
from zoo_core.pretrained import Pretrained
from zoo_core.rng import ImageRng

__all__ = ["interpolated", "latent_grid", "reconstructed"]


def reconstructed(pretrained: Pretrained, x: Tensor) -> Tensor:
    """Images ``x`` (n, c, h, w), and decode(encode(x)): (2, n, c, h, w).

    Raises:
        CapabilityError: the model does not encode.
        UsageError: it draws no images.
    """
    images_of(pretrained)
    return torch.stack([x, pretrained.reconstruct(x)])


def interpolated(
    pretrained: Pretrained, ends: Sequence[tuple[int | Tensor, int | Tensor]], steps: int, *, seed: int = 0, sampler: Sampler | None = None
) -> Tensor:
    """For each pair of ``ends`` the path from one to the other, as :meth:`Pretrained.interpolate` draws it: (len(ends), steps, c, h, w).

    Raises:
        CapabilityError: the model neither decodes nor denoises, or an end is an image and it does not encode.
        UsageError: it draws no images.
    """
    images_of(pretrained)
    return torch.stack([pretrained.interpolate(a, b, steps=steps, seed=seed, sampler=sampler) for a, b in ends])


def latent_grid(pretrained: Pretrained, side: int) -> tuple[Tensor, list[float]]:
    """What a model decodes from latents in the plane, at the quantiles of the normal prior (Kingma & Welling 2013, figure 4).

    Every cell stands for the same share of the prior. z_1 grows to the right, z_2 upwards.

    Returns:
        (side, side, c, h, w); and the ``side`` coordinates, increasing, the quantiles (i + 1/2) / side.

    Raises:
        CapabilityError: the model does not decode.
        UsageError: it draws no images, or its latents have not two dimensions.
    """
    if "decode" not in pretrained.capabilities:
        raise incapable(f"{pretrained.name} has no latents: its family cannot decode", "decode")
    shape, z = images_of(pretrained), tuple(cast(Decoder, pretrained.model).prior(ImageRng(0, [0])).shape[1:])
    if z != (2,):
        raise UsageError(f"a latent grid is of 2 dimensions, and {pretrained.name} has {math.prod(z)}", "interpolate shows others")
    at = torch.special.ndtri((torch.arange(side) + 0.5) / side)
    right, up = at.repeat(side), at.flip(0).repeat_interleave(side)
    return pretrained.decode(torch.stack([right, up], dim=1)).view(side, side, *shape), at.tolist()
