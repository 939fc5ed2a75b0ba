"""Configs of the biggan family."""

from dataclasses import dataclass
from typing import Literal

from zoo_core.config import check_range
from zoo_core.errors import ConfigError
from zoo_core.interfaces import ModelConfig, TrainerConfig
from zoo_core.models.config import MOST_BLOCKS, check_block_count, check_blocks

__all__ = ["BigGANConfig", "BigGANTrainerConfig"]


@dataclass(frozen=True, kw_only=True, slots=True)
class BigGANConfig(ModelConfig):
    """A residual generator of images of a class (Brock et al. 2019, arXiv:1809.11096, appendix B). The defaults suit 32x32 photographs.

    Args:
        shape: shape of an image, (channels, side, side).
        num_classes: number of classes.
        latent: dimension of z, which is cut into as many equal chunks as there are blocks, and one for the first layer.
        embedding: dimension of the class embedding that all blocks share.
        width: number of channels that ``multipliers`` multiply.
        multipliers: block i has width * multipliers[i] channels and doubles the side; the first block has as many input channels.
        attention: sides of the feature maps that pass self-attention, after the block that makes them.

    Raises:
        ConfigError: if a value is out of range, z has no equal chunks, the side does not halve as often as there are blocks, or no block
            makes a side of ``attention``.

    Example:
        >>> config = BigGANConfig(shape=(3, 32, 32), latent=80, multipliers=(4, 2, 1))
        >>> config.sides, config.chunk
        ((8, 16, 32), 20)
    """

    shape: tuple[int, int, int] = (3, 32, 32)
    num_classes: int = 10
    latent: int = 80
    embedding: int = 64
    width: int = 32
    multipliers: tuple[int, ...] = (4, 2, 1)
    attention: tuple[int, ...] = (16,)

    def __post_init__(self) -> None:
        check_range(self, shape=(1, 4096), num_classes=(1, 100_000), latent=(1, 65_536), embedding=(1, 65_536), width=(1, 4096))
        check_range(self, multipliers=(1, 64))
        check_blocks(self.shape, self.multipliers, len(self.multipliers))
        if self.latent % (len(self.multipliers) + 1):
            raise ConfigError(f"latent must be a multiple of {len(self.multipliers) + 1}, one chunk of z for each block and one more")
        check_attention(self.attention, self.sides)

    @property
    def sides(self) -> tuple[int, ...]:
        """The sides of the blocks' outputs."""
        count = len(self.multipliers)
        return tuple(self.shape[1] >> (count - 1 - block) for block in range(count))

    @property
    def chunk(self) -> int:
        """Dimension of a chunk of z."""
        return self.latent // (len(self.multipliers) + 1)


@dataclass(frozen=True, kw_only=True, slots=True)
class BigGANTrainerConfig(TrainerConfig):
    """The hinge loss against a projection critic with self-attention.

    Args:
        n_critic: number of steps of the critic for each step of the generator.
        width: number of channels that ``multipliers`` multiply.
        multipliers: block i of the critic has width * multipliers[i] channels.
        halvings: number of blocks that halve the side, the first ones.
        attention: sides of the critic's feature maps that pass self-attention, after the first block that makes them.
        orthogonal: weight beta of the orthogonal regularisation of the generator (arXiv:1809.11096, eq. 3); 0 for none.
        augment: differentiable augmentations of what the critic sees (Zhao et al. 2020, arXiv:2006.10738), for few images.

    Raises:
        ConfigError: if a value is out of range, there are fewer blocks than halvings, or an augmentation is named twice.

    Example:
        >>> BigGANTrainerConfig(multipliers=(1, 2, 4), orthogonal=1e-4).n_critic
        1
    """

    n_critic: int = 1
    width: int = 32
    multipliers: tuple[int, ...] = (1, 2, 4, 4)
    halvings: int = 3
    attention: tuple[int, ...] = (16,)
    orthogonal: float = 0.0
    augment: tuple[Literal["colour", "translation", "cutout"], ...] = ()

    def __post_init__(self) -> None:
        check_range(self, n_critic=(1, 1000), width=(1, 4096), multipliers=(1, 64), halvings=(0, MOST_BLOCKS), orthogonal=(0.0, 1e6))
        check_block_count(self.multipliers)
        if self.halvings > len(self.multipliers):
            raise ConfigError(f"halvings must be at most {len(self.multipliers)}, as many as there are multipliers")
        if len(set(self.augment)) < len(self.augment):
            raise ConfigError(f"augment must name each augmentation once, not {', '.join(self.augment)}")

    def sides(self, side: int) -> tuple[int, ...]:
        """The sides of the blocks' outputs, for images of a side."""
        return tuple(side >> min(block + 1, self.halvings) for block in range(len(self.multipliers)))


def check_attention(attention: tuple[int, ...], sides: tuple[int, ...]) -> None:
    """Checks that each side of ``attention`` is one of a net's, and large enough to pool.

    Raises:
        ConfigError: if it is not.
    """
    for side in attention:
        if side not in sides or side < 2:
            raise ConfigError(f"attention must be sides of 2 or more among those of the blocks, {', '.join(map(str, sides))}, not {side}")
