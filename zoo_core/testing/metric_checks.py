"""The conformance checks of metrics: each is a function over a :class:`~zoo_core.testing.tested_part.Part`.

Metrics of samples compare Gaussians; metrics of data get a stand-in model with every capability.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from math import isfinite
from pathlib import Path

import torch
from torch import Tensor

from zoo_core.checkpoint.config import CheckpointConfig
from zoo_core.checkpoint.files import Files
from zoo_core.errors import CapabilityError, ZooError
from zoo_core.evaluation.features import CAPTIONED, PARTS, Gathered
from zoo_core.evaluation.metrics import Answers, DataMetric, Metric
from zoo_core.evaluation.statistics import Estimate, pixel_moments
from zoo_core.images import from_uint8, to_uint8
from zoo_core.interfaces import CAPABILITIES
from zoo_core.pretrained import Pretrained
from zoo_core.registry import parse_reference
from zoo_core.rng import ImageRng, StepRng, Stream, isolated
from zoo_core.samplers import Latent
from zoo_core.specs import ModelSpec
from zoo_core.testing.fake import Fake, FakeDenoiser
from zoo_core.testing.fake_config import FakeConfig, FakeDenoiserConfig
from zoo_core.testing.tested_family import ROWS, TOLERANCE, distance, same
from zoo_core.testing.tested_part import CLASSES, SHAPE, Part, alone

__all__ = [
    "check_answers_are_the_same_every_time",
    "check_answers_do_not_depend_on_their_batch",
    "check_answers_for_every_sample",
    "check_better_is_right",
    "check_few_samples_are_refused_or_enough",
    "check_gives_an_estimate",
    "check_models_that_cannot_answer_are_refused",
    "check_number_is_the_same_every_time",
    "check_real_samples_may_be_sorted",
]

DIM = 4


def _gathered(metric: Metric, n: int, seed: int, *, drawn: bool, change: Callable[[Tensor], Tensor] = lambda x: x) -> Gathered:
    """The statistics of ``n`` standard normal samples that the metric declares, and no others."""
    if not (drawn or metric.real):
        return Gathered(1)
    gathered = Gathered(DIM, CLASSES * metric.classes, metric.features, parts=PARTS if drawn else 1, stride=CLASSES if metric.labels else 1)
    labels = torch.arange(n) % CLASSES
    noise = StepRng(seed, 0, n, stream=Stream.DATA)
    features = change(noise.normal(DIM))
    logits = noise.normal(CLASSES)
    probabilities = logits.double().softmax(1) if metric.classes else None
    pixels = pixel_moments(change(noise.normal(*SHAPE)) / 2) if metric.pixels else None
    captioned = (noise.uniform(CAPTIONED) < 0.5).double() if metric.captions else None
    gathered.add(features, probabilities, torch.arange(n), labels if metric.labels else None, pixels, captioned)
    return gathered


def _pair(metric: Metric, n: int, change: Callable[[Tensor], Tensor] = lambda x: x) -> tuple[Gathered, Gathered]:
    return _gathered(metric, n, 0, drawn=False), _gathered(metric, n, 1, drawn=True, change=change)


def check_gives_an_estimate(part: Part) -> None:
    """It computes an Estimate of finite floats from the statistics that it declares (``features``, ``classes``, ``labels``, ``real``).

    It does not change the statistics, which the next metric gets too.
    """
    metric: Metric = part.value
    real, drawn = _pair(metric, 90)
    kept = [each.features.clone() for each in (real, drawn)]
    try:
        estimate = metric(real, drawn)
    except ZooError as error:
        raise AssertionError(f"it refuses 90 samples: {error}; it gets what it declares, as by `features = True`") from error
    _check_estimate(estimate)
    assert isfinite(estimate.value) and isfinite(estimate.stderr or 0), f"the number is not finite: {estimate}"
    assert all(same(each.features, before) for each, before in zip((real, drawn), kept, strict=True)), "it changes features in place"


def _check_estimate(estimate: object) -> None:
    assert isinstance(estimate, Estimate), f"it gives a {type(estimate).__name__}, not an Estimate"
    for name, number in (("value", estimate.value), ("stderr", estimate.stderr)):
        assert isinstance(number, float) or (name == "stderr" and number is None), f"the {name} is a {type(number).__name__}, not a float"
    assert not (estimate.stderr or 0) < 0, f"a standard error is at least 0, not {estimate.stderr}"


def check_few_samples_are_refused_or_enough(part: Part) -> None:
    """For very few samples it returns an Estimate, or raises a ZooError."""
    metric: Metric = part.value
    for n in (1, 2, 5):
        try:
            estimate = metric(*_pair(metric, n))
        except ZooError:
            continue
        except Exception as error:
            raise AssertionError(f"with {n} samples it raises {type(error).__name__}: {error}; raise a UsageError instead") from error
        _check_estimate(estimate)


def check_number_is_the_same_every_time(part: Part) -> None:
    """It neither reads nor moves a global generator."""
    metric: Metric = part.value
    first, second = alone(lambda: metric(*_pair(metric, 90)))
    assert first == second, f"the number differs from call to call: {first.value} and {second.value}"


def check_better_is_right(part: Part) -> None:
    """If it compares with real samples, samples of the same distribution are ``better`` than samples far away."""
    metric: Metric = part.value
    known = "lower", "higher", "near 1", "near real"
    assert metric.better in known, f"better must be one of {', '.join(known)}, not {metric.better!r}"
    if not metric.real:
        return
    near, far = (metric(*_pair(metric, 90, change)).value for change in (lambda x: x, lambda x: 5 * x + 20))
    good = {"lower": near < far, "higher": near > far, "near 1": abs(near - 1) < abs(far - 1)}[metric.better]
    assert good, f"{metric.better} is better, but it gives {near:.4g} for samples like the real ones and {far:.4g} for others"


def check_real_samples_may_be_sorted(part: Part) -> None:
    """Its number for real samples that are sorted by class is that for shuffled ones: it does not use the first of them alone."""
    metric: Metric = part.value
    if not metric.real:
        return
    shuffled = torch.arange(180) % 2
    drawn = _gathered(metric, 90, 1, drawn=True, change=partial(_in_modes, torch.arange(90) % 2))
    mixed, ordered, first = (
        metric(_gathered(metric, 180, 0, drawn=False, change=partial(_in_modes, modes)), drawn).value
        for modes in (shuffled, shuffled.sort().values, torch.zeros(180))
    )
    apart = abs(mixed - first) > 0.05 * max(abs(mixed), abs(first))
    assert not apart or abs(ordered - mixed) <= abs(ordered - first), (
        f"it gives {mixed:.4g} for real samples of two classes in random order, {ordered:.4g} for the same ones sorted by class, and "
        f"{first:.4g} for those of the first class alone: use all of them, or a random part"
    )


def _in_modes(modes: Tensor, x: Tensor) -> Tensor:
    """Samples (n, ...) around 0 or 20, as ``modes`` (n,) says."""
    return x + 20 * modes.view(-1, *(1 for _ in x.shape[1:]))


# Metrics of data


class _Able(Fake):
    """A model with every capability."""

    def __init__(self) -> None:
        super().__init__(FakeConfig(shape=SHAPE, classes=CLASSES, bounded=True))
        denoiser = FakeDenoiser(FakeDenoiserConfig(shape=SHAPE, classes=CLASSES, bounded=True))
        self._denoiser = denoiser
        self.scheduler = denoiser.scheduler
        self.sigma_range = denoiser.sigma_range
        self.start = denoiser.start

    def denoise(self, x: Tensor, sigma: Tensor, labels: Tensor | None = None) -> Tensor:
        return self._denoiser.denoise(x, sigma, labels)

    def features(self, x: Tensor) -> Tensor:
        return x.flatten(1)

    def text_features(self, texts: Sequence[str]) -> Tensor:
        return torch.tensor([[float(len(text)), 1.0] for text in texts]).repeat(1, math.prod(SHAPE) // 2)

    def classify(self, x: Tensor) -> Tensor:
        return -(x[:, None] - self.means).square().flatten(2).sum(2).log_softmax(1)


def _pretrained(capabilities: frozenset[str] = frozenset(CAPABILITIES)) -> Pretrained:
    with isolated(0, stream=Stream.INIT):
        model = _Able().eval().requires_grad_(False)
    files = Files(reference=parse_reference("local:stand-in"), name="stand-in", folder=Path("stand-in"), source="a stand-in", pins={})
    config = CheckpointConfig(format=1, weights_version=1, model=FakeConfig(), sampler=Latent())
    return Pretrained(model=model, config=config, family=ModelSpec(name="stand-in", capabilities=capabilities), files=files)


def _answers(part: Part, rows: range = range(ROWS), *, labelled: bool = True) -> Answers:
    x = from_uint8(to_uint8(0.5 * ImageRng(1, rows).normal(*SHAPE)))
    labels = torch.tensor(list(rows)) % CLASSES if labelled else None
    given = {"captions": ["a seven"[: 2 + row % 5] for row in rows]} if part.value.captions else {}
    answers: Answers = part.value(_pretrained(), x, labels, rows.start, **given)
    return answers


def check_answers_for_every_sample(part: Part) -> None:
    """It gives a finite number for each sample, with labels and, unless it needs them, without; terms add up to it, facts are texts."""
    for labelled in (True, False) if not part.value.labels else (True,):
        try:
            answers = _answers(part, labelled=labelled)
        except (AttributeError, TypeError) as error:
            what = f"without labels it raises {type(error).__name__}: {error}"
            raise AssertionError(f"{what}; a metric that needs labels declares `labels = True`") from error
        assert isinstance(answers, Answers), f"it gives a {type(answers).__name__}, not Answers"
        shape = tuple(part.value.combine(answers.values).shape)
        assert shape == (ROWS,), f"values have the shape {shape}, not {(ROWS,)}: one for each sample"
        assert answers.values.is_floating_point() and bool(answers.values.isfinite().all()), "values must be finite floating-point numbers"
        assert all(isinstance(text, str) for text in answers.facts.values()), f"facts must be texts, not {answers.facts}"
        if answers.terms:
            apart = distance(torch.stack(list(answers.terms.values())).sum(0), answers.values).max().item()
            assert apart <= TOLERANCE, f"the sum of the terms differs from the values by {apart:.2g}"


def check_answers_do_not_depend_on_their_batch(part: Part) -> None:
    """The answer for sample i is the same, to 1e-4, in every batch; ``first`` is the number of the batch's first sample."""
    together = _answers(part).values
    for rows in (range(2), range(2, 4), range(4, 5)):
        apart = distance(_answers(part, rows).values, together[rows.start : rows.stop]).max().item()
        assert apart <= TOLERANCE, f"sample {rows.start} gets another number, by {apart:.2g}, in batches of {ROWS} and {len(rows)}"


def check_answers_are_the_same_every_time(part: Part) -> None:
    """It neither reads nor moves a global generator."""
    first, second = alone(lambda: _answers(part).values)
    assert same(first, second), "the numbers differ from call to call: draw with a seed of your own, zoo_core.rng.ImageRng"


def check_models_that_cannot_answer_are_refused(part: Part) -> None:
    """A model without capabilities is refused with a CapabilityError before the data is read; ``better`` is lower or higher."""
    metric: DataMetric = part.value
    assert metric.better in ("lower", "higher"), f"better must be lower or higher, not {metric.better!r}"
    assert not metric.requires or metric.requires in CAPABILITIES, f"there is no capability {metric.requires!r}"
    metric.check(_pretrained(), part.spec.name)
    try:
        metric.check(_pretrained(frozenset()), part.spec.name)
    except CapabilityError:
        return
    raise AssertionError("a model without capabilities is not refused: declare in `requires` the capability that it must have")
