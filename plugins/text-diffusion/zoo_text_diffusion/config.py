"""Configs of the families of text diffusion."""

from dataclasses import dataclass

from zoo_core.config import check_range
from zoo_core.errors import ConfigError
from zoo_core.interfaces import ModelConfig
from zoo_core.vocabulary import Vocabulary

__all__ = ["MaskDiffusionConfig", "TextEncoderConfig"]


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
