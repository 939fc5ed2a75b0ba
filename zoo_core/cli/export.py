"""``zoo export``."""

from pathlib import Path

import click

from zoo_core.atomic import check_folder
from zoo_core.cli.console import inert, say
from zoo_core.cli.options import REFERENCE, option
from zoo_core.cli.progress import loading
from zoo_core.hardware.memory import human_size

__all__ = ["export"]

_SUFFIX = {"onnx": ".onnx", "torch": ".pt2"}


@click.command()
@click.argument("reference", type=REFERENCE)
@click.option(
    "--part", default="", metavar="NAME", help="denoise, step, decode, encode, log_prob, features, classify.  [default: the first]"
)
@click.option("--format", "format_", type=click.Choice(list(_SUFFIX)), default="onnx", show_default=True, help="ONNX, or torch.export.")
@option("n", type=click.IntRange(1, 4096), default=1, show_default=True, help="Rows that the file computes at once.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="File to write.  [default: NAME-PART.onnx or .pt2]")
def export(reference: str, part: str, format_: str, n: int, out: Path | None) -> None:
    """Write a part of the checkpoint REFERENCE as a file that runs without the zoo.

    The file is run and compared with the model before it is written. ONNX needs the extra zoo-core[export].

    \b
    Examples:
      zoo export vae-mnist --part decode
      zoo export ddpm-afhq-cat --part step -n 4 --out cat-step.onnx
      zoo export classifier-mnist --format torch
    """
    if out:
        check_folder(out)
    with loading("export"):
        from zoo_core.loading import load
        from zoo_core.pretrained.export import export_part, parts_of

        model = load(reference, device="cpu")
    part = part or next(iter(parts_of(model)), "")
    path = out or Path(f"{model.name}-{part}{_SUFFIX[format_]}")
    say(f"zoo: exporting {inert(part)} and comparing it with the model")
    difference = export_part(model, path, part=part, format=format_, n=n)
    click.echo(f"{path}: {human_size(path.stat().st_size)}, differs from the model by at most {difference:.1g}")
