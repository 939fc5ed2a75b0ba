"""Tables that fit the terminal: text whose last column is prose, and numbers that are compared down their columns."""

import math
from collections.abc import Iterable, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, NamedTuple

import click

from zoo_core.cli.console import bold, known_tokens, line_of, terminal_width, wrap

if TYPE_CHECKING:
    from zoo_core.cards.numbers import Cell
    from zoo_core.cards.tables import Table

__all__ = ["board", "number", "table"]

_GAP = "  "
_READABLE = 36  # width that prose needs beside other columns
_MOST_DECIMALS = 6
_SMALL = 0.1  # columns whose values are all smaller are multiplied by 1,000
_Rows = Sequence[Sequence[str]]


def table(headers: Sequence[str], rows: Iterable[Sequence[str]], *, drop: Sequence[str] = (), right: Sequence[str] = ()) -> None:
    """Prints columns of text below their headers, or without a line of headers if all of them are empty.

    If the table is wider than the terminal, the first of these layouts that fits is used: the last column is wrapped; the columns
    ``drop`` are left out, one after the other; the last column stands below the others; each row is a block of lines.

    Args:
        headers: headers of the columns.
        rows: rows with as many cells as there are headers.
        drop: headers of columns to leave out, the first one first.
        right: headers of columns to align to the right.
    """
    tokens = known_tokens()  # once, and not for each cell
    cells = [[line_of(cell, tokens) for cell in row] for row in rows]
    room = terminal_width()
    variants = [_without(headers, cells, drop[:count]) for count in range(len(drop) + 1)]
    for heads, kept in variants:
        widths = _widths(heads, kept)
        left = room - _fixed(widths)
        if left >= min(widths[-1], _READABLE):
            _print([heads, *kept], [*widths[:-1], min(widths[-1], left)], [head in right for head in heads])
            return
    for heads, kept in variants:
        widths = _widths(heads, kept)[:-1]
        if _fixed([*widths, 0]) - len(_GAP) <= room:
            _print_stacked([heads, *kept], widths, [head in right for head in heads])
            return
    _print_blocks(headers, cells)


def _without(headers: Sequence[str], rows: _Rows, dropped: Sequence[str]) -> tuple[Sequence[str], _Rows]:
    kept = [place for place, header in enumerate(headers) if header not in dropped]
    return [headers[place] for place in kept], [[row[place] for place in kept] for row in rows]


def _widths(headers: Sequence[str], rows: _Rows) -> list[int]:
    return [max(map(len, column)) for column in zip(headers, *rows, strict=True)]


def _fixed(widths: Sequence[int]) -> int:
    """The width of all columns but the last, with the gaps."""
    return sum(widths[:-1]) + len(_GAP) * (len(widths) - 1)


def _print(lines: _Rows, widths: Sequence[int], right: Sequence[bool], strong: Sequence[Sequence[bool]] = ()) -> None:
    """Prints rows in columns of these widths, with cells wrapped; ``lines[0]`` are headers, ``strong`` says which cells are bold."""
    plain = [False] * len(widths)
    for number, line in enumerate(lines):
        if not any(line):
            continue
        wrapped = [[cell] if len(cell) <= width else wrap(cell, width) for cell, width in zip(line, widths, strict=True)]
        if number == 0:  # headers stand just above their columns
            height = max(map(len, wrapped))
            wrapped = [[""] * (height - len(parts)) + parts for parts in wrapped]
        bolds = [True] * len(widths) if number == 0 else strong[number - 1] if strong else plain
        for parts in zip_longest(*wrapped, fillvalue=""):
            click.echo(_GAP.join(map(_padded, parts, widths, right, bolds)).rstrip())


def _padded(text: str, width: int, at_right: bool, is_bold: bool) -> str:
    """``text`` in a cell of ``width``; only the text itself is bold."""
    space = " " * (width - len(text))
    shown = bold(text) if is_bold and text else text
    return space + shown if at_right else shown + space


def _print_stacked(lines: _Rows, widths: Sequence[int], right: Sequence[bool]) -> None:
    """Prints each row in two parts: all columns but the last, and below them the last one, wrapped."""
    for number, line in enumerate(lines):
        if any(line):
            _print([[""] * len(widths), line[:-1]] if number else [line[:-1]], widths, right[:-1])
            for part in wrap(line[-1], first=_GAP, hanging=_GAP) if line[-1] else ():
                click.echo(part if number else bold(part))


def _print_blocks(headers: Sequence[str], rows: _Rows) -> None:
    """Prints each row as a block of lines: its first cell, and below it the others with their headers."""
    for row in rows:
        for part in wrap(row[0]):
            click.echo(bold(part))
        for header, cell in zip(headers[1:], row[1:], strict=True):
            for part in wrap(f"{header}  {cell}" if header else cell, first=_GAP, hanging=_GAP * 2) if cell else ():
                click.echo(part)


def board(numbers: "Table") -> None:
    """Prints a table of metrics: the caption, and below it columns aligned to the right, one notation each, the best value bold.

    Columns that do not fit side by side follow in parts below each other, each with the names of the rows.
    """
    for line in wrap(line_of(numbers.caption)):
        click.echo(line)
    heading = numbers.columns[0]
    names = [line_of(row[0]) for row in numbers.rows]
    columns = [_column(head, cells) for head, *cells in list(zip(numbers.columns, *numbers.rows, strict=True))[1:] if any(cells)]
    room = terminal_width()
    wide = max(map(len, [heading, *names]))
    if wide + sum(len(_GAP) + column.width for column in columns) > room:  # names are wrapped before columns are moved down
        wide = min(wide, max(*map(_longest_word, [heading, *names]), room * 2 // 5))
    if wide + len(_GAP) + max((column.width for column in columns), default=0) > room:
        _print_blocks([heading, *(column.head for column in columns)], [*zip(names, *(column.cells for column in columns), strict=True)])
        return
    parts = _parts(columns, room - wide)
    for number, part in enumerate(parts):
        cells = list(zip(names, *(column.cells for column in part), strict=True))
        kept = [place for place, row in enumerate(cells) if any(row[1:]) or len(parts) == 1]
        strong = [[False, *(column.best[place] for column in part)] for place in kept]
        click.echo("\n" * bool(number), nl=False)
        lines = [[heading, *(column.head for column in part)], *(cells[place] for place in kept)]
        _print(lines, [wide, *(column.width for column in part)], [False, *(True for _ in part)], strong)


class _Column(NamedTuple):
    """A column of numbers: its header, its cells in one notation, and which of them is best."""

    head: str
    cells: Sequence[str]
    best: Sequence[bool]

    @property
    def width(self) -> int:
        """The width of its cells, or more if its header would take three lines."""
        width = max(_longest_word(self.head), *map(len, self.cells), 1)
        return next(wide for wide in range(width, width + len(self.head) + 1) if len(wrap(self.head, wide)) <= 2)


def _longest_word(text: str) -> int:
    return max(map(len, text.split()), default=0)


def _parts(columns: Sequence[_Column], room: int) -> list[list[_Column]]:
    """The columns in parts that fit into ``room``."""
    parts: list[list[_Column]] = [[]]
    left = room
    for column in columns:
        wide = len(_GAP) + column.width
        if parts[-1] and wide > left:
            parts.append([])
            left = room
        parts[-1].append(column)
        left -= wide
    return parts


def _column(header: str, cells: Sequence[str]) -> _Column:
    """A column of texts, or of numbers with as many decimals each, their errors and brackets below each other."""
    from zoo_core.cards.numbers import Cell

    filled = [cell if isinstance(cell, Cell) else None for cell in cells]
    values = [cell for cell in filled if cell is not None]
    if not values:
        return _Column(header, [line_of(cell) for cell in cells], [False] * len(cells))
    drawn = [cell for cell in values if not cell.real] or values
    timed = header.startswith("seconds ")
    scale = 1000 if timed or max(abs(cell.value) for cell in drawn) < _SMALL else 1
    head = header if scale == 1 else header.replace("seconds", "ms", 1) if timed else f"{header} x1000"
    decimals = _decimals(drawn, scale, 2 if timed else 3)
    numbers = [f"{cell.mark}{cell.value * scale:,.{decimals}f}" if cell else "" for cell in filled]
    errors = [f" +- {cell.stderr * scale:.{decimals}f}" if cell and cell.stderr is not None else "" for cell in filled]
    times = [f" {cell.times}" if cell and cell.times else "" for cell in filled]
    wide_error = max(map(len, errors))
    wide_times = max(map(len, times))
    texts = [
        number and number + error.ljust(wide_error) + time.rjust(wide_times)
        for number, error, time in zip(numbers, errors, times, strict=True)
    ]
    return _Column(head, texts, _best(filled))


def _decimals(cells: "Sequence[Cell]", scale: int, digits: int) -> int:
    """The decimals that give the smallest standard error two digits, or without errors the smallest value ``digits`` digits."""
    errors = [cell.stderr * scale for cell in cells if cell.stderr]
    sizes = errors or [abs(cell.value) * scale for cell in cells if cell.value]
    if not sizes:
        return 0
    return min(max((2 if errors else digits) - 1 - math.floor(math.log10(min(sizes))), 0), _MOST_DECIMALS)


def number(value: float, stderr: float | None = None) -> str:
    """A number outside of a table, with its standard error in the same decimals: two digits of the error, or four of the number.

    >>> number(12.3456, 0.0789)
    '12.346 +- 0.079'
    >>> number(1234.5)
    '1,234'
    """
    size = stderr or abs(value)
    digits = 2 if stderr else 4
    if not size:
        return f"{value:g}"
    decimals = max(digits - 1 - math.floor(math.log10(size)), 0)
    if decimals > _MOST_DECIMALS:  # a column of its own would be scaled
        power = math.floor(math.log10(max(abs(value), size)))
        scaled = number(value / 10**power, stderr / 10**power if stderr else None)
        return f"({scaled})e{power}" if stderr else f"{scaled}e{power}"
    return f"{value:,.{decimals}f}" + (f" +- {stderr:,.{decimals}f}" if stderr is not None else "")


def _best(cells: "Sequence[Cell | None]") -> list[bool]:
    """Whether each cell is the best of the drawn samples; all False if there are fewer than two of them."""
    real = next((cell.value for cell in cells if cell and cell.real), None)
    ranks = [_rank(cell, real) if cell and not cell.real else None for cell in cells]
    known = [rank for rank in ranks if rank is not None]
    return [len(known) > 1 and rank == min(known) for rank in ranks]


def _rank(cell: "Cell", real: float | None) -> float | None:
    """A number that is smaller for a better value; None if no value is better than another."""
    target = {"near 1": 1.0, "near real": real}.get(cell.better)
    by_sign = {"lower": cell.value, "higher": -cell.value}.get(cell.better)
    return by_sign if target is None else abs(cell.value - target)
