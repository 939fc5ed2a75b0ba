"""Configs of zoo-core's own texts; their loaders are in :mod:`zoo_core.data.text`."""

from dataclasses import dataclass
from typing import Literal

from zoo_core.config import check_range
from zoo_core.interfaces import DatasetConfig
from zoo_core.vocabulary import Vocabulary

__all__ = ["PydocConfig", "TextConfig", "TextSetConfig"]


@dataclass(frozen=True, kw_only=True, slots=True)
class TextSetConfig(DatasetConfig):
    """Base of the configs of texts, which are cut into windows of one length.

    The text is divided into blocks of 2,048 characters, or a twentieth of a shorter text. Every tenth block is held out as the split
    ``test``. Windows lie within what is left between such blocks, or within one of them.

    Args:
        length: number of characters, words or pieces of a sample.
        stride: distance of the beginnings of neighbouring windows in training; those of other splits do not overlap.
        split: ``train``, ``test`` for every tenth block, or ``all`` for the whole text without overlaps.
        vocabulary: tokens by their numbers, and their unit; those of the text if there are none.
        pieces: number of tokens of such a vocabulary of pieces, which are learned from the split ``train``.

    Raises:
        ConfigError: if a value is out of range.

    >>> PydocConfig(length=128).vocabulary.unit
    'character'
    """

    length: int = 64
    stride: int = 8
    split: Literal["train", "test", "all"] = "train"
    vocabulary: Vocabulary = Vocabulary()
    pieces: int = 512

    def __post_init__(self) -> None:
        check_range(self, length=(1, 65_536), stride=(1, 65_536), pieces=(1, 65_536))


@dataclass(frozen=True, kw_only=True, slots=True)
class TextConfig(TextSetConfig):
    """A plain text file in UTF-8.

    Args:
        path: path of the file; ``$VARIABLE`` is expanded as in :class:`zoo_core.datasets.FolderConfig`. See :class:`TextSetConfig` for the
            other options.

    >>> TextConfig(path="book.txt", vocabulary=Vocabulary(unit="word")).split
    'train'
    """

    path: str


@dataclass(frozen=True, kw_only=True, slots=True)
class PydocConfig(TextSetConfig):
    """The help texts of Python's language reference, which every CPython carries in ``pydoc_data.topics``; each paragraph once.

    Each version of Python has its own text: the digest of the data tells them apart. See :class:`TextSetConfig` for the options.

    >>> PydocConfig(split="test").stride
    8
    """
