"""The vocabulary of models of texts, and of models with prompts, which training takes from their data."""

from dataclasses import fields, replace
from typing import Any, cast

from zoo_core.data.captioned_sets import CaptionedConfig
from zoo_core.data.text import text_of, vocabulary_of
from zoo_core.data.text_sets import TextSetConfig
from zoo_core.interfaces import DatasetConfig, ModelConfig
from zoo_core.recipes import Recipe
from zoo_core.vocabulary import Vocabulary

__all__ = ["with_vocabulary", "with_vocabulary_of"]


def with_vocabulary(recipe: Recipe) -> Recipe:
    """The recipe with one vocabulary in model and data: that of either of them, or else that of the whole text, or of all captions.

    >>> from zoo_core.data.text_sets import PydocConfig
    >>> from zoo_core.testing.fake_config import FakeTextConfig
    >>> with_vocabulary(Recipe(model=FakeTextConfig(), data=PydocConfig())).data.vocabulary.tokens
    ('a', 'b', '\\n')

    Raises:
        ConfigError: if the text has to be read and cannot.
    """
    data, model = recipe.data, recipe.model
    if isinstance(data, CaptionedConfig):
        return replace(recipe, model=_with_words(model, data.words))
    if not isinstance(data, TextSetConfig) or not _has_vocabulary(model):
        return recipe
    own: Vocabulary = cast(Any, model).vocabulary
    vocabulary = own if own.tokens else data.vocabulary if data.vocabulary.tokens else vocabulary_of(data, text_of(data))
    if not own.tokens:
        model = replace(cast(Any, model), vocabulary=vocabulary)
    return replace(recipe, model=model, data=with_vocabulary_of(data, model))


def with_vocabulary_of(data: DatasetConfig, model: object) -> DatasetConfig:
    """The config of a text with the vocabulary of the config ``model``, unless it has its own; that of other data unchanged."""
    if not isinstance(data, TextSetConfig) or data.vocabulary.tokens or not _has_vocabulary(model):
        return data
    return replace(data, vocabulary=cast(Any, model).vocabulary)


def _with_words(model: ModelConfig, words: Vocabulary) -> ModelConfig:
    """The config, in which ``words`` stand for empty vocabularies: its own, and those of the configs of models in it."""
    changes: dict[str, Any] = {}
    for item in fields(cast(Any, model)):
        value = getattr(model, item.name)
        if isinstance(value, ModelConfig):
            changes[item.name] = _with_words(value, words)
        elif item.name == "vocabulary" and not value.tokens:
            changes[item.name] = words
    return replace(cast(Any, model), **changes)


def _has_vocabulary(model: object) -> bool:
    return "vocabulary" in {item.name for item in fields(cast(Any, model))}
