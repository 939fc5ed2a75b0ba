"""``zoo keys``."""

from pathlib import Path

import click

from zoo_core.atomic import write_file
from zoo_core.cli.console import inert, row, say
from zoo_core.errors import TrustError, UsageError
from zoo_core.trust.envelope import after, read
from zoo_core.trust.keys import KEYS, ROOT, KeyList, PrivateKey, PublicKey, check_repositories, new_key

__all__ = ["keys"]


@click.group()
def keys() -> None:
    """Make keys, and list those that sign the checkpoints of a plugin. Needs the extra zoo-core[sign].

    The package of the plugin, which has cards.toml, also carries root.pub with the root keys, and keys.sig, the list of the keys that sign:
    whoever has the plugin accepts what these keys sign in the listed repositories, and nothing else there. docs/trust.md tells it step by
    step.

    \b
    Examples:
      zoo keys new root.pem
      zoo keys new release.pem
      zoo keys sign zoo_cats --root root.pem --key release.pem.pub --repo ORG/cat
      zoo keys show zoo_cats
    """


@keys.command()
@click.argument("path", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE")
def new(path: Path) -> None:
    """Write a new private key to FILE, and its public half to FILE.pub.

    The private key is encrypted with the password in ZOO_KEY_PASSWORD, if that is set. Keep it out of every repository and package.

    \b
    Examples:
      zoo keys new root.pem
    """
    click.echo(inert(f"{path}.pub: key {new_key(path).id[:12]}"))


@keys.command()
@click.argument("package", type=click.Path(path_type=Path, file_okay=False, exists=True), metavar="PACKAGE")
@click.option("--root", type=click.Path(path_type=Path, dir_okay=False), required=True, help="Private root key that signs the list.")
@click.option("--key", "listed", type=click.Path(path_type=Path, dir_okay=False), multiple=True, help="Public key to list; repeatable.")
@click.option("--repo", "repositories", multiple=True, metavar="ORG/NAME|ORG/*", help="Repository that the keys sign; repeatable.")
@click.option("--days", type=click.IntRange(1, 3650), default=730, show_default=True, help="Days until the list expires.")
def sign(package: Path, root: Path, listed: tuple[Path, ...], repositories: tuple[str, ...], days: int) -> None:
    """Write the list of keys, keys.sig, into the PACKAGE of a plugin.

    Without --key or --repo, those of the present list stay. The version of the list grows by one. The first time, the root key becomes
    root.pub; further root keys are added to that file by hand.

    \b
    Examples:
      zoo keys sign zoo_cats --root root.pem --key release.pem.pub --repo ORG/cat
      zoo keys sign zoo_cats --root root.pem
    """
    if not (package / "plugin.py").is_file():
        raise UsageError(f"{package} is not the package of a plugin: it has no plugin.py", "name the folder with cards.toml")
    try:
        check_repositories(repositories)
    except ValueError as error:
        raise UsageError(f"--repo {error}", "--repo 'ORG/*' is for all repositories of ORG") from None
    key = PrivateKey.load(root)
    is_first = not (package / ROOT).exists()
    if not is_first and key.public not in PublicKey.load_all(package / ROOT):
        raise UsageError(f"{root} is none of the root keys in {package / ROOT}", "sign with one of them, or replace that file")
    before = _before(package / KEYS) if (package / KEYS).exists() else None
    chosen = tuple(dict.fromkeys(key for path in listed for key in PublicKey.load_all(path))) or (before.keys if before else ())
    patterns = repositories or (before.repositories if before else ())
    if not (chosen and patterns):
        raise UsageError("the first list needs keys and repositories", "--key release.pem.pub --repo ORG/NAME")
    written = KeyList(version=before.version + 1 if before else 1, expires=after(days), keys=chosen, repositories=patterns)
    data = written.signed(key)
    if is_first:
        write_file(package / ROOT, key.public.pem.encode())
    write_file(package / KEYS, data)
    say(inert(f"{package / KEYS}: pack it with the plugin, and publish the checkpoints with --sign, which puts it into their repositories"))
    _print(written)


@keys.command()
@click.argument("path", type=click.Path(path_type=Path, exists=True), metavar="PATH")
def show(path: Path) -> None:
    """Show a list of keys: of a package, or the file keys.sig itself. Its signature is not checked. Of a file of public keys, show these.

    \b
    Examples:
      zoo keys show plugins/cats/zoo_cats
      zoo keys show release.pem.pub
    """
    if path.suffix in (".pub", ".pem"):
        for key in PublicKey.load_all(path):
            row(f"key {key.id}", "  ")
    else:
        _print(_list(path / KEYS if path.is_dir() else path))


def _before(path: Path) -> KeyList:
    """The present list of a package.

    Raises:
        UsageError: if it cannot be read.
    """
    try:
        return _list(path)
    except TrustError as error:
        # A list that begins at version 1 again counts for nothing where a later one was seen.
        raise UsageError(error.what, f"put back the {KEYS} of the last release, whose version goes on") from None


def _list(path: Path) -> KeyList:
    try:
        return KeyList.parse(read(path.read_bytes(), str(path)), str(path))
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}", "`zoo keys sign` writes a list") from None


def _print(listed: KeyList) -> None:
    row(f"version {listed.version}, until {listed.expires:%Y-%m-%d}", "  ")
    for key in listed.keys:
        row(f"key {key.id}", "  ")
    for repo in listed.repositories:
        row(inert(f"for {repo}"), "  ")
