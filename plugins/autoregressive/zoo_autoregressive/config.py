"""Configs of the families pixelcnn, pixel-transformer and text-transformer."""

from dataclasses import dataclass
from typing import Literal

from zoo_core.config import check_range
from zoo_core.errors import ConfigError
from zoo_core.interfaces import ModelConfig
from zoo_core.vocabulary import Vocabulary

__all__ = ["AutoregressiveConfig", "PixelCNNConfig", "PixelTransformerConfig", "TextTransformerConfig"]


@dataclass(frozen=True, kw_only=True, slots=True)
class AutoregressiveConfig(ModelConfig):
    """The images of an autoregressive model, and the distribution of a pixel given those before it.

    Args:
        shape: shape of an image: (channels, height, width). The channels of a pixel follow each other in a row, as further columns.
        likelihood: distribution of a value given those before it.
            ``bernoulli``: of a binary image, drawn from the grey levels (space ``binary``).
            ``categorical``: a softmax over the 256 levels (space ``uint8``).
            ``logistic-mixture``: a discretised mixture of logistics (space ``uint8``; Salimans et al. 2017, arXiv:1701.05517, eq. 2).
        mixtures: number of logistics of a mixture.

    Raises:
        ConfigError: if a value is out of range.

    Example:
        >>> AutoregressiveConfig(likelihood="categorical").shape
        (1, 28, 28)
    """

    shape: tuple[int, ...] = (1, 28, 28)
    likelihood: Literal["bernoulli", "categorical", "logistic-mixture"] = "bernoulli"
    mixtures: int = 5

    def __post_init__(self) -> None:
        check_range(self, shape=(1, 4096), mixtures=(1, 64))
        if len(self.shape) != 3:
            raise ConfigError("shape must be (channels, height, width)")


@dataclass(frozen=True, kw_only=True, slots=True)
class PixelCNNConfig(AutoregressiveConfig):
    """A gated PixelCNN (van den Oord et al. 2016, arXiv:1606.05328).

    Args:
        layers: number of gated layers.
        channels: channels of both stacks.
        kernel: odd side of the kernels; a pixel of a layer sees (kernel + 1) / 2 rows and columns.
        first_kernel: the same for the first layer.
        hidden: channels of the layer before the outputs.

    Raises:
        ConfigError: if a value is out of range, or a side is even.

    Example:
        >>> PixelCNNConfig(layers=7, channels=32).kernel
        5
    """

    layers: int = 6
    channels: int = 32
    kernel: int = 5
    first_kernel: int = 7
    hidden: int = 64

    def __post_init__(self) -> None:
        AutoregressiveConfig.__post_init__(self)
        check_range(self, layers=(1, 64), channels=(1, 4096), kernel=(1, 63), first_kernel=(1, 63), hidden=(1, 65_536))
        for name in ("kernel", "first_kernel"):
            if not getattr(self, name) % 2:
                raise ConfigError(f"{name} must be odd, not {getattr(self, name)}")


@dataclass(frozen=True, kw_only=True, slots=True)
class PixelTransformerConfig(AutoregressiveConfig):
    """A decoder-only Transformer over the pixels in raster order (Child et al. 2019, arXiv:1904.10509, with full causal attention).

    Args:
        layers: number of blocks.
        width: width of the residual stream.
        heads: number of heads; a divisor of width.

    Raises:
        ConfigError: if a value is out of range, or heads does not divide width.

    Example:
        >>> PixelTransformerConfig(width=64, heads=4).layers
        4
    """

    layers: int = 4
    width: int = 64
    heads: int = 4

    def __post_init__(self) -> None:
        AutoregressiveConfig.__post_init__(self)
        check_range(self, layers=(1, 64), width=(1, 16_384), heads=(1, 256))
        if self.width % self.heads:
            raise ConfigError(f"heads must divide width, but {self.heads} does not divide {self.width}")


@dataclass(frozen=True, kw_only=True, slots=True)
class TextTransformerConfig(ModelConfig):
    """A decoder-only Transformer over the tokens of a text (Radford et al. 2018, "Improving language understanding").

    Args:
        vocabulary: tokens by their numbers; training takes those of its data if there are none.
        length: number of characters, words or pieces of a text.
        layers: number of blocks.
        width: width of the residual stream.
        heads: number of heads; a divisor of width.

    Raises:
        ConfigError: if a value is out of range, or heads does not divide width.

    Example:
        >>> TextTransformerConfig(length=128).width
        96
    """

    vocabulary: Vocabulary = Vocabulary()
    length: int = 64
    layers: int = 3
    width: int = 96
    heads: int = 4

    def __post_init__(self) -> None:
        check_range(self, length=(1, 4096), layers=(1, 64), width=(1, 16_384), heads=(1, 256))
        if self.width % self.heads:
            raise ConfigError(f"heads must divide width, but {self.heads} does not divide {self.width}")
