"""``zoo pull``."""

import os

import click

from zoo_core.checkpoint.config import plugin_hint
from zoo_core.checkpoint.files import CONFIG, Files
from zoo_core.cli.console import error_line, inert, say
from zoo_core.cli.options import REFERENCE
from zoo_core.hardware.memory import human_size
from zoo_core.hub.fetch import pull as pull_files
from zoo_core.hub.signed import must_be_signed
from zoo_core.registry import registry
from zoo_core.specs import ModelSpec

__all__ = ["pull"]


@click.command()
@click.argument("references", type=REFERENCE, metavar="REFERENCE...", nargs=-1, required=True)
@click.option(
    "--lock-timeout", type=float, metavar="SECONDS", help="Time to wait for another process that fetches the same file.  [default: 600]"
)
@click.option("--accept-move", is_flag=True, help="Take a branch that went back, or a tag that moved, since it was last fetched.")
@click.option("--lock", is_flag=True, help="Add them to zoo.lock, as `zoo lock` does.")
def pull(references: tuple[str, ...], lock_timeout: float | None, accept_move: bool, lock: bool) -> None:
    """Fetch checkpoints and verify them: every file against its pin, the weights down to the last number.

    Files come from the plugin that carries them, else from the Hugging Face cache, else from the Hub. Prints the folder of each
    checkpoint. HF_HOME, HF_TOKEN, HF_ENDPOINT, HF_HUB_OFFLINE and ZOO_LOCK_TIMEOUT are respected.

    \b
    Examples:
      zoo pull ddpm-afhq-cat
      ls "$(zoo pull ddpm-afhq-cat)"
      zoo pull ORG/NAME@v1.0
      zoo pull local:runs/cat
    """
    if lock_timeout is not None:
        os.environ["ZOO_LOCK_TIMEOUT"] = str(lock_timeout)  # read wherever a lock is taken
    for reference in references:
        [files] = pull_files(reference, accept_move=accept_move)
        size = human_size(sum(map(files.size, files.names)))
        say(inert(f"{reference}: {len(files.names)} files, {size}, {_checked(files)}; from {files.source}"))
        _say_unknown(files)
        click.echo(inert(str(files.folder)))
    if lock:
        from zoo_core.hub.lock_writer import lock as write_lock

        say(inert(f"zoo: {', '.join(references)} in {write_lock(*references).path}"))


def _checked(files: Files) -> str:
    """The evidence that the files are the right ones, for the line of a checkpoint."""
    if files.pins is not None:
        return "match their pins"
    if files.hub and must_be_signed(files.hub.repo):
        return "are signed by their author"
    return "are what the Hub says, and nothing pins them" if files.oids is not None else "read; nothing pins them"


def _say_unknown(files: Files) -> None:
    """Warns if no installed plugin has the family of the checkpoint."""
    if files.reference.layout:  # the plugin of a layout has its families
        return
    model = files.json(CONFIG).get("model")
    family = model.get("name") if isinstance(model, dict) else None
    if isinstance(family, str) and family.rpartition(":")[2] not in registry().claims(ModelSpec):
        say(
            error_line(
                f"no installed plugin has its family {family!r}",
                plugin_hint(files) or "`zoo list families` shows those that are",
                "zoo: warning: ",
            )
        )
