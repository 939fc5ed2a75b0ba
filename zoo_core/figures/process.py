"""The forward process, which adds noise, and the reverse process, which samples."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from zoo_core.errors import UsageError
from zoo_core.figures.canvas import canvas, colour_bar, name_axes, span, square, to_title
from zoo_core.figures.levels import denoiser, level_at, shown, trained_levels
from zoo_core.figures.trajectories import Trajectory, draw_trajectories
from zoo_core.interfaces import LabelsLike, OnStep, SamplerLike, SchedulerLike
from zoo_core.pretrained import Pretrained

__all__ = ["forward", "plot_trajectories", "reverse", "sample_trajectories"]


def forward(pretrained: Pretrained, x0: Tensor, percents: Sequence[float], *, seed: int = 0) -> Tensor:
    """Samples under the same noise at growing levels; images are scaled or decoded by :func:`zoo_core.figures.levels.shown`.

    Args:
        pretrained: model whose noise levels are used.
        x0: samples (n, *event.shape).
        percents: percentages of the levels T.
        seed: seed of the noise.

    Returns:
        Noisy samples (n, len(percents), *event.shape).
    """
    levels = trained_levels(denoiser(pretrained, points=True))
    sigmas = [level_at(levels, percent)[1] for percent in percents]
    noisy = [pretrained.add_noise(x0, sigma, seed=seed) for sigma in sigmas]
    if pretrained.event.shape != (2,):
        noisy = [shown(pretrained, x, sigma) for x, sigma in zip(noisy, sigmas, strict=True)]
    return torch.stack(noisy, dim=1)


def reverse(
    pretrained: Pretrained,
    n: int,
    percents: Sequence[float],
    *,
    seed: int = 0,
    sampler: SamplerLike | None = None,
    scheduler: SchedulerLike | None = None,
    x0: Tensor | None = None,
    labels: LabelsLike = None,
    guidance: float | None = None,
    on_step: OnStep | None = None,
) -> tuple[Tensor, Tensor, list[float]]:
    """Images 0 ... n - 1 of a seed while they are sampled.

    Args:
        pretrained: model that samples.
        n: number of images; ignored if ``x0`` is given.
        percents: percentages of the levels T; for each, the step with the nearest noise level is shown.
        seed: seed of the noise.
        sampler: sampler, as ``Pretrained.sample`` takes it; the checkpoint's own when None.
        scheduler: noise levels; those of ``pretrained.scheduler_of(sampler)`` when None.
        x0: images (n, c, h, w) to start from, under the noise of the largest of ``percents`` (the last column of :func:`forward`); noise
            alone when None.
        labels: classes, as ``Pretrained.sample`` takes them.
        guidance: guidance scale; None without guidance.
        on_step: function called after every step.

    Returns:
        The states, scaled for display, and the model's guesses of x_0, each (n, len(percents), c, h, w); and the noise levels of the steps
        that are shown, which with few steps are only near those of ``percents``.

    Raises:
        UsageError: if ``x0`` is given and no percentage is above 0.
    """
    model = denoiser(pretrained)
    levels = trained_levels(model)
    wanted = [level_at(levels, percent)[1] for percent in percents]
    seen = list[tuple[float, Tensor, Tensor]]()

    def keep(step: int, sigma: float, x: Tensor, x0: Tensor) -> None:
        seen.append((sigma, x.float().cpu(), x0.float().cpu()))
        if on_step:
            on_step(step, sigma, x, x0)

    drawing: dict[str, Any] = {"seed": seed, "sampler": sampler, "scheduler": scheduler, "labels": labels, "guidance": guidance}
    start = {} if x0 is None else _noisy(pretrained, x0, max(wanted), seed)
    count = n if x0 is None else len(x0)
    pretrained.sample(count, **start, **drawing, batch_size=count, on_step=keep)
    sigmas = [sigma for sigma, _, _ in seen]
    steps = [_step_near(sigmas, sigma) for sigma in wanted]
    states = [shown(pretrained, seen[step][1], seen[step][0]) for step in steps]
    guesses = [shown(pretrained, seen[step][2], 0.0) for step in steps]
    return torch.stack(states, dim=1), torch.stack(guesses, dim=1), [sigmas[step] for step in steps]


def _noisy(pretrained: Pretrained, x0: Tensor, top: float, seed: int) -> dict[str, Any]:
    """The arguments of ``Pretrained.sample`` that begin at ``x0`` under noise of level ``top``."""
    if top == 0:
        raise UsageError("the way back begins at the largest of the percentages, and that is 0", "name one above 0, such as --at 50,25,0")
    return {"x": pretrained.add_noise(x0, top, seed=seed), "sigma": top}


def _step_near(sigmas: Sequence[float], sigma: float) -> int:
    if sigma == 0:
        return len(sigmas) - 1
    return min(range(len(sigmas) - 1), key=lambda i: abs(math.log(sigmas[i] / sigma)))


def sample_trajectories(pretrained: Pretrained, n: int, *, seed: int = 0, sampler: SamplerLike | None = None) -> list[Trajectory]:
    """The trajectories of points 0 ... n - 1 of a seed from noise to the samples, with a place for each step.

    Places are x_sigma / sqrt(1 + sigma^2), the variance-preserving x_t, which is standard normal at the start and the sample at the end.

    Raises:
        CapabilityError: if the model does not denoise.
        UsageError: if its samples are not points in the plane.
    """
    denoiser(pretrained, images=False, points=True)
    states: list[Tensor] = []
    sigmas: list[float] = []

    def on_step(step: int, sigma: float, x: Tensor, x0: Tensor) -> None:
        states.append(x.float().cpu() / math.sqrt(1 + sigma**2))
        sigmas.append(sigma)

    pretrained.sample(n, seed=seed, sampler=sampler, batch_size=n, on_step=on_step)
    levels = torch.tensor(sigmas)
    return [Trajectory(at=places, sigma=levels) for places in torch.stack(states, dim=1)]


def plot_trajectories(trajectories: Sequence[Trajectory], points: Tensor, title: str = "") -> Any:
    """A figure of trajectories from circles to stars, coloured by their noise levels, over points (n, 2) in grey."""
    figure, axes = canvas(6.4, 5.9)
    drawn = draw_trajectories(axes, trajectories, points)
    centre, reach = span(torch.cat([points, *(each.at for each in trajectories)]))
    square(axes, centre, 1.05 * reach)
    name_axes(axes)
    axes.set_title(
        f"$x_t = x_\\sigma / \\sqrt{{1 + \\sigma^2}}$, from noise (circles) to {len(trajectories):,} samples (stars)", fontsize=10
    )
    colour_bar(figure, axes, drawn, "$\\sigma$")
    to_title(figure, title)
    return figure
