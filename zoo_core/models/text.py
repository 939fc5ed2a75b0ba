"""The base class of models of texts: event, reading and showing by a vocabulary."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from zoo_core.errors import ConfigError
from zoo_core.interfaces import Event
from zoo_core.vocabulary import Vocabulary

__all__ = ["VocabularyModel"]


class VocabularyModel(nn.Module):
    """A model of texts of one length, with the capability ``text``.

    >>> model = VocabularyModel(Vocabulary(tokens=(" ", "a", "o", "z")), length=3)
    >>> x = model.read(["zoo", "a z"])
    >>> x.tolist(), model.show(x)
    ([[3, 2, 2], [1, 0, 3]], ['zoo', 'a z'])

    Args:
        vocabulary: the tokens; a model with none can be built, but draws nothing until training has filled it in.
        length: number of tokens of a text.

    Attributes:
        categories: number of tokens, at least 1; the number of hidden places too.
    """

    def __init__(self, vocabulary: Vocabulary, length: int) -> None:
        super().__init__()
        self.vocabulary = vocabulary
        self.length = length
        self.categories = max(1, len(vocabulary))

    @property
    def event(self) -> Event:
        """Shape and number of categories of one sample."""
        return Event(shape=(self.length,), categories=self.categories)

    def show(self, x: Tensor) -> list[str]:
        """The texts of samples ``x``, int64 (n, length); hidden places are shown as :data:`zoo_core.vocabulary.HIDDEN`."""
        return [self.vocabulary.decode(row) for row in x.tolist()]

    def read(self, texts: Sequence[str]) -> Tensor:
        """The samples int64 (n, length) of texts.

        Raises:
            ConfigError: if a text has another length, or a token that is not in the vocabulary.
        """
        rows = [self.vocabulary.encode(text) for text in texts]
        for text, row in zip(texts, rows, strict=True):
            if len(row) != self.length:
                what = f"the text {text[:20]!r}{' ...' if len(text) > 20 else ''} has {len(row):,} {self.vocabulary.unit}s"
                many = "cut it" if len(row) > self.length else "fill it up"
                raise ConfigError(f"{what}, and a sample {self.length:,}", f"{many} to that length")
        return torch.tensor(rows)
