"""Configs of the clip family."""

from dataclasses import dataclass

from zoo_core.config import check_range
from zoo_core.errors import ConfigError
from zoo_core.interfaces import ModelConfig, TrainerConfig
from zoo_core.vocabulary import Vocabulary

__all__ = ["CLIPConfig", "CLIPTrainerConfig"]


@dataclass(frozen=True, kw_only=True, slots=True)
class CLIPConfig(ModelConfig):
    """An encoder of images and one of texts, with features in one space.

    >>> CLIPConfig(classes=(("a cat",), ("a dog", "two dogs"))).features
    64

    Args:
        image_size: side of the square images; a multiple of 2 ** (len(widths) - 1).
        channels: number of channels of an image.
        widths: widths of the levels of the image encoder; level i has half the side of level i - 1.
        features: length of a feature vector.
        vocabulary: the words; those of the data if there are none.
        length: number of words of the longest text.
        text_width: length of the vector of a word.
        text_layers: layers of the Transformer.
        text_heads: heads of each layer.
        classes: the texts of each class of zero-shot classification, whose features are averaged; at least 2 classes.

    Raises:
        ConfigError: if a value is out of range, or the sizes do not divide as they must, or a class has no text.
    """

    image_size: int = 32
    channels: int = 3
    widths: tuple[int, ...] = (32, 64, 96, 128)
    features: int = 64
    vocabulary: Vocabulary = Vocabulary(unit="word")
    length: int = 16
    text_width: int = 64
    text_layers: int = 2
    text_heads: int = 4
    classes: tuple[tuple[str, ...], ...] = (("",), ("",))

    def __post_init__(self) -> None:
        check_range(self, image_size=(1, 4096), channels=(1, 64), widths=(1, 4096), features=(1, 4096), length=(1, 4096))
        check_range(self, text_width=(1, 4096), text_layers=(1, 64), text_heads=(1, 256))
        if not 1 <= len(self.widths) <= 12:
            raise ConfigError(f"widths must be 1 to 12 numbers, not {len(self.widths)}")
        if self.image_size % 2 ** (len(self.widths) - 1):
            raise ConfigError(f"image_size must be a multiple of {2 ** (len(self.widths) - 1)} for {len(self.widths)} levels")
        if self.text_width % self.text_heads:
            raise ConfigError(f"text_heads must divide text_width, but {self.text_heads} does not divide {self.text_width}")
        if self.vocabulary.unit != "word":
            raise ConfigError(f"vocabulary: texts are read word by word, not {self.vocabulary.unit} by {self.vocabulary.unit}")
        if len(self.classes) < 2 or not all(self.classes):
            raise ConfigError("classes must be at least 2, each with a text or more")


@dataclass(frozen=True, kw_only=True, slots=True)
class CLIPTrainerConfig(TrainerConfig):
    """Settings of training.

    Args:
        temperature: temperature of the similarities at the start; it is learned (Radford et al. 2021, arXiv:2103.00020, section 2.5).

    Raises:
        ConfigError: if it is out of range.

    >>> CLIPTrainerConfig().temperature
    0.07
    """

    temperature: float = 0.07

    def __post_init__(self) -> None:
        check_range(self, temperature=(0.01, 10.0))
