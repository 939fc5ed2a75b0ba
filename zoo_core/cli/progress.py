"""Progress on stderr, in one style for all commands: a bar on a terminal, a plain line every half minute in a pipe."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any, Self

import click

from zoo_core.cli.console import say, terminal_width

__all__ = ["EVERY", "Progress", "duration", "loading", "rate"]

EVERY = 30.0
"""Seconds between two lines in a pipe."""
_CLEAR = "\r\x1b[K"
_REDRAW = 0.1
_BAR = 6  # smallest width of a bar, in columns


class Progress:
    """A context manager that shows how much of a piece of work is done, the time left, and facts about it.

    On a terminal ``train  18%|##      | 70/400 steps  loss 0.521  0:21 left``, redrawn in place, with the facts that its width has room
    for; in a pipe ``train: 70/400 steps  loss 0.521  0:21 left``, without control characters. A terminal that has gone away is ignored.

    >>> with Progress("sample", 2, "steps") as progress:
    ...     progress.add(1)
    ...     progress.done
    1

    Args:
        name: name of the work, such as ``train``.
        total: number of units to do; None if unknown.
        unit: unit that is counted.
    """

    def __init__(self, name: str, total: int | None = None, unit: str = "samples") -> None:
        self.unit = unit
        self.terminal = sys.stderr.isatty()
        self.first = os.environ.get("RANK", "0") == "0"  # only the first of a launcher's processes prints
        self._bar: Any = None
        self._status = False
        self._begin(name, total)

    def _begin(self, name: str, total: int | None) -> None:
        self.name = name
        self.total = total
        self.done = 0
        self._started = self._shown = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with suppress(OSError):
            self._clear()
            if self._bar is not None:
                self._bar.close()
                self._bar = None

    def status(self, text: str) -> None:
        """Shows a text before the first number, on a terminal: ``train: loading PyTorch ...``."""
        if self.terminal and self.first:
            with suppress(OSError):
                self._clear()
                sys.stderr.write(f"{self.name}: {text} ...")
                sys.stderr.flush()
                self._status = True

    def stage(self, name: str, total: int) -> None:
        """Starts to count anew, for another part of the work."""
        self.__exit__(None, None, None)
        self._begin(name, total)

    def add(self, n: int) -> None:
        """Counts ``n`` more units, and shows speed and time left."""
        self.done += n
        speed = self.done / max(time.monotonic() - self._started, 1e-9)
        facts = [f"{duration((self.total - self.done) / speed)} left"] if self.total and speed else []
        self.show(self.done, [*facts, f"{rate(speed)} {self.unit}/s"])

    def show(self, done: int, facts: list[str], *, now: bool = False) -> None:
        """Shows ``done`` of the total, and facts, the most important one first; ``now`` prints a line in a pipe in any case."""
        self.done = done
        with suppress(OSError):
            least = EVERY if not self.terminal else 0.0 if self._bar is None else _REDRAW
            if not self.first or (time.monotonic() - self._shown < least and not now):
                return
            self._shown = time.monotonic()
            if self.terminal:
                self._draw(facts)
            else:
                say(f"{self.name}: {self._count()}  {'  '.join(facts)}")

    def _count(self) -> str:
        return f"{self.done:,}/{self.total:,} {self.unit}" if self.total else f"{self.done:,} {self.unit}"

    def _draw(self, facts: list[str]) -> None:
        from tqdm import tqdm

        self._clear()
        text = self._count()
        room = terminal_width() - 1 - len(f"{self.name} 100%|{' ' * _BAR}| ")
        for fact in facts:  # no fact is cut
            if len(text) + 2 + len(fact) > room:
                break
            text += f"  {fact}"
        if self._bar is None:
            counted = "{percentage:3.0f}%|{bar}| " if self.total else ""
            layout = f"{self.name.replace('{', '').replace('}', '')} {counted}{{desc}}"
            self._bar = tqdm(desc=text, total=self.total, initial=self.done, bar_format=layout, ncols=terminal_width() - 1, leave=False)
            return
        self._bar.n = self.done
        self._bar.ncols = terminal_width() - 1
        self._bar.set_description_str(text)

    def _clear(self) -> None:
        if self._status:
            sys.stderr.write(_CLEAR)
            sys.stderr.flush()
            self._status = False

    def say(self, text: str) -> None:
        """Prints a message to stderr, above the bar."""
        self._above(text, say)

    def write(self, text: str) -> None:
        """Prints a line of results to stdout, above the bar."""
        self._above(text, click.echo)

    def _above(self, text: str, write: Callable[[str], None]) -> None:
        self._clear()
        if self._bar is not None:
            self._bar.clear()
        write(text)
        if self._bar is not None:
            self._bar.refresh()


@contextmanager
def loading(name: str) -> Iterator[None]:
    """Inside a ``with`` block, a terminal shows that the model is being loaded: importing PyTorch takes seconds."""
    with Progress(name) as progress:
        progress.status("loading PyTorch and the model")
        yield


def rate(speed: float) -> str:
    """A speed in few digits.

    >>> rate(1234.4), rate(0.5231)
    ('1,234', '0.52')
    """
    return f"{speed:,.0f}" if speed >= 100 else f"{speed:.2g}"


def duration(seconds: float) -> str:
    """A time in minutes and seconds, or in hours.

    >>> duration(21), duration(3900)
    ('0:21', '1:05:00')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
