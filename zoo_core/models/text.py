"""Texts for models: the base class of models that draw texts, and the tokens of prompts."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from zoo_core.errors import ConfigError, UnknownNameError, UsageError
from zoo_core.interfaces import Event
from zoo_core.vocabulary import Vocabulary, words_of

__all__ = ["PromptTokenizer", "VocabularyModel"]


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


class PromptTokenizer:
    """Turns prompts into the numbers of their words, of one length; capitals and punctuation do not matter.

    >>> tokenizer = PromptTokenizer(Vocabulary(unit="word", tokens=("a", "red", "seven")), length=4)
    >>> tokenizer(["A red seven.", ""]).tolist()
    [[0, 1, 2, 3], [3, 3, 3, 3]]

    Args:
        vocabulary: the words.
        length: number of words of the longest prompt.

    Attributes:
        pad: number that fills up shorter prompts: that of words.
    """

    def __init__(self, vocabulary: Vocabulary, length: int) -> None:
        self.vocabulary = vocabulary
        self.length = length
        self.pad = len(vocabulary)
        self._numbers = {word: number for number, word in enumerate(vocabulary.tokens)}

    def __call__(self, prompts: Sequence[str]) -> Tensor:
        """The numbers of the words of texts, int64 (n, length); an empty text has none.

        Raises:
            UsageError: if a text has an unknown word, or too many words; an unknown word comes with one that is spelt like it.
        """
        rows = []
        for prompt in prompts:
            words = [word for word in words_of(prompt.lower()) if word.isalnum() or word in self._numbers]
            unknown = next((word for word in words if word not in self._numbers), None)
            if unknown is not None:
                hint = UnknownNameError.of("word", unknown, self.vocabulary.tokens, "").hint
                raise UsageError(f"the model does not know the word {unknown!r:.40} of the prompt {prompt!r:.60}", hint)
            if len(words) > self.length:
                what = f"the prompt {prompt[:40]!r}{' ...' if len(prompt) > 40 else ''} has {len(words)} words"
                raise UsageError(f"{what}, and the model reads {self.length}", "shorten it")
            rows.append([self._numbers[word] for word in words] + [self.pad] * (self.length - len(words)))
        return torch.tensor(rows, dtype=torch.int64).view(len(rows), self.length)

    def text(self, tokens: Tensor) -> str:
        """The prompt of tokens (length,)."""
        return " ".join(self.vocabulary.tokens[number] for number in tokens.tolist() if number < self.pad)
