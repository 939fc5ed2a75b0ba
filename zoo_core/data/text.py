"""Loaders of texts: a file, or the help texts that CPython carries, cut into windows of categories."""

import re
from itertools import pairwise
from pathlib import Path

import torch

from zoo_core.data.dataset import Data
from zoo_core.data.pieces import pieces_of
from zoo_core.data.text_sets import PydocConfig, TextConfig, TextSetConfig
from zoo_core.datasets import describe_path, expand
from zoo_core.errors import ConfigError
from zoo_core.hardware.memory import demand_memory, human_size
from zoo_core.vocabulary import Vocabulary, words_of

__all__ = ["pydoc", "pydoc_text", "read_text", "split_text", "text", "text_of", "vocabulary_of"]

BLOCK = 2048
"""Characters of a block of the split."""
HELD_OUT = 10
"""Every block of this number is one of the test split."""
_LARGEST = 1 << 28  # bytes of a text file
_SPACE = re.compile(r"\s")
_HINT = "a text is a plain file in UTF-8"


def text(config: TextConfig) -> Data:
    """Loads windows of a text file, int64 (N, length).

    Args:
        config: see :class:`zoo_core.data.text_sets.TextConfig`.

    Raises:
        ConfigError: if the file is missing, empty, binary or not in UTF-8, has a token that is not in the vocabulary, or is too short.
        ResourceError: if the windows do not fit into memory.
    """
    return _windows(config, text_of(config), config.path)


def pydoc(config: PydocConfig) -> Data:
    """Loads windows of Python's help texts by a :class:`zoo_core.data.text_sets.PydocConfig`; raises as :func:`text` does."""
    return _windows(config, text_of(config), "pydoc")


def text_of(config: TextSetConfig) -> str:
    """The whole text of a data set, of all splits.

    Raises:
        ConfigError: if it cannot be read; see :func:`read_text`.
    """
    return read_text(config.path) if isinstance(config, TextConfig) else pydoc_text()


def read_text(path: str) -> str:
    """Reads a text file; lines end with a line feed, and a byte order mark is dropped.

    Raises:
        ConfigError: if there is no such file, or it is empty, too large, binary, or not in UTF-8.
    """
    place = Path(expand(path))
    if not place.is_file():
        what = f"{place} is a folder" if place.is_dir() else f"there is no file {describe_path(path)}"
        raise ConfigError(what, "--data text:PATH names a plain text file")
    try:
        if (size := place.stat().st_size) > _LARGEST:
            raise ConfigError(f"{place} has {human_size(size)}", f"a text may have {human_size(_LARGEST)}: take a part of it")
        raw = place.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read {place}: {error.strerror or error}") from error
    if not raw.strip():
        raise ConfigError(f"{place} is empty", _HINT)
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise ConfigError(f"{place} is in UTF-16", f"{_HINT}: iconv -f UTF-16 -t UTF-8 converts it")
    if b"\0" in raw:
        raise ConfigError(f"{place} is a binary file: it has a zero byte", _HINT)
    try:
        decoded = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        what = f"{place} is not in UTF-8: byte {error.start:,} is {raw[error.start]:#04x}"
        raise ConfigError(what, f"{_HINT}; if it is in Latin-1, iconv -f LATIN1 -t UTF-8 converts it") from error
    return decoded.replace("\r\n", "\n").replace("\r", "\n")


def pydoc_text() -> str:
    """The help texts of the running Python, in the order of their names; a paragraph that several of them have stands at its first place.

    Without that, a paragraph that is held out could be in the training split too.

    Raises:
        ConfigError: if this Python has none.
    """
    try:
        from pydoc_data.topics import topics
    except ImportError as error:
        raise ConfigError("this Python has no module pydoc_data.topics", "take a text of your own: --data text:PATH") from error
    seen: set[str] = set()
    kept = []
    for name in sorted(topics):
        for paragraph in topics[name].split("\n\n"):
            words = " ".join(paragraph.split())
            if words and words not in seen:
                seen.add(words)
                kept.append(paragraph.strip("\n"))
    return "\n\n".join(kept) + "\n"


def split_text(whole: str, split: str) -> list[str]:
    """The stretches of a text that belong to a split: single blocks of ``test``, what lies between them of ``train``, or ``all``.

    Blocks have 2,048 characters, or a twentieth of a shorter text, and the rest of a word. Every tenth one is held out.

    >>> parts = split_text("a zoo is open " * 20, "test")
    >>> [len(part) for part in parts], split_text("a zoo", "all")
    ([14, 13], ['a zoo'])
    """
    if split == "all":
        return [whole]
    block = max(1, min(BLOCK, len(whole) // (2 * HELD_OUT)))
    edges = [0]
    while edges[-1] < len(whole):
        space = _SPACE.search(whole, edges[-1] + block)
        edges.append(space.start() if space else len(whole))
    blocks = [whole[begin:end] for begin, end in pairwise(edges)]
    if split == "test":
        return blocks[HELD_OUT - 1 :: HELD_OUT]
    starts = range(0, len(blocks), HELD_OUT)
    return ["".join(blocks[start : start + HELD_OUT - 1]) for start in starts]


def vocabulary_of(config: TextSetConfig, whole: str) -> Vocabulary:
    """The vocabulary of a text data set: the config's own, or the tokens of the text; pieces are learned from the training split alone.

    Args:
        config: config of the text.
        whole: the whole text.
    """
    unit = config.vocabulary.unit
    if config.vocabulary.tokens:
        return config.vocabulary
    if unit == "piece":
        letters = sorted(set(whole))
        learned = pieces_of("\n".join(split_text(whole, "train")), config.pieces)
        return Vocabulary(unit=unit, tokens=tuple(dict.fromkeys([*letters, *learned]))[: max(config.pieces, len(letters))])
    return Vocabulary(unit=unit, tokens=tuple(sorted(set(words_of(whole) if unit == "word" else whole))))


def _windows(config: TextSetConfig, whole: str, name: str) -> Data:
    vocabulary = vocabulary_of(config, whole)
    length, stride = config.length, config.stride if config.split == "train" else config.length
    try:
        parts = [torch.tensor(vocabulary.encode(part)) for part in split_text(whole, config.split)]
    except ConfigError as error:
        raise ConfigError(f"{name}: {error.what}", error.hint) from None
    windows = [part.unfold(0, length, stride) for part in parts if len(part) >= length]
    if not windows:
        what = f"{name} has {sum(map(len, parts)):,} {vocabulary.unit}s in the split {config.split!r}, too few for windows of {length}"
        raise ConfigError(what, "a smaller data.length and model.length, or a longer text")
    count = sum(map(len, windows))
    demand_memory(8 * count * length, f"{count:,} windows of {length} {vocabulary.unit}s", f"-o data.stride={length}")
    return Data(x=torch.cat(windows).contiguous(), vocabulary=vocabulary)
