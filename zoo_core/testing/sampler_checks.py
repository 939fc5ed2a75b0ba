"""The conformance checks of samplers: each is a function over a :class:`~zoo_core.testing.tested_part.Part`.

They sample a stand-in model that has the capability of the sampler, and nothing else.
"""

from collections.abc import Sequence
from itertools import pairwise
from math import sqrt
from typing import Any, cast

import torch
from torch import Tensor

from zoo_core.interfaces import CAPABILITIES, Event, Rng, Scheduler
from zoo_core.rng import ImageRng
from zoo_core.samplers import resampled
from zoo_core.schedulers import Geometric, Karras
from zoo_core.testing.tested_family import ROWS, TOLERANCE, assert_shaped, distance, same
from zoo_core.testing.tested_part import CLASSES, SHAPE, Part, alone

__all__ = [
    "check_draws_samples",
    "check_global_generators_are_left_alone",
    "check_labels_are_passed_on",
    "check_levels_may_be_left_out",
    "check_noise_levels_fit",
    "check_requires_is_declared",
    "check_rises_with_fresh_noise",
    "check_rows_do_not_depend_on_their_batch",
    "check_starts_at_x",
    "check_steps_are_reported",
]


class _Denoises:
    """The denoiser E[x_0 | x_sigma = x] of images x_0 ~ N(m_y, s^2), with the capabilities ``denoise`` and ``labels`` alone."""

    event = Event(shape=SHAPE, range=(-1.0, 1.0))
    sigma_range = (0.02, 50.0)
    scheduler: Scheduler = Karras()
    num_classes = CLASSES

    def start(self, rng: Rng, sigma: float) -> Tensor:
        return rng.normal(*SHAPE) * sqrt(1 + sigma**2)

    def denoise(self, x: Tensor, sigma: Tensor, labels: Tensor | None = None) -> Tensor:
        level = sigma.double().view(-1, 1, 1, 1) ** 2
        variance = 0.3**2
        return ((variance * x + level * _centre(labels)) / (variance + level)).to(x.dtype)


class _Decodes:
    """x = tanh(z/2 + m_y)."""

    event = Event(shape=SHAPE, range=(-1.0, 1.0))
    num_classes = CLASSES

    def prior(self, rng: Rng) -> Tensor:
        return rng.normal(*SHAPE)

    def decode(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        return (z / 2 + _centre(labels)).tanh()


class _Unmasks:
    """Categories that all have the same probability, but for category y of row y, which is likelier."""

    event = Event(shape=SHAPE, categories=5)
    num_classes = CLASSES

    def unmask(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        logits = torch.zeros(*x.shape, 5)
        return (logits if labels is None else logits + 5 * _one_hot(labels)).log_softmax(-1)


def _one_hot(labels: Tensor) -> Tensor:
    return torch.nn.functional.one_hot(labels, 5).view(-1, 1, 1, 1, 5)


def _centre(labels: Tensor | None) -> Tensor | float:
    """m_y."""
    return 0.0 if labels is None else 0.4 * (labels.float().view(-1, 1, 1, 1) - 1)


def _model(part: Part) -> Any:
    stand_ins: dict[str, type] = {"denoise": _Denoises, "decode": _Decodes, "unmask": _Unmasks}
    return stand_ins[part.value.requires]()


def _sampled(part: Part, images: Sequence[int] = range(ROWS), **options: Any) -> Tensor:
    sampler = part.value
    model = _model(part)
    with torch.no_grad():
        x: Tensor = sampler(model, ImageRng(0, images), **{"sigmas": sampler.noise_levels(model, None), **options})
    return x


def check_requires_is_declared(part: Part) -> None:
    """The spec requires the capability that the class requires, and that exists."""
    declared = cast(Any, part.spec).requires
    needed = part.value.requires
    assert needed in CAPABILITIES, f"there is no capability {needed!r}"
    assert declared == needed, f"the spec of {part.spec.name} requires {declared!r}, and its class {needed!r}"


def check_noise_levels_fit(part: Part) -> None:
    """``noise_levels`` is empty, or lies within the model's range, decreases, ends with 0 and follows the chosen scheduler."""
    model = _model(part)
    sampler = part.value
    levels = sampler.noise_levels(model, None)
    if not levels:
        return
    lo, hi = model.sigma_range
    assert levels[-1] == 0, f"the last level is {levels[-1]:g}, not 0"
    assert all(a > b for a, b in pairwise(levels)), f"the levels do not decrease: {levels}"
    assert all(lo <= level <= hi for level in levels[:-1]), f"the levels leave the range {lo}, {hi}: {levels}"
    chosen = [sampler.noise_levels(model, scheduler) for scheduler in (Karras(), Geometric())]
    assert len(levels) <= 3 or chosen[0] != chosen[1], "noise_levels ignores the scheduler"


def check_draws_samples(part: Part) -> None:
    """It returns a sample of the event's shape for each row: finite, float32 or wider, or categories of a model of these."""
    x = _sampled(part)
    if (categories := _model(part).event.categories) is not None:
        assert_shaped(x, (ROWS, *SHAPE), "it", categories)
        return
    assert tuple(x.shape) == (ROWS, *SHAPE), f"it gives the shape {tuple(x.shape)}, not {(ROWS, *SHAPE)}"
    assert x.is_floating_point() and x.element_size() >= 4, f"it gives {x.dtype}, and must give float32 or wider"
    assert bool(x.isfinite().all()), "it gives values that are not finite"


def check_levels_may_be_left_out(part: Part) -> None:
    """Without ``sigmas`` it uses its own ``noise_levels``."""
    assert same(_sampled(part, sigmas=()), _sampled(part)), "without sigmas it draws other samples than with those of noise_levels"


def check_rows_do_not_depend_on_their_batch(part: Part) -> None:
    """Row i is the same, to 1e-4, in every batch: no norms over the batch, no noise shared between rows."""
    together = _sampled(part)
    for rows in (range(2, 4), range(3, 4)):
        alone = _sampled(part, rows)
        apart = (distance(alone, together[rows.start : rows.stop]) / (1 + together[rows.start : rows.stop].abs())).max().item()
        assert apart <= TOLERANCE, f"row {rows.start} differs by {apart:.2g} between batches of {ROWS} and {len(rows)}"


def check_global_generators_are_left_alone(part: Part) -> None:
    """It neither reads nor moves the global generators of torch, numpy and Python."""
    first, second = alone(lambda: _sampled(part))
    assert same(first, second), "samples change with the state of torch's global generator: draw from the rng argument"


def check_steps_are_reported(part: Part) -> None:
    """``on_step`` gets the state before each step, from 0 on, with its level, and at last the samples, with level 0.

    These tensors are not changed afterwards, and the samples do not depend on ``on_step``.
    """
    levels = part.value.noise_levels(_model(part), None)
    seen: list[tuple[int, float, Tensor, Tensor]] = []
    copies: list[tuple[Tensor, Tensor]] = []

    def note(step: int, sigma: float, x: Tensor, x0: Tensor) -> None:
        seen.append((step, sigma, x, x0))
        copies.append((x.clone(), x0.clone()))

    x = _sampled(part, on_step=note)
    assert seen, "on_step is never called: progress bars and figures need it"
    steps = [step for step, *_ in seen]
    sigmas = [sigma for _, sigma, *_ in seen]
    assert steps == list(range(len(seen))), f"on_step gets the steps {steps}, not 0, 1, ..."
    assert sigmas[-1] == 0 and same(seen[-1][2], x), "the last call of on_step must have sigma 0 and the samples"
    assert not levels or sigmas == list(levels), f"on_step gets the levels {sigmas}, and they are {list(levels)}"
    for (step, _, *state), kept in zip(seen, copies, strict=True):
        assert all(tuple(each.shape) == (ROWS, *SHAPE) for each in state), f"on_step gets another shape than that of samples at step {step}"
        assert all(map(same, state, kept)), f"the tensors that on_step got at step {step} were changed in place afterwards"
    assert same(x, _sampled(part)), "the samples change if on_step is given"


def check_starts_at_x(part: Part) -> None:
    """It starts at ``x`` if that is given, and does not change it in place; of categories, it keeps those that are shown."""
    start = 7 * ImageRng(3, range(ROWS)).normal(*SHAPE)
    if (categories := _model(part).event.categories) is not None:
        start = ImageRng(3, range(ROWS)).integers(0, categories + 1, *SHAPE)
        x = _sampled(part, x=start)
        assert bool(((x == start) | (start == categories)).all()), "it changes categories that are shown"
    kept = start.clone()
    seen: list[Tensor] = []
    other = _sampled(part, x=start, on_step=lambda step, sigma, x, x0: seen.append(x.clone()))
    assert same(start, kept), "it changes its argument x in place"
    if part.value.requires in ("denoise", "unmask"):
        assert seen and same(seen[0], kept), "it does not start at x"
    else:
        assert not same(other, _sampled(part)), "it does not start at x"


def check_labels_are_passed_on(part: Part) -> None:
    """The label of a row changes that row alone."""
    before, after = (_sampled(part, labels=torch.tensor(labels)) for labels in ([0] * ROWS, [0, 2, *[0] * (ROWS - 2)]))
    moved = distance(before, after).flatten(1).amax(dim=1)
    assert moved[1] > 0, "it does not pass the labels on"
    moved[1] = 0
    assert moved.max() <= TOLERANCE, "the label of row 1 changes another row"


def check_rises_with_fresh_noise(part: Part) -> None:
    """If it ``can_rise`` and the levels go up again, x gets the noise of that level, most of it new; the end is samples."""
    if not part.value.can_rise:
        return
    path = resampled(Karras().sigmas(6, *_Denoises.sigma_range), times=2)
    seen: dict[int, Tensor] = {}
    x = _sampled(part, range(32), sigmas=path, on_step=lambda step, sigma, x, x0: seen.update({step: x.clone()}))
    assert bool(x.isfinite().all()), "it gives values that are not finite if the levels rise"
    assert 0 in seen and 2 in seen, f"on_step does not get step 2, up to which the levels rise: it gets {list(seen)}"
    before, after = seen[0].flatten(), seen[2].flatten()  # both at the largest level
    spread = after.std().item() / path[2]
    assert spread > 0.5, f"after a rise to sigma {path[2]:g}, x has {spread:.2g} of the noise of that level"
    alike = float(torch.corrcoef(torch.stack([before, after]))[0, 1])
    assert alike < 0.9, f"a rise adds no fresh noise: x is as at that level before (correlation {alike:.2g})"
