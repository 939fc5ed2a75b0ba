"""Tables of numbers: the samplers of one checkpoint, or several checkpoints side by side."""

import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from zoo_core.cards.metrics_json import (
    comparable_groups,
    drawing_of,
    is_number,
    is_of_samples,
    metric_records,
    sample_count,
    seconds_per_sample,
    subrecord,
)
from zoo_core.cards.numbers import (
    MARKDOWN,
    SPACES,
    Cell,
    Record,
    Style,
    caption,
    data_name,
    features_clause,
    first_count,
    lines,
    metric_name,
    number_cell,
    people_clause,
    processors_sentence,
    rounded,
    sampler_of,
    text_field,
    unit_of,
)

__all__ = ["Table", "markdown", "numbers_section", "side_by_side", "tables"]

_LOWER_IS_BETTER = ("fd", "kid", "nll", "bpd")
_PICTURES = {
    "quality.png": "Quality against evaluations of the net",
    "nearest.png": "Samples and the training images nearest to them",
    "latent-grid.png": "What it decodes over the plane of latents",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """Numbers that can be compared.

    Args:
        caption: samples and data of the numbers.
        columns: header of the rows, headers of their costs, and the metrics.
        rows: a sampler or a checkpoint each; the last ones are of real samples.

    Example:
        >>> from zoo_core.cards.tables import Table, markdown
        >>> print(markdown(Table(caption="On moons", columns=("sampler", "fd"), rows=(("ode", "0.5"),))))
        | sampler | fd |
        | --- | ---: |
        | ode | 0.5 |
    """

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def numbers_section(name: str, metrics: Mapping[str, Any] | None, pictures: Collection[str] = ()) -> str:
    """The section of a card about numbers, in markdown; empty if there are neither numbers nor pictures of them.

    Args:
        name: reference of the checkpoint.
        metrics: content of its metrics.json, or None.
        pictures: names of the pictures beside the card.

    Raises:
        ConfigError: if metrics.json is not valid.
    """
    records = metric_records(metrics) if metrics is not None else ()
    parts = [part for table in tables(records) for part in (table.caption, markdown(table))]
    parts.append("\n".join(f"- {line}" for line in lines(records)))
    parts += [f"![{title}]({picture})" for picture, title in _PICTURES.items() if picture in pictures]
    parts.append(f"`zoo verify {name} --metrics` measures them again." if records else "")
    paragraphs = [part for part in parts if part]
    return "\n\n".join(["## Numbers", *paragraphs]) if paragraphs else ""


def markdown(table: Table) -> str:
    """The columns and rows of a table in markdown, without its caption."""
    ruler = ["---", *["---:"] * (len(table.columns) - 1)]
    return "\n".join("|" + "|".join(f" {cell} " if cell else " " for cell in row) + "|" for row in (table.columns, ruler, *table.rows))


# One checkpoint: a row for each sampler


def tables(records: Sequence[Record], style: Style = MARKDOWN) -> list[Table]:
    """A table for each group of comparable records of samples, with a row for each sampler.

    Args:
        records: entries of a metrics.json.
        style: how names and numbers are written.
    """
    return [_table(group, style) for group in comparable_groups(records)]


def _table(group: Sequence[Record], style: Style) -> Table:
    metrics = list(dict.fromkeys(map(metric_name, group)))
    floors = _floors(group)
    rows: dict[str, list[Record]] = {}
    for record in _in_order(group):
        rows.setdefault(json.dumps([*drawing_of(record), record.get("nfe")], sort_keys=True), []).append(record)
    drawn = [(*_sampler_cells(row, style), *(_cell(row, metric, style, floors) for metric in metrics)) for row in rows.values()]
    real = [(label, "", "", *cells) for label, cells in _real_rows(group, metrics, floors, style)]
    remark = " The last rows compare halves of the real ones: as they are, and with one of them harmed." if real else ""
    remark += _floors_sentence(floors, style)
    return Table(
        caption=f"{caption(group, style)}.{processors_sentence(group, style)}{remark}",
        columns=("sampler", "NFE", f"seconds per {unit_of(group)}", *map(style.name, metrics)),
        rows=(*drawn, *real),
    )


def _in_order(group: Sequence[Record]) -> list[Record]:
    """Records by sampler, in the order in which samplers first appear, and then by network evaluations."""
    settings = [_without_steps(record) for record in group]
    names = [name for name, _ in settings]

    def place(record: Record) -> tuple[int, int, float]:
        setting = _without_steps(record)
        return names.index(setting[0]), settings.index(setting), _nfe(record)

    return sorted(group, key=place)


def _without_steps(record: Record) -> tuple[Any, str]:
    """The name of a sampler, and its options, scheduler and guidance as JSON without the number of steps."""
    sampler, scheduler, guidance = drawing_of(record)
    options = {key: value for key, value in sampler.items() if key != "steps"}
    return sampler.get("name"), json.dumps([options, scheduler, guidance], sort_keys=True)


# Several checkpoints: a row for each


def side_by_side(named: Mapping[str, Sequence[Record]], style: Style = MARKDOWN) -> list[Table]:
    """A table for each data set and feature space, with a row for each checkpoint.

    A checkpoint that was measured on different numbers of samples has a row for each. The best by the first distance or
    log-likelihood stands at the top; without such a metric, the rows stand in the order of the names.

    Args:
        named: records of each checkpoint, by its name.
        style: how names and numbers are written.
    """
    every = [record for records in named.values() for record in records]
    digests = {_config(record): digest for record in every if (digest := subrecord(record, "data").get("digest"))}
    groups: dict[str, dict[str, list[Record]]] = {}
    for name, records in named.items():
        for record in records:
            # A metric that reads no data has no digest of it; another record with the same config has.
            data = subrecord(record, "data").get("digest") or digests.get(_config(record), _config(record))
            basis = [record["dataset"], not is_of_samples(record), record.get("split"), data, subrecord(record, "features")]
            groups.setdefault(json.dumps(basis, sort_keys=True), {}).setdefault(name, []).append(record)
    return [_board(groups[basis], style) for basis in sorted(groups)]


def _config(record: Record) -> str:
    return json.dumps(subrecord(record, "data").get("config"), sort_keys=True)


def _board(group: Mapping[str, Sequence[Record]], style: Style) -> Table:
    every = [record for records in group.values() for record in records]
    drawn = is_of_samples(every[0])
    columns = {_column(record, style): metric_name(record) for record in every}
    floors = _floors(every)
    rows: dict[tuple[str, int | None, float], list[Record]] = {}
    for name, records in group.items():
        for record in records:
            rows.setdefault((name, sample_count(record, "drawn" if drawn else "real"), _nfe(record)), []).append(record)
    first = next((str(record["metric"]) for record in every if record["metric"] in _LOWER_IS_BETTER), "")
    cells = [
        (
            style.name(name),
            f"{n:,}" if n is not None else "",
            *(_sampler_cells(row, style)[1:] if drawn else ()),
            *(
                _cell([record for record in row if _column(record, style) == column], metric, style, floors)
                for column, metric in columns.items()
            ),
        )
        for (name, n, _), row in sorted(rows.items(), key=lambda item: _rank(item[1], first))
    ]
    real = [(label, "", "", "", *values) for label, values in _real_rows(every, list(columns.values()), floors, style)]
    return Table(
        caption=f"{_board_caption(every, style)}.{processors_sentence(every, style)}{_floors_sentence(floors, style)}",
        columns=("checkpoint", "samples", *(("NFE", f"seconds per {unit_of(every)}") if drawn else ()), *columns),
        rows=(*cells, *real),
    )


def _board_caption(group: Sequence[Record], style: Style) -> str:
    if not is_of_samples(group[0]):
        return f"On {data_name(group[0], style)}"
    space = subrecord(group[0], "features").get("name")
    real = first_count(group)
    against = f"{unit_of(group).capitalize()}s against {f'{real:,} of ' if real else ''}{data_name(group[0], style)}"
    judged = ", judged by people" if people_clause(group) else ""
    return against + (features_clause(space, group, style) if isinstance(space, str) else "") + judged


def _column(record: Record, style: Style) -> str:
    """A metric with its options; for a number of a model on data, the metric with its unit and space."""
    if is_of_samples(record):
        return style.name(metric_name(record))
    space = text_field(record, "space")
    unit = " ".join(filter(None, [style.word(text_field(record, "unit")), SPACES.get(space, style.word(space))]))
    return ", ".join(filter(None, [style.name(str(record["metric"])), unit]))


def _rank(row: Sequence[Record], metric: str) -> float:
    values = [record["value"] for record in row if record["metric"] == metric]
    return values[0] if values else math.inf


# Cells of a row


def _nfe(record: Record) -> float:
    nfe = record.get("nfe")
    return nfe if is_number(nfe) else math.inf


def _sampler_cells(row: Sequence[Record], style: Style) -> tuple[str, str, str]:
    """A sampler, its network evaluations, and its seconds per image; empty cells if no record states them."""
    nfe = _nfe(row[0])
    seconds = [each for each in map(seconds_per_sample, row) if each is not None]
    evaluations = "" if nfe == math.inf else f"{nfe:,}"
    return style.name(sampler_of(row[0])), evaluations, Cell.of(rounded(seconds[0], 2), seconds[0]) if seconds else ""


def _cell(row: Sequence[Record], metric: str, style: Style, floors: Mapping[str, float]) -> str:
    cells = [number_cell(record, style, floors.get(metric)) for record in row if metric_name(record) == metric]
    return cells[0] if len(cells) == 1 else "; ".join(cells)


# Rows of real samples


def _floors(group: Sequence[Record]) -> dict[str, float]:
    """Frechet distances of two halves of the real samples, by metric; floors of other metrics may be negative."""
    floors = ((metric_name(record), subrecord(record, "floor").get("value")) for record in group if record["metric"] == "fd")
    return {metric: value for metric, value in floors if is_number(value) and value > 0}


def _floors_sentence(floors: Mapping[str, float], style: Style) -> str:
    return f" In brackets: how many times the {style.name('fd')} of real halves." if floors else ""


def _real_rows(
    group: Sequence[Record], metrics: Sequence[str], floors: Mapping[str, float], style: Style
) -> list[tuple[str, tuple[str, ...]]]:
    """Label and cells of each row of real samples: two halves as they are, and with one of them degraded."""
    bounds: dict[str, dict[str, Record]] = {}
    for record in group:
        if floor := subrecord(record, "floor"):
            bounds.setdefault(_halves_label(floor), {}).setdefault(metric_name(record), floor)
    for record in group:
        harms = subrecord(record, "harms")
        for harm in harms:
            entry = subrecord(harms, harm)
            bounds.setdefault(f"{style.word(harm)}{_size_remark(entry)}", {}).setdefault(metric_name(record), entry)
    return [
        (label, tuple(number_cell(row.get(metric, {}), style, floors.get(metric), real=True) for metric in metrics))
        for label, row in bounds.items()
    ]


def _halves_label(floor: Record) -> str:
    sizes = dict.fromkeys(f"{n:,}" for n in _sizes(floor))
    return f"real halves of {' and '.join(sizes)}" if sizes else "real halves"


def _size_remark(entry: Record) -> str:
    """The number of degraded samples, if it differs from that of the others."""
    sizes = _sizes(entry)
    return f", n = {sizes[1]:,}" if len(set(sizes)) == 2 else ""


def _sizes(entry: Record) -> list[int]:
    n = entry.get("n")
    return n if isinstance(n, list) and len(n) == 2 and all(type(size) is int for size in n) else []
