"""The interfaces of the zoo: capabilities of models, samplers, schedulers, and base classes of configs.

All noise has one coordinate, ``x_sigma = x_0 + sigma * eps`` with standard normal ``eps``. A model of any parametrisation that can estimate
``x_0`` from ``x_sigma`` is a :class:`Denoiser`, and with it ``score = (denoise - x) / sigma**2`` and ``eps = (x - denoise) / sigma``.

Capabilities are protocols: a model has a capability if it has its methods. Samplers and schedulers are abstract classes; their subclasses
are frozen dataclasses whose fields are the options.
"""

from zoo_core.interfaces.event import Event
from zoo_core.interfaces.log_prob import LogProb
from zoo_core.interfaces.parts import (
    DatasetConfig,
    DatasetLike,
    DiscreteScheduler,
    LabelsLike,
    ModelConfig,
    OnStep,
    Sampler,
    SamplerLike,
    Scheduler,
    SchedulerLike,
    Teacher,
    TrainerConfig,
)
from zoo_core.interfaces.protocols import (
    CAPABILITIES,
    Classify,
    Conditional,
    Decoder,
    Denoiser,
    Density,
    Encoder,
    Features,
    Filler,
    Labelled,
    LatentModel,
    Rng,
    TextModel,
    Unmasker,
)

__all__ = [
    "CAPABILITIES",
    "Classify",
    "Conditional",
    "DatasetConfig",
    "DatasetLike",
    "Decoder",
    "Denoiser",
    "Density",
    "DiscreteScheduler",
    "Encoder",
    "Event",
    "Features",
    "Filler",
    "Labelled",
    "LabelsLike",
    "LatentModel",
    "LogProb",
    "ModelConfig",
    "OnStep",
    "Rng",
    "Sampler",
    "SamplerLike",
    "Scheduler",
    "SchedulerLike",
    "Teacher",
    "TextModel",
    "TrainerConfig",
    "Unmasker",
]
