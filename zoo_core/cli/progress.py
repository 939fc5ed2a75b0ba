"""A bar of images, for what draws many."""

import click

__all__ = ["Images"]


class Images:
    """A context and a function of a number of images: a bar on a terminal, nothing in a pipe."""

    def __enter__(self) -> "Images":
        from tqdm import tqdm

        self.bar = tqdm(unit="img", disable=None, leave=False)
        return self

    def __exit__(self, *exc: object) -> None:
        self.bar.close()

    def __call__(self, n: int) -> None:
        self.bar.update(n)

    def write(self, text: str) -> None:
        """Prints a line, and puts the bar below it."""
        self.bar.clear()
        click.echo(text)
        self.bar.refresh()
