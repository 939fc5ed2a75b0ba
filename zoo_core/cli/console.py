"""Printing for the commands: text and JSON to stdout, messages and errors to stderr, and never a control character.

Text for people is wrapped at words to the width of the terminal. Colours appear on terminals only, unless NO_COLOR is set.
"""

import json
import os
import re
import sys
import textwrap
from collections.abc import Sequence
from typing import TextIO

import click

from zoo_core.registry import Registry, registry
from zoo_core.specs import KINDS

__all__ = [
    "MAX_LINE",
    "bold",
    "dim",
    "echo_json",
    "error_line",
    "inert",
    "known_tokens",
    "line_of",
    "prose",
    "redact",
    "report_conflicts",
    "report_failures",
    "row",
    "say",
    "shown",
    "terminal_width",
    "wrap",
]

MAX_LINE = 300
_PIPE_WIDTH = 100  # without a terminal and without COLUMNS
_NARROWEST = 20
_ERROR = "zoo: error: "
_HINT = re.compile(r"(\s--\s)")
_TOKEN = re.compile(r"\bhf_[A-Za-z0-9]{8,}")


def inert(text: str) -> str:
    """``text`` with an escape for each character that is neither printable nor a line end: no colours, cursor moves, reversed writing.

    >>> inert("red\\x1b[31m")
    'red\\\\x1b[31m'
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text.expandtabs(4))


def known_tokens() -> tuple[str, ...]:
    """The access tokens that output must not show; reads the environment and the file of a login."""
    from zoo_core.hub.redaction import access_tokens

    return access_tokens(least=4)


def redact(text: str, tokens: Sequence[str] | None = None) -> str:
    """``text`` with asterisks in the place of access tokens; ``tokens`` are those of :func:`known_tokens`, which are looked up if None."""
    for token in known_tokens() if tokens is None else tokens:
        text = text.replace(token, "***")
    return _TOKEN.sub("hf_***", text)


def line_of(text: str, tokens: Sequence[str] | None = None) -> str:
    """``text`` in one inert line, without access tokens; see :func:`redact`."""
    return inert(" ".join(redact(text, tokens).split()))


def shown(text: object, limit: int) -> str:
    """``text`` in one inert line of at most ``limit`` characters."""
    line = line_of(str(text))
    return line if len(line) <= limit else line[: limit - 3] + "..."


def error_line(what: str, hint: str = "", prefix: str = _ERROR) -> str:
    """The line of at most 300 characters that reports an error: what happened, and what to do next.

    >>> error_line("no such option: --sed", "did you mean --seed?")
    'zoo: error: no such option: --sed -- did you mean --seed?'
    """
    hint = shown(hint, max(140, MAX_LINE - len(prefix) - 4 - len(line_of(what))))
    tail = f" -- {hint}" if hint else ""
    return prefix + shown(what, MAX_LINE - len(prefix) - len(tail)) + tail


def say(text: str) -> None:
    """Prints a message to stderr; on a terminal it is wrapped at words, with ``error:`` in red and the hint dim."""
    if not sys.stderr.isatty():
        click.echo(text, err=True)
        return
    lines = "\n".join(wrap(text, hanging="  "))
    if _coloured(sys.stderr) and lines.startswith(_ERROR):
        what, *hint = _HINT.split(lines.removeprefix(_ERROR), maxsplit=1)
        lines = f"zoo: {click.style('error:', fg='red', bold=True)} {what}" + click.style("".join(hint), dim=True)
    click.echo(lines, err=True)


def terminal_width() -> int:
    """Width in columns: COLUMNS if set, else the terminal's (also if stdout is piped into a pager), else 100."""
    columns = os.environ.get("COLUMNS", "")
    if columns.isdecimal() and int(columns) > 0:
        return max(int(columns), _NARROWEST)
    for stream in (sys.__stdout__, sys.__stderr__, sys.__stdin__):
        try:
            width = os.get_terminal_size(stream.fileno()).columns if stream else 0
        except (OSError, ValueError):  # no terminal, or a closed stream
            continue
        if width > 0:
            return max(width, _NARROWEST)
    return _PIPE_WIDTH


def wrap(text: str, width: int | None = None, *, first: str = "", hanging: str = "") -> list[str]:
    """The lines of a text, wrapped at spaces; a word that is longer than a line stands on a line of its own.

    >>> wrap("a figure for each checkpoint", 12, hanging="  ")
    ['a figure for', '  each', '  checkpoint']

    Args:
        text: text; each of its lines is wrapped alone.
        width: number of columns; the terminal's when None.
        first: beginning of the first line.
        hanging: beginning of the other lines.
    """
    width = terminal_width() if width is None else width
    lines = []
    for number, line in enumerate(text.split("\n")):
        begins = hanging if number else first
        lines += textwrap.wrap(
            line, width, initial_indent=begins, subsequent_indent=hanging, break_long_words=False, break_on_hyphens=False
        ) or [begins.rstrip()]
    return lines


def prose(text: str, *, first: str = "", hanging: str = "") -> None:
    """Prints sentences to stdout, wrapped at words."""
    click.echo("\n".join(wrap(inert(text), first=first, hanging=hanging)))


def row(text: str, hanging: str) -> None:
    """Prints a line of a list to stdout: wrapped at words on a terminal, whole in a pipe, where programs count lines."""
    text = inert(text).replace("\n", " ")
    click.echo("\n".join(wrap(text, hanging=hanging)) if sys.stdout.isatty() else text)


def _coloured(stream: TextIO) -> bool:
    """Whether a stream shows colours: a terminal, NO_COLOR (https://no-color.org) not set, TERM not dumb."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def bold(text: str) -> str:
    """``text`` for stdout, bold if stdout shows that."""
    return click.style(text, bold=True) if _coloured(sys.stdout) else text


def dim(text: str) -> str:
    """``text`` for stdout, dim if stdout shows that."""
    return click.style(text, dim=True) if _coloured(sys.stdout) else text


def echo_json(data: object) -> None:
    """Prints data as JSON to stdout, where nothing else may be printed."""
    click.echo(json.dumps(data, indent=2))


def report_failures(plugins: Registry | None = None) -> None:
    """Prints a line to stderr for each broken plugin and for each name that several plugins claim."""
    plugins = plugins or registry()
    for plugin in plugins.failures:
        say(error_line(f"plugin {plugin.name} ({plugin.dist}) {plugin.failure}", "`zoo plugins` shows where", "zoo: "))
    report_conflicts(plugins)


def report_conflicts(plugins: Registry) -> None:
    """Prints a line to stderr for each name that several plugins claim."""
    for kind in KINDS:
        for name, claims in plugins.claims(kind).items():
            if len(claims) < 2:
                continue
            if meant := plugins.claim_or_none(kind, name):
                others = ", ".join(claim.name for claim in claims if claim is not meant)
                say(error_line(f"{kind} {name} is that of {meant.plugin.dist}", f"the other is written {others}", "zoo: ! "))
            else:
                dists = " and ".join(claim.plugin.dist for claim in claims)
                names = " or ".join(claim.name for claim in claims)
                say(error_line(f"{kind} {name} is claimed by {dists}", f"say which: {names}", "zoo: ! "))
