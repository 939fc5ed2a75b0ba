"""Values that the shell's completion offers: names of installed parts with their summaries, classes, devices."""

import os
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

import click
from click.shell_completion import CompletionItem

from zoo_core.cli.completion import VARIABLE
from zoo_core.cli.console import shown
from zoo_core.errors import ZooError
from zoo_core.registry import registry
from zoo_core.registry.listing import LISTED

__all__ = ["SHELL_COMPLETE", "Completer", "complete_classes", "complete_recipes", "names_of", "one_of", "summaries"]

Completer = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]
_MOST_HELP = 60  # characters of a summary


def summaries(kind: str) -> dict[str, str]:
    """The summaries of the installed parts of a kind, such as ``samplers``, by name."""
    return {name: claims[0].spec.summary for name, claims in registry().claims(LISTED[kind]).items()}


def _items(values: Mapping[str, str], incomplete: str, before: str = "") -> list[CompletionItem]:
    names = [name for name in values if name.lower().startswith(incomplete.lower())]
    return [CompletionItem(_typed(before + name), help=shown(values[name], _MOST_HELP) or None) for name in names]


def _typed(value: str) -> str:
    """The value as it is typed. Bash, unlike other shells, inserts it as it is, after click's script has read the outer backslash."""
    return value.replace(" ", "\\\\ ") if os.environ.get(VARIABLE, "").startswith("bash") else value


def names_of(*kinds: str, several: bool = False, also: Iterable[str] = ()) -> Completer:
    """Completes names of the kinds.

    Args:
        kinds: kinds as ``zoo list`` takes them, such as ``samplers``.
        several: True for a list of names with commas, whose last one is completed.
        also: further values.
    """

    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        before, comma, last = incomplete.rpartition(",") if several else ("", "", incomplete)
        values = {name: text for kind in kinds for name, text in summaries(kind).items()}
        return _items({**values, **dict.fromkeys(also, "")}, last, before + comma)

    return complete


def one_of(*values: str) -> Completer:
    """Completes one of these values."""
    return names_of(also=values)


def _argument(ctx: click.Context, name: str) -> str:
    """The first argument; behind an option that has no value yet, click leaves it among the rest."""
    return str(ctx.params.get(name) or next(iter(ctx.args), ""))


def complete_classes(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Completes the names of the classes of the checkpoint REFERENCE, the last one of a list with commas."""
    from zoo_core.checkpoint.config import class_names
    from zoo_core.hub.fetch import fetch

    before, comma, last = incomplete.rpartition(",")
    try:
        names = class_names(fetch(_argument(ctx, "reference")))
    except ZooError:
        return []
    return _items(dict.fromkeys(names, ""), last, before + comma)


def complete_recipes(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Completes the names of the recipes of the family FAMILY."""
    start = f"{_argument(ctx, 'family')}/"
    own = {name.removeprefix(start): text for name, text in summaries("recipes").items() if name.startswith(start)}
    return _items(own, incomplete) or [CompletionItem(incomplete, type="file")]


SHELL_COMPLETE: Mapping[str, Completer] = MappingProxyType(
    {
        "data": names_of("datasets"),
        "device": one_of("auto", "cpu", "cuda", "mps"),
        "features": names_of("checkpoints", also=["inception"]),
        "metrics": names_of("metrics", several=True),
        "sampler": names_of("samplers"),
        "scheduler": names_of("schedulers"),
    }
)
"""Completers of the options that several commands share."""
