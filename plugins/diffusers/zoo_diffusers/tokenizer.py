"""The tokenizer of CLIP: byte-level pairs of lower-case text, from the tables in a pipeline's folder."""

import json
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import pairwise
from typing import Any

from zoo_core.errors import ConfigError, UsageError

__all__ = ["END", "START", "BytePairs", "table_of"]

START, END = "<|startoftext|>", "<|endoftext|>"
_WORD_END = "</w>"
_MOST = 200_000
_WORDS = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


class BytePairs:
    """Byte pair encoding (Sennrich et al. 2016, arXiv:1508.07909) as CLIP has it (Radford et al. 2021, arXiv:2103.00020, section 2.4).

    Text is lower-cased and split into words, numbers by their digits; the bytes of a word are merged, the earliest pair of the table first.

    >>> vocab = {START: 0, END: 1, "a": 2, "b</w>": 3, "ab</w>": 4, "a</w>": 5}
    >>> pairs = BytePairs(vocab=vocab, merges=[["a", "b</w>"]], pad=1, length=6)
    >>> pairs.ids("AB a")
    [0, 4, 5, 1, 1, 1]

    Args:
        vocab: number of each token.
        merges: pairs of tokens that become one, in the order of their rank.
        pad: token that fills up to ``length``.
        length: number of tokens of a text, with one at its start and one at its end.

    Raises:
        ConfigError: if the tables are not of this kind.
    """

    def __init__(self, *, vocab: Mapping[str, int], merges: Sequence[Sequence[str]], pad: int, length: int) -> None:
        if not {START, END} <= set(vocab) or not all(len(pair) == 2 for pair in merges):
            raise ConfigError("the tokenizer's tables are not those of CLIP", "the bridge reads CLIPTokenizer")
        self.vocab = vocab
        self.ranks = {(first, second): rank for rank, (first, second) in enumerate(merges)}
        self.pad = pad
        self.length = length

    def ids(self, text: str) -> list[int]:
        """The tokens of a text, ``length`` of them.

        Raises:
            UsageError: if the text is too long.
        """
        import unicodedata

        import regex

        plain = regex.sub(r"\s+", " ", unicodedata.normalize("NFC", text)).lower()
        unknown = self.vocab[END]
        tokens = [self.vocab.get(token, unknown) for word in regex.findall(_WORDS, plain) for token in self.merged(word)]
        if len(tokens) > self.length - 2:
            what = f"the prompt {text[:40]!r} has {len(tokens)} tokens, and the text encoder takes {self.length - 2}"
            raise UsageError(what, "write a shorter one")
        ids = [self.vocab[START], *tokens, unknown]
        return ids + [self.pad] * (self.length - len(ids))

    def merged(self, word: str) -> list[str]:
        """The tokens of one word."""
        letters = [_bytes()[byte] for byte in word.encode()]
        parts = [*letters[:-1], letters[-1] + _WORD_END]
        while len(parts) > 1:
            best = min(pairwise(parts), key=lambda pair: self.ranks.get(pair, _MOST))
            if best not in self.ranks:
                break
            joined: list[str] = []
            i = 0
            while i < len(parts):
                together = tuple(parts[i : i + 2]) == best
                joined.append("".join(best) if together else parts[i])
                i += 2 if together else 1
            parts = joined
        return parts


@cache
def _bytes() -> dict[int, str]:
    """A printable character for each byte, as in GPT-2: Latin ones stand for themselves, the others for characters from 256 on."""
    shown = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    hidden = [byte for byte in range(256) if byte not in shown]
    return {**{byte: chr(byte) for byte in shown}, **{byte: chr(256 + i) for i, byte in enumerate(hidden)}}


def table_of(vocab: Any, merges: Any) -> bytes:
    """The tables of a tokenizer as the bytes of one JSON object, for a tensor of the model.

    >>> table = table_of({START: 0, END: 1, "a": 2, "b": 3, "ab": 4}, ["a b"])
    >>> json.loads(table)["merges"]
    [['a', 'b']]

    Args:
        vocab: number of each token.
        merges: lines of two tokens with a space between, or pairs.

    Raises:
        ConfigError: if they are not of this kind, or too large.
    """
    pairs = [pair.split(" ") if isinstance(pair, str) else pair for pair in merges] if isinstance(merges, list) else None
    sound = (
        isinstance(vocab, dict)
        and len(vocab) <= _MOST
        and {START, END} <= set(vocab)
        and all(type(number) is int and 0 <= number < 10**7 for number in vocab.values())
        and pairs is not None
        and len(pairs) <= _MOST
        and all(isinstance(pair, list) and len(pair) == 2 and all(isinstance(part, str) for part in pair) for pair in pairs)
    )
    if not sound:
        raise ConfigError("the tokenizer's tables are not those of CLIP", "the bridge reads CLIPTokenizer")
    return json.dumps({"vocab": vocab, "merges": pairs}, separators=(",", ":")).encode()
