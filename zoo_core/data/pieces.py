"""Pieces of words by byte-pair encoding, of characters instead of bytes."""

import re
from collections import Counter, defaultdict
from itertools import pairwise

__all__ = ["pieces_of"]

_CHUNKS = re.compile(r" ?\w+| ?[^\w\s]+|\s+")


def pieces_of(text: str, count: int) -> tuple[str, ...]:
    """The characters of a text, and the most frequent pieces of its words, up to ``count`` in all.

    Byte-pair encoding (Sennrich et al. 2016, arXiv:1508.07909, section 3.2): again and again, the most frequent pair of neighbours becomes
    one piece; of equally frequent pairs the first in the order of code points. No piece goes over the end of a word, a run of punctuation
    or a run of white space; a space before a word belongs to it.

    >>> pieces_of("low lower lowest", 11)
    (' ', 'e', 'l', 'o', 'r', 's', 't', 'w', 'lo', 'low', ' low')
    """
    chunks = Counter(_CHUNKS.findall(text))
    words = [list(chunk) for chunk in chunks]
    times = list(chunks.values())
    pairs: Counter[tuple[str, str]] = Counter()
    places: defaultdict[tuple[str, str], set[int]] = defaultdict(set)
    for place, word in enumerate(words):
        for pair in pairwise(word):
            pairs[pair] += times[place]
            places[pair].add(place)
    pieces = dict.fromkeys(sorted(set(text)))
    while len(pieces) < count and pairs:
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        if pairs[best] < 2:
            break
        pieces["".join(best)] = None
        for place in sorted(places.pop(best)):
            word = words[place]
            for pair in pairwise(word):
                pairs[pair] -= times[place]
            words[place] = word = _merged(word, best)
            for pair in pairwise(word):
                pairs[pair] += times[place]
                places[pair].add(place)
        del pairs[best]
    return tuple(pieces)


def _merged(word: list[str], pair: tuple[str, str]) -> list[str]:
    merged: list[str] = []
    for part in word:
        if merged and (merged[-1], part) == pair:
            merged[-1] += part
        else:
            merged.append(part)
    return merged
