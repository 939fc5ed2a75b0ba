"""``zoo verify``."""

from collections import Counter
from dataclasses import asdict

import click

from zoo_core.cli.console import echo_json, inert, say
from zoo_core.errors import IntegrityError, NotFoundError, ResourceError, UnsafeContentError, UsageError, ZooError
from zoo_core.verifying import State, verdicts

__all__ = ["verify"]

# The gravest first: of several, it gives the exit code.
_ERRORS: dict[State, tuple[type[ZooError], str, str]] = {
    "differs": (IntegrityError, "differ from what is pinned", "`zoo pull` mends the cache; install the package again for its own"),
    "unsafe": (UnsafeContentError, "must not be opened", "do not use them; tell who published them"),
    "unreadable": (ResourceError, "cannot be read", "look at their permissions, and at the disk"),
    "missing": (NotFoundError, "are missing", "`zoo pull` fetches what is on the Hub; install the package again for its own"),
}


@click.command()
@click.argument("references", metavar="[REFERENCE]...", nargs=-1)
@click.option("--all", "all_", is_flag=True, help="Every registered checkpoint that is here, which is also what no REFERENCE means.")
@click.option("--quick", is_flag=True, help="Draw the golden samples of each REFERENCE again, and compare.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def verify(references: tuple[str, ...], all_: bool, quick: bool, as_json: bool) -> None:
    """Compare what lies here, in packages and in the Hugging Face cache, with the pins. Asks no network.

    One line a file: ok, missing, differs, unreadable, or unsafe for what must not be opened. The exit code is 5 if any differs, 7
    if any is unsafe, 8 if any is unreadable, and 4 if any is missing.

    \b
    Examples:
      zoo verify
      zoo verify ddpm-afhq-cat ORG/NAME
      zoo verify --all --json
      zoo verify ddpm-afhq-cat --quick
    """
    if references and all_:
        raise UsageError("--all stands for every checkpoint, and others were named too", "leave one of them out")
    if quick:
        _redraw(references, as_json)
        return
    found = []
    for verdict in verdicts(*references):
        found.append(verdict)
        if not as_json:
            why = f": {verdict.why}" if verdict.why else ""
            click.echo(inert(f"{verdict.state:10} {verdict.reference} {verdict.file} ({verdict.source}){why}").replace("\n", " "))
    if as_json:
        echo_json([asdict(verdict) for verdict in found])
    counts = Counter(verdict.state for verdict in found)
    for state, (error, what, hint) in _ERRORS.items():
        if counts[state]:
            raise error(f"{counts[state]} of {len(found)} files {what}", hint)
    if not found:
        say("zoo: no registered checkpoint is here -- `zoo verify ORG/NAME` verifies others")


def _redraw(references: tuple[str, ...], as_json: bool) -> None:
    if not references:
        raise UsageError("--quick needs a REFERENCE", "zoo verify NAME --quick")
    from zoo_core.evaluation.golden import check_golden

    found = {reference: check_golden(reference) for reference in references}
    if as_json:
        echo_json([{"reference": reference, **asdict(golden)} for reference, golden in found.items()])
    for reference, golden in found.items() if not as_json else ():
        where = "on the build that drew them" if golden.same_build else "on another build than drew them"
        how = f"golden samples differ by {golden.largest:.1e} at most, {golden.pixels:.2%} of pixels equal, {where}"
        click.echo(inert(f"{golden.state:8} {reference}: {how}"))
    if any(golden.state != "ok" for golden in found.values()):
        raise IntegrityError("the golden samples cannot be drawn again", "weights, sampler or arithmetic are not what they were")
