"""Configs of the projection-cgan family."""

from dataclasses import dataclass
from typing import Literal

from zoo_core.config import check_range
from zoo_core.errors import ConfigError
from zoo_core.interfaces import ModelConfig, TrainerConfig
from zoo_core.models.config import MOST_BLOCKS, check_block_count, check_blocks

__all__ = ["ProjectionCGANConfig", "ProjectionCGANTrainerConfig"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ProjectionCGANConfig(ModelConfig):
    """A residual generator of images of a class, from a standard normal latent. The defaults are the paper's for CIFAR-10.

    Args:
        shape: shape of an image, (channels, side, side).
        num_classes: number of classes.
        latent: dimension of z.
        width: number of channels that ``multipliers`` multiply.
        multipliers: block i has width * multipliers[i] channels and doubles the side; the first block has as many input channels.

    Raises:
        ConfigError: if a value is out of range, or the side does not halve as often as there are blocks.

    Example:
        >>> ProjectionCGANConfig(shape=(1, 28, 28), latent=64, width=16, multipliers=(2, 1)).num_classes
        10
    """

    shape: tuple[int, int, int] = (3, 32, 32)
    num_classes: int = 10
    latent: int = 128
    width: int = 256
    multipliers: tuple[int, ...] = (1, 1, 1)

    def __post_init__(self) -> None:
        check_range(self, shape=(1, 4096), num_classes=(1, 100_000), latent=(1, 65_536), width=(1, 4096), multipliers=(1, 64))
        check_blocks(self.shape, self.multipliers, len(self.multipliers))


@dataclass(frozen=True, kw_only=True, slots=True)
class ProjectionCGANTrainerConfig(TrainerConfig):
    """Adversarial training against a projection discriminator. The defaults are the paper's for CIFAR-10.

    Args:
        loss: ``hinge``, or ``non-saturating``, where the critic's output is a logit.
        n_critic: number of steps of the critic for each step of the generator.
        generator_factor: size of the generator's batch, in batches of the critic.
        width: number of channels that ``multipliers`` multiply.
        multipliers: block i of the critic has width * multipliers[i] channels.
        halvings: number of blocks that halve the side, the first ones.
        class_bias: whether the critic adds a learned number b_y for each class, as a log-linear model of the classes has.

    Raises:
        ConfigError: if a value is out of range, or there are fewer blocks than halvings.

    Example:
        >>> ProjectionCGANTrainerConfig(width=32, multipliers=(1, 2, 4)).loss
        'hinge'
    """

    loss: Literal["hinge", "non-saturating"] = "hinge"
    n_critic: int = 5
    generator_factor: int = 1
    width: int = 128
    multipliers: tuple[int, ...] = (1, 1, 1, 1)
    halvings: int = 2
    class_bias: bool = False

    def __post_init__(self) -> None:
        check_range(self, n_critic=(1, 1000), generator_factor=(1, 64), width=(1, 4096), multipliers=(1, 64), halvings=(0, MOST_BLOCKS))
        check_block_count(self.multipliers)
        if self.halvings > len(self.multipliers):
            raise ConfigError(f"halvings must be at most {len(self.multipliers)}, as many as there are multipliers")
