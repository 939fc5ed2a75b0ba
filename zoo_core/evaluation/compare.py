"""Comparison of sets of drawn samples with real ones in a feature space; the real samples are gathered once."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import isfinite
from typing import Any, cast

from zoo_core.data.captioned_sets import CaptionedConfig
from zoo_core.distributed import Processes
from zoo_core.errors import CapabilityError, IntegrityError, ZooError
from zoo_core.evaluation.degradations import degradations, halves
from zoo_core.evaluation.distances import frechet
from zoo_core.evaluation.feature_spaces import FeatureSpace
from zoo_core.evaluation.features import Draw, FeatureExtractor, Gathered, Judge, OnBatch, OnStage
from zoo_core.evaluation.metrics import Metric, call_metric
from zoo_core.evaluation.real_data import RealData
from zoo_core.evaluation.statistics import Estimate, Moments
from zoo_core.images import is_image
from zoo_core.registry.faults import plugin_error_from

__all__ = ["Comparison", "Results"]


@dataclass(frozen=True, slots=True)
class Results:
    """The metrics of a set of drawn samples.

    Args:
        drawn: statistics of the samples.
        estimates: metrics by their names.
        errors: errors of the metrics that failed, by their names.

    >>> Results(Gathered(2), {"fd": Estimate(1.5)}, {}).estimates["fd"].value
    1.5
    """

    drawn: Gathered
    estimates: Mapping[str, Estimate]
    errors: Mapping[str, ZooError]


class Comparison:
    """Metrics of drawn samples against real ones.

    Args:
        metrics: metrics by their names.
        real: real samples. If their data is not available, stored moments serve the metrics that need no more.
        space: feature space.
        processes: processes that share the work.
        classes: number of classes of the model, which take turns in the drawn samples; 0 without classes.
        captions: captions that the samples are drawn for, in turns; empty for none.
        batch_size: samples per batch; changes speed and memory only.
        on_batch: called with the number of samples after each batch, of all processes together.
        on_stage: called with the name and the number of samples before each pass.

    Raises:
        CapabilityError: if a metric needs class probabilities, labels or images that are not available, or if the classes of the feature
            space are not those of the model.

    >>> import torch
    >>> from zoo_core.data.dataset import Data
    >>> from zoo_core.datasets import MoonsConfig
    >>> from zoo_core.evaluation.factory import make_metric
    >>> from zoo_core.evaluation.feature_spaces import load_feature_space
    >>> points = Data(x=torch.tensor([[-1.0, 0.0], [1.0, 0.0]]))
    >>> real = RealData(MoonsConfig(), (2,), data=points)
    >>> comparison = Comparison({"fd": make_metric("fd")}, real, load_feature_space("identity"), Processes("cpu"))
    >>> results = comparison.measure(lambda first, n, labels: points.x[first : first + n] + 1, 2)
    >>> round(results.estimates["fd"].value, 6)
    2.0
    """

    def __init__(
        self,
        metrics: Mapping[str, Metric],
        real: RealData,
        space: FeatureSpace,
        processes: Processes,
        *,
        classes: int = 0,
        captions: Sequence[str] = (),
        batch_size: int = 64,
        on_batch: OnBatch = lambda n: None,
        on_stage: OnStage = lambda name, total: None,
    ) -> None:
        for name, metric in metrics.items():
            _check_metric(name, metric, real, space, classes)
            _check_captions(name, metric, real, space, captions)
        self.metrics = metrics
        self.data = real
        self.space = space
        self._classes = classes
        self._captions = captions
        keeps = any(metric.features for metric in metrics.values())
        judge = _judge(real, space) if any(metric.captions for metric in metrics.values()) else None
        passes: dict[str, Any] = {"batch_size": batch_size, "on_batch": on_batch, "on_stage": on_stage}
        self._extractor = FeatureExtractor(space=space, processes=processes, keeps=keeps, judge=judge, **passes)

    @cached_property
    def real(self) -> Gathered:
        """The statistics of the real samples; empty if no metric compares with them.

        Raises:
            ConfigError: if the data is not available.
            IntegrityError: if the stored moments of the data are not those of the data.
        """
        comparing = [metric for metric in self.metrics.values() if metric.real]
        if not comparing:
            return Gathered(1)
        known = self.data.moments.get(self.space.digest)
        if known is not None and not any(metric.features for metric in comparing):
            return Gathered.from_moments(known)
        gathered = self._extractor.real(self.data.data)
        if self.data.stored is not None and not _are_close(self.data.stored, gathered.total()):
            raise IntegrityError("the statistics of the real samples in reference.safetensors are not theirs", "measure it again")
        self.data.moments[self.space.digest] = gathered.total()
        return gathered

    def measure(self, draw: Draw, n: int | None = None) -> Results:
        """Draws samples 0 ... n - 1 and measures them by each metric. A metric that fails does not stop the others.

        Args:
            draw: draws samples.
            n: number of samples; None draws as many as there are real ones.
        """
        real = self.real
        drawn = self._extractor.drawn(draw, n or real.count or len(self.data.data), self.data.shape, self._classes, self._captions)
        computed: dict[Hashable, Any] = {}
        estimates, errors = {}, {}
        for name, metric in self.metrics.items():
            try:
                estimates[name] = _check_finite(name, _estimate(name, metric, computed, real, drawn))
            except ZooError as error:  # the others of these samples, which may have taken hours, are still good
                errors[name] = error
        return Results(drawn, estimates, errors)

    def counts(self, name: str, drawn: Gathered) -> dict[str, int]:
        """The numbers of samples that the metric ``name`` saw."""
        return {"real": self.real.count, "drawn": drawn.count} if self.metrics[name].real else {"drawn": drawn.count}

    def few_samples(self, name: str, drawn: Gathered) -> dict[str, Any]:
        """The field ``few`` of a record: how many samples the metric ``name`` needs to say much. Empty if it saw as many."""
        enough = self.metrics[name].enough(drawn.dim, self.space.classes or self._classes)
        return {"few": {"enough": enough}} if min(self.counts(name, drawn).values()) < enough else {}

    @cached_property
    def bounds(self) -> dict[str, dict[str, Any]]:
        """For each metric that compares: one half of the real samples against the other, as it is (``floor``) and degraded (``harms``).

        For a metric of pixels, its value for the second half, likewise.
        """
        metrics = {name: metric for name, metric in self.metrics.items() if metric.real or metric.pixels}
        bounds: dict[str, dict[str, Any]] = {name: {"floor": {}, "harms": {}} for name in metrics}
        if not metrics:
            return bounds
        data = self.data.data
        first, second = halves(data)
        real = self._extractor.real(data, first)
        for name, entry in _entries(metrics, real, self._extractor.real(data, second)).items():
            bounds[name]["floor"] = entry
        for degradation in degradations(data, second):
            degraded = self._extractor.real(data, degradation.index, degradation.change)
            for name, entry in _entries(metrics, real, degraded).items():
                bounds[name]["harms"][degradation.name] = entry
        return bounds


def _check_metric(name: str, metric: Metric, real: RealData, space: FeatureSpace, classes: int) -> None:
    if metric.classes and not space.classes:
        raise CapabilityError(f"{name} needs class probabilities, and {space.name} gives none", "choose other --features")
    if metric.labels and not classes:
        raise CapabilityError(f"{name} needs samples of chosen classes, and the model has no labels", "leave it out")
    if metric.pixels and not is_image(real.shape):
        raise CapabilityError(f"{name} is a metric of images, and these are samples of shape {list(real.shape)}", "leave it out")
    if metric.labels and metric.classes and classes != space.classes:
        problem = f"{name}: the model has {classes} classes, and {space.name} has {space.classes} others"
        raise CapabilityError(problem, "choose --features that know the model's own classes")


def _check_captions(name: str, metric: Metric, real: RealData, space: FeatureSpace, captions: Sequence[str]) -> None:
    if metric.captions and not isinstance(real.config, CaptionedConfig):
        raise CapabilityError(f"{name} needs data with captions", "--data captioned-mnist")
    if metric.captions and not captions:
        raise CapabilityError(f"{name} needs samples of prompts, and these are drawn for none", "leave it out")
    if metric.texts and space.texts is None:
        what = f"{name} needs a feature space of images and texts, and {space.name} is none"
        raise CapabilityError(what, "choose --features of such a model: `zoo train clip` makes one")
    if metric.captions and metric.classes and space.classes != len(cast(CaptionedConfig, real.config).nouns):
        what = f"{name}: {space.name} tells {space.classes} classes, and the captions name others"
        raise CapabilityError(what, "choose --features that know the classes of the data")


def _judge(real: RealData, space: FeatureSpace) -> Judge:
    from zoo_core.evaluation.caption_metrics import caption_columns

    nouns = cast(CaptionedConfig, real.config).nouns
    return lambda x, captions, features, probabilities: caption_columns(x, captions, nouns, space, features, probabilities)


def _are_close(stored: Moments, measured: Moments) -> bool:
    """True if moments agree up to the order of sums."""
    spread = measured.covariance.diagonal().sum()
    near = stored.count == measured.count and frechet(stored, measured) <= 1e-4 * float(spread)
    return near and bool((stored.mean - measured.mean).square().sum() <= 1e-6 * spread)


def _estimate(name: str, metric: Metric, computed: dict[Hashable, Any], real: Gathered, drawn: Gathered) -> Estimate:
    """Calls a metric, which may be third-party code.

    Raises:
        ZooError: if it fails, or returns no estimate.
    """
    try:
        estimate = call_metric(metric, computed, real, drawn)
        numbers = [estimate.value, *([] if estimate.stderr is None else [estimate.stderr])]
        if not all(isinstance(number, int | float) for number in numbers):
            raise TypeError(f"its Estimate holds {type(numbers[0]).__name__}, not float")
    except ZooError:
        raise
    except Exception as error:
        located = plugin_error_from(error)
        problem = located.what if located else f"{type(error).__name__}: {error}"
        hint = located.hint if located else "report it to its author"
        raise ZooError(f"the metric {name} failed: {problem}", f"{hint}; the other metrics still work") from error
    return estimate


def _check_finite(name: str, estimate: Estimate) -> Estimate:
    if not isfinite(estimate.value):
        raise ZooError(f"{name} of these samples is {estimate.value}", "look at them, and whether the real ones are copies of each other")
    if estimate.stderr is not None and not isfinite(estimate.stderr):
        raise ZooError(f"the standard error of {name} is {estimate.stderr}", "draw more samples")
    return estimate


def _entries(metrics: Mapping[str, Metric], real: Gathered, other: Gathered) -> dict[str, dict[str, Any]]:
    """The entry of a record for each metric between two sets of real samples."""
    computed: dict[Hashable, Any] = {}
    estimates = {name: _estimate(name, metric, computed, real, other) for name, metric in metrics.items()}
    counts = [real.count, other.count]
    return {name: {"value": each.value, "stderr": each.stderr, "n": counts} for name, each in estimates.items()}
