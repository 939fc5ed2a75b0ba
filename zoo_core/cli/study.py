"""``zoo study``."""

from pathlib import Path
from typing import Any

import click

from zoo_core.atomic import write_file
from zoo_core.cli.console import inert, say
from zoo_core.cli.options import OF_SCHEDULER, REFERENCE, data_option, option, scheduler_option, writable
from zoo_core.cli.progress import Progress
from zoo_core.config import apply_overrides, dump_json, encode
from zoo_core.errors import UsageError
from zoo_core.hardware.memory import human_size

__all__ = ["study"]


@click.command()
@click.argument("reference", type=REFERENCE)
@option("n", type=click.IntRange(2, 2000), default=100, show_default=True, help="Number of pictures; half of them are real.")
@click.option("--exposure", default="500", show_default=True, metavar="MS,...", help="Time of a picture in ms; 0 until it is answered.")
@option("data")
@option("data_root")
@option("sampler", help="A sampler with its own defaults.  [default: the checkpoint's]")
@option("scheduler")
@option("steps")
@option("options", help="An option of the sampler, or scheduler.KEY, data.KEY; repeatable.")
@option("seed", help="Seed of the drawn pictures, the choice of the real ones, and the order.")
@option("batch_size", type=click.IntRange(1))
@option("device")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), default=Path("study.html"), show_default=True, help="The page.")
def study(reference: str, exposure: str, out: Path, **given: Any) -> None:
    """Write a page on which people say of pictures whether they are real.

    The page is one HTML file that works without a server. It saves the answers of a person as a file without a name; `zoo tally`
    counts them. Which pictures are real stands in NAME-key.json beside the page, and not on it.

    \b
    Examples:
      zoo study ddpm-afhq-cat --data folder:photos/cats
      zoo study vae-mnist -n 60 --exposure 100,500,0 -o data.split=test
      zoo tally study-key.json answers-*.json
    """
    exposures = _exposures(exposure)
    data = data_option(reference, given["data"], given["data_root"], given["options"])
    scheduler = scheduler_option(given["scheduler"], given["options"])
    options = [text for text in given["options"] if not text.startswith(("data.", OF_SCHEDULER))]
    steps = [f"steps={given['steps']}"] if given["steps"] else []
    sampler = apply_overrides({"name": given["sampler"]} if given["sampler"] else {}, [*steps, *options]) or None
    key_path = out.with_name(f"{out.stem}-key.json")
    for path in (out, key_path):
        writable(path)
    with Progress("study", given["n"] // 2) as progress:
        progress.status("loading PyTorch, the model and the data")
        from zoo_core.evaluation.study import make_study
        from zoo_core.ui.study import study_page

        key, pixels = make_study(
            reference,
            n=given["n"],
            exposures=exposures,
            data=data,
            sampler=sampler,
            scheduler=scheduler,
            seed=given["seed"],
            batch_size=given["batch_size"],
            device=given["device"],
            on_batch=progress.add,
        )
        page = study_page(key, pixels).encode()
    write_file(key_path, dump_json(encode(key)).encode())
    write_file(out, page)
    click.echo(inert(f"{out}: {len(pixels)} pictures, {human_size(len(page))}; open it in a browser, or send it to people"))
    click.echo(inert(f"{key_path}: the key, which you keep"))
    say(inert(f"zoo: count their answers by zoo tally {key_path} answers-{key.study[:6]}-*.json"))


def _exposures(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"--exposure {text!r} is no list of times in ms", "write it as --exposure 500 or --exposure 100,500,0") from None
