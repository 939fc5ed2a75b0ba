"""Configs and recipes of the fake families, without torch."""

from dataclasses import dataclass
from math import prod

from zoo_core.config import check_range
from zoo_core.errors import ConfigError
from zoo_core.interfaces import DatasetConfig, DiscreteScheduler, ModelConfig, Teacher, TrainerConfig
from zoo_core.recipes import FitConfig, OptimizerConfig, Recipe
from zoo_core.samplers import Ancestral, Latent
from zoo_core.schedulers import Cosine
from zoo_core.vocabulary import Vocabulary

__all__ = [
    "IMAGES",
    "NOISE",
    "TINY",
    "FakeConditionalConfig",
    "FakeConfig",
    "FakeDataConfig",
    "FakeDenoiserConfig",
    "FakeDenoiserTrainerConfig",
    "FakeFillerConfig",
    "FakeLatentConfig",
    "FakeStudentConfig",
    "FakeTextConfig",
    "FakeTrainerConfig",
]


def _check_shape(shape: tuple[int, ...]) -> None:
    if not shape or any(side < 1 for side in shape) or prod(shape) > 1 << 20:
        raise ConfigError(f"shape must have 1 to 2**20 elements, not {list(shape)}")


@dataclass(frozen=True, kw_only=True, slots=True)
class FakeConfig(ModelConfig):
    """The config of the fake flow.

    >>> FakeConfig(shape=(3, 8, 8), bounded=True)
    FakeConfig(shape=(3, 8, 8), classes=3, bounded=True)

    Args:
        shape: shape of a sample.
        classes: number of classes; 0 for a model without labels.
        bounded: whether a tanh puts samples into [-1, 1], the range of images.
    """

    shape: tuple[int, ...] = (2,)
    classes: int = 3
    bounded: bool = False

    def __post_init__(self) -> None:
        _check_shape(self.shape)
        check_range(self, classes=(0, 1000))


@dataclass(frozen=True, kw_only=True, slots=True)
class FakeTrainerConfig(TrainerConfig):
    """The config of the adversarial trainer of the fake flow.

    >>> FakeTrainerConfig(penalty=10.0).every
    2

    Args:
        width: number of hidden units of the critic.
        every: number of critic steps for each generator step.
        penalty: weight of the gradient penalty; 0 for none.
        batch_norm: whether the critic has a batch norm, with running statistics.
    """

    width: int = 16
    every: int = 2
    penalty: float = 0.0
    batch_norm: bool = False

    def __post_init__(self) -> None:
        check_range(self, width=(1, 4096), every=(1, 1000), penalty=(0.0, 1000.0))


@dataclass(frozen=True, kw_only=True, slots=True)
class FakeDenoiserConfig(ModelConfig):
    """The config of the exact denoiser of x_0 ~ N(mean, std^2), whose mean and std are its only weights.

    >>> FakeDenoiserConfig().scheduler.T
    50

    Args:
        shape: shape of a sample.
        classes: number of classes; 0 for a model without labels.
        bounded: whether the model declares the range [-1, 1] of images.
        mean: initial mean of every component.
        std: initial standard deviation of every component.
        scheduler: noise levels of the training.
    """

    shape: tuple[int, ...] = (2,)
    classes: int = 0
    bounded: bool = False
    mean: float = 0.0
    std: float = 0.5
    scheduler: DiscreteScheduler = Cosine(T=50)

    def __post_init__(self) -> None:
        _check_shape(self.shape)
        check_range(self, classes=(0, 1000), mean=(-10.0, 10.0), std=(1e-3, 10.0))


@dataclass(frozen=True, kw_only=True, slots=True)
class FakeTextConfig(ModelConfig):
    """The config of texts whose characters are independent of each other.

    >>> len(FakeTextConfig().vocabulary)
    3

    Args:
        vocabulary: the characters.
        length: number of characters of a text.
    """

    vocabulary: Vocabulary = Vocabulary(tokens=("a", "b", "\n"))
    length: int = 4

    def __post_init__(self) -> None:
        check_range(self, length=(1, 4096))


@dataclass(frozen=True, kw_only=True, slots=True)
class FakeFillerConfig(ModelConfig):
    """The config of a model that fills the unknown values of a sample with the mean of the known ones.

    >>> FakeFillerConfig().noise
    0.1

    Args:
        shape: shape of a sample.
        bounded: whether the model declares the range [-1, 1] of images.
        noise: standard deviation of the noise on what is filled in.
    """

    shape: tuple[int, ...] = (2,)
    bounded: bool = False
    noise: float = 0.1

    def __post_init__(self) -> None:
        _check_shape(self.shape)
        check_range(self, noise=(0.0, 10.0))


@dataclass(frozen=True, kw_only=True, slots=True)
class FakeLatentConfig(ModelConfig):
    """The config of images of 8x8 pixels whose latents, images of 4x4, have an exact denoiser.

    >>> FakeLatentConfig(classes=2).std
    0.5

    Args:
        classes: number of classes; 0 for a model without labels.
        std: initial standard deviation of every component of a latent.
    """

    classes: int = 0
    std: float = 0.5

    def __post_init__(self) -> None:
        check_range(self, classes=(0, 1000), std=(1e-3, 10.0))


@dataclass(frozen=True, kw_only=True, slots=True)
class FakeConditionalConfig(ModelConfig):
    """The config of the exact denoiser of a Gaussian, whose condition is a noisy sample.

    >>> FakeConditionalConfig().tau
    0.25

    Args:
        shape: shape of a sample, and of a condition.
        classes: number of classes; 0 for a model without labels.
        bounded: whether the model declares the range [-1, 1] of images.
        std: standard deviation of every component.
        tau: standard deviation of the noise of a condition.
        examples: number of conditions that the model has; 0 for none.
    """

    shape: tuple[int, ...] = (2,)
    classes: int = 0
    bounded: bool = False
    std: float = 0.5
    tau: float = 0.25
    examples: int = 0

    def __post_init__(self) -> None:
        _check_shape(self.shape)
        check_range(self, classes=(0, 1000), std=(1e-3, 10.0), tau=(1e-3, 10.0), examples=(0, 100))


@dataclass(frozen=True, kw_only=True, slots=True)
class FakeDenoiserTrainerConfig(TrainerConfig):
    """The config of the trainer of the denoiser, which draws levels uniformly from the trained ones.

    >>> FakeDenoiserTrainerConfig()
    FakeDenoiserTrainerConfig()
    """


@dataclass(frozen=True, kw_only=True, slots=True)
class FakeStudentConfig(TrainerConfig):
    """The config of a trainer by which a denoiser learns from a teacher.

    >>> FakeStudentConfig(teacher=Teacher(reference="ddpm-afhq-cat")).teacher.reference
    'ddpm-afhq-cat'

    Args:
        teacher: checkpoint of a denoiser.
    """

    teacher: Teacher


@dataclass(frozen=True, kw_only=True, slots=True)
class FakeDataConfig(DatasetConfig):
    """The config of blobs around the corners of a regular polygon, a class for each blob.

    The even and the odd values of an image are the two coordinates of a point.

    >>> FakeDataConfig(shape=(1, 8, 8), count=64)
    FakeDataConfig(shape=(1, 8, 8), classes=3, count=64, seed=0)

    Args:
        shape: shape of a sample; (c, h, w) makes uint8 images, another shape float32 points.
        classes: number of blobs.
        count: number of samples.
        seed: seed of the noise.
    """

    shape: tuple[int, ...] = (2,)
    classes: int = 3
    count: int = 256
    seed: int = 0

    def __post_init__(self) -> None:
        _check_shape(self.shape)
        check_range(self, classes=(1, 1000), count=(1, 100_000), seed=(0, 2**64 - 1))


_FIT = FitConfig(steps=30, batch_size=16, optimizer=OptimizerConfig(lr=1e-2), save_every=15, sample_every=0, log_every=5)

TINY = Recipe(model=FakeConfig(), trainer=FakeTrainerConfig(), fit=_FIT, data=FakeDataConfig(), sampler=Latent())

IMAGES = Recipe(
    model=FakeConfig(shape=(3, 8, 8), bounded=True),
    trainer=FakeTrainerConfig(),
    fit=_FIT,
    data=FakeDataConfig(shape=(3, 8, 8)),
    sampler=Latent(),
)

NOISE = Recipe(
    model=FakeDenoiserConfig(),
    trainer=FakeDenoiserTrainerConfig(),
    fit=_FIT,
    data=FakeDataConfig(),
    sampler=Ancestral(steps=10),
)
