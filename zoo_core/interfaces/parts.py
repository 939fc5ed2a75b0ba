"""Base classes of the parts of a recipe: configs, schedulers and samplers."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

from zoo_core.config import Tagged
from zoo_core.interfaces.protocols import Rng

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "DatasetConfig",
    "DatasetLike",
    "DiscreteScheduler",
    "LabelsLike",
    "ModelConfig",
    "OnStep",
    "Sampler",
    "SamplerLike",
    "Scheduler",
    "SchedulerLike",
    "Teacher",
    "TrainerConfig",
]

OnStep = Callable[[int, float, "Tensor", "Tensor"], None]
"""``on_step(step, sigma, x, x0)``: called before step ``step`` (from 0) with the state, and once more at the end with sigma 0."""


class ModelConfig(Tagged):
    """Base class of a family's config: a frozen dataclass in a module without torch.

    >>> from dataclasses import dataclass
    >>> @dataclass(frozen=True, kw_only=True, slots=True)
    ... class VAEConfig(ModelConfig):
    ...     shape: tuple[int, ...] = (1, 28, 28)
    ...     latent: int = 16
    >>> VAEConfig(latent=8).latent
    8
    """

    __slots__ = ()
    kind: ClassVar[str] = "family"


class TrainerConfig(Tagged):
    """Base class of a trainer's config: a frozen dataclass in a module without torch.

    >>> from dataclasses import dataclass
    >>> @dataclass(frozen=True, kw_only=True, slots=True)
    ... class VAETrainerConfig(TrainerConfig):
    ...     beta: float = 1.0
    >>> VAETrainerConfig().beta
    1.0
    """

    __slots__ = ()
    kind: ClassVar[str] = "trainer"


@dataclass(frozen=True, kw_only=True, slots=True)
class Teacher:
    """A checkpoint whose model a trainer uses without training it, as a field of a trainer's config.

    >>> Teacher(reference="ddpm-afhq-cat").sha256 is None
    True

    Args:
        reference: the checkpoint, as for :func:`zoo_core.load`.
        sha256: digest of its weights, in hex; None for those of today, whose digest the run then records.
    """

    reference: str
    sha256: str | None = None


class DatasetConfig(Tagged):
    """Base class of a data set's config: a frozen dataclass in a module without torch.

    >>> from dataclasses import dataclass
    >>> @dataclass(frozen=True, kw_only=True, slots=True)
    ... class RingsConfig(DatasetConfig):
    ...     noise: float = 0.1
    >>> RingsConfig.kind
    'dataset'
    """

    __slots__ = ()
    kind: ClassVar[str] = "dataset"


class Scheduler(Tagged, ABC):
    """Places the noise levels of a diffusion or score model. Stateless; levels are plain floats.

    >>> from zoo_core.schedulers import Geometric
    >>> Geometric().sigmas(3, 0.01, 1.0)
    (1.0, 0.1, 0.01, 0.0)
    """

    __slots__ = ()
    kind: ClassVar[str] = "scheduler"

    @abstractmethod
    def sigmas(self, steps: int, lo: float, hi: float) -> tuple[float, ...]:
        """Returns ``steps`` decreasing noise levels within [lo, hi], followed by 0: steps + 1 floats."""


class DiscreteScheduler(Scheduler):
    """A scheduler with a finite set of levels, on which a net can be trained.

    >>> from zoo_core.schedulers import Cosine
    >>> len(Cosine(T=50).levels)
    50
    """

    __slots__ = ()

    @property
    @abstractmethod
    def levels(self) -> tuple[float, ...]:
        """The noise levels sigma_1 < ... < sigma_T."""


class Sampler(Tagged, ABC):
    """Turns a model and random numbers into samples. Its options are its fields, so that JSON, command line and code share them.

    >>> from zoo_core.samplers import Ancestral
    >>> sampler = Ancestral(steps=25)
    >>> isinstance(sampler, Sampler), sampler.requires
    (True, 'denoise')

    Attributes:
        requires: the one capability of the model that the sampler uses.
        can_rise: whether ``sigmas`` may rise in between, as they do in inpainting (:func:`zoo_core.samplers.resampled`).
    """

    __slots__ = ()
    kind: ClassVar[str] = "sampler"
    requires: ClassVar[str]
    can_rise: ClassVar[bool] = False

    @abstractmethod
    def noise_levels(self, model: Any, scheduler: Scheduler | None) -> tuple[float, ...]:
        """Returns the ``sigmas`` for a call: those of ``scheduler``, or of the model's own if None, within the model's range.

        They are empty for samplers without noise levels.
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
        """Draws ``len(rng)`` samples (n, *event.shape), float32 or wider.

        Args:
            model: a model with the capability ``requires``.
            rng: random numbers, one row for each sample.
            sigmas: decreasing noise levels, the last of them 0; they may rise in between if the sampler ``can_rise``. If empty, those of
                ``noise_levels(model, None)``.
            x: starting point, (n, *event.shape) at noise level sigmas[0] (or latents, for a decoder); drawn from ``rng`` if None. It is
                not changed in place.
            labels: classes, int64 (n,), for models with the capability ``labels``.
            on_step: callback for every step and for the end, as for progress bars and figures.
        """


LabelsLike: TypeAlias = "int | str | Sequence[int] | Sequence[str] | Tensor | None"
"""One class for all samples, or one for each, as numbers or names; None leaves the choice to the model."""

SamplerLike: TypeAlias = str | Mapping[str, Any] | Sampler
"""A sampler, its name, or its options as plain values."""

SchedulerLike: TypeAlias = str | Mapping[str, Any] | Scheduler
"""A scheduler, its name, or its options as plain values."""

DatasetLike: TypeAlias = str | Mapping[str, Any] | DatasetConfig
"""The config of a data set, its name and place as ``NAME[:PATH]``, or its options as plain values."""
