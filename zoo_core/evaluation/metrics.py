"""The interfaces of metrics: frozen dataclasses whose fields are their options, registered by name like samplers.

A :class:`Metric` declares which statistics of the real and of the drawn samples it needs, and computes an :class:`Estimate` from them.
A :class:`DataMetric` is the mean over real samples of a number that the model gives for each of them; nothing is drawn.
Metrics that come out of one computation, such as precision and recall, also derive from :class:`Joint`.
The zoo's own are in :mod:`~zoo_core.evaluation.feature_metrics`, :mod:`~zoo_core.evaluation.pixel_metrics`,
:mod:`~zoo_core.evaluation.caption_metrics` and :mod:`~zoo_core.evaluation.data_metrics`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Mapping, MutableMapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import TYPE_CHECKING, Any, ClassVar, ParamSpec, TypeVar

from torch import Tensor

from zoo_core.capabilities import capability_error
from zoo_core.evaluation.features import Gathered
from zoo_core.evaluation.statistics import Estimate

if TYPE_CHECKING:
    from zoo_core.pretrained import Pretrained

__all__ = ["Answers", "DataMetric", "Joint", "Metric", "call_metric"]

_P = ParamSpec("_P")
_T = TypeVar("_T")


class Metric(ABC):
    """A number that compares drawn samples with real ones, or describes the drawn ones alone.

    Attributes:
        features: True to keep all feature vectors, where their streamed moments are not enough.
        classes: True if the feature space must give class probabilities.
        labels: True if the samples must be drawn with labels.
        real: True if the metric compares with real samples.
        captions: True if the samples must be drawn for captions.
        texts: True if the feature space must be one of texts too.
        pixels: True if the metric is computed from the pixels of the drawn images alone; ``--floors`` then computes it for real halves.
        better: ``lower``, ``higher``, ``near 1``, or ``near real``: as close as possible to the value for real samples.

    >>> import torch
    >>> from zoo_core.evaluation.features import Gathered
    >>> from zoo_core.evaluation.statistics import Estimate
    >>> class MeanNorm(Metric):
    ...     features = True
    ...     real = False
    ...     def __call__(self, real: Gathered, drawn: Gathered) -> Estimate:
    ...         return Estimate(float(drawn.features.norm(dim=1).mean()))
    >>> MeanNorm()(Gathered(2), Gathered.from_features(torch.tensor([[3.0, 4.0], [0.0, 1.0]])))
    Estimate(value=3.0, stderr=None)
    """

    __slots__ = ()
    features: ClassVar[bool] = False
    classes: ClassVar[bool] = False
    labels: ClassVar[bool] = False
    real: ClassVar[bool] = True
    pixels: ClassVar[bool] = False
    captions: ClassVar[bool] = False
    texts: ClassVar[bool] = False
    better: ClassVar[str] = "lower"

    @abstractmethod
    def __call__(self, real: Gathered, drawn: Gathered) -> Estimate:
        """Computes the number, and its standard error where one is known."""

    def enough(self, dim: int, classes: int) -> int:
        """The number of samples, drawn or real, below which the record and ``zoo evaluate`` warn that the number says little.

        Args:
            dim: length of a feature vector.
            classes: number of classes of the feature space, or else of the model; 0 without classes.
        """
        return 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Answers:
    """The numbers that a model gives for real samples.

    Args:
        values: one number per sample (n,), whose mean is the metric; or, for a metric with its own ``combine``, rows of numbers (n, k).
        facts: properties of the numbers, such as ``kind``, for the record.
        terms: named parts (n,) that add up to ``values``; may be empty.

    >>> import torch
    >>> Answers(values=torch.tensor([1.0, 3.0]), facts={"kind": "exact"}).values.mean().item()
    2.0
    """

    values: Tensor
    facts: Mapping[str, str] = field(default_factory=dict)
    terms: Mapping[str, Tensor] = field(default_factory=dict)


class DataMetric(ABC):
    """The mean over real samples of a number that a model gives for each of them.

    Attributes:
        requires: capability that the model must have; empty if :meth:`check` is overridden instead.
        labels: True if the samples must have labels.
        captions: True if the samples must have captions, which the metric then gets as the keyword argument ``captions``.
        better: ``lower`` or ``higher``.
        unit: unit of the number; empty without one.

    >>> import torch
    >>> class ReconstructionError(DataMetric):
    ...     requires = "encode"
    ...     def __call__(self, model, x, labels, first):
    ...         return Answers(values=(model.reconstruct(x) - x).square().flatten(1).mean(1))
    >>> class Halving:  # stands in for a loaded model
    ...     def reconstruct(self, x):
    ...         return x / 2
    >>> ReconstructionError()(Halving(), torch.full((2, 1, 4, 4), 2.0), None, 0).values
    tensor([1., 1.])
    """

    __slots__ = ()
    requires: ClassVar[str]
    labels: ClassVar[bool] = False
    captions: ClassVar[bool] = False
    better: ClassVar[str] = "lower"
    unit: ClassVar[str] = ""

    def check(self, model: "Pretrained", name: str) -> None:
        """Checks, before the data is read, that the model can give the numbers.

        Args:
            model: the loaded model.
            name: registered name of the metric, for the message.

        Raises:
            CapabilityError: if the model lacks the capability.
        """
        if self.requires and self.requires not in model.capabilities:
            raise capability_error(f"{name} needs a model that can {self.requires}, and {model.name} cannot", self.requires)

    @abstractmethod
    def __call__(self, model: "Pretrained", x: Tensor, labels: Tensor | None, first: int) -> Answers:
        """Computes the numbers of a batch.

        Args:
            model: the loaded model.
            x: samples (n, *event.shape).
            labels: int64 (n,), or None.
            first: index of the first sample of the batch among the samples that are measured.
        """

    def combine(self, values: Tensor) -> Tensor:
        """The numbers (n,) whose mean is the metric, from the ``values`` of all samples: by default these.

        A metric that compares samples with each other, such as the purity of clusters, overrides it.
        """
        return values


class Joint(ABC):
    """Mixin for metrics that share one computation: ``class Base(Joint, Metric)``, or with :class:`DataMetric`.

    A base class defines :meth:`compute`; each metric derives from it and defines :meth:`extract`. Metrics that inherit the same ``compute``
    and have equal options share one call of it in an evaluation. Each of them also works alone.

    >>> import torch
    >>> from zoo_core.evaluation.features import Gathered
    >>> from zoo_core.evaluation.statistics import Estimate
    >>> class Extremes(Joint, Metric):
    ...     features = True
    ...     real = False
    ...     def compute(self, real, drawn):
    ...         return drawn.features.aminmax()
    >>> class Lowest(Extremes):
    ...     def extract(self, computed):
    ...         return Estimate(float(computed.min))
    >>> class Highest(Extremes):
    ...     def extract(self, computed):
    ...         return Estimate(float(computed.max))
    >>> Highest()(Gathered(1), Gathered.from_features(torch.tensor([[1.0], [5.0]])))
    Estimate(value=5.0, stderr=None)
    """

    __slots__ = ()

    @abstractmethod
    def compute(self, *arguments: Any, **options: Any) -> Any:
        """Computes the shared result from the arguments of a call of the metric."""

    @abstractmethod
    def extract(self, computed: Any) -> Any:
        """Extracts this metric's number from the shared result, which it leaves unchanged."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return self.extract(self.compute(*arguments, **options))

    @property
    def computation(self) -> Hashable:
        """A key that is equal for metrics that share ``compute`` and have equal options."""
        options = tuple((item.name, getattr(self, item.name)) for item in fields(self)) if is_dataclass(self) else ()
        return type(self).compute, options


def call_metric(metric: Callable[_P, _T], computed: MutableMapping[Hashable, Any], *arguments: _P.args, **options: _P.kwargs) -> _T:
    """Calls a metric; what joint metrics share is computed once.

    Args:
        metric: a :class:`Metric` or a :class:`DataMetric`.
        computed: the shared results for these arguments so far, to which new ones are added. Pass an empty dict with new arguments.
        arguments: arguments of the metric.
        options: keyword arguments of the metric.

    >>> import torch
    >>> from zoo_core.evaluation.feature_metrics import Precision, Recall
    >>> real = Gathered.from_features(torch.arange(8.0).view(8, 1))
    >>> drawn = Gathered.from_features(torch.arange(0.0, 16.0, 2).view(8, 1))
    >>> computed = {}
    >>> [call_metric(metric, computed, real, drawn).value for metric in (Precision(), Recall())]
    [0.75, 1.0]
    >>> len(computed)
    1
    """
    if not isinstance(metric, Joint):
        return metric(*arguments, **options)
    key = metric.computation
    if key not in computed:
        computed[key] = metric.compute(*arguments, **options)
    number: _T = metric.extract(computed[key])
    return number
