"""Configs of zoo-core's captioned data sets; their loaders are in :mod:`zoo_core.data.captioned`."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from zoo_core.config import check_range
from zoo_core.data.captions import CLOTHES, COLOURS, DIGITS, Noun, caption_vocabulary
from zoo_core.interfaces import DatasetConfig
from zoo_core.vocabulary import Vocabulary

__all__ = ["CaptionedConfig", "CaptionedFashionMNISTConfig", "CaptionedMNISTConfig", "held_out"]


def held_out(kind: int) -> int:
    """The colour, by its place in :data:`zoo_core.data.captions.COLOURS`, that objects of a class never have in training.

    >>> [COLOURS[held_out(kind)] for kind in range(3)]
    ['green', 'purple', 'black']

    Args:
        kind: number of the class.
    """
    return (3 * kind + 1) % len(COLOURS)


@dataclass(frozen=True, kw_only=True, slots=True)
class CaptionedConfig(DatasetConfig):
    """Base of the configs of captioned data sets: real grey images, coloured and placed in images of 32 x 32 pixels with captions.

    Image i of a split shows grey image i of its source, once or, in three of ten images, together with another one of its class. The split
    ``train`` is made from the source's training images, ``test`` and ``heldout`` from its test images. Each class has a colour that it has
    in all images of ``heldout`` and in none of the other two: see :func:`held_out`.

    Attributes:
        nouns: singular and plural of the names of the classes.

    Args:
        root: folder that holds the files of the grey images. ``$VARIABLE`` is expanded from the environment when the data is read.
        split: ``train``, ``test``, or ``heldout`` for combinations of class and colour that training never sees.
        label: the attribute that the labels are of.
        omit: probability that a caption leaves out size, colour, place or background, each for itself.
        seed: seed of colours, places, sizes, numbers and captions.
        download: True to download missing files. Otherwise the network is never used.

    Raises:
        ConfigError: if a value is out of range.

    >>> CaptionedMNISTConfig(split="heldout").nouns[7]
    ('seven', 'sevens')
    """

    nouns: ClassVar[tuple[Noun, ...]]

    root: str = "$ZOO_DATA"
    split: Literal["train", "test", "heldout"] = "train"
    label: Literal["class", "colour", "background", "place", "size", "number"] = "class"
    omit: float = 0.2
    seed: int = 0
    download: bool = False

    def __post_init__(self) -> None:
        check_range(self, omit=(0.0, 1.0), seed=(0, 2**64 - 1))

    @property
    def words(self) -> Vocabulary:
        """The words of the captions."""
        return caption_vocabulary(self.nouns)


@dataclass(frozen=True, kw_only=True, slots=True)
class CaptionedMNISTConfig(CaptionedConfig):
    """Handwritten digits in colour with captions, 60,000, 10,000 and 10,000; see :class:`CaptionedConfig` for the options.

    >>> CaptionedMNISTConfig(omit=0.0).split
    'train'
    """

    nouns: ClassVar[tuple[Noun, ...]] = DIGITS


@dataclass(frozen=True, kw_only=True, slots=True)
class CaptionedFashionMNISTConfig(CaptionedConfig):
    """Articles of clothing in colour with captions, 60,000, 10,000 and 10,000; see :class:`CaptionedConfig` for the options.

    >>> CaptionedFashionMNISTConfig().nouns[-1]
    ('boot', 'boots')
    """

    nouns: ClassVar[tuple[Noun, ...]] = CLOTHES
