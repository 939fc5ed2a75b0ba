"""The forward process, which adds noise, and the reverse process, which samples."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from zoo_core.figures.levels import denoiser, level_at, trained_levels, visible
from zoo_core.interfaces import Sampler
from zoo_core.pretrained import Pretrained

__all__ = ["forward", "reverse"]


def forward(pretrained: Pretrained, x0: Tensor, percents: Sequence[float], *, seed: int = 0) -> Tensor:
    """Images ``x0`` (n, c, h, w) under the same noise at growing levels, made visible: (n, len(percents), c, h, w)."""
    levels = trained_levels(denoiser(pretrained))
    sigmas = [level_at(levels, percent)[1] for percent in percents]
    return torch.stack([visible(pretrained.add_noise(x0, sigma, seed=seed), sigma) for sigma in sigmas], dim=1)


def reverse(
    pretrained: Pretrained, n: int, percents: Sequence[float], *, seed: int = 0, sampler: Sampler | None = None
) -> tuple[Tensor, Tensor]:
    """Images 0 ... n - 1 of a seed while they are sampled: the state, made visible, and x0_hat, each (n, len(percents), c, h, w).

    For each percentage, the step whose noise is nearest to that of the level.
    """
    model = denoiser(pretrained)
    chosen, levels = sampler or pretrained.sampler, trained_levels(model)
    sigmas = chosen.noise_levels(model, None)
    steps = [_nearest(sigmas, level_at(levels, percent)[1]) for percent in percents]
    seen: dict[int, tuple[Tensor, Tensor]] = {}

    def on_step(step: int, sigma: float, x: Tensor, x0: Tensor) -> None:
        if step in steps:
            seen[step] = visible(x, sigma).float().cpu(), x0.float().cpu()

    pretrained.sample(n, seed=seed, sampler=chosen, batch_size=n, on_step=on_step)
    states, guesses = zip(*(seen[step] for step in steps), strict=True)
    return torch.stack(states, dim=1), torch.stack(guesses, dim=1)


def _nearest(sigmas: Sequence[float], sigma: float) -> int:
    if sigma == 0:
        return len(sigmas) - 1
    return min(range(len(sigmas) - 1), key=lambda i: abs(math.log(sigmas[i] / sigma)))
