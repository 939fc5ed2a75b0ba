"""``zoo compare``."""

from collections.abc import Mapping, Sequence
from typing import Any

import click

from zoo_core.cards.metrics_json import by_sampler, metric_records
from zoo_core.cards.numbers import PLAIN
from zoo_core.cards.tables import markdown, side_by_side
from zoo_core.cli.console import echo_json, inert, prose, say
from zoo_core.cli.options import REFERENCE
from zoo_core.cli.tables import board
from zoo_core.errors import UsageError

__all__ = ["compare"]


@click.command()
@click.argument("references", type=REFERENCE, nargs=-1, metavar="[REFERENCE]...")
@click.option("--markdown", "as_markdown", is_flag=True, help="Print tables for a README.")
@click.option("--json", "as_json", is_flag=True, help="Print the records as JSON.")
def compare(references: tuple[str, ...], as_markdown: bool, as_json: bool) -> None:
    """The numbers of checkpoints side by side: of each REFERENCE, or of all that are installed.

    They are those of the metrics.json that each comes with, by its own sampler; nothing is measured. Numbers of other data, or in other
    features, stand in a table of their own.

    \b
    Examples:
      zoo compare
      zoo compare dcgan-fashion-mnist wgan-gp-fashion-mnist local:runs/mine
      zoo compare --markdown
    """
    from zoo_core.loading import info
    from zoo_core.registry.listing import checkpoints

    if as_markdown and as_json:
        raise UsageError("--markdown and --json are two ways to print", "leave one out")
    facts = {reference: info(reference) for reference in dict.fromkeys(references or checkpoints())}
    found = {reference: _records(each) for reference, each in facts.items()}
    if as_json:
        echo_json({name: list(records) for name, records in found.items()})
        return
    if as_markdown:
        boards = side_by_side({name: records for name, records in found.items() if records})
        click.echo("\n".join(f"{inert(each.caption)}\n\n{markdown(each)}\n" for each in boards), nl=False)
    else:
        boards = side_by_side(found, PLAIN)
        for each in boards:
            board(each)
            click.echo()
        if any("NFE" in each.columns for each in boards):
            prose("NFE: evaluations of the network for one sample. x1000: values times 1,000.")
    for name in references:
        if not found[name]:
            out = f" --out {facts[name]['folder']}/metrics.json" if name.startswith("local:") else ""
            say(inert(f"zoo: {name} has no numbers: `zoo evaluate {name}{out}` measures some"))


def _records(facts: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    return by_sampler(metric_records(facts["metrics"]), facts["sampler"], facts["scheduler"]) if facts["metrics"] else ()
