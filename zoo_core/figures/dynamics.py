"""Annealed Langevin dynamics, step by step."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from zoo_core.errors import UsageError
from zoo_core.figures.canvas import name_axes, span, square, squares, text, to_title
from zoo_core.figures.levels import denoiser
from zoo_core.figures.points import draw_points
from zoo_core.interfaces import SamplerLike, Scheduler
from zoo_core.pretrained import Pretrained
from zoo_core.samplers import Langevin
from zoo_core.samplers.factory import as_sampler

__all__ = ["annealed", "clouds", "langevin"]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Repeated(Scheduler):
    """The levels of a scheduler, each several times, and then 0.

    Langevin dynamics with one step at each of these levels equals that with several steps at each level, bit for bit, and shows every step.
    """

    of: Scheduler
    times: int

    def sigmas(self, steps: int, lo: float, hi: float) -> tuple[float, ...]:
        return (*(sigma for sigma in self.of.sigmas(steps, lo, hi)[:-1] for _ in range(self.times)), 0.0)


def annealed(pretrained: Pretrained, sampler: SamplerLike | None = None) -> Langevin:
    """``sampler`` if given, or the checkpoint's own if that is annealed Langevin dynamics; otherwise Langevin with its defaults.

    Raises:
        UsageError: if ``sampler`` is another one.
    """
    if sampler is None:
        return pretrained.sampler if isinstance(pretrained.sampler, Langevin) else Langevin()
    chosen = as_sampler(sampler, pretrained.sampler)
    if not isinstance(chosen, Langevin):
        raise UsageError(f"this figure is of Langevin dynamics, not of {type(chosen).__name__}", "choose --sampler langevin")
    return chosen


def langevin(
    pretrained: Pretrained, n: int, steps: Sequence[int | None] | None = None, *, seed: int = 0, sampler: SamplerLike | None = None
) -> tuple[Tensor, list[tuple[int, float]]]:
    """Samples 0 ... n - 1 of a seed while annealed Langevin dynamics draws them.

    Args:
        pretrained: model that is sampled.
        n: number of samples, in one batch.
        steps: numbers of Langevin steps, counted over all levels, after which to show the samples; None among them is the end. By default
            the start, the end and four between, which for ten levels of a hundred steps are 0, 200, 400, 600, 800 and 1000.
        seed: seed of the samples.
        sampler: as for :func:`annealed`.

    Returns:
        States, float32 (n, len(steps), *event.shape); and for each of ``steps`` its number and the noise level of the next step, which is 0
        at the end.

    Raises:
        UsageError: if there are fewer steps than one of ``steps``.
    """
    model = denoiser(pretrained, points=True)
    chosen = annealed(pretrained, sampler)
    every = replace(chosen, steps_per_level=1)
    each = _Repeated(of=pretrained.scheduler_of(chosen) or model.scheduler, times=chosen.steps_per_level)
    sigmas = every.noise_levels(model, each)
    last = len(sigmas) - 1
    shown = [last if step is None else step for step in (steps or [last * i // 5 for i in range(6)])]
    if wrong := next((step for step in shown if not 0 <= step <= last), None):
        raise UsageError(f"there is no Langevin step {wrong}: {chosen.steps} levels of {chosen.steps_per_level} make {last}")
    seen: dict[int, Tensor] = {}
    wanted = set(shown)

    def on_step(step: int, sigma: float, x: Tensor, x0: Tensor) -> None:
        if step in wanted:
            seen[step] = x.float().cpu()

    pretrained.sample(n, seed=seed, sampler=every, scheduler=each, batch_size=n, on_step=on_step)
    return torch.stack([seen[step] for step in shown], dim=1), [(step, sigmas[step]) for step in shown]


def clouds(points: Tensor, titles: Sequence[str], title: str = "", *, clean: int = -1) -> Any:
    """A figure of points at k moments, with a panel for each.

    Each panel shows all of its points, and at least the square of the panel ``clean``, which is drawn in red.

    Args:
        points: points (n, k, 2).
        titles: titles of the k panels.
        title: title line of the figure.
        clean: index of the panel whose square all panels show.
    """
    from matplotlib.patches import Rectangle

    figure, panels = squares(len(titles), 3.4)
    middle, least = span(points[:, clean])
    least *= 1.1
    for axes, panel, caption in zip(panels, points.unbind(1), titles, strict=True):
        draw_points(axes, panel, size=min(max(3000 / len(panel), 1.5), 20.0), alpha=0.6)
        axes.set_title(text(caption), fontsize=10)
        centre, reach = span(panel)
        square(axes, centre, 1.1 * max(reach, least))
        left, bottom = (middle - least).tolist()
        axes.add_patch(Rectangle((left, bottom), 2 * least, 2 * least, fill=False, edgecolor="C3", linewidth=1.2, zorder=3))
        name_axes(axes)
    to_title(figure, title)
    if len(titles) > 1:
        figure.supxlabel(text(f"red: the square of the panel {titles[clean]}"), fontsize=9, color="C3")
    return figure
