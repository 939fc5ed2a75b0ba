"""What the noise does to an image, what a model does to the noise, step by step, what its latents mean, and which training images its
samples are next to.

Noisy images are shown as x_sigma / (1 + 2 sigma): the variance-preserving x_t = x_sigma / sqrt(1 + sigma^2), divided by the share of the
signal plus two standard deviations of the noise, so that both ends use the whole visible range [-1, 1].
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import cast

import torch
from torch import Tensor

from zoo_core.catalogue import incapable
from zoo_core.errors import ConfigError, UsageError
from zoo_core.evaluation import distances
from zoo_core.evaluation.spaces import Space
from zoo_core.images import is_image
from zoo_core.interfaces import Decoder, Denoiser, DiscreteScheduler, OnStep, Sampler, Scheduler
from zoo_core.pretrained import Pretrained
from zoo_core.rng import ImageRng
from zoo_core.samplers import Langevin
from zoo_core.training.data import Data

__all__ = [
    "Density",
    "Field",
    "annealed",
    "check_density",
    "denoiser",
    "density",
    "forward",
    "images_of",
    "inpainted",
    "interpolated",
    "langevin",
    "latent_grid",
    "level_at",
    "nearest",
    "paths",
    "reconstructed",
    "reverse",
    "score_field",
    "trained_levels",
    "visible",
]

_CONTINUOUS = 1000
_PLACES = 2048  # whose density is computed at once


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
        raise incapable(f"{pretrained.name} has no noise levels to draw: its model lacks denoise", "denoise")
    shape = pretrained.event.shape
    if not (images and is_image(shape)) and not (points and shape == (2,)):
        drawn = " or ".join(["images"] * images + ["points in the plane"] * points)
        raise UsageError(f"these figures are of {drawn}, and {pretrained.name} draws samples of shape {shape}")
    return cast(Denoiser, pretrained.model)


def forward(pretrained: Pretrained, x0: Tensor, percents: Sequence[float], *, seed: int = 0) -> Tensor:
    """Images ``x0`` (n, c, h, w) under the same noise at growing levels, made visible: (n, len(percents), c, h, w)."""
    levels = trained_levels(denoiser(pretrained))
    eps = ImageRng(seed, range(len(x0))).normal(*x0.shape[1:])
    sigmas = [level_at(levels, percent)[1] for percent in percents]
    return torch.stack([visible(x0 + sigma * eps, sigma) for sigma in sigmas], dim=1)


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
    """Images with a known part, and what may stand beside it: (n, 2 + variants, c, h, w).

    Args:
        pretrained: what inpaints.
        x: images in [-1, 1], (n, c, h, w).
        mask: where they are known, bool, of a shape that broadcasts to theirs.
        variants: how many completions of each; that of number j of image i has the noise of image ``first`` + i * variants + j.
        seed: of that noise.
        sampler: the checkpoint's own when None.
        scheduler: noise levels other than those that the model was trained on.
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


@dataclass(frozen=True, kw_only=True, slots=True)
class _Repeated(Scheduler):
    """Each level of a scheduler but the last, 0, several times.

    Langevin dynamics with one step at each of these is that with as many at each level, bit for bit, and shows every step.
    """

    of: Scheduler
    times: int

    def sigmas(self, steps: int, lo: float, hi: float) -> tuple[float, ...]:
        return (*(sigma for sigma in self.of.sigmas(steps, lo, hi)[:-1] for _ in range(self.times)), 0.0)


def annealed(pretrained: Pretrained, sampler: Sampler | None = None) -> Langevin:
    """``sampler``, or the checkpoint's own, if that is annealed Langevin dynamics; otherwise Langevin dynamics with its defaults.

    Raises:
        UsageError: ``sampler`` is another one.
    """
    if sampler is not None and not isinstance(sampler, Langevin):
        raise UsageError(f"this figure is of Langevin dynamics, not of {type(sampler).__name__}", "choose --sampler langevin")
    if sampler is None:
        sampler = pretrained.sampler
    return sampler if isinstance(sampler, Langevin) else Langevin()


def langevin(
    pretrained: Pretrained, n: int, steps: Sequence[int | None] | None = None, *, seed: int = 0, sampler: Langevin | None = None
) -> tuple[Tensor, list[tuple[int, float]]]:
    """Samples 0 ... n - 1 of a seed while annealed Langevin dynamics draws them.

    Args:
        pretrained: what is sampled.
        n: how many, all at once.
        steps: after how many Langevin steps, counted over all levels; None among them is the end, the sample itself. By default the start,
            every fifth of the way and the end, which for ten levels of a hundred steps each are 0, 200, 400, 600, 800 and 1000.
        seed: of the samples.
        sampler: see :func:`annealed`.

    Returns:
        float32 (n, len(steps), *event.shape); and for each of ``steps`` its number and the noise level at which the next one is taken, at
        the end 0.

    Raises:
        UsageError: there are not so many steps.
    """
    model = denoiser(pretrained, points=True)
    chosen = annealed(pretrained, sampler)
    every, each = replace(chosen, steps_per_level=1), _Repeated(of=model.scheduler, times=chosen.steps_per_level)
    sigmas = every.noise_levels(model, each)
    last = len(sigmas) - 1
    shown = [last if step is None else step for step in (steps or [last * i // 5 for i in range(6)])]
    if wrong := next((step for step in shown if not 0 <= step <= last), None):
        raise UsageError(f"there is no Langevin step {wrong}: {chosen.steps} levels of {chosen.steps_per_level} make {last}")
    seen, kept = dict[int, Tensor](), set(shown)

    def on_step(step: int, sigma: float, x: Tensor, x0: Tensor) -> None:
        if step in kept:
            seen[step] = x.float().cpu()

    pretrained.sample(n, seed=seed, sampler=every, scheduler=each, batch_size=n, on_step=on_step)
    return torch.stack([seen[step] for step in shown], dim=1), [(step, sigmas[step]) for step in shown]


@dataclass(frozen=True, kw_only=True, slots=True)
class Field:
    """The score of a model of points in the plane at one noise level.

    ``at`` (k, 2) are the places, ``score`` (k, 2) what the score is there: the gradient of the log-density under noise ``sigma``.
    """

    sigma: float
    at: Tensor
    score: Tensor


def score_field(pretrained: Pretrained, sigma: float, x: Tensor, *, side: int = 21) -> Field:
    """The score (D(x, sigma) - x) / sigma^2 on a grid of ``side`` x ``side`` places, over a square around the points ``x`` (n, 2).

    Raises:
        CapabilityError: the model does not denoise.
        UsageError: it does not draw points in the plane.
    """
    denoiser(pretrained, images=False, points=True)
    low, high = x.min(0).values, x.max(0).values
    reach = 0.6 * (high - low).max()
    across = torch.linspace(-1, 1, side) * reach
    at = (low + high) / 2 + torch.cartesian_prod(across, across)
    return Field(sigma=sigma, at=at, score=(pretrained.denoise(at, sigma) - at) / sigma**2)


def paths(pretrained: Pretrained, n: int, field: Field, *, seed: int = 0, sampler: Langevin | None = None) -> list[Tensor]:
    """Where annealed Langevin dynamics takes points 0 ... n - 1 of a seed, step by step to the samples, each float32 (steps, 2).

    Each from the step on after which it stays on the ``field``: before that it jumps across it. At least the sample itself.
    """
    chosen = annealed(pretrained, sampler)
    states, _ = langevin(pretrained, n, range(chosen.steps * chosen.steps_per_level + 1), seed=seed, sampler=chosen)
    off = ((states < field.at.min(0).values) | (states > field.at.max(0).values)).any(2)
    begins = [min(int(row.nonzero().max()) + 1, len(row) - 1) if row.any() else 0 for row in off]
    return [path[begin:] for path, begin in zip(states, begins, strict=True)]


@dataclass(frozen=True, kw_only=True, slots=True)
class Density:
    """The density of a model of points in the plane.

    Args:
        values: on a grid, float64 (side, side); the rows are x_2, from below, the columns x_1.
        extent: left, right, bottom and top of the grid.
        caption: what the density is of.
        mass: the sum over the grid times the area of a cell: about 1 where the grid holds all of it.
    """

    values: Tensor
    extent: tuple[float, float, float, float]
    caption: str
    mass: float


def check_density(pretrained: Pretrained) -> None:
    """Raises what :func:`density` does for a model that it cannot draw."""
    if pretrained.event.shape != (2,):
        raise UsageError(f"densities are drawn of points in the plane, and {pretrained.name} draws samples of {pretrained.event.shape}")
    pretrained.log_prob_method()


def density(pretrained: Pretrained, points: Tensor, *, side: int = 120, on_batch: Callable[[int], None] = lambda n: None) -> Density:
    """The learned density around ``points`` (n, 2), on a grid of ``side`` x ``side`` cells, a tenth wider than these on each side.

    ``on_batch`` is called with the number of the places that were looked at since the last call: an ODE takes seconds for some.

    Raises:
        CapabilityError: the model cannot give a log-probability.
        UsageError: its samples are no points in the plane.
    """
    check_density(pretrained)
    low, high = points.amin(0).double(), points.amax(0).double()
    margin = 0.1 * (high - low).clamp(min=1e-6)
    low, cell = low - margin, (high - low + 2 * margin) / side
    # The middles of the cells.
    first, second = (low[i] + cell[i] * (torch.arange(side) + 0.5) for i in range(2))
    grid = torch.stack(torch.meshgrid(first, second, indexing="xy"), dim=-1).view(-1, 2).float()
    logs = []
    for begin in range(0, len(grid), _PLACES):
        found = pretrained.log_prob(grid[begin : begin + _PLACES], batch_size=_PLACES)
        logs.append(found.value.double())
        on_batch(len(found.value))
    values = torch.cat(logs).exp().view(side, side)
    high = low + side * cell
    what = "density" if found.kind == "exact" else "lower bound of the density" if found.kind == "lower_bound" else "density, estimated"
    if pretrained.log_prob_method() == "ode":
        what = f"density of data with noise of sigma {cast(Denoiser, pretrained.model).sigma_range[0]:g}, by the ODE"
    extent = (low[0].item(), high[0].item(), low[1].item(), high[1].item())
    return Density(values=values, extent=extent, caption=what, mass=(values.sum() * cell.prod()).item())


def images_of(pretrained: Pretrained) -> tuple[int, ...]:
    """The shape of a sample, (c, h, w).

    Raises:
        UsageError: the samples are no images.
    """
    shape = pretrained.event.shape
    if not is_image(shape):
        raise UsageError(f"these figures are of images, and {pretrained.name} draws samples of shape {shape}")
    return shape


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
        raise incapable(f"{pretrained.name} has no latents: its model lacks decode", "decode")
    shape, z = images_of(pretrained), tuple(cast(Decoder, pretrained.model).prior(ImageRng(0, [0])).shape[1:])
    if z != (2,):
        raise UsageError(f"a latent grid is of 2 dimensions, and {pretrained.name} has {math.prod(z)}", "interpolate shows others")
    at = torch.special.ndtri((torch.arange(side) + 0.5) / side)
    right, up = at.repeat(side), at.flip(0).repeat_interleave(side)
    return pretrained.decode(torch.stack([right, up], dim=1)).view(side, side, *shape), at.tolist()


def nearest(
    pretrained: Pretrained,
    data: Data,
    judge: Space,
    n: int,
    *,
    seed: int = 0,
    k: int = 5,
    batch_size: int = 64,
    on_batch: Callable[[int], None] = lambda n: None,
) -> tuple[Tensor, Tensor]:
    """Images 0 ... n - 1 of a seed, each with the ``k`` training images next to it in a feature space.

    Args:
        pretrained: what draws.
        data: the training images; fewer than ``k`` are all shown.
        judge: the feature space.
        n: how many images to draw.
        seed: of the images.
        k: how many training images for each.
        batch_size: images at once; changes speed and memory.
        on_batch: sees the number of training images after each batch of them.

    Returns:
        images in [-1, 1] (n, 1 + k, c, h, w), the drawn one first, then the nearest first; and their distances (n, k), float64, as shares
        of the mean distance of a training image to the nearest other one: the unit of the metric ``nearest-train``.

    Raises:
        UsageError: these are no images, or there are fewer than 2 training images, or these are copies of each other.
        ConfigError: the data has samples of another shape.
    """
    shape = images_of(pretrained)
    if data.event.shape != shape:
        raise ConfigError(f"the data has samples of {list(data.event.shape)}, the model of {list(shape)}", "choose other --data")
    drawn, known = pretrained.sample(n, seed=seed, batch_size=batch_size), []
    for first in range(0, len(data), batch_size):
        rows = torch.arange(first, min(first + batch_size, len(data)))
        known.append(judge(data.rows(rows))[0].cpu())
        on_batch(len(rows))
    features = torch.cat(known)
    # Of two nearest, the first is the image itself.
    unit = distances.nearest(features, features, k=2)[0][:, 1].mean()
    if unit == 0:
        raise UsageError("the training images are copies of each other, and give distances no unit", "choose other --data")
    found, index = distances.nearest(judge(drawn)[0].cpu(), features, k=min(k, len(data)))
    neighbours = data.rows(index.flatten()).view(*index.shape, *shape)
    return torch.cat([drawn.unsqueeze(1), neighbours], dim=1), found / unit
