"""``zoo publish``."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from zoo_core.checkpoint.files import CARD
from zoo_core.cli.console import echo_json, inert, say
from zoo_core.cli.options import REFERENCE
from zoo_core.errors import UsageError
from zoo_core.hardware.memory import human_size
from zoo_core.publishing import Published
from zoo_core.publishing import publish as publish_checkpoint
from zoo_core.publishing.options import command_line
from zoo_core.publishing.signing import DAYS
from zoo_core.publishing.space import publish_space
from zoo_core.specs import Pin

__all__ = ["publish"]

_SHOWN = 8


@click.command()
@click.argument("references", type=REFERENCE, nargs=-1, required=True, metavar="REFERENCE...")
@click.option("--repo", required=True, metavar="ORG/NAME", help="Repository to publish to; created if it is missing.")
@click.option("--license", metavar="NAME", help="Licence of the weights, such as mit, if the card of a folder does not say it yet.")
@click.option("--private", is_flag=True, help="Create a private repository; refuse a public one.")
@click.option("--tag", metavar="NAME", help="Tag of the commit, such as v1.")
@click.option("--pin", type=click.Path(path_type=Path, dir_okay=False), help="The plugin's checkpoints.json: write repo and commit there.")
@click.option("--sign", type=click.Path(path_type=Path, dir_okay=False), metavar="KEY", help="Sign with the private key in this PEM file.")
@click.option("--days", type=click.IntRange(1, 3650), show_default=str(DAYS), help="With --sign: days until it must be signed again.")
@click.option("--space", is_flag=True, help="Publish a Space that serves the page of `zoo ui` for each REFERENCE, and no weights.")
@click.option("--force", is_flag=True, help="Replace files that others have put into the repository.")
@click.option("--dry-run", is_flag=True, help="Check everything, print what would change, and send nothing.")
def publish(
    references: tuple[str, ...],
    repo: str,
    license: str | None,
    pin: Path | None,
    sign: Path | None,
    days: int | None,
    space: bool,
    **options: Any,
) -> None:
    """Publish the checkpoint REFERENCE on the Hugging Face Hub: a name, or the folder of a checkpoint or of a training run.

    Checks everything first, then makes one commit; prints the commit and each file's sha256 as JSON. Logs in with HF_TOKEN, or as
    `hf auth login` did. A card that was edited on the Hub is merged with the new one; other files of others are replaced only
    with --force. With --space, the repository is a program that the Hub runs: the page, for one or more checkpoints of plugins or of
    the Hub.

    \b
    Examples:
      zoo publish runs/cat --repo ORG/cat --license mit --dry-run
      zoo publish runs/cat --repo ORG/cat --license mit --tag v1
      zoo publish ddpm-afhq-cat --repo ORG/cat --pin PLUGIN/checkpoints.json
      zoo publish runs/cat --repo ORG/cat --sign release.pem
      zoo publish vae-mnist ORG/cat --space --repo ORG/page
    """
    options["progress"] = sys.stderr.isatty()
    with command_line():
        if space:
            if license or pin or sign or days:
                raise UsageError("--license, --pin, --sign and --days mean nothing to a Space, which holds no weights", "leave them out")
            done = publish_space(references, repo, **options)
        else:
            if days and not sign:
                raise UsageError("--days is of a signature, and without --sign there is none", "--sign release.pem --days 30")
            if len(references) > 1:
                raise UsageError("a repository holds one checkpoint", "publish them one by one, or show them on one page with --space")
            done = publish_checkpoint(references[0], repo, license=license, pin=pin, sign=sign, days=days or DAYS, **options)
    if done.left_out:
        say(inert(f"left out: {_some(done.left_out)}"))
    if options["dry_run"]:
        _say_changes(done)
        changes = dict(done.changes) if done.changes is not None else None
        echo_json({"repo": done.repo, "files": _plain(done.files), "changes": changes, "card": dict(done.card.metadata)})
        return
    _say_done(done)
    echo_json({"repo": done.repo, "commit": done.commit, "files": _plain(done.files)})


def _plain(pins: Mapping[str, Pin]) -> dict[str, Any]:
    return {name: {"sha256": pin.sha256, "size": pin.size} for name, pin in sorted(pins.items())}


def _say_changes(done: Published) -> None:
    """Says which files would change, in a line each, or that nothing would."""
    for name, kind in sorted((done.changes or {}).items()):
        if kind != "unchanged" and name != ".gitattributes":
            say(inert(f"{kind:9} {name}"))
    if done.changes is not None and not (done.sent or done.deleted):
        say(f"{done.url}: nothing would change")


def _say_done(done: Published) -> None:
    if done.deleted:
        say(inert(f"deleted, from an older version: {_some(done.deleted)}"))
    if (done.changes or {}).get(CARD) == "merge":
        say(f"{CARD}: merged with the edits on the Hub")
    if done.kept:
        say(inert(f"left as they are on the Hub: {_some(done.kept)}"))
    if not (done.sent or done.deleted):
        say(f"{done.url}: already there")
        return
    size = human_size(sum(done.files[name].size for name in done.sent))
    say(f"{done.url}: {len(done.sent)} of {len(done.files)} files sent, {size}")


def _some(names: Sequence[str]) -> str:
    """The first names, and the number of the others."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
