"""The metrics of real samples: what a model that classifies, or has a log-probability, says of them. Nothing is drawn."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from torch import Tensor

from zoo_core.config import check_range
from zoo_core.density.denoiser import METHODS, Bound
from zoo_core.errors import ConfigError, ZooError
from zoo_core.evaluation.metrics import Answers, DataMetric

if TYPE_CHECKING:
    from zoo_core.interfaces import LogProb
    from zoo_core.pretrained import Pretrained

__all__ = ["Accuracy", "BitsPerDim", "NegativeLogLikelihood"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Accuracy(DataMetric):
    """The share of samples whose most probable class, to a model that can ``classify``, is their label."""

    requires = "classify"
    labels = True
    better = "higher"

    def __call__(self, model: "Pretrained", x: Tensor, labels: Tensor | None, first: int) -> Answers:
        right: Tensor = model.classify(x).argmax(dim=1) == labels  # type: ignore[assignment]  # of a tensor and None, which is refused before
        return Answers(values=right.double())


@dataclass(frozen=True, kw_only=True, slots=True)
class NegativeLogLikelihood(DataMetric):
    """-log p(x) in nats, without labels; see :meth:`zoo_core.pretrained.Pretrained.log_prob`.

    The number has the ``kind`` of its record: where the log-probability is a lower bound, this is an ``upper_bound``; and the ``space``,
    without which it says nothing. Its standard error is that of the mean over samples, the noise of the draws in it.

    Args:
        method: ``own``, ``ode`` or ``bound``; None is the first of them that the model has, the bound excepted.
        k: the number of draws; None leaves it to the method.
    """

    requires = ""
    unit = "nats"
    method: str | None = None
    k: int | None = None

    def __post_init__(self) -> None:
        _check_asked(self)

    def check(self, model: "Pretrained", name: str) -> None:
        model.log_prob_method(self.method)

    def __call__(self, model: "Pretrained", x: Tensor, labels: Tensor | None, first: int) -> Answers:
        found, facts = _log_prob(model, x, first, self.method, self.k)
        return Answers(values=-found.value, facts=facts, terms={name: -each.value for name, each in _terms(found).items()})


@dataclass(frozen=True, kw_only=True, slots=True)
class BitsPerDim(DataMetric):
    """-log2 p(x) / dims, as :class:`NegativeLogLikelihood` has it; see :meth:`zoo_core.interfaces.LogProb.bits_per_dim`.

    Args:
        method: as there.
        k: as there.
    """

    requires = ""
    unit = "bits/dim"
    method: str | None = None
    k: int | None = None

    def __post_init__(self) -> None:
        _check_asked(self)

    def check(self, model: "Pretrained", name: str) -> None:
        model.log_prob_method(self.method)

    def __call__(self, model: "Pretrained", x: Tensor, labels: Tensor | None, first: int) -> Answers:
        found, facts = _log_prob(model, x, first, self.method, self.k)
        dims = prod(model.event.shape)
        terms = {name: each.bits_per_dim(dims) for name, each in _terms(found).items()}
        return Answers(values=found.bits_per_dim(dims), facts=facts, terms=terms)


def _check_asked(asked: NegativeLogLikelihood | BitsPerDim) -> None:
    check_range(asked, k=(1, 10**6))
    if asked.method not in (None, *METHODS):
        raise ConfigError(f"method must be one of {', '.join(METHODS)}, not {asked.method!s:.40}")


Answer = tuple["LogProb", dict[str, str]]

_answered: "WeakKeyDictionary[Pretrained, tuple[Tensor, tuple[int, str, int | None], Answer]]" = WeakKeyDictionary()
"""The last answer of a model, for the metric beside the one that asked."""


def _log_prob(model: "Pretrained", x: Tensor, first: int, method: str | None, k: int | None) -> Answer:
    """The log-probability, and what a record says of its negative."""
    asked = first, model.log_prob_method(method), k
    if (last := _answered.get(model)) and last[0] is x and last[1] == asked:
        return last[2]
    found = model.log_prob(x, method=method, k=k, first=first, batch_size=max(len(x), 1))
    if not bool(found.value.isfinite().all()):
        raise ZooError("the model gives some sample a log-probability that is not finite", "look at the samples, and whether they fit it")
    kind = "upper_bound" if found.kind == "lower_bound" else found.kind
    answer = found, {"kind": kind, "space": found.space, "method": asked[1]}
    _answered[model] = x, asked, answer
    return answer


def _terms(found: "LogProb") -> "Mapping[str, LogProb]":
    return found.terms if isinstance(found, Bound) else {}
