"""A bar of images, for what draws many."""

import sys
import time

import click

from zoo_core.cli.console import say

__all__ = ["Images"]


class Images:
    """A context and a function of a number of images: a bar on a terminal; in a pipe, a line every half minute."""

    def __enter__(self) -> "Images":
        from tqdm import tqdm

        self.bar = tqdm(unit="img", disable=None, leave=False)
        self.count, self.shown, self.terminal = 0, time.monotonic(), sys.stderr.isatty()
        return self

    def __exit__(self, *exc: object) -> None:
        self.bar.close()

    def __call__(self, n: int) -> None:
        self.bar.update(n)
        self.count += n
        if not self.terminal and time.monotonic() - self.shown > 30:
            self.shown = time.monotonic()
            say(f"{self.count:,} images so far, real ones included")

    def write(self, text: str) -> None:
        """Prints a line, and puts the bar below it."""
        self.bar.clear()
        click.echo(text)
        self.bar.refresh()
