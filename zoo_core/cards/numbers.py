"""The numbers of cards: how one number is written, with its error, its kind and its relation to others.

A metrics.json may come from anywhere. A missing field is left out, and no text from the file becomes markup.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from zoo_core.cards.markdown import code, describe, one_line, word
from zoo_core.cards.metrics_json import is_number, is_of_samples, sample_count, seconds_per_sample, subrecord
from zoo_core.registry import registry
from zoo_core.specs import MetricSpec

__all__ = [
    "MARKDOWN",
    "PLAIN",
    "SPACES",
    "Cell",
    "Record",
    "Style",
    "better_of",
    "caption",
    "data_name",
    "features_clause",
    "first_count",
    "lines",
    "metric_name",
    "nature",
    "number_cell",
    "people_clause",
    "processors_sentence",
    "relation",
    "rounded",
    "sampler_of",
    "text_field",
    "unit_of",
]

Record = Mapping[str, Any]
"""An entry of metrics.json."""

_NO_NET = "identity"  # the feature space of the samples themselves


@dataclass(frozen=True, kw_only=True, slots=True)
class Style:
    """How names and numbers are written: :data:`MARKDOWN` on cards, :data:`PLAIN` in a terminal.

    Args:
        name: writes a name, such as that of a data set.
        word: writes a word, which may stand as it is.
        beside: separates a number from its standard error.
        relations: sign in front of a number by its kind: bounds and estimates.

    Example:
        >>> from zoo_core.cards.numbers import MARKDOWN, PLAIN
        >>> MARKDOWN.name("afhq"), PLAIN.name("afhq")
        ('`afhq`', 'afhq')
    """

    name: Callable[[str], str]
    word: Callable[[str], str]
    beside: str
    relations: Mapping[str, str]


class Cell(str):
    """Text of a number that keeps the number itself, so that a column can be written in one notation.

    Args:
        value: the number.
        stderr: its standard error, or None.
        mark: sign in front of a bound or an estimate, such as ``<= ``; empty for an exact number.
        times: multiple of the value of two halves of the real samples, in brackets; may be empty.
        better: ``lower`` or ``higher``, as in MetricSpec; empty if unknown.
        real: whether the number is of real samples, and therefore not a result to compare.

    Example:
        >>> from zoo_core.cards.numbers import Cell
        >>> cell = Cell.of("12.34 ± 0.4", 12.3412, 0.4)
        >>> cell, cell.value
        ('12.34 ± 0.4', 12.3412)
    """

    value: float
    stderr: float | None
    mark: str
    times: str
    better: str
    real: bool

    @classmethod
    def of(
        cls, text: str, value: float, stderr: float | None = None, *, mark: str = "", times: str = "", better: str = "", real: bool = False
    ) -> "Cell":
        """A cell with this text and these attributes."""
        cell = cls(text)
        cell.value = value
        cell.stderr = stderr
        cell.mark = mark
        cell.times = times
        cell.better = better
        cell.real = real
        return cell


MARKDOWN = Style(name=code, word=word, beside="±", relations={"upper_bound": "≤", "lower_bound": "≥", "estimate": "≈"})
PLAIN = Style(name=one_line, word=one_line, beside="+-", relations={"upper_bound": "<=", "lower_bound": ">=", "estimate": "~"})

_KINDS = {"upper_bound": "an upper bound", "lower_bound": "a lower bound", "estimate": "an estimate"}
SPACES = {"continuous": "of a density", "uint8": "of 8-bit images", "binary": "of binary images", "categorical": "of categories"}
"""Words for the spaces that a log-likelihood can refer to."""
_METHODS = {"ode": "by the ODE", "bound": "by the variational bound"}


# Cells


def number_cell(entry: Record, style: Style, floor: float | None = None, *, real: bool = False) -> str:
    """A number with its standard error; empty if the entry has no finite value.

    Args:
        entry: a record, or a part of one, with ``value`` and ``stderr``.
        style: how to write it.
        floor: value of two halves of the real samples; its multiple is added in brackets.
        real: whether the number is of real samples.
    """
    value = entry.get("value")
    stderr = entry.get("stderr")
    if not is_number(value):
        return ""
    error = f" {style.beside} {rounded(stderr, 2)}" if is_number(stderr) else ""
    times = f"({rounded(value / floor, 2)}x)" if floor and value != floor else ""
    mark = relation(entry, style)
    return Cell.of(
        mark + rounded(value, 4) + error + (f" {times}" if times else ""),
        value,
        stderr if is_number(stderr) else None,
        mark=mark,
        times=times,
        better="" if real else better_of(str(entry.get("metric"))),
        real=real,
    )


def relation(record: Record, style: Style = MARKDOWN) -> str:
    """The sign in front of the number of a record, followed by a space, such as ``<= ``; empty for an exact number."""
    mark = style.relations.get(text_field(record, "kind"))
    return f"{mark} " if mark else ""


def better_of(metric: str) -> str:
    """``lower`` or ``higher``, as the MetricSpec of a metric says; empty if that metric is not installed."""
    claim = registry().claim_or_none(MetricSpec, metric)
    return claim.spec.better if claim and isinstance(claim.spec, MetricSpec) else ""


def rounded(value: float, digits: int) -> str:
    """``value`` to that many significant digits; whole numbers keep all of theirs.

    Example:
        >>> from zoo_core.cards.numbers import rounded
        >>> rounded(0.123456, 2), rounded(12345.6, 2)
        ('0.12', '12,346')
    """
    return f"{value:,.0f}" if 10**digits <= abs(value) < 10**15 else f"{value:.{digits}g}"


# Sentences


def caption(group: Sequence[Record], style: Style = MARKDOWN) -> str:
    """Caption of comparable records: the samples, the real ones that they are compared with, and the feature space."""
    first = group[0]
    drawn = sample_count(first, "drawn")
    space = subrecord(first, "features").get("name")
    samples = f"{unit_of(group)}s"
    real = first_count(group)
    parts = [
        f"{samples.capitalize() if drawn is None else f'{drawn:,} {samples}'} of seed {style.word(str(first.get('seed', 0)))}",
        f" against {f'{real:,} of ' if real else ''}{data_name(first, style)}",
        features_clause(space, group, style) if isinstance(space, str) else "",
        people_clause(group),
    ]
    return "".join(parts)


def people_clause(group: Sequence[Record]) -> str:
    """The people who judged the samples of comparable records, with a comma before them; empty if there were none."""
    people = [subrecord(record, "people") for record in group if record.get("metric") == group[0].get("metric")]
    raters = [each["raters"] for each in people if type(each.get("raters")) is int]
    answers = [each["answers"] for each in people if type(each.get("answers")) is int]
    if not raters or not answers:
        return ""
    return f", judged by {'one person' if max(raters) == 1 else f'{max(raters):,} people'} in {sum(answers):,} answers"


def first_count(group: Sequence[Record]) -> int | None:
    """Number of real samples of the first record that states one."""
    return next((n for n in (sample_count(record, "real") for record in group) if n), None)


def unit_of(group: Sequence[Record]) -> str:
    """The word for one of the samples that were measured: ``image``, or ``sample`` if they are not images."""
    return "sample" if subrecord(group[0], "features").get("name") == _NO_NET else "image"


def features_clause(space: str, group: Sequence[Record], style: Style) -> str:
    """The feature space of records, with a comma before it and a warning about numbers that are not an FID."""
    if space == _NO_NET:
        return ", as they are"
    no_fid = space != "inception" and "fd" in map(metric_name, group)
    return f", in the features of {style.name(space)}" + (f" (not Inception's, so {style.name('fd')} is no FID)" if no_fid else "")


def data_name(record: Record, style: Style) -> str:
    """The data set of a record, and its split."""
    split = record.get("split", "")
    return style.name(record["dataset"]) + (f" {style.word(split)}" if split else "")


def processors_sentence(group: Sequence[Record], style: Style) -> str:
    """The sentence that names the processors on which time was taken; empty if no record states both."""
    names = dict.fromkeys(
        str(record["processor"]) for record in group if record.get("processor") and seconds_per_sample(record) is not None
    )
    return f" Times are of {' or '.join(map(style.word, names))}." if names else ""


def sampler_of(record: Record) -> str:
    """The sampler of a record, with scheduler and guidance if there are any: ``heun: steps=5 on karras: rho=7.0, guidance 2``."""
    parts = (describe(subrecord(record, key)) for key in ("sampler", "scheduler"))
    scale = record.get("guidance")
    return " on ".join(filter(None, parts)) + (f", guidance {scale:g}" if is_number(scale) else "")


def metric_name(record: Record) -> str:
    """The metric of a record with its options: ``precision: k=3``."""
    return describe({**subrecord(record, "options"), "name": record["metric"]})


def lines(records: Sequence[Record], style: Style = MARKDOWN) -> list[str]:
    """A line for each record of a model on data, without samples: metric, value, unit and data."""
    return [_line(record, style) for record in records if not is_of_samples(record)]


def _line(record: Record, style: Style) -> str:
    unit = nature(record, style)
    n = sample_count(record, "real")
    on = f"on the {n:,} of" if n is not None else "on"
    return f"{style.word(metric_name(record))} {number_cell(record, style)}{f' {unit}' if unit else ''} {on} {data_name(record, style)}"


def nature(record: Record, style: Style = MARKDOWN) -> str:
    """Unit, space, kind and terms of a number: ``bits/dim of 8-bit images (an upper bound)``."""
    unit = text_field(record, "unit")
    space = text_field(record, "space")
    kind = text_field(record, "kind")
    terms = subrecord(record, "terms")
    remarks = [
        _KINDS.get(kind, "" if kind == "exact" else style.word(kind)),
        _METHODS.get(text_field(record, "method"), ""),
        *(f"{style.word(name)} {number_cell(subrecord(terms, name), style)}" for name in terms),
    ]
    remark = ", ".join(filter(None, remarks))
    return " ".join(filter(None, [style.word(unit), SPACES.get(space, style.word(space)), f"({remark})" if remark else ""]))


def text_field(record: Record, key: str) -> str:
    """The string under ``key``; empty if there is none."""
    value = record.get(key)
    return value if isinstance(value, str) else ""
