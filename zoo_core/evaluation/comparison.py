"""Real samples in a feature space, gathered once, with which any number of sets of samples are compared."""

from collections.abc import Mapping
from functools import cached_property
from math import isfinite
from typing import Any

from zoo_core.errors import CapabilityError, IntegrityError, ZooError
from zoo_core.evaluation.distances import frechet
from zoo_core.evaluation.gathering import Draw, Gathered, Gathering, OnBatch
from zoo_core.evaluation.harms import halves, harms
from zoo_core.evaluation.metrics import Metric
from zoo_core.evaluation.real import Real
from zoo_core.evaluation.spaces import Space
from zoo_core.evaluation.statistics import Estimate, Moments
from zoo_core.training.processes import Processes

__all__ = ["Comparison"]


class Comparison:
    """What samples are compared with, and how.

    Args:
        metrics: by their names.
        real: the real samples. Where their data is not to be had, their moments serve those metrics that need no more.
        judge: the feature space.
        processes: that share the work.
        labelled: whether samples are drawn with labels.
        batch_size: samples at once; changes speed and memory.
        on_batch: sees the number of samples after each batch of this process.

    Raises:
        CapabilityError: a metric needs class probabilities, or labels, and there are none.
    """

    def __init__(
        self,
        metrics: Mapping[str, Metric],
        real: Real,
        judge: Space,
        processes: Processes,
        *,
        labelled: bool,
        batch_size: int = 64,
        on_batch: OnBatch = lambda n: None,
    ) -> None:
        for name, metric in metrics.items():
            if metric.classes and not judge.classes:
                raise CapabilityError(f"{name} needs class probabilities, and {judge.name} gives none", "choose other --features")
            if metric.labels and not labelled:
                raise CapabilityError(f"{name} needs samples of chosen classes, and the model has no labels", "leave it out")
        self.metrics, self.data, self.judge = metrics, real, judge
        keeps = any(metric.features for metric in metrics.values())
        self._gathering = Gathering(judge=judge, processes=processes, keeps=keeps, batch_size=batch_size, on_batch=on_batch)

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

    def of(self, draw: Draw, n: int | None, classes: int = 0) -> tuple[Gathered, dict[str, Estimate]]:
        """Samples 0 ... n - 1, as many as there are real ones when None, and each metric of them; ``classes`` take turns."""
        real = self.real
        drawn = self._gathering.drawn(draw, n or len(self.data.data), self.data.shape, classes)
        return drawn, {name: _finite(name, metric(real, drawn)) for name, metric in self.metrics.items()}

    def counts(self, name: str, drawn: Gathered) -> dict[str, int]:
        """How many samples a metric saw."""
        return {"real": self.real.count, "drawn": drawn.count} if self.metrics[name].real else {"drawn": drawn.count}

    @cached_property
    def bounds(self) -> dict[str, dict[str, Any]]:
        """For each metric that compares, one half of the real samples against the other: as it is, the ``floor``, and with ``harms``."""
        compared = {name: metric for name, metric in self.metrics.items() if metric.real}
        if not compared:
            return {}
        data = self.data.data
        first, second = halves(data)
        real = self._gathering.real(data, first)
        others = {"": self._gathering.real(data, second)}
        others |= {harm.name: self._gathering.real(data, harm.index, harm.change) for harm in harms(data, second)}
        return {name: _bounds(metric, real, others) for name, metric in compared.items()}


def _alike(carried: Moments, found: Moments) -> bool:
    """Whether they are the same moments, but for the order of sums."""
    spread = found.covariance.diagonal().sum()
    near = carried.count == found.count and frechet(carried, found) <= 1e-4 * float(spread)
    return near and bool((carried.mean - found.mean).square().sum() <= 1e-6 * spread)


def _finite(name: str, estimate: Estimate) -> Estimate:
    if not isfinite(estimate.value):
        raise ZooError(f"{name} of these samples is {estimate.value}", "look at them, and whether the real ones are copies of each other")
    return estimate


def _bounds(metric: Metric, real: Gathered, others: Mapping[str, Gathered]) -> dict[str, Any]:
    found = {}
    for harm, other in others.items():
        estimate = metric(real, other)
        found[harm] = {"value": estimate.value, "stderr": estimate.stderr, "n": [real.count, other.count]}
    return {"floor": found.pop(""), "harms": found}
