"""Metrics of real samples: the accuracy and the log-probability that a model gives to them. Nothing is drawn."""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

from torch import Tensor

from zoo_core.config import check_range
from zoo_core.density.denoiser import METHODS, Bound
from zoo_core.errors import CapabilityError, ConfigError, ZooError
from zoo_core.evaluation.metrics import Answers, DataMetric, Joint
from zoo_core.images import is_image
from zoo_core.samplers.masks import PARTS, part_mask

if TYPE_CHECKING:
    from zoo_core.interfaces import LogProb
    from zoo_core.pretrained import Pretrained

__all__ = ["Accuracy", "BitsPerDim", "InpaintingMSE", "NegativeLogLikelihood"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Accuracy(DataMetric):
    """The share of samples whose label is the most probable class according to the model, in [0, 1].

    >>> import torch
    >>> class Classifier:  # stands in for a loaded model that can `classify`
    ...     def classify(self, x):
    ...         return x.log_softmax(1)
    >>> Accuracy()(Classifier(), torch.eye(2), torch.tensor([0, 0]), 0).values.tolist()
    [1.0, 0.0]
    """

    requires = "classify"
    labels = True
    better = "higher"

    def __call__(self, model: "Pretrained", x: Tensor, labels: Tensor | None, first: int) -> Answers:
        hits: Tensor = model.classify(x).argmax(dim=1) == labels  # type: ignore[assignment]  # of a tensor and None, which is refused before
        return Answers(values=hits.double())


@dataclass(frozen=True, kw_only=True, slots=True)
class InpaintingMSE(DataMetric):
    """The mean squared error of the hidden pixels of images that are inpainted, where values are in [-1, 1].

    It is lowest for the mean of all images that fit the known part, which is blurred: a draw from them has about twice its error. So it is
    read beside a distance such as ``fd``, or beside the images. A model is sampled as by default, or by ``dpmpp-2m`` if its default sampler
    cannot inpaint. Image i has the noise of sample i, as in
    :meth:`zoo_core.pretrained.Pretrained.inpaint`.

    Args:
        known: the part of the images that is known: ``top``, ``bottom``, ``left``, ``right``, ``centre`` or ``border``.
        times: for denoisers, the number of times that the walk goes down each stretch.

    Raises:
        ConfigError: if there is no such part.

    >>> import torch
    >>> class Grey:  # stands in for a loaded model
    ...     denoises = False
    ...     def inpaint(self, x, mask, times, first, sampler):
    ...         return torch.where(mask, x, 0)
    >>> InpaintingMSE(known="left")(Grey(), torch.full((1, 3, 4, 4), 0.5), None, 0).values.tolist()
    [0.25]
    """

    requires = ""
    known: str = "top"
    times: int = 1

    def __post_init__(self) -> None:
        check_range(self, times=(1, 1000))
        if self.known not in PARTS:
            raise ConfigError(f"known must be one of {', '.join(PARTS)}, not {self.known!s:.40}")

    def check(self, model: "Pretrained", name: str) -> None:
        if not is_image(model.event.shape):
            raise CapabilityError(f"{name} is a metric of images, and {model.name} is of samples of shape {list(model.event.shape)}")
        if "fill" not in model.capabilities:
            model.require_walk("inpaint", others="fill")

    def __call__(self, model: "Pretrained", x: Tensor, labels: Tensor | None, first: int) -> Answers:
        known = part_mask(self.known, x.shape[1:])
        # A denoiser that also decodes may have a sampler of latents, which cannot inpaint.
        sampler = "dpmpp-2m" if model.denoises and model.sampler.requires != "denoise" else None
        filled = model.inpaint(x, known, times=self.times, first=first, sampler=sampler)
        hidden = ~known.expand_as(x[0])
        return Answers(values=(filled - x).square()[:, hidden].double().mean(dim=1))


@dataclass(frozen=True, kw_only=True, slots=True)
class _LogProbMetric(Joint, DataMetric):
    """Metrics of -log p(x), without labels; see :meth:`zoo_core.pretrained.Pretrained.log_prob`.

    Args:
        method: ``own``, ``ode`` or ``bound``; None chooses the first of ``own`` and ``ode`` that the model has.
        k: number of draws; None leaves it to the method.

    Raises:
        ConfigError: if there is no such method, or k is out of range.
    """

    requires = ""
    method: str | None = None
    k: int | None = None

    def __post_init__(self) -> None:
        check_range(self, k=(1, 10**6))
        if self.method not in (None, *METHODS):
            raise ConfigError(f"method must be one of {', '.join(METHODS)}, not {self.method!s:.40}")

    def check(self, model: "Pretrained", name: str) -> None:
        model.log_prob_method(self.method)

    def compute(self, model: "Pretrained", x: Tensor, labels: Tensor | None, first: int) -> "_NegativeLogProb":
        method = model.log_prob_method(self.method)
        log_prob = model.log_prob(x, method=method, k=self.k, first=first, batch_size=max(len(x), 1))
        if not bool(log_prob.value.isfinite().all()):
            hint = "look at the samples, and whether they fit the model"
            raise ZooError("the model gives some sample a log-probability that is not finite", hint)
        return _NegativeLogProb(log_prob, method, prod(model.event.shape))


@dataclass(frozen=True, slots=True)
class _NegativeLogProb:
    """Log-probabilities of a batch, and their negatives in a unit."""

    log_prob: "LogProb"
    method: str
    dims: int

    def answers(self, convert: "Callable[[LogProb], Tensor]") -> Answers:
        """The answers of a metric; ``convert`` gives the negative log-probability (n,) in its unit."""
        kind = "upper_bound" if self.log_prob.kind == "lower_bound" else self.log_prob.kind
        terms = self.log_prob.terms if isinstance(self.log_prob, Bound) else {}
        return Answers(
            values=convert(self.log_prob),
            facts={"kind": kind, "space": self.log_prob.space, "method": self.method},
            terms={name: convert(term) for name, term in terms.items()},
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class NegativeLogLikelihood(_LogProbMetric):
    """-log p(x) in nats, without labels; see :meth:`zoo_core.pretrained.Pretrained.log_prob`.

    The record holds the ``kind`` of the number: where the log-probability is a lower bound, this is an ``upper_bound``. It holds the
    ``space`` too, without which the number means nothing. The standard error is that of the mean over samples, and includes the noise of
    the draws.

    Args:
        method: ``own``, ``ode`` or ``bound``; None chooses the first of ``own`` and ``ode`` that the model has.
        k: number of draws; None leaves it to the method.

    >>> NegativeLogLikelihood(method="bound", k=4)
    NegativeLogLikelihood(method='bound', k=4)
    """

    unit = "nats"

    def extract(self, computed: _NegativeLogProb) -> Answers:
        return computed.answers(lambda log_prob: -log_prob.value)


@dataclass(frozen=True, kw_only=True, slots=True)
class BitsPerDim(_LogProbMetric):
    """-log2 p(x) / dims, without labels; see :meth:`zoo_core.interfaces.LogProb.bits_per_dim`.

    The facts of the record are those of :class:`NegativeLogLikelihood`, with which it shares the computation.

    Args:
        method: ``own``, ``ode`` or ``bound``; None chooses the first of ``own`` and ``ode`` that the model has.
        k: number of draws; None leaves it to the method.

    >>> BitsPerDim().unit
    'bits/dim'
    """

    unit = "bits/dim"

    def extract(self, computed: _NegativeLogProb) -> Answers:
        return computed.answers(lambda log_prob: log_prob.bits_per_dim(computed.dims))
