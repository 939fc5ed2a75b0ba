"""The conformance checks of models of categories: each is a function over a :class:`~zoo_core.testing.tested_family.Subject`."""

from typing import cast

import torch

from zoo_core.errors import ConfigError
from zoo_core.interfaces import TextModel, Unmasker
from zoo_core.rng import ImageRng
from zoo_core.testing.tested_family import ROWS, TOLERANCE, Subject, hide, random_samples

__all__ = ["check_has_categories", "check_reads_what_it_shows", "check_unmasks"]


def check_has_categories(subject: Subject) -> None:
    """The event of a model that unmasks or shows texts has a shape and a positive number of categories, and no range."""
    event = cast(TextModel, subject.model()).event
    assert isinstance(event.categories, int) and event.categories > 0, (
        f"event.categories must be a positive number, not {event.categories!r}"
    )
    assert event.range is None, "categories have no range"
    assert event.shape, "a sample of categories has at least one dimension"


def check_unmasks(subject: Subject) -> None:
    """``unmask`` returns log-probabilities of the categories of every place, float32, however many places are hidden."""
    model = cast(Unmasker, subject.model())
    event = model.event
    categories = cast(int, event.categories)
    x = random_samples(event, ImageRng(1, range(ROWS)))
    for name, hidden in {"all": torch.full_like(x, categories), "half": hide(x, event, ImageRng(3, range(ROWS))), "none": x}.items():
        out = model.unmask(hidden, subject.labels(subject.model()))
        shape = (ROWS, *event.shape, categories)
        assert tuple(out.shape) == shape, f"unmask gives the shape {tuple(out.shape)}, not {shape}"
        assert out.dtype == torch.float32, f"unmask gives {out.dtype}, not float32"
        assert not bool(out.isnan().any()), f"unmask gives NaN with {name} of the places hidden"
        total = out.detach().double().exp().sum(-1)
        apart = float((total - 1).abs().max())
        assert apart <= TOLERANCE, f"the probabilities of a place have a sum that differs from 1 by {apart:.3g}"


def check_reads_what_it_shows(subject: Subject) -> None:
    """``read`` inverts ``show`` for samples of the model's vocabulary, and refuses a text of another length and an unknown character."""
    model = cast(TextModel, subject.model())
    event = model.event
    categories = cast(int, event.categories)
    x = random_samples(event, ImageRng(1, range(ROWS)))
    texts = model.show(x)
    assert isinstance(texts, list) and len(texts) == ROWS, f"show gives {texts!r:.40}, not a text for each row"
    assert all(isinstance(text, str) for text in texts), f"show gives {texts!r:.40}, not texts"
    hidden = model.show(torch.full_like(x, categories))
    assert len(hidden) == ROWS, "show must show hidden places too, whose number is event.categories"
    again = model.read(texts)
    assert again.dtype == torch.int64, f"read gives {again.dtype}, not int64"
    assert torch.equal(again, x), f"read gives other categories than those whose text is {texts[0]!r:.40}"
    for what, wrong in {"a text of another length": texts[0] + texts[0], "an unknown character": "\N{SNOWMAN}" * len(texts[0])}.items():
        try:
            model.read([wrong])
        except ConfigError:
            continue
        raise AssertionError(f"read takes {what}, and must raise a ConfigError")
