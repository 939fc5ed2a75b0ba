"""``zoo lock``."""

from pathlib import Path

import click

from zoo_core.cli.console import inert, row
from zoo_core.cli.options import REFERENCE
from zoo_core.errors import TrustError
from zoo_core.hardware.memory import human_size
from zoo_core.hub.lock_writer import lock as write_lock
from zoo_core.hub.lockfile import LOCK, Lock, LockedCheckpoint

__all__ = ["lock"]


@click.command()
@click.argument("references", type=REFERENCE, metavar="[REFERENCE]...", nargs=-1)
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), default=LOCK, show_default=True, help="The lock file to write or to add to."
)
@click.option("--check", is_flag=True, help="Write nothing; fail if anything would change.")
def lock(references: tuple[str, ...], out: Path, check: bool) -> None:
    """Note the commit, the files and the packages of each REFERENCE in a lock file, or of all that the lock file has.

    With `zoo --frozen`, ZOO_FROZEN=1 or load(REFERENCE, lock="zoo.lock"), nothing else is loaded: on any machine the same bytes by the
    same versions of the plugins.

    \b
    Examples:
      zoo lock ddpm-afhq-cat ORG/NAME
      zoo lock                              all of zoo.lock, as they are now
      zoo --frozen sample ddpm-afhq-cat
    """
    before = Lock.read(out).checkpoints if out.is_file() else {}
    after = write_lock(*references, path=out, dry_run=check).checkpoints
    changed = False
    for reference in references or sorted(after):
        change = _change(before.get(reference), after[reference])
        changed = changed or change != "as before"
        row(inert(f"{reference:24} {change}: {_described(after[reference])}"), " " * 25)
    if check and changed:
        raise TrustError(f"{out} is not what there is now", "`zoo lock` without --check writes it")


def _change(before: LockedCheckpoint | None, after: LockedCheckpoint) -> str:
    """The change of an entry, in words."""
    if before is None:
        return "added"
    if before == after:
        return "as before"
    if before.hub and after.hub and before.hub != after.hub:
        return f"moved from {before.hub.commit[:12]} to {after.hub.commit[:12]}"
    names = sorted(name for name in {*before.files, *after.files} if before.files.get(name) != after.files.get(name))
    versions = {*before.distributions.items()} ^ {*after.distributions.items()}
    return f"changed, {', '.join(names or sorted({name for name, _ in versions}))}"


def _described(entry: LockedCheckpoint) -> str:
    size = human_size(sum(pin.size for pin in entry.files.values()))
    packages = ", ".join(f"{name} {version}" for name, version in sorted(entry.distributions.items()))
    commit = f"{entry.hub.repo} at {entry.hub.commit[:12]}, " if entry.hub else ""
    return f"{commit}{len(entry.files)} files, {size}; {packages}"
