"""The noise levels of a model, and the display of images at a level.

Noisy images are shown as x_sigma / (1 + 2 sigma): the variance-preserving x_t = x_sigma / sqrt(1 + sigma^2), divided by the share of the
signal plus two standard deviations of the noise, so that both ends use the whole visible range [-1, 1].
"""

import math
from collections.abc import Sequence
from typing import cast

from torch import Tensor

from zoo_core.capabilities import capability_error
from zoo_core.errors import UsageError
from zoo_core.images import is_image
from zoo_core.interfaces import Denoiser, DiscreteScheduler
from zoo_core.pretrained import Pretrained

__all__ = ["denoiser", "images_of", "level_at", "shown", "trained_levels", "visible"]

_CONTINUOUS = 1000


def visible(x: Tensor, sigma: float) -> Tensor:
    """``x`` at noise level ``sigma``, scaled so that its signal and two standard deviations of its noise fill [-1, 1]."""
    return x / (1 + 2 * sigma)


def shown(pretrained: Pretrained, x: Tensor, sigma: float) -> Tensor:
    """States ``x`` of a sampler at noise level ``sigma`` as images: by :func:`visible`, or the latents x / sqrt(1 + sigma^2) decoded."""
    if "latent" in pretrained.capabilities:
        return pretrained.decode(x / math.sqrt(1 + sigma**2))
    return visible(x, sigma)


def trained_levels(model: Denoiser) -> tuple[float, ...]:
    """The levels sigma_1 < ... < sigma_T that the model was trained on; a thousand of them if its levels are continuous."""
    if isinstance(model.scheduler, DiscreteScheduler):
        return model.scheduler.levels
    return model.scheduler.sigmas(_CONTINUOUS, *model.sigma_range)[-2::-1]


def level_at(levels: Sequence[float], percent: float) -> tuple[int, float]:
    """The level t nearest to ``percent`` of T, and its sigma; t = 0 is the clean image.

    >>> level_at([0.1, 0.5, 1.0, 2.0], 50)
    (2, 0.5)

    Raises:
        UsageError: if ``percent`` is not in [0, 100].
    """
    if not 0 <= percent <= 100:
        raise UsageError(f"percentages of T are in [0, 100], not {percent:g}")
    t = math.floor(percent / 100 * len(levels) + 0.5)
    return t, levels[t - 1] if t else 0.0


def denoiser(pretrained: Pretrained, *, images: bool = True, points: bool = False) -> Denoiser:
    """The model, or the denoiser of its latents, checked to draw ``images`` or ``points`` in the plane.

    Args:
        pretrained: checkpoint of the model.
        images: whether images are allowed.
        points: whether points in the plane are allowed.

    Raises:
        CapabilityError: if it cannot denoise.
        UsageError: if its samples are not allowed.
    """
    if not pretrained.denoises:
        raise capability_error(f"{pretrained.name} has no noise levels to draw: its family cannot denoise", "denoise")
    shape = pretrained.event.shape
    if not (images and is_image(shape)) and not (points and shape == (2,)):
        drawn = " or ".join(["images"] * images + ["points in the plane"] * points)
        raise UsageError(f"these figures are of {drawn}, and {pretrained.name} draws samples of shape {shape}")
    return cast(Denoiser, pretrained.sampled_model)


def images_of(pretrained: Pretrained) -> tuple[int, ...]:
    """The shape (c, h, w) of the images that a model draws.

    Raises:
        UsageError: if its samples are not images.
    """
    shape = pretrained.event.shape
    if not is_image(shape):
        raise UsageError(f"these figures are of images, and {pretrained.name} draws samples of shape {shape}")
    return shape
