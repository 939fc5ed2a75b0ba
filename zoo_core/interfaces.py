"""The words of the house: what a model can do, what turns it into samples, and what places the noise levels.

All noise has one coordinate, ``x_sigma = x_0 + sigma * eps`` with standard normal ``eps``. A model of any parametrisation that can estimate
``x_0`` from ``x_sigma`` is a :class:`Denoiser`, and with it ``score = (denoise - x) / sigma**2`` and ``eps = (x - denoise) / sigma``.

Capabilities are protocols: a model has one by having its methods. Samplers and schedulers are abstract classes whose options are the fields
of frozen dataclasses.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import log
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, TypeAlias, runtime_checkable

from zoo_core.config import Tagged
from zoo_core.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "CAPABILITIES",
    "Classify",
    "DatasetConfig",
    "Decoder",
    "Denoiser",
    "Density",
    "DiscreteScheduler",
    "Encoder",
    "Event",
    "Features",
    "Labelled",
    "LabelsLike",
    "LogProb",
    "ModelConfig",
    "OnStep",
    "Rng",
    "Sampler",
    "SamplerLike",
    "Scheduler",
    "SchedulerLike",
    "TrainerConfig",
]


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """One sample: its shape, such as (3, 32, 32), and the closed range of its values where it has one (images: (-1, 1))."""

    shape: tuple[int, ...]
    range: tuple[float, float] | None = None


class Rng(Protocol):
    """Random numbers for a batch of rows: row i depends on the seed and on what row i is, never on the rows beside it.

    Every call draws anew. Shapes are those of one row; results have the rows first and lie on the device that the Rng was made for.
    """

    def __len__(self) -> int:
        """The number of rows."""
        ...

    def normal(self, *shape: int) -> "Tensor":
        """Standard normal float32 (rows, *shape)."""
        ...

    def uniform(self, *shape: int) -> "Tensor":
        """Uniform float32 in [0, 1) (rows, *shape)."""
        ...

    def integers(self, low: int, high: int, *shape: int) -> "Tensor":
        """Uniform int64 in [low, high) (rows, *shape)."""
        ...


@runtime_checkable
class Denoiser(Protocol):
    """Capability ``denoise``: estimates the clean sample under Gaussian noise of a known level."""

    @property
    def event(self) -> Event:
        """What one sample is."""
        ...

    @property
    def sigma_range(self) -> tuple[float, float]:
        """The smallest and the largest noise level that the model was trained on, finite."""
        ...

    @property
    def scheduler(self) -> "Scheduler":
        """Places the levels that the model was trained on; what samplers walk along unless told otherwise."""
        ...

    def start(self, rng: Rng, sigma: float) -> "Tensor":
        """Samples (rows, *event.shape) of what the model takes for x_sigma at its largest level."""
        ...

    def denoise(self, x: "Tensor", sigma: "Tensor", labels: "Tensor | None" = None) -> "Tensor":
        """An estimate of E[x_0 | x_sigma = x], of the shape and dtype of ``x``.

        Args:
            x: (n, *event.shape).
            sigma: float64 (n,).
            labels: int64 (n,); None asks for the unconditional estimate.
        """
        ...


@runtime_checkable
class Decoder(Protocol):
    """Capability ``decode``: a generator of samples from latents."""

    @property
    def event(self) -> Event:
        """What one sample is."""
        ...

    def prior(self, rng: Rng) -> "Tensor":
        """Latents from the prior, (rows, ...)."""
        ...

    def decode(self, z: "Tensor", labels: "Tensor | None" = None) -> "Tensor":
        """Samples (n, *event.shape) from latents; ``labels`` int64 (n,)."""
        ...


@runtime_checkable
class Encoder(Protocol):
    """Capability ``encode``: the latent of a sample; exact inverse of decode for a flow, the posterior's mean for a VAE."""

    def encode(self, x: "Tensor", labels: "Tensor | None" = None) -> "Tensor":
        """Latents of ``x`` (n, *event.shape). Never adds noise."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class LogProb:
    """A log-probability in nats, and what it is.

    Args:
        value: (n,), of each sample.
        kind: ``exact``; ``lower_bound``, whose expectation over the draws is at most the log-probability; or ``estimate``, which may err to
            both sides.
        space: what it is the probability of. ``continuous``: a density per unit of volume in the units of the event, which for images are
            those of [-1, 1]; it may be of any size. ``uint8``: the mass of the 8-bit image that x is, x = level / 127.5 - 1. ``binary``:
            the mass of an image of two levels, x = -1 for 0 and x = 1 for 1; of a grey x, that of the image which its row's noise draws
            from it, 1 with the probability (x + 1) / 2. The logarithm of a mass is at most 0.
        stderr: (n,), the standard error of ``value``. An estimate has one, a lower bound may, what is exact has none.
    """

    value: "Tensor"
    kind: Literal["exact", "lower_bound", "estimate"]
    space: Literal["continuous", "uint8", "binary"] = "continuous"
    stderr: "Tensor | None" = None

    def __len__(self) -> int:
        return len(self.value)

    def __iter__(self) -> "Iterator[LogProb]":
        return (self[row] for row in range(len(self)))

    def __getitem__(self, rows: "int | slice | Tensor") -> "LogProb":
        """Those of some rows, of the same kind and space."""
        return replace(self, value=self.value[rows], stderr=None if self.stderr is None else self.stderr[rows])

    def __float__(self) -> float:
        """The value of one row, in nats."""
        if self.value.numel() != 1:
            raise UsageError(f"these are the log-probabilities of {self.value.numel()} rows", "mean() is one number, and so is float(x[0])")
        return float(self.value)

    def mean(self) -> float:
        """The mean of the values, in nats."""
        return float(self.value.double().mean())

    def bits_per_dim(self, dims: int) -> "Tensor":
        """-value / (dims ln 2), (n,), in bits per dimension: of a lower bound of the log-probability, an upper bound.

        In ``uint8`` these are bits per subpixel, as papers have them. In ``continuous`` they are of a density in the units of the event:
        they may be negative, and compare with nothing but densities in the same units. (A density in [-1, 1] that is constant over each of
        the 256 levels has log2(127.5) = 6.99 bits per dimension less than the mass.)

        Args:
            dims: of the event: the product of its shape.

        Raises:
            UsageError: ``dims`` is not positive, or the space is ``binary``, of which papers tell nats.
        """
        if self.space == "binary":
            raise UsageError("bits per dimension are not told of binary images", "tell nats: the metric nll")
        if not isinstance(dims, int) or dims < 1:
            raise UsageError(f"dims must be a whole number of at least 1, not {str(dims)[:40]!r}")
        return -self.value / (dims * log(2))


@runtime_checkable
class Density(Protocol):
    """Capability ``density``: the log-probability of a sample."""

    def log_prob(self, x: "Tensor", labels: "Tensor | None" = None, *, rng: Rng | None = None, k: int = 1) -> LogProb:
        """The log-probability of each row of ``x`` (n, *event.shape).

        Args:
            x: of the space that the result names; who calls has seen to that.
            labels: int64 (n,); None asks for the log-probability without a label.
            rng: a row for each of ``x``, for what draws.
            k: the number of draws of a Monte Carlo bound, at least 1. More never make its expectation worse.
        """
        ...


@runtime_checkable
class Labelled(Protocol):
    """Capability ``labels``: samples of a chosen class.

    A model that knows nothing but classes, and so no answer to ``labels=None``, has the attribute ``needs_labels = True``. Image i is then
    of class i modulo ``num_classes`` where nobody asks for another.
    """

    @property
    def num_classes(self) -> int:
        """Labels are 0 ... num_classes - 1."""
        ...


@runtime_checkable
class Features(Protocol):
    """Capability ``features``: a vector that says what is in a sample; distances between sets of samples are taken there."""

    @property
    def event(self) -> Event:
        """What one sample is."""
        ...

    def features(self, x: "Tensor") -> "Tensor":
        """Features (n, d) of ``x`` (n, *event.shape), of its dtype."""
        ...


@runtime_checkable
class Classify(Protocol):
    """Capability ``classify``: tells the class of a sample. It draws none, and so has not the capability ``labels``."""

    @property
    def event(self) -> Event:
        """What one sample is."""
        ...

    @property
    def num_classes(self) -> int:
        """Classes are 0 ... num_classes - 1."""
        ...

    def classify(self, x: "Tensor") -> "Tensor":
        """Log-probabilities of the classes, (n, num_classes), for ``x`` (n, *event.shape), of its dtype."""
        ...


CAPABILITIES: dict[str, type] = {
    "denoise": Denoiser,
    "decode": Decoder,
    "encode": Encoder,
    "density": Density,
    "labels": Labelled,
    "features": Features,
    "classify": Classify,
}

OnStep = Callable[[int, float, "Tensor", "Tensor"], None]
"""``on_step(step, sigma, x, x0)``: called before step ``step`` (from 0) with the state, and once more at the end with sigma 0."""


class ModelConfig(Tagged):
    """Base of a family's config: a frozen dataclass in a module without torch."""

    __slots__ = ()
    kind: ClassVar[str] = "family"


class TrainerConfig(Tagged):
    """Base of a trainer's config: a frozen dataclass in a module without torch."""

    __slots__ = ()
    kind: ClassVar[str] = "trainer"


class DatasetConfig(Tagged):
    """Base of a data set's config: a frozen dataclass in a module without torch."""

    __slots__ = ()
    kind: ClassVar[str] = "dataset"


class Scheduler(Tagged, ABC):
    """Places the noise levels of a diffusion or score model. Stateless; plain floats."""

    __slots__ = ()
    kind: ClassVar[str] = "scheduler"

    @abstractmethod
    def sigmas(self, steps: int, lo: float, hi: float) -> tuple[float, ...]:
        """``steps`` decreasing noise levels within [lo, hi], the first of them the largest, followed by 0: steps + 1 floats."""


class DiscreteScheduler(Scheduler):
    """A scheduler with levels of its own, which a net can be trained on."""

    __slots__ = ()

    @property
    @abstractmethod
    def levels(self) -> tuple[float, ...]:
        """The noise levels sigma_1 < ... < sigma_T."""


class Sampler(Tagged, ABC):
    """Turns a model and random numbers into samples. Its options are its fields, so that JSON, command line and code share them.

    Attributes:
        requires: the capability that the model must have; the sampler uses no more of it than that.
        can_rise: whether ``sigmas`` may go up again on their way, as they do when it inpaints (:func:`zoo_core.samplers.resampled`).
    """

    __slots__ = ()
    kind: ClassVar[str] = "sampler"
    requires: ClassVar[str]
    can_rise: ClassVar[bool] = False

    @abstractmethod
    def noise_levels(self, model: Any, scheduler: Scheduler | None) -> tuple[float, ...]:
        """The ``sigmas`` to call with: from ``scheduler``, or the model's own when None, within the model's range.

        Empty where there is no noise to remove.
        """

    @abstractmethod
    def __call__(
        self,
        model: Any,
        rng: Rng,
        *,
        sigmas: Sequence[float] = (),
        x: "Tensor | None" = None,
        labels: "Tensor | None" = None,
        on_step: OnStep | None = None,
    ) -> "Tensor":
        """``len(rng)`` samples (n, *event.shape), float32 or wider.

        Args:
            model: has the capability that ``requires`` names.
            rng: one row a sample.
            sigmas: noise levels, the last of them 0: decreasing, but where the sampler ``can_rise``. Those of ``noise_levels(model, None)``
                when empty.
            x: where to start, (n, *event.shape) at noise level sigmas[0] (or latents, for a decoder); drawn from ``rng`` when None. It is
                not changed in place.
            labels: int64 (n,), for models with the capability ``labels``.
            on_step: sees every step, and the end: progress bars and figures live by it.
        """


LabelsLike: TypeAlias = "int | str | Sequence[int] | Sequence[str] | Tensor | None"
"""One class for all samples, or one for each, as numbers or names; None leaves the choice to the model."""

SamplerLike: TypeAlias = str | Mapping[str, Any] | Sampler
"""A sampler, its name, or its options as plain values."""

SchedulerLike: TypeAlias = str | Mapping[str, Any] | Scheduler
"""A scheduler, its name, or its options as plain values."""
