"""``zoo verify``."""

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from zoo_core.cards.numbers import PLAIN, relation, sampler_of
from zoo_core.cli.console import echo_json, inert, row, say
from zoo_core.cli.options import REFERENCE, option
from zoo_core.data.factory import data_name
from zoo_core.errors import IntegrityError, NotFoundError, ResourceError, TrustError, UnsafeContentError, UsageError, ZooError
from zoo_core.hub.verify import State, local_copies, verdicts
from zoo_core.registry import parse_reference

if TYPE_CHECKING:
    from zoo_core.evaluation.reproduce import Plan, Rerun

__all__ = ["verify"]

# From the gravest on: the first that occurs gives the exit code.
_ERRORS: dict[State, tuple[type[ZooError], str, str]] = {
    "differs": (IntegrityError, "differ from their pins", "`zoo pull` mends the cache; install the package again for its own"),
    "untrusted": (
        TrustError,
        "are not signed as they must be, or this cannot be checked",
        "do not use them; the lines above say why; the check needs zoo-core[sign]",
    ),
    "unsafe": (UnsafeContentError, "must not be opened", "do not use them; write to their publisher"),
    "unreadable": (ResourceError, "cannot be read", "check their permissions, and the disk"),
    "missing": (NotFoundError, "are missing", "`zoo pull` fetches files from the Hub; install the package again for its own"),
}


@click.command()
@click.argument("references", type=REFERENCE, metavar="[REFERENCE]...", nargs=-1)
@click.option("--all", "all_", is_flag=True, help="Every registered checkpoint that is here; the default.")
@click.option(
    "--key",
    type=click.Path(path_type=Path, dir_okay=False),
    help="PEM file of public keys: check that one of them signed each REFERENCE, which may be a folder.",
)
@click.option("--quick", is_flag=True, help="Draw the golden samples of each REFERENCE again, and compare them.")
@click.option("--metrics", is_flag=True, help="Measure the numbers of each REFERENCE again, as recorded, and compare them.")
@click.option(
    "--data", "data", multiple=True, metavar="NAME:PATH", help="With --metrics: the place of data, such as folder:PATH; repeatable."
)
@option("data_root", help="With --metrics: folder that holds the files of mnist, cifar10, ...")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def verify(
    references: tuple[str, ...],
    all_: bool,
    key: Path | None,
    quick: bool,
    metrics: bool,
    data: tuple[str, ...],
    data_root: str | None,
    as_json: bool,
) -> None:
    """Check installed files, in packages and in the Hugging Face cache, against their recorded sha256. Needs no network.

    Prints a line for each file: ok, missing, differs, unreadable, or unsafe if it must not be opened; and one for the signature of a
    repository: untrusted if it is not valid, unchecked if its key is not known. The exit code is 5 if a file differs, 6 if a signature is
    untrusted, 7 if a file is unsafe, 8 if one is unreadable, and 4 if one is missing.

    With --quick, it draws the golden samples again instead; with --metrics, it measures the numbers of the card again. Prints a line for
    each number: pass, drift (a small difference, on another build), fail, or absent if the data or the features are not here. For a
    checkpoint without pins, only --data and --data-root say which data may be read. A line says first what is read, and for how long.

    \b
    Examples:
      zoo verify
      zoo verify ddpm-afhq-cat ORG/NAME
      zoo verify --all --json
      zoo verify ORG/NAME --key release.pem.pub
      zoo verify ddpm-afhq-cat --quick
      zoo verify classifier-mnist --metrics
      zoo verify local:runs/digits --metrics --data-root data
      zoo verify ORG/NAME --metrics --data folder:cats/train
    """
    if not metrics and (data or data_root is not None):
        raise UsageError("--data and --data-root are for --metrics", "zoo verify NAME --metrics --data-root DIR")
    if references and all_:
        raise UsageError("--all stands for every checkpoint, and others were named too", "leave one of them out")
    if key and (quick or metrics or not references):
        raise UsageError("--key checks the signature of a REFERENCE", "zoo verify ORG/NAME --key release.pem.pub")
    if not (quick or metrics):
        _check_files(references, key, as_json)
        return
    if not references:
        raise UsageError("--quick and --metrics need a REFERENCE", "zoo verify NAME --quick")
    if quick and metrics and as_json:
        raise UsageError("--quick and --metrics would print two JSON documents", "run one after the other")
    where = {"data": [_place(text) for text in data], "data_root": data_root}
    with _offline(references):
        if quick:
            _redraw(references, as_json)
        if metrics:
            _remeasure(references, as_json, **where)


def _check_files(references: tuple[str, ...], key: Path | None, as_json: bool) -> None:
    """Prints a verdict for each file and signature.

    Raises:
        IntegrityError, TrustError, UnsafeContentError, ResourceError, NotFoundError: if a file is not ok.
    """
    checked = []
    for verdict in verdicts(*references, key=key):
        checked.append(verdict)
        if not as_json:
            why = f": {verdict.why}" if verdict.why else ""
            row(f"{verdict.state:10} {verdict.reference} {verdict.file} ({verdict.source}){why}", " " * 11)
    if as_json:
        echo_json([asdict(verdict) for verdict in checked])
    counts = Counter(verdict.state for verdict in checked)
    for state, (error, what, hint) in _ERRORS.items():
        if counts[state]:
            raise error(f"{counts[state]} of {len(checked)} files {what}", hint)
    if not checked:
        say("zoo: no registered checkpoint is here -- `zoo verify ORG/NAME` verifies others")


@contextmanager
def _offline(references: tuple[str, ...]) -> Iterator[None]:
    """Inside a ``with`` block, nothing is fetched, neither by the zoo nor by the Hub's client.

    Raises:
        NotFoundError: if one of the checkpoints is not here.
    """
    for reference in map(parse_reference, references):
        if reference.kind != "local":
            local_copies(reference)
    before = os.environ.get("HF_HUB_OFFLINE")
    os.environ["HF_HUB_OFFLINE"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["HF_HUB_OFFLINE"]
        else:
            os.environ["HF_HUB_OFFLINE"] = before


def _place(text: str) -> tuple[str, str]:
    """The name of a data set, and its path.

    Raises:
        UsageError, ConfigError: if one of them is missing, or there is no data set of that name.
    """
    name, path = data_name(text)
    if not path:
        raise UsageError(f"--data {text!r} has no path", "write it as --data folder:PATH; --data-root DIR is for mnist, cifar10, ...")
    return name, path


def _redraw(references: tuple[str, ...], as_json: bool) -> None:
    from zoo_core.evaluation.golden import check_golden

    checked = {reference: check_golden(reference) for reference in references}
    if as_json:
        echo_json([{"reference": reference, **asdict(golden)} for reference, golden in checked.items()])
    for reference, golden in checked.items() if not as_json else ():
        where = "on the build that drew them" if golden.same_build else "on another build than drew them"
        how = f"golden samples differ by {golden.largest:.1e} at most, {golden.pixels:.2%} of pixels equal, {where}"
        row(f"{golden.state:8} {reference}: {how}", " " * 9)
    if any(golden.state != "ok" for golden in checked.values()):
        raise IntegrityError("the golden samples cannot be drawn again", "weights, sampler or arithmetic have changed")


def _remeasure(references: tuple[str, ...], as_json: bool, **where: Any) -> None:
    from zoo_core.cli.progress import Progress
    from zoo_core.evaluation.reproduce import rerun

    measured = []
    with Progress("verify") as progress:
        watching: dict[str, Any] = {
            "on_batch": progress.add,
            "on_stage": lambda name, n: progress.stage(f"verify: {name}", n),
            "on_plan": lambda plan: progress.say(inert(_planned(plan))),
        }
        for reference in references:
            for again in rerun(reference, **watching, **where):
                measured.append((reference, again))
                if not as_json:
                    progress.write(inert(f"{again.state:8} {reference} {_described(again)}"))
    if as_json:
        echo_json([{"reference": reference, **asdict(again)} for reference, again in measured])
    count = sum(again.state != "absent" for _, again in measured)
    say(f"{count} of {len(measured)} numbers were measured again")
    failed = sum(again.state == "fail" for _, again in measured)
    if failed:
        what = f"{failed} of {len(measured)} numbers do not come out again"
        raise IntegrityError(what, "weights, samples, metric or record have changed")


def _planned(plan: "Plan") -> str:
    draws = f"draws {plan.drawn:,} samples by {plan.by}" if plan.drawn else ""
    time = f"about {_time(plan.seconds)}" if plan.seconds is not None else ""
    reads = f"reads {' and '.join(plan.reads)}" if plan.reads else ""
    return f"{', '.join(plan.metrics)}: {'; '.join(filter(None, [draws, time, reads])) or 'reads nothing'}"


def _time(seconds: float) -> str:
    for size, unit in ((3600, "hours"), (60, "minutes")):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.2g} {unit}"
    return f"{max(seconds, 1):.0f} seconds"


def _described(again: "Rerun") -> str:
    record = again.record
    sampler = sampler_of(record) if isinstance(record.get("sampler"), dict) else ""
    features = record["features"].get("name", "") if isinstance(record.get("features"), dict) else ""
    context = ", ".join(filter(None, [features, str(record.get("dataset", "")), sampler]))
    value = "" if again.value is None else f" now {again.value:.5g}"
    return f"{record['metric']} {relation(record, PLAIN)}{record['value']:.5g}{value} ({context})" + (f": {again.why}" if again.why else "")
