"""Configs of the classifier family."""

from dataclasses import dataclass

from zoo_core.config import check_range
from zoo_core.errors import ConfigError
from zoo_core.interfaces import ModelConfig, TrainerConfig

__all__ = ["ClassifierConfig", "ClassifierTrainerConfig"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassifierConfig(ModelConfig):
    """A small residual net that names the class of an image.

    Args:
        image_size: side of the square images.
        channels: number of channels of an image.
        num_classes: number of classes.
        widths: channels of each level; a level has half the side of the one before. The last is the number of features.
        blocks: residual blocks of each level but the first, which is one convolution.

    Raises:
        ConfigError: if a value is out of range, or the image is too small for so many levels.

    Example:
        >>> ClassifierConfig(image_size=32, channels=3, widths=(16, 32)).num_classes
        10
    """

    image_size: int = 28
    channels: int = 1
    num_classes: int = 10
    widths: tuple[int, ...] = (32, 64, 96)
    blocks: int = 1

    def __post_init__(self) -> None:
        check_range(self, image_size=(1, 4096), channels=(1, 64), num_classes=(2, 10**6), widths=(1, 4096), blocks=(0, 64))
        if not 1 <= len(self.widths) <= 12:
            raise ConfigError(f"widths must be 1 to 12 numbers, not {len(self.widths)}")
        if self.image_size < 2 ** (len(self.widths) - 1):
            raise ConfigError(f"image_size must be {2 ** (len(self.widths) - 1)} or more for {len(self.widths)} levels")


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassifierTrainerConfig(TrainerConfig):
    """Settings of training. Mirroring belongs to the data set: ``data.flip``.

    Args:
        label_smoothing: share of the target's probability that is spread over all classes (Szegedy et al. 2016, arXiv:1512.00567,
            section 7). It gives better probabilities and poorer features (Kornblith et al. 2021, arXiv:2010.16402).
        shift: largest distance in pixels by which images are moved, in each direction; the border is padded by reflection.
        cutout: side of the square that is blanked at a random place (DeVries and Taylor 2017, arXiv:1708.04552); 0 for none.

    Raises:
        ConfigError: if a value is out of range.

    Example:
        >>> ClassifierTrainerConfig(shift=4, cutout=8).label_smoothing
        0.0
    """

    label_smoothing: float = 0.0
    shift: int = 2
    cutout: int = 0

    def __post_init__(self) -> None:
        check_range(self, label_smoothing=(0.0, 0.999), shift=(0, 4096), cutout=(0, 4096))
