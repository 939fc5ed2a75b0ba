"""``zoo figure``: the command, and a file for each group of figures."""

from zoo_core.cli.figure.command import figure

__all__ = ["figure"]
