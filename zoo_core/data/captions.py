"""Captions of the captioned data sets: a small grammar, written and read."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from zoo_core.errors import ConfigError
from zoo_core.vocabulary import Vocabulary, words_of

__all__ = ["ATTRIBUTES", "CLOTHES", "COLOURS", "DIGITS", "NUMBERS", "PLACES", "SIZES", "Caption", "Noun", "caption_vocabulary", "parse"]

Noun = tuple[str, str]
"""The singular and the plural of the name of a class."""

ATTRIBUTES = ("class", "colour", "background", "place", "size", "number")
"""What captions say of images."""
COLOURS = ("red", "green", "blue", "yellow", "purple", "cyan", "white", "black")
SIZES = ("small", "large")
NUMBERS = ("one", "two")
PLACES = ("top left", "top", "top right", "left", "centre", "right", "bottom left", "bottom", "bottom right")
DIGITS: tuple[Noun, ...] = tuple(
    (name, f"{name}es" if name == "six" else f"{name}s")
    for name in ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
)
CLOTHES: tuple[Noun, ...] = (
    *(("top", "tops"), ("trouser", "trousers"), ("pullover", "pullovers"), ("dress", "dresses"), ("coat", "coats")),
    *(("sandal", "sandals"), ("shirt", "shirts"), ("sneaker", "sneakers"), ("bag", "bags"), ("boot", "boots")),
)

_PHRASES = {place: f"{'in' if place == 'centre' else 'on' if place in ('left', 'right') else 'at'} the {place}" for place in PLACES}


@dataclass(frozen=True, kw_only=True, slots=True)
class Caption:
    """What a caption says; None for what it leaves out.

    >>> Caption(kind=7, colour="red", size="small", place="top left", background="blue").text(DIGITS)
    'a small red seven at the top left on blue'
    >>> Caption(kind=9, number="two", colour="green").text(CLOTHES)
    'two green boots'

    Args:
        kind: class of the objects.
        number: ``one`` or ``two`` objects.
        size: one of :data:`SIZES`.
        colour: colour of the objects, one of :data:`COLOURS`.
        place: one of :data:`PLACES`.
        background: colour of the background.
    """

    kind: int
    number: str = "one"
    size: str | None = None
    colour: str | None = None
    place: str | None = None
    background: str | None = None

    def text(self, nouns: Sequence[Noun]) -> str:
        """The caption in words.

        Args:
            nouns: nouns of the classes, such as :data:`DIGITS`.
        """
        two = self.number == "two"
        words = [word for word in (self.size, self.colour, nouns[self.kind][two]) if word is not None]
        article = "two" if two else "an" if words[0][0] in "aeiou" and words[0] != "one" else "a"
        place = [_PHRASES[self.place]] if self.place is not None else []
        return " ".join([article, *words, *place, *([f"on {self.background}"] if self.background is not None else [])])

    def numbers(self) -> dict[str, int]:
        """The attributes that the caption names, by their places in the tuples of this module; the class by its number.

        >>> Caption(kind=7, colour="red").numbers()
        {'class': 7, 'colour': 0, 'number': 0}
        """
        known = {"colour": COLOURS, "background": COLOURS, "place": PLACES, "size": SIZES, "number": NUMBERS}
        named = {name: getattr(self, name) for name in known}
        return {"class": self.kind, **{name: known[name].index(value) for name, value in named.items() if value is not None}}


@lru_cache(maxsize=8)
def _pattern(nouns: tuple[Noun, ...]) -> re.Pattern[str]:
    colours, phrases = "|".join(COLOURS), "|".join(sorted(_PHRASES.values(), key=len, reverse=True))
    one, two = ("|".join(noun[plural] for noun in nouns) for plural in (0, 1))
    before = rf"(?:(?P<size>{'|'.join(SIZES)}) )?(?:(?P<colour>{colours}) )?"
    return re.compile(
        rf"(?:(?P<article>an?) |(?P<two>two) ){before}(?P<noun>{one}|{two})(?: (?P<place>{phrases}))?(?: on (?P<background>{colours}))?"
    )


def parse(text: str, nouns: Sequence[Noun]) -> Caption:
    """Reads a caption; capitals, spaces and a full stop do not matter.

    >>> parse("Two green boots.", CLOTHES) == Caption(kind=9, number="two", colour="green")
    True

    Args:
        text: the caption.
        nouns: nouns of the classes.

    Raises:
        ConfigError: if the text is no sentence of the grammar.
    """
    found = _pattern(tuple(nouns)).fullmatch(" ".join(text.lower().strip(" .\n").split()))
    two = found is not None and found["two"] is not None
    plural = [noun[two] for noun in nouns]
    if found is None or found["noun"] not in plural:
        example = Caption(kind=min(7, len(nouns) - 1), colour="red", place="left", background="blue").text(nouns)
        raise ConfigError(f"{text[:60]!r} is no caption of this data", f"write it like {example!r}")
    place = next((name for name, phrase in _PHRASES.items() if phrase == found["place"]), None)
    given = {"size": found["size"], "colour": found["colour"], "background": found["background"]}
    return Caption(kind=plural.index(found["noun"]), number="two" if two else "one", place=place, **given)


def caption_vocabulary(nouns: Sequence[Noun]) -> Vocabulary:
    """The words of all captions, in alphabetical order.

    >>> "sevens" in caption_vocabulary(DIGITS).tokens
    True

    Args:
        nouns: nouns of the classes.
    """
    texts = ["a an two in at on the", *SIZES, *COLOURS, *PLACES, *(word for noun in nouns for word in noun)]
    return Vocabulary(unit="word", tokens=tuple(sorted({word for text in texts for word in words_of(text)})))
