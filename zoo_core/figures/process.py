"""The forward process, which adds noise, and the reverse process, which samples."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from zoo_core.errors import UsageError
from zoo_core.figures.canvas import canvas, colour_bar, name_axes, span, square, to_title
from zoo_core.figures.levels import denoiser, level_at, trained_levels, visible
from zoo_core.figures.scores import Path, draw_paths
from zoo_core.interfaces import OnStep, Sampler
from zoo_core.pretrained import Pretrained

__all__ = ["forward", "plot_ways", "reverse", "ways"]


def forward(pretrained: Pretrained, x0: Tensor, percents: Sequence[float], *, seed: int = 0) -> Tensor:
    """Samples ``x0`` (n, *event.shape) under the same noise at growing levels: (n, len(percents), *event.shape), images made visible."""
    levels = trained_levels(denoiser(pretrained, points=True))
    sigmas = [level_at(levels, percent)[1] for percent in percents]
    noisy = [pretrained.add_noise(x0, sigma, seed=seed) for sigma in sigmas]
    if pretrained.event.shape != (2,):
        noisy = [visible(x, sigma) for x, sigma in zip(noisy, sigmas, strict=True)]
    return torch.stack(noisy, dim=1)


def reverse(
    pretrained: Pretrained,
    n: int,
    percents: Sequence[float],
    *,
    seed: int = 0,
    sampler: Sampler | None = None,
    x0: Tensor | None = None,
) -> tuple[Tensor, Tensor, list[float]]:
    """Images 0 ... n - 1 of a seed while they are sampled.

    Args:
        pretrained: the model.
        n: how many images; the rows of ``x0`` where that is given.
        percents: of the levels T. For each, the step whose noise is nearest to that of the level is shown.
        seed: of the noise.
        sampler: the checkpoint's own when None.
        x0: images (n, c, h, w). The walk then begins at the largest of ``percents`` from these under noise, the last column of
            :func:`forward`, and not from noise alone.

    Returns:
        the states, made visible, and the model's guesses of x_0, each (n, len(percents), c, h, w); and the noise levels of the steps that
        are shown, which with few steps are only near those of ``percents``.

    Raises:
        UsageError: if ``x0`` is given and no percentage is above 0, so that there is no noise to begin with.
    """
    model = denoiser(pretrained)
    chosen, levels = sampler or pretrained.sampler, trained_levels(model)
    wanted = [level_at(levels, percent)[1] for percent in percents]
    seen = list[tuple[float, Tensor, Tensor]]()

    def on_step(step: int, sigma: float, x: Tensor, x0: Tensor) -> None:
        seen.append((sigma, visible(x, sigma).float().cpu(), x0.float().cpu()))

    _walk(pretrained, n, max(wanted), x0, seed, chosen, on_step)
    sigmas = [sigma for sigma, _, _ in seen]
    steps = [_nearest(sigmas, sigma) for sigma in wanted]
    states, guesses = zip(*(seen[step][1:] for step in steps), strict=True)
    return torch.stack(states, dim=1), torch.stack(guesses, dim=1), [sigmas[step] for step in steps]


def _walk(pretrained: Pretrained, n: int, top: float, x0: Tensor | None, seed: int, sampler: Sampler, on_step: OnStep) -> None:
    if x0 is None:
        pretrained.sample(n, seed=seed, sampler=sampler, batch_size=n, on_step=on_step)
        return
    if top == 0:
        raise UsageError("the way back begins at the largest of the percentages, and that is 0", "name one above 0, such as --at 50,25,0")
    x = pretrained.add_noise(x0, top, seed=seed)
    pretrained.sample(x=x, sigma=top, seed=seed, sampler=sampler, batch_size=len(x), on_step=on_step)


def _nearest(sigmas: Sequence[float], sigma: float) -> int:
    if sigma == 0:
        return len(sigmas) - 1
    return min(range(len(sigmas) - 1), key=lambda i: abs(math.log(sigmas[i] / sigma)))


def ways(pretrained: Pretrained, n: int, *, seed: int = 0, sampler: Sampler | None = None) -> list[Path]:
    """The ways of points 0 ... n - 1 of a seed from noise to the samples, a place for each step.

    Places are x_sigma / sqrt(1 + sigma^2), the variance-preserving x_t, which is standard normal at the start and the sample at the end.

    Raises:
        CapabilityError: if the model does not denoise.
        UsageError: if it does not draw points in the plane.
    """
    denoiser(pretrained, images=False, points=True)
    states, sigmas = list[Tensor](), list[float]()

    def on_step(step: int, sigma: float, x: Tensor, x0: Tensor) -> None:
        states.append(x.float().cpu() / math.sqrt(1 + sigma**2))
        sigmas.append(sigma)

    pretrained.sample(n, seed=seed, sampler=sampler, batch_size=n, on_step=on_step)
    levels = torch.tensor(sigmas)
    return [Path(at=way, sigma=levels) for way in torch.stack(states, dim=1)]


def plot_ways(found: Sequence[Path], points: Tensor, title: str = "") -> Any:
    """A figure of ways from circles to stars, coloured by their noise levels, over points (n, 2) in grey."""
    figure, axes = canvas(6.4, 5.9)
    drawn = draw_paths(axes, found, points)
    centre, reach = span(torch.cat([points, *(way.at for way in found)]))
    square(axes, centre, 1.05 * reach)
    name_axes(axes)
    axes.set_title(f"$x_t = x_\\sigma / \\sqrt{{1 + \\sigma^2}}$, from noise (circles) to {len(found):,} samples (stars)", fontsize=10)
    colour_bar(figure, axes, drawn, "$\\sigma$")
    to_title(figure, title)
    return figure
