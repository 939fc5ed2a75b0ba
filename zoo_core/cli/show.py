"""``zoo show``."""

import sys
from collections.abc import Mapping
from typing import Any

import click

from zoo_core.cards.facts import fact_rows
from zoo_core.cards.metrics_json import by_sampler, metric_records
from zoo_core.cards.numbers import PLAIN, lines
from zoo_core.cards.tables import tables
from zoo_core.cli.console import bold, dim, echo_json, inert, line_of, prose, terminal_width, wrap
from zoo_core.cli.options import REFERENCE
from zoo_core.cli.tables import board, table
from zoo_core.errors import ConfigError, UsageError
from zoo_core.hardware.memory import human_size

__all__ = ["show"]


@click.command()
@click.argument("reference", type=REFERENCE)
@click.option("--card", is_flag=True, help="Print the model card, in Markdown.")
@click.option("--numbers", "every_number", is_flag=True, help="Print all numbers: of every sampler, beside those of real samples.")
@click.option("--files", is_flag=True, help="Print the files with their sizes and pinned sha256.")
@click.option("--provenance", is_flag=True, help="Print what it was trained from, as an in-toto statement with SLSA's predicate.")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
def show(reference: str, card: bool, every_number: bool, files: bool, provenance: bool, as_json: bool) -> None:
    """Show the checkpoint REFERENCE on a page: its model, data, licence, numbers and use.

    \b
    Examples:
      zoo show ddpm-afhq-cat
      zoo show ddpm-afhq-cat --card
      zoo show ddpm-afhq-cat --numbers
      zoo show ddpm-afhq-cat --provenance
      zoo show ddpm-afhq-cat --json
      zoo show ORG/NAME@v1.0
      zoo show local:runs/cat
    """
    from zoo_core.loading import info

    if as_json and (card or every_number or files):
        raise UsageError("--json prints everything", "leave --card, --numbers and --files out")
    if provenance:
        if card or every_number or files or as_json:
            raise UsageError("--provenance prints a document of its own", "leave the other options out")
        from zoo_core.hub.fetch import fetch
        from zoo_core.trust.provenance import provenance as stated

        echo_json(stated(fetch(reference)).to_dict())
        return
    facts = info(reference)
    if as_json:
        echo_json(facts)
        return
    if not (card or every_number or files):
        _page(reference, facts)
        return
    if card:
        _card(facts["readme"])
    if every_number:
        _numbers(facts["metrics"])
    if files:
        click.echo(inert(f"In {facts['folder']}:"))
        digits = min(64, terminal_width() - 4)
        rows = [(name, human_size(pin["size"]), (pin["sha256"] or "not pinned")[:digits]) for name, pin in facts["files"].items()]
        table(("FILE", "SIZE", "SHA256"), rows, right=("SIZE",))


def _page(reference: str, facts: Mapping[str, Any]) -> None:
    click.echo(bold(line_of(facts["name"])))
    if facts["summary"]:
        prose(facts["summary"])
    click.echo()
    pairs = [(label, line_of(text)) for label, text in fact_rows(facts) if text]
    wide = max(len(label) for label, _ in pairs) + 2
    for label, text in pairs:
        click.echo("\n".join(wrap(text, first=label.ljust(wide), hanging=" " * wide)))
    if facts["metrics"]:
        click.echo()
        click.echo(bold("Numbers"))
        _numbers(facts["metrics"], facts["sampler"], facts["scheduler"])
    click.echo()
    click.echo(bold("Use"))
    name = line_of(reference)
    if facts["sampler"]:
        click.echo(f"  zoo sample {name} -n 16 --out samples.png")
    click.echo(f'  zoo_core.load("{name}")')
    click.echo()
    for line in wrap("More: --card (the model card), --numbers (of all samplers), --files (with sha256), --json (everything)."):
        click.echo(dim(line))


def _card(text: str) -> None:
    """Prints the card; on a terminal, its lines are wrapped at words."""
    if sys.stdout.isatty():
        prose(text.rstrip())
    else:
        click.echo(inert(text).rstrip())


def _numbers(metrics: Mapping[str, Any], sampler: Any = None, scheduler: Any = None) -> None:
    """Prints the numbers of metrics.json, or of ``sampler`` on ``scheduler`` alone; a sentence if they have another format."""
    try:
        records = metric_records(metrics) if metrics else ()
    except ConfigError as error:
        prose(f"{error.what}: `--json` prints it.")
        return
    if sampler is not None:
        records = by_sampler(records, sampler, scheduler)
    for number, numbers_table in enumerate(tables(records, PLAIN)):
        click.echo("", nl=bool(number))
        board(numbers_table)
    for line in lines(records, PLAIN):
        prose(line, hanging="  ")
