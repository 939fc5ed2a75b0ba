"""Vocabularies: the characters, words or pieces of words of a text as categories, numbered from 0."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from zoo_core.errors import ConfigError

__all__ = ["HIDDEN", "Unit", "Vocabulary", "words_of"]

HIDDEN = "\N{LIGHT SHADE}"
"""The character that stands for a hidden place of a text."""

Unit = Literal["character", "word", "piece"]
"""What a category of a text is: a character; a word, a punctuation mark or a line end; or a piece of a word, with the space before it."""

_WORDS = re.compile(r"\w+|[^\w\s]|\n")
_LOOSE = re.compile(r" ?\n ?")
_MOST = 1_000_000


def words_of(text: str) -> list[str]:
    """Splits a text into words, punctuation marks and line ends; spaces are dropped.

    >>> words_of("Is it?\\nNo.")
    ['Is', 'it', '?', '\\n', 'No', '.']
    """
    return _WORDS.findall(text)


@dataclass(frozen=True, kw_only=True, slots=True)
class Vocabulary:
    """The tokens of a text; category i is ``tokens[i]``. An empty one stands for that of the data, which training fills in.

    >>> letters = Vocabulary(tokens=("a", "b", "n"))
    >>> letters.encode("nab"), letters.decode([0, 3, 1])
    ([2, 0, 1], 'a░b')
    >>> Vocabulary(unit="piece", tokens=("a", "b", "n", "an")).encode("banana")
    [1, 3, 3, 0]

    Args:
        unit: what a token is. A text is cut into pieces from the left, and each is the longest that fits.
        tokens: the tokens, all different.

    Raises:
        ConfigError: if a token is empty or stands there twice, or is longer than a character where these are the unit.
    """

    unit: Unit = "character"
    tokens: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(set(self.tokens)) != len(self.tokens):
            raise ConfigError("tokens: a vocabulary has every token once")
        if len(self.tokens) > _MOST:
            raise ConfigError(f"tokens must be at most {_MOST:,}, not {len(self.tokens):,}")
        wrong = next((token for token in self.tokens if not token or (self.unit == "character" and len(token) > 1)), None)
        if wrong is not None:
            raise ConfigError(f"tokens: {wrong!r:.40} is no {self.unit}")

    def __len__(self) -> int:
        return len(self.tokens)

    def encode(self, text: str) -> list[int]:
        """The categories of the tokens of a text.

        Raises:
            ConfigError: if a part of the text is not in the vocabulary; names the first one, and its line.
        """
        number = {token: place for place, token in enumerate(self.tokens)}
        if self.unit == "piece":
            tokens = _pattern(self.tokens).findall(text) if self.tokens else list(text)
        else:
            tokens = words_of(text) if self.unit == "word" else list(text)
        try:
            return [number[token] for token in tokens]
        except KeyError:
            place = next(place for place, token in enumerate(tokens) if token not in number)
            line = "".join(tokens[:place]).count("\n") + 1
            unit = "word" if self.unit == "word" else "character"
            what = f"the {unit} {tokens[place]!r:.40} in line {line} is not in the vocabulary of {len(self):,} {self.unit}s"
            raise ConfigError(what, "leave it out, or replace it") from None

    def decode(self, categories: Iterable[int]) -> str:
        """The text of categories, with :data:`HIDDEN` for the number of categories itself; words are separated by spaces.

        Raises:
            IndexError: if there is no such category.
        """
        tokens = (*self.tokens, HIDDEN)
        shown = [tokens[category] for category in categories]
        return _LOOSE.sub("\n", " ".join(shown)) if self.unit == "word" else "".join(shown)


@lru_cache(maxsize=4)
def _pattern(tokens: tuple[str, ...]) -> re.Pattern[str]:
    """Matches the longest of some tokens, or else any character."""
    return re.compile("|".join([*map(re.escape, sorted(tokens, key=lambda token: (-len(token), token))), "."]), re.DOTALL)
