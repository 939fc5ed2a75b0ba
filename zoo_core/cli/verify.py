"""``zoo verify``."""

from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from zoo_core.cli.console import echo_json, inert, say
from zoo_core.cli.options import REFERENCE
from zoo_core.errors import IntegrityError, NotFoundError, ResourceError, UnsafeContentError, UsageError, ZooError
from zoo_core.numbers_table import PLAIN, relation, sampler_of
from zoo_core.verifying import State, verdicts

if TYPE_CHECKING:
    from zoo_core.evaluation.rerun import Rerun

__all__ = ["verify"]

# The gravest first: of several, it gives the exit code.
_ERRORS: dict[State, tuple[type[ZooError], str, str]] = {
    "differs": (IntegrityError, "differ from what is pinned", "`zoo pull` mends the cache; install the package again for its own"),
    "unsafe": (UnsafeContentError, "must not be opened", "do not use them; tell who published them"),
    "unreadable": (ResourceError, "cannot be read", "look at their permissions, and at the disk"),
    "missing": (NotFoundError, "are missing", "`zoo pull` fetches what is on the Hub; install the package again for its own"),
}


@click.command()
@click.argument("references", type=REFERENCE, metavar="[REFERENCE]...", nargs=-1)
@click.option("--all", "all_", is_flag=True, help="Every registered checkpoint that is here, which is also what no REFERENCE means.")
@click.option("--quick", is_flag=True, help="Draw the golden samples of each REFERENCE again, and compare.")
@click.option("--metrics", is_flag=True, help="Measure the numbers of each REFERENCE again, by their own records, and compare.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def verify(references: tuple[str, ...], all_: bool, quick: bool, metrics: bool, as_json: bool) -> None:
    """Compare what lies here, in packages and in the Hugging Face cache, with the pins. Asks no network.

    With --quick or --metrics it draws the golden samples, or measures the numbers of the card, again instead; one line a number: pass,
    drift (a little off, on another build than measured it), fail, or absent, where the data or the features are not here.

    One line a file: ok, missing, differs, unreadable, or unsafe for what must not be opened. The exit code is 5 if any differs, 7
    if any is unsafe, 8 if any is unreadable, and 4 if any is missing.

    \b
    Examples:
      zoo verify
      zoo verify ddpm-afhq-cat ORG/NAME
      zoo verify --all --json
      zoo verify ddpm-afhq-cat --quick
      zoo verify classifier-mnist --metrics
    """
    if references and all_:
        raise UsageError("--all stands for every checkpoint, and others were named too", "leave one of them out")
    if quick or metrics:
        if not references:
            raise UsageError("--quick and --metrics need a REFERENCE", "zoo verify NAME --quick")
        if quick and metrics and as_json:
            raise UsageError("--quick and --metrics would print two JSON documents", "ask for one after the other")
        if quick:
            _redraw(references, as_json)
        if metrics:
            _remeasure(references, as_json)
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


def _remeasure(references: tuple[str, ...], as_json: bool) -> None:
    from zoo_core.cli.progress import Images
    from zoo_core.evaluation.rerun import rerun

    found = []
    with Images() as progress:
        for reference in references:
            for again in rerun(reference, on_batch=progress):
                found.append((reference, again))
                if not as_json:
                    progress.write(inert(f"{again.state:8} {reference} {_described(again)}"))
    if as_json:
        echo_json([{"reference": reference, **asdict(again)} for reference, again in found])
    measured = sum(again.state != "absent" for _, again in found)
    say(f"{measured} of {len(found)} numbers were measured again")
    failed = sum(again.state == "fail" for _, again in found)
    if failed:
        raise IntegrityError(
            f"{failed} of {len(found)} numbers do not come out again", "weights, samples, metric or record are not what they were"
        )


def _described(again: "Rerun") -> str:
    record = again.record
    sampler = sampler_of(record) if isinstance(record.get("sampler"), dict) else ""
    features = record["features"].get("name", "") if isinstance(record.get("features"), dict) else ""
    beside = ", ".join(filter(None, [features, str(record.get("dataset", "")), sampler]))
    value = "" if again.value is None else f" now {again.value:.5g}"
    return f"{record['metric']} {relation(record, PLAIN)}{record['value']:.5g}{value} ({beside})" + (f": {again.why}" if again.why else "")
