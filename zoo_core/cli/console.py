"""What the commands print: tables and JSON to stdout, messages and errors to stderr, nothing that could move a terminal's cursor."""

import json
import re
import shutil
import sys
from collections.abc import Iterable, Sequence

import click

from zoo_core.registry import Registry, registry
from zoo_core.specs import KINDS
from zoo_core.tokens import access_tokens

__all__ = [
    "MAX_LINE",
    "echo_json",
    "error_line",
    "human_size",
    "inert",
    "redact",
    "report_conflicts",
    "report_failures",
    "say",
    "shown",
    "table",
]

MAX_LINE = 300
_TOKEN = re.compile(r"\bhf_[A-Za-z0-9]{8,}")


def inert(text: str) -> str:
    """``text`` with all that is neither printable nor a line end written as an escape: no colours, cursor moves or reversed writing."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text.expandtabs(4))


def redact(text: str) -> str:
    """``text`` without access tokens."""
    for token in access_tokens(least=4):
        text = text.replace(token, "***")
    return _TOKEN.sub("hf_***", text)


def _line(text: str) -> str:
    return inert(" ".join(redact(text).split()))


def shown(text: object, limit: int) -> str:
    """``text`` in one inert line of at most ``limit`` characters."""
    line = _line(str(text))
    return line if len(line) <= limit else line[: limit - 3] + "..."


def error_line(what: str, hint: str = "", prefix: str = "zoo: error: ") -> str:
    """The one line of at most 300 characters in which every failure is told: ``zoo: error: what -- what to do next``."""
    hint = shown(hint, 140)
    tail = f" -- {hint}" if hint else ""
    return prefix + shown(what, MAX_LINE - len(prefix) - len(tail)) + tail


def say(text: str) -> None:
    """A message, to stderr."""
    click.echo(text, err=True)


def echo_json(data: object) -> None:
    """Data for programs, to stdout: nothing else may go there."""
    click.echo(json.dumps(data, indent=2))


def human_size(size: int) -> str:
    """``size`` in bytes as people read it: 9.3 MB."""
    number, unit = float(size), "B"
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000 or unit == "GB":
            break
        number /= 1000
    return f"{number:.0f} {unit}" if unit == "B" or number >= 100 else f"{number:.1f} {unit}"


def table(headers: Sequence[str], rows: Iterable[Sequence[str]], *, cut: bool = False) -> None:
    """Prints columns of text, below headers unless those are all empty; with ``cut``, lines end where a terminal's window does."""
    lines = [headers, *([_line(cell) for cell in row] for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(headers) - 1)]
    terminal = sys.stdout.isatty()
    room = max(shutil.get_terminal_size().columns - sum(widths) - 2 * len(widths), 16) if terminal and cut else 0
    for number, line in enumerate(lines):
        if not any(line):
            continue
        last = shown(line[-1], room) if room else line[-1]
        text = "  ".join([*(cell.ljust(width) for cell, width in zip(line, widths, strict=False)), last]).rstrip()
        click.echo(click.style(text, bold=True) if terminal and number == 0 else text)


def report_failures(found: Registry | None = None) -> None:
    """One line on stderr for each broken plugin and for each name that several plugins claim."""
    found = found or registry()
    for plugin in found.failures:
        say(error_line(f"plugin {plugin.name} ({plugin.dist}) {plugin.failure}", "`zoo plugins` shows where", "zoo: "))
    report_conflicts(found)


def report_conflicts(found: Registry) -> None:
    """One line on stderr for each name that several plugins claim."""
    for kind in KINDS:
        for name, claims in found.claims(kind).items():
            if len(claims) > 1:
                if meant := found.meant(kind, name):
                    others = ", ".join(claim.name for claim in claims if claim is not meant)
                    say(error_line(f"{kind} {name} is that of {meant.plugin.dist}", f"the other is written {others}", "zoo: ! "))
                    continue
                dists, which = " and ".join(claim.plugin.dist for claim in claims), " or ".join(claim.name for claim in claims)
                say(error_line(f"{kind} {name} is claimed by {dists}", f"say which: {which}", "zoo: ! "))
