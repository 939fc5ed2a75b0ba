"""The conformance checks of samplers: each is a function over a :class:`~zoo_core.testing.parts.Part`.

They walk with a stand-in that has what the sampler's capability asks for, and nothing else.
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
from zoo_core.testing.parts import CLASSES, SHAPE, Part, alone
from zoo_core.testing.subject import ROWS, TOLERANCE, distance, same

__all__ = [
    "check_draws_samples",
    "check_global_generators_are_left_alone",
    "check_labels_are_passed_on",
    "check_levels_may_be_left_out",
    "check_noise_levels_fit",
    "check_requires_is_declared",
    "check_rises_with_fresh_noise",
    "check_rows_do_not_depend_on_their_batch",
    "check_starts_where_it_is_told",
    "check_steps_are_told",
]


class _Denoises:
    """E[x_0 | x_sigma = x] for images x_0 ~ N(m_y, s^2), and nothing that the capabilities ``denoise`` and ``labels`` do not ask for."""

    event = Event(shape=SHAPE, range=(-1.0, 1.0))
    sigma_range = (0.02, 50.0)
    scheduler: Scheduler = Karras()
    num_classes = CLASSES

    def start(self, rng: Rng, sigma: float) -> Tensor:
        return rng.normal(*SHAPE) * sqrt(1 + sigma**2)

    def denoise(self, x: Tensor, sigma: Tensor, labels: Tensor | None = None) -> Tensor:
        level, variance = sigma.double().view(-1, 1, 1, 1) ** 2, 0.3**2
        return ((variance * x + level * _centre(labels)) / (variance + level)).to(x.dtype)


class _Decodes:
    """x = tanh(z/2 + m_y)."""

    event = Event(shape=SHAPE, range=(-1.0, 1.0))
    num_classes = CLASSES

    def prior(self, rng: Rng) -> Tensor:
        return rng.normal(*SHAPE)

    def decode(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        return (z / 2 + _centre(labels)).tanh()


def _centre(labels: Tensor | None) -> Tensor | float:
    """m_y."""
    return 0.0 if labels is None else 0.4 * (labels.float().view(-1, 1, 1, 1) - 1)


def _model(part: Part) -> Any:
    return _Denoises() if part.value.requires == "denoise" else _Decodes()


def _sampled(part: Part, images: Sequence[int] = range(ROWS), **options: Any) -> Tensor:
    sampler, model = part.value, _model(part)
    with torch.no_grad():
        x: Tensor = sampler(model, ImageRng(0, images), **{"sigmas": sampler.noise_levels(model, None), **options})
    return x


def check_requires_is_declared(part: Part) -> None:
    """The spec requires the capability that the class requires, and there is such a capability."""
    said, needed = cast(Any, part.spec).requires, part.value.requires
    assert needed in CAPABILITIES, f"there is no capability {needed!r}"
    assert said == needed, f"the spec of {part.spec.name} requires {said!r}, and its class {needed!r}"


def check_noise_levels_fit(part: Part) -> None:
    """The levels to be called with lie within the model's range, decrease and end with 0, and are those of the scheduler that is asked for;
    or there are none."""
    model, sampler = _model(part), part.value
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
    """A sample of the event's shape for each row, finite, float32 or wider."""
    x = _sampled(part)
    assert tuple(x.shape) == (ROWS, *SHAPE), f"it gives the shape {tuple(x.shape)}, not {(ROWS, *SHAPE)}"
    assert x.is_floating_point() and x.element_size() >= 4, f"it gives {x.dtype}: float32 or wider is wanted"
    assert bool(x.isfinite().all()), "it gives values that are not finite"


def check_levels_may_be_left_out(part: Part) -> None:
    """Without ``sigmas`` it walks along its own ``noise_levels``."""
    assert same(_sampled(part, sigmas=()), _sampled(part)), "without sigmas it draws something else than with those of noise_levels"


def check_rows_do_not_depend_on_their_batch(part: Part) -> None:
    """Row i is the same, to 1e-4, in every batch that it stands in: no norms over the batch, no noise shared between rows."""
    together = _sampled(part)
    for rows in (range(2, 4), range(3, 4)):
        alone = _sampled(part, rows)
        apart = (distance(alone, together[rows.start : rows.stop]) / (1 + together[rows.start : rows.stop].abs())).max().item()
        assert apart <= TOLERANCE, f"row {rows.start} differs by {apart:.2g} between batches of {ROWS} and {len(rows)}"


def check_global_generators_are_left_alone(part: Part) -> None:
    """It neither reads nor moves the global generators of torch, numpy and Python."""
    first, second = alone(lambda: _sampled(part))
    assert same(first, second), "samples change with the state of torch's global generator: draw from the rng argument"


def check_steps_are_told(part: Part) -> None:
    """``on_step`` sees the state before each step, from 0 on, at its level, and the samples in the end, at 0; what it sees is not changed
    afterwards, nor are the samples because it looks."""
    levels = part.value.noise_levels(_model(part), None)
    seen: list[tuple[int, float, Tensor, Tensor]] = []
    copies: list[tuple[Tensor, Tensor]] = []

    def note(step: int, sigma: float, x: Tensor, x0: Tensor) -> None:
        seen.append((step, sigma, x, x0))
        copies.append((x.clone(), x0.clone()))

    x = _sampled(part, on_step=note)
    assert seen, "on_step is never called: progress bars and figures live by it"
    assert [step for step, *_ in seen] == list(range(len(seen))), f"on_step is told the steps {[step for step, *_ in seen]}, not 0, 1, ..."
    told = [sigma for _, sigma, *_ in seen]
    assert told[-1] == 0 and same(seen[-1][2], x), "the last call of on_step must have sigma 0 and the samples"
    assert not levels or told == list(levels), f"on_step is told the levels {told}, and they are {list(levels)}"
    for (step, _, *state), kept in zip(seen, copies, strict=True):
        assert all(tuple(each.shape) == (ROWS, *SHAPE) for each in state), f"on_step sees another shape than that of samples at step {step}"
        assert all(map(same, state, kept)), f"what on_step saw at step {step} was changed in place afterwards"
    assert same(x, _sampled(part)), "the samples change where somebody looks on"


def check_starts_where_it_is_told(part: Part) -> None:
    """It begins at ``x`` where that is given, and does not change it in place."""
    start = 7 * ImageRng(3, range(ROWS)).normal(*SHAPE)
    kept, seen = start.clone(), list[Tensor]()
    other = _sampled(part, x=start, on_step=lambda step, sigma, x, x0: seen.append(x.clone()))
    assert same(start, kept), "it changes x, where it is told to start, in place"
    if part.value.requires == "denoise":
        assert seen and same(seen[0], kept), "it does not start at x"
    else:
        assert not same(other, _sampled(part)), "it does not start at x"


def check_labels_are_passed_on(part: Part) -> None:
    """The label of a row changes that row and no other."""
    before, after = (_sampled(part, labels=torch.tensor(labels)) for labels in ([0] * ROWS, [0, 2, *[0] * (ROWS - 2)]))
    moved = distance(before, after).flatten(1).amax(dim=1)
    assert moved[1] > 0, "it does not pass the labels on"
    moved[1] = 0
    assert moved.max() <= TOLERANCE, "the label of row 1 changes another row"


def check_rises_with_fresh_noise(part: Part) -> None:
    """If it ``can_rise``: where levels go up again, x has the noise of that level, most of it fresh, and the end are samples."""
    if not part.value.can_rise:
        return
    path = resampled(Karras().sigmas(6, *_Denoises.sigma_range), times=2)
    seen: dict[int, Tensor] = {}
    x = _sampled(part, range(32), sigmas=path, on_step=lambda step, sigma, x, x0: seen.update({step: x.clone()}))
    assert bool(x.isfinite().all()), "it gives values that are not finite where the levels rise on their way"
    assert 0 in seen and 2 in seen, f"on_step does not see step 2, up to which the levels rise: it sees {list(seen)}"
    before, after = seen[0].flatten(), seen[2].flatten()  # both at the largest level
    spread = after.std().item() / path[2]
    assert spread > 0.5, f"after a rise to sigma {path[2]:g}, x has {spread:.2g} of the noise of that level"
    alike = float(torch.corrcoef(torch.stack([before, after]))[0, 1])
    assert alike < 0.9, f"a rise adds no fresh noise: x is as it was at that level before (correlation {alike:.2g})"
