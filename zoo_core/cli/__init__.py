"""The command ``zoo``."""

from zoo_core.cli.group import main

__all__ = ["main"]
