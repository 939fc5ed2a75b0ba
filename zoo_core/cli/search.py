"""``zoo search``."""

import click

from zoo_core.cli.console import echo_json, report_failures
from zoo_core.cli.list import record
from zoo_core.cli.tables import table
from zoo_core.errors import UnknownNameError
from zoo_core.registry import registry
from zoo_core.registry.listing import LISTED, search

__all__ = ["search_"]


@click.command("search")
@click.argument("words", nargs=-1, required=True, metavar="WORD...")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def search_(words: tuple[str, ...], as_json: bool) -> None:
    """Search all that is installed: checkpoints, families, samplers, schedulers, data sets, metrics, recipes, trainers and figures.

    Shown is what has every WORD in its name, its summary, or its paper, data, licence or capabilities; names come first. Names that other
    libraries have for samplers count too. On the Hub, `zoo list --remote --search WORD` searches.

    \b
    Examples:
      zoo search cat
      zoo search digits generator
      zoo search "score matching"
      zoo search 2006.11239
    """
    claims = search(words)
    if as_json:
        echo_json([{"kind": claim.spec.kind, **record(claim, conflict=False)} for claim in claims])
    elif claims:
        rows = [(claim.spec.kind, claim.spec.key, claim.spec.summary) for claim in claims]
        table(("KIND", "NAME", "SUMMARY"), rows)
    else:
        raise _nothing(words)
    report_failures()


def _nothing(words: tuple[str, ...]) -> UnknownNameError:
    """The error for words that nothing has, with the nearest name if there is one."""
    from difflib import get_close_matches

    names = [name for kind in LISTED.values() for name in registry().claims(kind)]
    near = get_close_matches(words[0].lower()[:100], names, n=2, cutoff=0.75)
    hint = f"did you mean {' or '.join(near)}?" if near else f"zoo list --remote --search {words[0][:40]} asks the Hub"
    return UnknownNameError(f"nothing that is installed has {' and '.join(words)[:80]}", hint)
