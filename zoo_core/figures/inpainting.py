"""Images with a known part, and completions of it."""

from typing import Any

import torch
from torch import Tensor

from zoo_core.figures.levels import denoiser
from zoo_core.interfaces import OnStep, SamplerLike, SchedulerLike
from zoo_core.pretrained import Pretrained

__all__ = ["inpainted"]


def inpainted(
    pretrained: Pretrained,
    x: Tensor,
    mask: Tensor,
    variants: int,
    *,
    seed: int = 0,
    sampler: SamplerLike | None = None,
    scheduler: SchedulerLike | None = None,
    times: int = 5,
    first: int = 0,
    on_step: OnStep | None = None,
) -> Tensor:
    """Images, their known parts, and completions of these.

    Args:
        pretrained: model that inpaints.
        x: images in [-1, 1], (n, c, h, w).
        mask: True for known pixels, bool, of a shape that broadcasts to that of ``x``.
        variants: number of completions of each image, which differ by their noise alone; completion j of image i has the noise of image
            ``first`` + i * variants + j.
        seed: seed of that noise.
        sampler: sampler, as ``Pretrained.inpaint`` takes it; the checkpoint's own when None.
        scheduler: noise levels; those of ``pretrained.scheduler_of(sampler)`` when None.
        times: number of passes over each level.
        first: number of the first completion.
        on_step: function called after every step of every batch.

    Returns:
        Each image, its known part on grey, and its completions: (n, 2 + variants, c, h, w).
    """
    walks = "fill" not in pretrained.capabilities or pretrained.denoises
    if walks:
        denoiser(pretrained)
    shown = x.where(mask.expand_as(x), 0.0)
    rows = x.repeat_interleave(variants, 0)
    options: dict[str, Any] = {"sampler": sampler, "scheduler": scheduler, "times": times, "on_step": on_step} if walks else {}
    completions = pretrained.inpaint(rows, mask, seed=seed, first=first, **options)
    return torch.cat([x[:, None], shown[:, None], completions.view(len(x), variants, *x.shape[1:])], dim=1)
