"""Real samples in a feature space, gathered once, with which any number of sets of samples are compared."""

from collections.abc import Mapping
from functools import cached_property
from math import isfinite
from typing import Any

from zoo_core.distributed import Processes
from zoo_core.errors import CapabilityError, IntegrityError, ZooError
from zoo_core.evaluation.degradations import halves, harms
from zoo_core.evaluation.distances import frechet
from zoo_core.evaluation.feature_spaces import Space
from zoo_core.evaluation.features import Draw, Gathered, Gathering, OnBatch, OnStage
from zoo_core.evaluation.metrics import Metric
from zoo_core.evaluation.real_data import Real
from zoo_core.evaluation.statistics import Estimate, Moments
from zoo_core.images import is_image

__all__ = ["Comparison"]


class Comparison:
    """What samples are compared with, and how.

    Args:
        metrics: by their names.
        real: the real samples. Where their data is not to be had, their moments serve those metrics that need no more.
        judge: the feature space.
        processes: that share the work.
        classes: of the model, whose samples are drawn of each in turn; 0 where it knows none.
        batch_size: samples at once; changes speed and memory.
        on_batch: sees the number of samples after each batch, of all processes together.
        on_stage: sees the name and the number of samples before each pass.

    Raises:
        CapabilityError: a metric needs class probabilities, labels or images, and there are none; or the space has other classes.
    """

    def __init__(
        self,
        metrics: Mapping[str, Metric],
        real: Real,
        judge: Space,
        processes: Processes,
        *,
        classes: int = 0,
        batch_size: int = 64,
        on_batch: OnBatch = lambda n: None,
        on_stage: OnStage = lambda name, total: None,
    ) -> None:
        for name, metric in metrics.items():
            if metric.classes and not judge.classes:
                raise CapabilityError(f"{name} needs class probabilities, and {judge.name} gives none", "choose other --features")
            if metric.labels and not classes:
                raise CapabilityError(f"{name} needs samples of chosen classes, and the model has no labels", "leave it out")
            if metric.pixels and not is_image(real.shape):
                raise CapabilityError(f"{name} is of images, and these are samples of shape {list(real.shape)}", "leave it out")
            if metric.labels and metric.classes and classes != judge.classes:
                what = f"{name}: the model has {classes} classes, and {judge.name} tells {judge.classes} others apart"
                raise CapabilityError(what, "choose --features that know the model's own classes")
        self.metrics, self.data, self.judge, self._classes = metrics, real, judge, classes
        keeps = any(metric.features for metric in metrics.values())
        self._gathering = Gathering(
            judge=judge, processes=processes, keeps=keeps, batch_size=batch_size, on_batch=on_batch, on_stage=on_stage
        )

    @cached_property
    def real(self) -> Gathered:
        """The real samples; nothing where no metric asks for them.

        Raises:
            ConfigError: they are not to be had.
        """
        comparing = [metric for metric in self.metrics.values() if metric.real]
        if not comparing:
            return Gathered(1)
        known = self.data.moments.get(self.judge.digest)
        if known is not None and not any(metric.features for metric in comparing):
            return Gathered.of(known)
        gathered = self._gathering.real(self.data.data)
        if self.data.carried is not None and not _alike(self.data.carried, gathered.total()):
            raise IntegrityError("the statistics of the real samples in reference.safetensors are not theirs", "measure it again")
        self.data.moments[self.judge.digest] = gathered.total()
        return gathered

    def of(self, draw: Draw, n: int | None) -> tuple[Gathered, dict[str, Estimate], dict[str, ZooError]]:
        """Samples 0 ... n - 1, as many as there are real ones when None, each metric of them, and why it failed where one did."""
        real = self.real
        drawn = self._gathering.drawn(draw, n or real.count or len(self.data.data), self.data.shape, self._classes)
        found, failed = {}, {}
        for name, metric in self.metrics.items():
            try:
                found[name] = _finite(name, _measured(name, metric, real, drawn))
            except ZooError as error:  # the others of these samples, which may have taken hours, are still good
                failed[name] = error
        return drawn, found, failed

    def counts(self, name: str, drawn: Gathered) -> dict[str, int]:
        """How many samples a metric saw."""
        return {"real": self.real.count, "drawn": drawn.count} if self.metrics[name].real else {"drawn": drawn.count}

    def few(self, name: str, drawn: Gathered) -> dict[str, Any]:
        """For the record: how many samples a metric needs to say much, where it saw fewer."""
        enough = self.metrics[name].enough(drawn.dim, self.judge.classes or self._classes)
        return {"few": {"enough": enough}} if min(self.counts(name, drawn).values()) < enough else {}

    @cached_property
    def bounds(self) -> dict[str, dict[str, Any]]:
        """For each metric that compares, one half of the real samples against the other: as it is, the ``floor``, and with ``harms``.

        For a metric of pixels, that half's own number, likewise.
        """
        compared = {name: metric for name, metric in self.metrics.items() if metric.real or metric.pixels}
        if not compared:
            return {}
        data = self.data.data
        first, second = halves(data)
        real = self._gathering.real(data, first)
        others = {"": self._gathering.real(data, second)}
        others |= {harm.name: self._gathering.real(data, harm.index, harm.change) for harm in harms(data, second)}
        return {name: _bounds(name, metric, real, others) for name, metric in compared.items()}


def _alike(carried: Moments, found: Moments) -> bool:
    """Whether they are the same moments, but for the order of sums."""
    spread = found.covariance.diagonal().sum()
    near = carried.count == found.count and frechet(carried, found) <= 1e-4 * float(spread)
    return near and bool((carried.mean - found.mean).square().sum() <= 1e-6 * spread)


def _measured(name: str, metric: Metric, real: Gathered, drawn: Gathered) -> Estimate:
    """The metric, whatever somebody else's code may do.

    Raises:
        ZooError: it failed, or gave no estimate.
    """
    try:
        estimate = metric(real, drawn)
        numbers = [estimate.value, *([] if estimate.stderr is None else [estimate.stderr])]
        if not all(isinstance(number, int | float) for number in numbers):
            raise TypeError(f"its Estimate holds {type(numbers[0]).__name__}, not float")
    except ZooError:
        raise
    except Exception as error:
        what = f"the metric {name} failed: {type(error).__name__}: {error}"
        raise ZooError(what, "tell its author; the other metrics can be had") from error
    return estimate


def _finite(name: str, estimate: Estimate) -> Estimate:
    if not isfinite(estimate.value):
        raise ZooError(f"{name} of these samples is {estimate.value}", "look at them, and whether the real ones are copies of each other")
    if estimate.stderr is not None and not isfinite(estimate.stderr):
        raise ZooError(f"the standard error of {name} is {estimate.stderr}", "draw more samples")
    return estimate


def _bounds(name: str, metric: Metric, real: Gathered, others: Mapping[str, Gathered]) -> dict[str, Any]:
    found = {}
    for harm, other in others.items():
        estimate = _measured(name, metric, real, other)
        found[harm] = {"value": estimate.value, "stderr": estimate.stderr, "n": [real.count, other.count]}
    return {"floor": found.pop(""), "harms": found}
