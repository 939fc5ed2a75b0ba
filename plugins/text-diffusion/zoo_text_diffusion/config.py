"""Configs of the families of text diffusion."""

from dataclasses import dataclass

from zoo_core.config import check_range
from zoo_core.errors import ConfigError
from zoo_core.interfaces import ModelConfig
from zoo_core.models.config import DenoisingConfig
from zoo_core.vocabulary import Vocabulary

__all__ = ["EmbeddingDiffusionConfig", "MaskDiffusionConfig", "TextEncoderConfig"]


@dataclass(frozen=True, kw_only=True, slots=True)
class TextEncoderConfig(ModelConfig):
    """The texts of a model, and the sizes of its Transformer encoder.

    Args:
        vocabulary: tokens by their numbers; training takes those of its data if there are none.
        length: number of characters, words or pieces of a text.
        layers: number of blocks.
        width: width of the residual stream; a multiple of twice the heads.
        heads: number of heads.
        hidden: width of the perceptron of a block.
        kernel: odd number of neighbouring places that a block mixes before its attention.

    Raises:
        ConfigError: if a value is out of range, the kernel is even, or the width does not divide as it must.

    Example:
        >>> TextEncoderConfig(length=128).width
        128
    """

    vocabulary: Vocabulary = Vocabulary()
    length: int = 64
    layers: int = 3
    width: int = 128
    heads: int = 4
    hidden: int = 192
    kernel: int = 5

    def __post_init__(self) -> None:
        check_range(self, length=(1, 65_536), layers=(1, 64), width=(2, 16_384), heads=(1, 256), hidden=(1, 65_536), kernel=(1, 63))
        if not self.kernel % 2:
            raise ConfigError(f"kernel must be odd, not {self.kernel}")
        if self.width % (2 * self.heads):
            raise ConfigError(f"width must be a multiple of twice the heads, {2 * self.heads}, not {self.width}")


@dataclass(frozen=True, kw_only=True, slots=True)
class MaskDiffusionConfig(TextEncoderConfig):
    """Absorbing diffusion of texts (Austin et al. 2021, arXiv:2107.03006; Sahoo et al. 2024, arXiv:2406.07524).

    The options are those of :class:`TextEncoderConfig`.

    Example:
        >>> MaskDiffusionConfig(layers=2).layers
        2
    """


@dataclass(frozen=True, kw_only=True, slots=True)
class EmbeddingDiffusionConfig(TextEncoderConfig):
    """Gaussian diffusion on embeddings of tokens (Li et al. 2022, arXiv:2205.14217).

    Args:
        size: number of components of an embedding.
        sigma_min: smallest noise level; a component has the standard deviation 1.
        sigma_max: largest noise level.

    Raises:
        ConfigError: if a value is out of range, or as :class:`TextEncoderConfig` raises.

    Example:
        >>> EmbeddingDiffusionConfig(size=16).denoising.shape
        (64, 16)
    """

    size: int = 32
    sigma_min: float = 0.05
    sigma_max: float = 20.0

    def __post_init__(self) -> None:
        TextEncoderConfig.__post_init__(self)
        check_range(self, size=(1, 4096))
        if not 0 < self.sigma_min < self.sigma_max:
            raise ConfigError(f"sigma_min must be in (0, sigma_max), not {self.sigma_min:g}")

    @property
    def denoising(self) -> DenoisingConfig:
        """The config of the denoiser of embeddings, (length, size)."""
        return DenoisingConfig(shape=(self.length, self.size), sigma_min=self.sigma_min, sigma_max=self.sigma_max, sigma_data=1.0)
