"""The noise levels of a model, and how an image at one of them is shown.

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

__all__ = ["denoiser", "images_of", "level_at", "trained_levels", "visible"]

_CONTINUOUS = 1000


def visible(x: Tensor, sigma: float) -> Tensor:
    """``x`` at noise level ``sigma``, scaled so that its signal and two standard deviations of its noise fill [-1, 1]."""
    return x / (1 + 2 * sigma)


def trained_levels(model: Denoiser) -> tuple[float, ...]:
    """sigma_1 < ... < sigma_T that the model was trained on; a thousand of them where they are continuous."""
    if isinstance(model.scheduler, DiscreteScheduler):
        return model.scheduler.levels
    return model.scheduler.sigmas(_CONTINUOUS, *model.sigma_range)[-2::-1]


def level_at(levels: Sequence[float], percent: float) -> tuple[int, float]:
    """The level t that is ``percent`` of T, to the nearest whole one, and its sigma; t = 0 is the clean image.

    Raises:
        UsageError: ``percent`` is not in [0, 100].
    """
    if not 0 <= percent <= 100:
        raise UsageError(f"percentages of T are in [0, 100], not {percent:g}")
    t = math.floor(percent / 100 * len(levels) + 0.5)
    return t, levels[t - 1] if t else 0.0


def denoiser(pretrained: Pretrained, *, images: bool = True, points: bool = False) -> Denoiser:
    """The model, if it denoises what a figure is of: ``images``, ``points`` in the plane, or both.

    Raises:
        CapabilityError: it does not denoise.
        UsageError: it draws something else.
    """
    if "denoise" not in pretrained.capabilities:
        raise capability_error(f"{pretrained.name} has no noise levels to draw: its family cannot denoise", "denoise")
    shape = pretrained.event.shape
    if not (images and is_image(shape)) and not (points and shape == (2,)):
        drawn = " or ".join(["images"] * images + ["points in the plane"] * points)
        raise UsageError(f"these figures are of {drawn}, and {pretrained.name} draws samples of shape {shape}")
    return cast(Denoiser, pretrained.model)


def images_of(pretrained: Pretrained) -> tuple[int, ...]:
    """The shape of a sample, (c, h, w).

    Raises:
        UsageError: the samples are no images.
    """
    shape = pretrained.event.shape
    if not is_image(shape):
        raise UsageError(f"these figures are of images, and {pretrained.name} draws samples of shape {shape}")
    return shape
