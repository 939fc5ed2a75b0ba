"""``zoo show``."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click

from zoo_core.cli.console import echo_json, human_size, inert, table
from zoo_core.cli.options import REFERENCE
from zoo_core.errors import ConfigError
from zoo_core.numbers import numbers
from zoo_core.numbers_table import PLAIN, lines, tables

__all__ = ["show"]


@click.command()
@click.argument("reference", type=REFERENCE)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show(reference: str, as_json: bool) -> None:
    """What is known of the checkpoint REFERENCE: card, config, numbers, capabilities, pins.

    \b
    Examples:
      zoo show ddpm-afhq-cat
      zoo show ddpm-afhq-cat --json
      zoo show ORG/NAME@v1.0
      zoo show local:runs/cat
    """
    from zoo_core.catalogue import info

    facts = info(reference)
    if as_json:
        echo_json(facts)
        return
    click.secho(inert(facts["name"]), bold=True)
    if facts["summary"]:
        click.echo(inert(facts["summary"]))
    click.echo()
    table(("", ""), _facts(facts))
    _section("Config", _flat(facts["config"]))
    _section("Training", _flat({key: value for key, value in facts["training"].items() if key != "recipe"}))
    _numbers(facts["metrics"])
    _section("Files", [(name, human_size(pin["size"]), pin["sha256"] or "not pinned") for name, pin in facts["files"].items()])
    if facts["readme"]:
        click.secho("\nCard", bold=True)
        click.echo(inert(facts["readme"]).rstrip())


def _facts(facts: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "family", " ".join(filter(None, [facts["family"], facts["paper"]]))
    yield "family can", " ".join(facts["capabilities"])
    yield "parameters", f"{facts['parameters']:,}"
    yield "license", facts["license"] or "not stated"
    yield "datasets", " ".join(facts["datasets"]) or "not stated"
    yield "from", f"{facts['source']}, {facts['folder']}"
    yield "hub", "{repo} at {commit}".format(**facts["hub"]) if facts["hub"] else "not published"


def _flat(data: Any, prefix: str = "") -> list[tuple[str, str]]:
    if isinstance(data, Mapping):
        return [row for key, value in data.items() for row in _flat(value, f"{prefix}.{key}" if prefix else str(key))]
    return [(prefix, data if isinstance(data, str) else json.dumps(data))]


def _numbers(metrics: Mapping[str, Any]) -> None:
    """The numbers as the card tells them, or what stands there where it is nothing that the zoo writes."""
    try:
        records = numbers(metrics) if metrics else ()
    except ConfigError:
        _section("Numbers", _flat(metrics))
        return
    if records:
        click.secho("\nNumbers", bold=True)
    for found in tables(records, PLAIN):
        click.echo(inert(found.caption))
        table(found.columns, found.rows)
    for line in lines(records, PLAIN):
        click.echo(inert(line))


def _section(title: str, rows: Sequence[Sequence[str]]) -> None:
    if rows:
        click.secho(f"\n{title}", bold=True)
        table([""] * len(rows[0]), rows)
