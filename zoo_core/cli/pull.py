"""``zoo pull``."""

import click

from zoo_core.cli.console import human_size, inert, say
from zoo_core.hub import pull as pull_files

__all__ = ["pull"]


@click.command()
@click.argument("references", metavar="REFERENCE...", nargs=-1, required=True)
def pull(references: tuple[str, ...]) -> None:
    """Fetch checkpoints and verify them: every file against its pin, the weights down to the last number.

    Prints the folder of each.

    \b
    Examples:
      zoo pull ddpm-afhq-cat
      ls "$(zoo pull ddpm-afhq-cat)"
      zoo pull local:runs/cat
    """
    for reference in references:
        [files] = pull_files(reference)
        size = human_size(sum(map(files.size, files.names)))
        against = "match their pins" if files.pins is not None else "read; nothing pins them"
        say(inert(f"{reference}: {len(files.names)} files, {size}, {against}; from {files.source}"))
        click.echo(inert(str(files.folder)))
