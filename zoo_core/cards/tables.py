"""The numbers of a checkpoint as people read them: a table for samples that can be compared, a line for every other number.

What a metrics.json says may come from anywhere. What is missing is left out, and nothing that stands there becomes markup.
"""

import json
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from zoo_core.cards.markdown import code, describe, one_line, word
from zoo_core.cards.metrics import comparable, count, fields, is_number, is_of_samples, numbers, seconds_each, walk
from zoo_core.registry import registry
from zoo_core.specs import MetricSpec

__all__ = [
    "MARKDOWN",
    "PLAIN",
    "Cell",
    "Style",
    "Table",
    "better_of",
    "caption",
    "lines",
    "markdown",
    "nature",
    "numbers_section",
    "relation",
    "rounded",
    "sampler_of",
    "side_by_side",
    "tables",
    "unit_of",
]

Record = Mapping[str, Any]

_LOWER_IS_BETTER = ("fd", "kid", "nll", "bpd")
_NO_NET = "identity"  # the feature space of the samples themselves
_PICTURES = {
    "quality.png": "Quality against evaluations of the net",
    "nearest.png": "Samples and the training images nearest to them",
    "latent-grid.png": "What it decodes over the plane of latents",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Style:
    """How text is written.

    Args:
        name: writes a name, such as that of a data set.
        word: writes a word, which may stand as it is.
        beside: stands between a number and its standard error.
        relations: what stands before a number of which kind: whether it is a bound.
    """

    name: Callable[[str], str]
    word: Callable[[str], str]
    beside: str
    relations: Mapping[str, str]


class Cell(str):
    """The text of a number, with the number itself, so that a column can be written in one notation.

    Args:
        value: the number.
        stderr: its standard error, or None.
        mark: what stands before it where it is a bound or an estimate: ``<= ``.
        times: how many times the value of real halves it is, in brackets, or nothing.
        better: as MetricSpec has it; empty where that is not known.
        real: whether it is of real samples, and so no result to compare.
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
        cell = cls(text)
        cell.value, cell.stderr, cell.mark, cell.times, cell.better, cell.real = value, stderr, mark, times, better, real
        return cell


MARKDOWN = Style(name=code, word=word, beside="±", relations={"upper_bound": "≤", "lower_bound": "≥", "estimate": "≈"})
PLAIN = Style(name=one_line, word=one_line, beside="+-", relations={"upper_bound": "<=", "lower_bound": ">=", "estimate": "~"})

_KINDS = {"upper_bound": "an upper bound", "lower_bound": "a lower bound", "estimate": "an estimate"}
_SPACES = {"continuous": "of a density", "uint8": "of 8-bit images", "binary": "of binary images"}
_METHODS = {"ode": "by the ODE", "bound": "by the variational bound"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """Numbers that can be compared.

    Args:
        caption: says of what they are.
        columns: what the rows are of, what it costs, and the metrics.
        rows: a sampler or a checkpoint each; below, what real images reach.
    """

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def numbers_section(name: str, metrics: Mapping[str, Any] | None, pictures: Collection[str] = ()) -> str:
    """The section of a card, in markdown; empty where there are neither numbers nor pictures of them.

    Args:
        name: of the checkpoint.
        metrics: its metrics.json.
        pictures: the names of the pictures beside the card.

    Raises:
        ConfigError: metrics.json is wrong.
    """
    records = numbers(metrics) if metrics is not None else ()
    parts = [part for table in tables(records) for part in (table.caption, markdown(table))]
    parts.append("\n".join(f"- {line}" for line in lines(records)))
    parts += [f"![{title}]({picture})" for picture, title in _PICTURES.items() if picture in pictures]
    parts.append(f"`zoo verify {name} --metrics` measures them again." if records else "")
    told = [part for part in parts if part]
    return "\n\n".join(["## Numbers", *told]) if told else ""


def markdown(table: Table) -> str:
    """The columns and rows of a table, its caption left out."""
    ruler = ["---", *["---:"] * (len(table.columns) - 1)]
    return "\n".join("|" + "|".join(f" {cell} " if cell else " " for cell in row) + "|" for row in (table.columns, ruler, *table.rows))


def tables(records: Sequence[Record], style: Style = MARKDOWN) -> list[Table]:
    """The records of samples, a table for each group that can be compared."""
    return [_table(group, style) for group in comparable(records)]


def _table(group: Sequence[Record], style: Style) -> Table:
    metrics, bounds, floors = list(dict.fromkeys(map(_metric, group))), _bounds(group, style), _floors(group)
    rows: dict[str, list[Record]] = {}
    for record in _in_order(group):
        rows.setdefault(json.dumps([*walk(record), record.get("nfe")], sort_keys=True), []).append(record)
    drawn = [(*_head(row, style), *(_cell(row, metric, style, floors) for metric in metrics)) for row in rows.values()]
    real = [
        (label, "", "", *(_told(row.get(metric, {}), style, floors.get(metric), real=True) for metric in metrics))
        for label, row in bounds.items()
    ]
    below = " The last rows compare halves of the real ones: as they are, and with one of them harmed." if real else ""
    below += _of_floors(floors, style)
    return Table(
        caption=f"{caption(group, style)}.{_processors(group, style)}{below}",
        columns=("sampler", "NFE", f"seconds per {_what(group)[:-1]}", *map(style.name, metrics)),
        rows=(*drawn, *real),
    )


def side_by_side(named: Mapping[str, Sequence[Record]], style: Style = MARKDOWN) -> list[Table]:
    """The records of several checkpoints, by name: a table for each data set and feature space, a row for each checkpoint.

    A checkpoint that was measured on different numbers of samples has a row for each. The best by the first distance or log-likelihood
    stands at the top; where there is none, the rows stand in the order of the names.
    """
    every = [record for records in named.values() for record in records]
    digests = {_config(record): digest for record in every if (digest := fields(record, "data").get("digest"))}
    groups: dict[str, dict[str, list[Record]]] = {}
    for name, records in named.items():
        for record in records:
            # A metric that looks at no data knows no digest; its config has that of others.
            data = fields(record, "data").get("digest") or digests.get(_config(record), _config(record))
            of = [record["dataset"], not is_of_samples(record), record.get("split"), data, fields(record, "features")]
            groups.setdefault(json.dumps(of, sort_keys=True), {}).setdefault(name, []).append(record)
    return [_board(groups[of], style) for of in sorted(groups)]


def _config(record: Record) -> str:
    return json.dumps(fields(record, "data").get("config"), sort_keys=True)


def _board(group: Mapping[str, Sequence[Record]], style: Style) -> Table:
    every = [record for records in group.values() for record in records]
    drawn = is_of_samples(every[0])
    columns, floors = {_column(record, style): _metric(record) for record in every}, _floors(every)
    rows: dict[tuple[str, int | None, float], list[Record]] = {}
    for name, records in group.items():
        for record in records:
            rows.setdefault((name, count(record, "drawn" if drawn else "real"), _nfe(record)), []).append(record)
    first = next((str(record["metric"]) for record in every if record["metric"] in _LOWER_IS_BETTER), "")
    cells = [
        (
            style.name(name),
            f"{n:,}" if n is not None else "",
            *(_head(row, style)[1:] if drawn else ()),
            *(
                _cell([record for record in row if _column(record, style) == column], metric, style, floors)
                for column, metric in columns.items()
            ),
        )
        for (name, n, _), row in sorted(rows.items(), key=lambda item: _rank(item[1], first))
    ]
    real = [
        (label, "", "", "", *(_told(row.get(metric, {}), style, floors.get(metric), real=True) for metric in columns.values()))
        for label, row in _bounds(every, style).items()
    ]
    return Table(
        caption=f"{_of_what(every, style)}.{_processors(every, style)}{_of_floors(floors, style)}",
        columns=("checkpoint", "samples", *(("NFE", f"seconds per {_what(every)[:-1]}") if drawn else ()), *columns),
        rows=(*cells, *real),
    )


def _column(record: Record, style: Style) -> str:
    """A metric with its options; where it is not of samples, with its unit and the space that it is of, but not whether it is a bound."""
    if is_of_samples(record):
        return style.name(_metric(record))
    unit, space = _text(record, "unit"), _text(record, "space")
    of = " ".join(filter(None, [style.word(unit), _SPACES.get(space, style.word(space))]))
    return ", ".join(filter(None, [style.name(str(record["metric"])), of]))


def _rank(row: Sequence[Record], metric: str) -> float:
    values = [record["value"] for record in row if record["metric"] == metric]
    return values[0] if values else math.inf


def _of_what(group: Sequence[Record], style: Style) -> str:
    if not is_of_samples(group[0]):
        return f"On {_data(group[0], style)}"
    space = fields(group[0], "features").get("name")
    real = next((n for n in (count(record, "real") for record in group) if n), None)
    against = f"{_what(group).capitalize()} against {f'{real:,} of ' if real else ''}{_data(group[0], style)}"
    return against + (_in_space(space, group, style) if isinstance(space, str) else "")


def sampler_of(record: Record) -> str:
    """The sampler of a record, and the scheduler where it is not the model's own: ``heun: steps=5 on karras: rho=7.0``."""
    parts = (describe(fields(record, key)) for key in ("sampler", "scheduler"))
    return " on ".join(filter(None, parts))


def _metric(record: Record) -> str:
    return describe({**fields(record, "options"), "name": record["metric"]})


def _in_order(group: Sequence[Record]) -> list[Record]:
    """By sampler, in the order in which they come, and then by what they cost."""
    walks = [_walk(record) for record in group]
    names = [name for name, _ in walks]
    return sorted(group, key=lambda record: (names.index(_walk(record)[0]), walks.index(_walk(record)), _nfe(record)))


def _walk(record: Record) -> tuple[Any, str]:
    """The name of a sampler, and all of it with its scheduler but the number of steps."""
    sampler, scheduler = walk(record)
    options = {key: value for key, value in sampler.items() if key != "steps"}
    return sampler.get("name"), json.dumps([options, scheduler], sort_keys=True)


def _nfe(record: Record) -> float:
    nfe = record.get("nfe")
    return nfe if is_number(nfe) else math.inf


def _head(row: Sequence[Record], style: Style) -> tuple[str, str, str]:
    """A sampler, its evaluations of the net, and its seconds per image, where some record tells them."""
    nfe, seconds = _nfe(row[0]), [each for each in map(seconds_each, row) if each is not None]
    told = "" if nfe == math.inf else f"{nfe:,}"
    return style.name(sampler_of(row[0])), told, Cell.of(rounded(seconds[0], 2), seconds[0]) if seconds else ""


def _cell(row: Sequence[Record], metric: str, style: Style, floors: Mapping[str, float]) -> str:
    found = [_told(record, style, floors.get(metric)) for record in row if _metric(record) == metric]
    return found[0] if len(found) == 1 else "; ".join(found)


def _floors(group: Sequence[Record]) -> dict[str, float]:
    """The Frechet distance of two halves of the real samples, where it is known. That of other metrics may be 0, and less."""
    floors = ((_metric(record), fields(record, "floor").get("value")) for record in group if record["metric"] == "fd")
    return {metric: value for metric, value in floors if is_number(value) and value > 0}


def _of_floors(floors: Mapping[str, float], style: Style) -> str:
    return f" In brackets: how many times the {style.name('fd')} of real halves." if floors else ""


def _bounds(group: Sequence[Record], style: Style) -> dict[str, dict[str, Record]]:
    """What two halves of the real images reach, by the label of a row and the metric: as they are, and with one of them harmed."""
    found: dict[str, dict[str, Record]] = {}
    for record in group:
        if floor := fields(record, "floor"):
            found.setdefault(_of_halves(floor), {}).setdefault(_metric(record), floor)
    for record in group:
        harms = fields(record, "harms")
        for harm in harms:
            entry = fields(harms, harm)
            found.setdefault(f"{style.word(harm)}{_other_size(entry)}", {}).setdefault(_metric(record), entry)
    return found


def _of_halves(floor: Record) -> str:
    sizes = dict.fromkeys(f"{n:,}" for n in _sizes(floor))
    return f"real halves of {' and '.join(sizes)}" if sizes else "real halves"


def _other_size(harm: Record) -> str:
    """How many samples were harmed, where they are not as many as the others."""
    sizes = _sizes(harm)
    return f", n = {sizes[1]:,}" if len(set(sizes)) == 2 else ""


def _sizes(entry: Record) -> list[int]:
    n = entry.get("n")
    return n if isinstance(n, list) and len(n) == 2 and all(type(size) is int for size in n) else []


def caption(group: Sequence[Record], style: Style = MARKDOWN) -> str:
    """What records that can be compared are of: which samples, against which real ones, in which features."""
    first, drawn = group[0], count(group[0], "drawn")
    space = fields(first, "features").get("name")
    what = _what(group)
    real = next((n for n in (count(record, "real") for record in group) if n), None)
    told = [
        f"{what.capitalize() if drawn is None else f'{drawn:,} {what}'} of seed {style.word(str(first.get('seed', 0)))}",
        f" against {f'{real:,} of ' if real else ''}{_data(first, style)}",
        _in_space(space, group, style) if isinstance(space, str) else "",
    ]
    return "".join(told)


def _what(group: Sequence[Record]) -> str:
    return f"{unit_of(group)}s"


def unit_of(group: Sequence[Record]) -> str:
    """The word for one of the samples that were measured: ``image``, or ``sample`` where they are no images."""
    return "sample" if fields(group[0], "features").get("name") == _NO_NET else "image"


def _in_space(space: str, group: Sequence[Record], style: Style) -> str:
    if space == _NO_NET:
        return ", as they are"
    no_fid = space != "inception" and "fd" in map(_metric, group)
    return f", in the features of {style.name(space)}" + (f" (not Inception's, so {style.name('fd')} is no FID)" if no_fid else "")


def _data(record: Record, style: Style) -> str:
    split = record.get("split", "")
    return style.name(record["dataset"]) + (f" {style.word(split)}" if split else "")


def _processors(group: Sequence[Record], style: Style) -> str:
    """On what the time was taken."""
    names = dict.fromkeys(str(record["processor"]) for record in group if record.get("processor") and seconds_each(record) is not None)
    return f" Times are of {' or '.join(map(style.word, names))}." if names else ""


def lines(records: Sequence[Record], style: Style = MARKDOWN) -> list[str]:
    """The records of a model on data, without samples: what it is, its value, and on what."""
    return [_line(record, style) for record in records if not is_of_samples(record)]


def _line(record: Record, style: Style) -> str:
    unit = nature(record, style)
    n = count(record, "real")
    on = f"on the {n:,} of" if n is not None else "on"
    return f"{style.word(_metric(record))} {_told(record, style)}{f' {unit}' if unit else ''} {on} {_data(record, style)}"


def nature(record: Record, style: Style = MARKDOWN) -> str:
    """The unit of a number, what it is of, whether it is a bound, and its terms: ``bits/dim of 8-bit images (an upper bound)``."""
    unit, space, kind = (_text(record, key) for key in ("unit", "space", "kind"))
    told = [_KINDS.get(kind, "" if kind == "exact" else style.word(kind)), _METHODS.get(_text(record, "method"), "")]
    terms = fields(record, "terms")
    told += [f"{style.word(name)} {_told(fields(terms, name), style)}" for name in terms]
    beside = ", ".join(filter(None, told))
    return " ".join(filter(None, [style.word(unit), _SPACES.get(space, style.word(space)), f"({beside})" if beside else ""]))


def _text(record: Record, key: str) -> str:
    value = record.get(key)
    return value if isinstance(value, str) else ""


def relation(record: Record, style: Style = MARKDOWN) -> str:
    """What stands before the number of a record where it is no exact one, with a space after it: ``<= ``."""
    mark = style.relations.get(_text(record, "kind"))
    return f"{mark} " if mark else ""


def _told(entry: Record, style: Style, floor: float | None = None, *, real: bool = False) -> str:
    """A number with its standard error, and how many times the ``floor`` it is, unless it is that; or nothing."""
    value, stderr = entry.get("value"), entry.get("stderr")
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


def better_of(metric: str) -> str:
    """Which values of a metric are better, as its MetricSpec says; empty where that is not installed."""
    claim = registry().meant(MetricSpec, metric)
    return claim.spec.better if claim and isinstance(claim.spec, MetricSpec) else ""


def rounded(value: float, digits: int) -> str:
    """``value`` to so many significant digits; whole numbers keep all of theirs."""
    return f"{value:,.0f}" if 10**digits <= abs(value) < 10**15 else f"{value:.{digits}g}"
