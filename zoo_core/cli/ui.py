"""``zoo ui``."""

import threading
from contextlib import suppress

import click

from zoo_core.cli.console import say
from zoo_core.cli.options import REFERENCE, option
from zoo_core.cli.progress import loading

__all__ = ["ui"]


@click.command()
@click.argument("references", nargs=-1, type=REFERENCE, metavar="[REFERENCE]...")
@click.option("--host", default="127.0.0.1", show_default=True, metavar="ADDRESS", help="Address to listen at; 0.0.0.0 for all networks.")
@click.option("--port", type=click.IntRange(1, 65535), metavar="N", help="Port.  [default: the first free one from 7860]")
@option("device")
def ui(references: tuple[str, ...], host: str, port: int | None, device: str | None) -> None:
    """Serve a web page on which checkpoints are browsed, drawn from and compared.

    The page offers all installed checkpoints, or only each REFERENCE. It listens on this machine alone, unless --host says otherwise,
    and loads nothing from other servers. Ctrl-C ends it. Needs the extra zoo-core[ui].

    \b
    Examples:
      zoo ui
      zoo ui ddpm-afhq-cat local:runs/cat --port 8000
    """
    from zoo_core.ui.controls import gradio
    from zoo_core.ui.page import serve
    from zoo_core.ui.studio import Studio

    with loading("ui"):
        gradio()
        studio = Studio(references, device=device)
    with studio, serve(studio, host, port) as address:
        click.echo(address)
        if host not in ("127.0.0.1", "localhost", "::1"):
            say(f"zoo: warning: everybody who reaches {host} can use this page; it asks for no password")
        say("zoo: Ctrl-C ends the page")
        with suppress(KeyboardInterrupt):
            threading.Event().wait()
