"""Configs of the text-to-image family."""

from dataclasses import dataclass

from zoo_core.config import check_range
from zoo_core.errors import ConfigError
from zoo_core.interfaces import ModelConfig, TrainerConfig
from zoo_core.models.config import UNetConfig
from zoo_core.vocabulary import Vocabulary

__all__ = ["TextToImageConfig", "TextToImageTrainerConfig", "net_config"]


@dataclass(frozen=True, kw_only=True, slots=True)
class TextToImageConfig(ModelConfig):
    """A U-Net that denoises images given a text, and the Transformer that reads the text.

    The net works on patches of pixels: an image of side s and c channels is one of side s / patch and c * patch^2 channels to it.

    >>> TextToImageConfig(image_size=16, dim=16).length
    16

    Args:
        image_size: side of the square images.
        channels: number of channels of an image.
        patch: side of the patches of pixels that are one pixel of the net.
        dim: width of the first level of the net, see :class:`zoo_core.models.config.UNetConfig`.
        multipliers: widths of its levels as multiples of ``dim``.
        blocks: residual blocks of each level.
        attention: sides of the levels, in patches, that attend to themselves and to the text.
        vocabulary: the words; those of the data if there are none.
        length: number of words of the longest prompt.
        text_width: length of the vector of a word.
        text_layers: layers of the Transformer.
        text_heads: heads of each layer.
        sigma_min: smallest noise level.
        sigma_max: largest noise level.

    Raises:
        ConfigError: if a value is out of range, image_size is no multiple of the patch, or text_heads does not divide text_width.
    """

    image_size: int = 32
    channels: int = 3
    patch: int = 2
    dim: int = 32
    multipliers: tuple[int, ...] = (1, 2, 2)
    blocks: int = 1
    attention: tuple[int, ...] = (8, 4)
    vocabulary: Vocabulary = Vocabulary(unit="word")
    length: int = 16
    text_width: int = 64
    text_layers: int = 2
    text_heads: int = 4
    sigma_min: float = 0.01
    sigma_max: float = 80.0

    def __post_init__(self) -> None:
        check_range(self, image_size=(1, 4096), channels=(1, 64), patch=(1, 16), length=(1, 4096))
        check_range(self, text_width=(1, 4096), text_layers=(1, 64), text_heads=(1, 256))
        check_range(self, sigma_min=(1e-9, 1e9), sigma_max=(1e-9, 1e9))
        if self.sigma_min >= self.sigma_max:
            raise ConfigError(f"sigma_min must be less than sigma_max, not {self.sigma_min:g} >= {self.sigma_max:g}")
        if self.image_size % self.patch:
            raise ConfigError(f"image_size must be a multiple of patch, but {self.patch} does not divide {self.image_size}")
        if self.text_width % self.text_heads:
            raise ConfigError(f"text_heads must divide text_width, but {self.text_heads} does not divide {self.text_width}")
        if self.vocabulary.unit != "word":
            raise ConfigError(f"vocabulary: prompts are read word by word, not {self.vocabulary.unit} by {self.vocabulary.unit}")
        net_config(self)


def net_config(config: TextToImageConfig) -> UNetConfig:
    """The config of the net, whose pixels are patches of the image.

    >>> net_config(TextToImageConfig()).channels
    12
    """
    return UNetConfig(
        image_size=config.image_size // config.patch,
        channels=config.channels * config.patch**2,
        dim=config.dim,
        multipliers=config.multipliers,
        blocks=config.blocks,
        attention=config.attention,
        linear_attention=(),
        heads=4 if config.dim % 4 == 0 else 1,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class TextToImageTrainerConfig(TrainerConfig):
    """Noise levels of training, and the rate at which captions are withheld.

    >>> TextToImageTrainerConfig().p_uncond
    0.1

    Args:
        p_uncond: probability that the caption of a row is replaced by the empty one, which classifier-free guidance needs.
        shift: factor of the noise levels tan(pi t / 2), t uniform in (0, 1), of the cosine schedule. Above 1, more of training is spent on
            what is large, such as colours and places (Hoogeboom et al. 2023, arXiv:2301.11093, section 2.1).

    Raises:
        ConfigError: if a value is out of range.
    """

    p_uncond: float = 0.1
    shift: float = 2.0

    def __post_init__(self) -> None:
        check_range(self, p_uncond=(0.0, 1.0), shift=(1e-3, 1e3))
