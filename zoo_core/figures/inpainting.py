"""Images with a known part, and completions of it."""

import torch
from torch import Tensor

from zoo_core.figures.levels import denoiser
from zoo_core.interfaces import OnStep, Sampler, Scheduler
from zoo_core.pretrained import Pretrained

__all__ = ["inpainted"]


def inpainted(
    pretrained: Pretrained,
    x: Tensor,
    mask: Tensor,
    variants: int,
    *,
    seed: int = 0,
    sampler: Sampler | None = None,
    scheduler: Scheduler | None = None,
    times: int = 5,
    first: int = 0,
    on_step: OnStep | None = None,
) -> Tensor:
    """Images with a known part, and completions of it: (n, 2 + variants, c, h, w).

    Args:
        pretrained: what inpaints.
        x: images in [-1, 1], (n, c, h, w).
        mask: where they are known, bool, of a shape that broadcasts to theirs.
        variants: how many completions of each; that of number j of image i has the noise of image ``first`` + i * variants + j.
        seed: of that noise.
        sampler: the checkpoint's own when None.
        scheduler: noise levels other than those of ``pretrained.scheduler_of(sampler)``.
        times: how often each level is walked down.
        first: number of the first completion.
        on_step: sees every step of every batch.

    Returns:
        Each image, its known part on grey, and the completions.
    """
    denoiser(pretrained)
    shown = x.where(mask.expand_as(x), 0.0)
    rows = x.repeat_interleave(variants, 0)
    made = pretrained.inpaint(rows, mask, seed=seed, sampler=sampler, scheduler=scheduler, times=times, first=first, on_step=on_step)
    return torch.cat([x[:, None], shown[:, None], made.view(len(x), variants, *x.shape[1:])], dim=1)
