"""Faults in copies of the fake family of texts, each with the conformance check that must catch it."""

from .fault import Fault

__all__ = ["TEXT_FAULTS"]

_EVENT = "@property\ndef event(self):\n    return replace(super().event, {})"
_UNMASK = "def unmask(self, x, labels=None):\n    return {}"
TEXT_FAULTS = [
    Fault(check="has_categories", what="no categories", text=True, model=_EVENT.format("categories=None")),
    Fault(check="has_categories", what="a range", text=True, model=_EVENT.format("range=(-1.0, 1.0)")),
    Fault(check="unmasks", what="logits", text=True, model=_UNMASK.format("super().unmask(x) + 1")),
    Fault(check="unmasks", what="one row for all", text=True, model=_UNMASK.format("super().unmask(x)[:1]")),
    Fault(
        check="unmasks", what="a category more, for hidden places", text=True, model=_UNMASK.format("super().unmask(x)[..., [0, 1, 2, 2]]")
    ),
    Fault(check="unmasks", what="float64", text=True, model=_UNMASK.format("super().unmask(x).double()")),
    Fault(
        check="unmasks",
        what="NaN if all is hidden",
        text=True,
        model=_UNMASK.format("super().unmask(x) / (x != 3).any(1)[:, None, None].float()"),
    ),
    Fault(check="reads_what_it_shows", what="numbers", text=True, model="def show(self, x):\n    return x.tolist()"),
    Fault(check="reads_what_it_shows", what="one text", text=True, model="def show(self, x):\n    return super().show(x)[0]"),
    Fault(
        check="reads_what_it_shows",
        what="hidden places are not shown",
        text=True,
        model="def show(self, x):\n    return super().show(x) if (x < 3).all() else []",
    ),
    Fault(
        check="reads_what_it_shows", what="back to front", text=True, model="def read(self, texts):\n    return super().read(texts).flip(1)"
    ),
    Fault(
        check="reads_what_it_shows",
        what="the beginning of a longer text",
        text=True,
        model="def read(self, texts):\n    return super().read([text[: self.length] for text in texts])",
    ),
    Fault(
        check="reads_what_it_shows",
        what="anything for an unknown character",
        text=True,
        model="def read(self, texts):\n    return super().read([''.join(c if c in 'ab\\n' else 'a' for c in text) for text in texts])",
    ),
    Fault(
        check="log_prob_is_well_formed",
        what="a density of categories",
        text=True,
        model="def log_prob(self, x, labels=None, *, rng=None, k=1):\n    return LogProb(value=super().log_prob(x).value, kind='exact')",
    ),
    Fault(
        check="inputs_are_left_alone",
        what="it changes a place of a text in place",
        text=True,
        model="def log_prob(self, x, labels=None, *, rng=None, k=1):\n    result = super().log_prob(x)\n"
        "    x.copy_((x + 1) % 3)\n    return result",
    ),
]
