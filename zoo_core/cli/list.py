"""``zoo list``."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from zoo_core.cli.completers import names_of
from zoo_core.cli.console import echo_json, report_failures, say
from zoo_core.cli.hints import no_match
from zoo_core.cli.tables import table
from zoo_core.errors import UsageError
from zoo_core.hardware.memory import human_size
from zoo_core.registry import Claim, Reference, registry
from zoo_core.registry.listing import LISTED, matches
from zoo_core.specs import CheckpointSpec, ModelSpec

if TYPE_CHECKING:
    from zoo_core.hub.search import SearchResult

__all__ = ["list_", "record"]


def _size(spec: Any) -> str:
    return human_size(sum(pin.size for pin in spec.files.values()))


_Column = tuple[str, Callable[[Any], str]]
_PAPER: _Column = ("PAPER", lambda spec: spec.paper)
_COLUMNS: Mapping[str, list[_Column]] = {
    "checkpoints": [
        ("FAMILY", lambda spec: spec.family),
        ("SIZE", _size),
        ("DATASET", lambda spec: spec.dataset),
        ("LICENSE", lambda spec: spec.license),
    ],
    "families": [("CAN", lambda spec: " ".join(sorted(spec.capabilities))), _PAPER],
    "samplers": [("NEEDS", lambda spec: spec.requires), _PAPER],
    "schedulers": [_PAPER],
    "datasets": [("LICENSE", lambda spec: spec.license)],
    "metrics": [("NEEDS", lambda spec: spec.requires), _PAPER],
    "recipes": [],
    "trainers": [_PAPER],
}
_LESS = ("LICENSE", "DATASET", "PAPER")  # columns that a narrow terminal leaves out
_LIMIT = 50
_EMPTY = "none installed -- they come with plugins; `zoo plugins` shows those that are there"


def _complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Completes a kind, or names of the kind before it."""
    words = ctx.params.get("words") or ()
    kind = words[0] if words and words[0] in LISTED else "checkpoints"
    return names_of(kind, also=() if words else LISTED)(ctx, param, incomplete)


@click.command("list")
@click.argument("words", nargs=-1, metavar="[KIND] [PATTERN]...", shell_complete=_complete)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--remote", is_flag=True, help="List checkpoints on the Hugging Face Hub instead.")
@click.option("--search", metavar="TEXT", default="", help="With --remote: a part of their names.")
@click.option("--author", metavar="NAME", default="", help="With --remote: their owner.")
@click.option("--limit", type=click.IntRange(1, 1000), metavar="N", help="With --remote: the largest number of them.  [default: 50]")
def list_(words: tuple[str, ...], as_json: bool, remote: bool, search: str, author: str, limit: int | None) -> None:
    """List the installed checkpoints, or with --remote those on the Hub.

    KIND is checkpoints (the default), families, samplers, schedulers, datasets, metrics, recipes or trainers.

    PATTERN keeps the names that match it, such as 'ddpm*', or that it is a part of, such as cat.

    A name with a ! is claimed by two plugins; DIST:NAME chooses one of them. The names of zoo-core stay its own.

    \b
    Examples:
      zoo list
      zoo list 'ddpm*'
      zoo list families
      zoo list samplers --json
      zoo list --remote --search cat
      zoo search digits
    """
    kind, patterns = (words[0], words[1:]) if words[:1] and words[0] in LISTED else ("checkpoints", words)
    if remote and patterns:
        raise UsageError("patterns select installed checkpoints", f"zoo list --remote --search {patterns[0]}")
    if remote and kind != "checkpoints":
        raise UsageError(f"the Hub has checkpoints, and no {kind}", "leave one of them out")
    if (search or author or limit) and not remote:
        raise UsageError("--search, --author and --limit ask the Hub", "add --remote")
    if remote:
        _list_remote(search, author, limit or _LIMIT, as_json)
        return
    claims = {name: own for name, own in registry().claims(LISTED[kind]).items() if matches(name, patterns)}
    meant = [registry().claim_or_none(LISTED[kind], name) for name in claims]
    listed = [claim for own in claims.values() for claim in own]
    if as_json:
        echo_json([record(claim, claim not in meant) for claim in listed])
    elif listed:
        _print_table(kind, listed, meant)
    elif patterns:
        kinds = f"`zoo list` shows all; the kinds are {', '.join(LISTED)}"
        raise no_match(kind, patterns, kinds if words[0] not in LISTED and words[0].isalpha() else "")
    else:
        say(f"zoo: {kind}: {_EMPTY}")
    report_failures()


def _print_table(kind: str, claims: Sequence[Claim], meant: Sequence[Claim | None]) -> None:
    """Prints claims of a kind, without the columns that are empty."""
    columns = _COLUMNS[kind]
    headers = ["NAME", *(header for header, _ in columns), "SUMMARY"]
    rows = [[_name(claim, claim not in meant), *(get(claim.spec) for _, get in columns), claim.spec.summary] for claim in claims]
    used = [i for i in range(len(headers)) if any(row[i] for row in rows)]
    table([headers[i] for i in used], [[row[i] for i in used] for row in rows], drop=_LESS, right=("SIZE",))


def _list_remote(search: str, author: str, limit: int, as_json: bool) -> None:
    from zoo_core.hub.client import host
    from zoo_core.hub.search import search as find

    models = find(search, author=author, limit=limit, families=registry().claims(ModelSpec))
    if as_json:
        echo_json([{**asdict(model), "state": _state(model)} for model in models])
    elif models:
        rows = [(model.repo, model.family or "?", _state(model), model.license, model.updated) for model in models]
        table(("NAME", "FAMILY", "STATE", "LICENSE", "UPDATED"), rows, drop=("LICENSE", "UPDATED"))
    else:
        say(f"zoo: {host()} has none that match -- a checkpoint of the zoo has the tag zoo-core there")


def _state(model: "SearchResult") -> str:
    """``here``, ``pullable``, or ``needs a plugin``, with the name of the plugin that its author gives."""
    from zoo_core.hub.fetch import cached_commit, is_packaged

    pinned = [claim.spec for claims in registry().claims(CheckpointSpec).values() for claim in claims]
    here = any(isinstance(spec, CheckpointSpec) and spec.hub and spec.hub.repo == model.repo and is_packaged(spec) for spec in pinned)
    if here or (model.commit and cached_commit(Reference(kind="hub", name=model.repo), model.commit)):
        return "here"
    if model.family in registry().claims(ModelSpec):
        return "pullable"
    return f"needs a plugin, by its card {model.plugin}" if model.plugin else "needs a plugin"


def _name(claim: Claim, conflict: bool) -> str:
    return f"{claim.name} !" if conflict else claim.spec.key


def record(claim: Claim, conflict: bool) -> dict[str, Any]:
    """The claim as plain values, as --json prints them."""
    plain = {item.name: _plain(getattr(claim.spec, item.name)) for item in fields(claim.spec)}
    return {"key": claim.spec.key, **plain, "dist": claim.plugin.dist, "version": claim.plugin.version, "conflict": conflict}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, frozenset):
        return sorted(value)
    if isinstance(value, Path):
        return str(value)
    if is_dataclass(value):
        return {item.name: _plain(getattr(value, item.name)) for item in fields(value)}
    return value
