"""``zoo compare``."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click

from zoo_core.cards.metrics_json import by_sampler, metric_records
from zoo_core.cards.numbers import PLAIN
from zoo_core.cards.tables import markdown, side_by_side
from zoo_core.cli.console import echo_json, inert, prose, say
from zoo_core.cli.hints import no_match
from zoo_core.cli.options import PATTERN
from zoo_core.cli.tables import board
from zoo_core.errors import UsageError

__all__ = ["compare"]


@click.command()
@click.argument("references", type=PATTERN, nargs=-1, metavar="[REFERENCE|PATTERN]...")
@click.option("--markdown", "as_markdown", is_flag=True, help="Print tables for a README.")
@click.option("--json", "as_json", is_flag=True, help="Print the records as JSON.")
def compare(references: tuple[str, ...], as_markdown: bool, as_json: bool) -> None:
    """Compare the metrics of checkpoints side by side: of each REFERENCE, or of all that are installed.

    PATTERN stands for the installed checkpoints whose names match it, such as 'ddpm*'.

    The numbers come from the metrics.json of each checkpoint, measured with its own sampler; nothing is measured now. Numbers on other
    data or in other features stand in a table of their own.

    \b
    Examples:
      zoo compare
      zoo compare 'ddpm*'
      zoo compare dcgan-fashion-mnist wgan-gp-fashion-mnist local:runs/mine
      zoo compare --markdown
    """
    from zoo_core.loading import info
    from zoo_core.registry.listing import checkpoints

    if as_markdown and as_json:
        raise UsageError("--markdown and --json are two ways to print", "leave one out")
    facts = {reference: info(reference) for reference in dict.fromkeys(_expanded(references) if references else checkpoints())}
    records = {reference: _records(each) for reference, each in facts.items()}
    if as_json:
        echo_json({name: list(own) for name, own in records.items()})
        return
    if as_markdown:
        boards = side_by_side({name: own for name, own in records.items() if own})
        click.echo("\n".join(f"{inert(each.caption)}\n\n{markdown(each)}\n" for each in boards), nl=False)
    else:
        boards = side_by_side(records, PLAIN)
        for each in boards:
            board(each)
            click.echo()
        if any("NFE" in each.columns for each in boards):
            prose("NFE: evaluations of the network for one sample. x1000: values times 1,000.")
    for name in facts if references else ():
        if not records[name]:
            out = f" --out {facts[name]['folder']}/metrics.json" if name.startswith("local:") else ""
            say(inert(f"zoo: {name} has no numbers: `zoo evaluate {name}{out}` measures some"))


def _expanded(references: Sequence[str]) -> Iterator[str]:
    """The references, with the names of installed checkpoints in the place of patterns."""
    from zoo_core.registry.listing import checkpoints

    for reference in references:
        if not set(reference) & set("*?[") or reference.startswith("local:"):
            yield reference
        elif names := checkpoints(reference):
            yield from names
        else:
            raise no_match("checkpoints", [reference])


def _records(facts: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    return by_sampler(metric_records(facts["metrics"]), facts["sampler"], facts["scheduler"]) if facts["metrics"] else ()
