"""``zoo export``."""

from pathlib import Path

import click
from click.core import ParameterSource

from zoo_core.atomic import check_folder
from zoo_core.cli.console import inert, say
from zoo_core.cli.options import REFERENCE, option
from zoo_core.cli.progress import loading
from zoo_core.errors import UsageError
from zoo_core.hardware.memory import human_size

__all__ = ["export"]

_SUFFIX = {"onnx": ".onnx", "torch": ".pt2"}
_FORMATS = (*_SUFFIX, "safetensors")
_FOR_PARTS = {"part": "--part", "n": "-n"}


@click.command()
@click.argument("reference", type=REFERENCE)
@click.option(
    "--part", default="", metavar="NAME", help="denoise, step, decode, encode, log_prob, features, classify.  [default: the first]"
)
@click.option("--format", "format_", type=click.Choice(_FORMATS), default="onnx", show_default=True, help="See above.")
@option("n", type=click.IntRange(1, 4096), default=1, show_default=True, help="Rows that the file computes at once.")
@click.option("--dtype", type=click.Choice(["float32", "float16", "bfloat16"]), help="Of safetensors.  [default: float16]")
@click.option("--bom", is_flag=True, help="Write a bill of materials (CycloneDX 1.6, JSON) instead: files, data, packages, numbers.")
@click.option("--out", type=click.Path(path_type=Path), help="File to write, or folder.  [default: by the name]")
@click.pass_context
def export(context: click.Context, reference: str, part: str, format_: str, n: int, dtype: str | None, bom: bool, out: Path | None) -> None:
    """Write the checkpoint REFERENCE in another form.

    onnx and torch (torch.export) write a part of it as a file that runs without the zoo, which is run and compared with the model before it
    is written. ONNX needs the extra zoo-core[export]. safetensors writes a checkpoint folder with weights of another dtype, half as large;
    its sheet is drawn anew, and its numbers are to be measured anew.

    \b
    Examples:
      zoo export vae-mnist --part decode
      zoo export ddpm-afhq-cat --part step -n 4 --out cat-step.onnx
      zoo export classifier-mnist --format torch
      zoo export ddpm-afhq-cat --format safetensors --dtype float16
      zoo export ddpm-afhq-cat --bom
    """
    if bom:
        if any(context.get_parameter_source(name) is ParameterSource.COMMANDLINE for name in (*_FOR_PARTS, "format_", "dtype")):
            raise UsageError("--bom writes no model", "leave --part, --format, -n and --dtype out")
        _write_bom(reference, out)
    elif format_ == "safetensors":
        given = [flag for name, flag in _FOR_PARTS.items() if context.get_parameter_source(name) is ParameterSource.COMMANDLINE]
        if given:
            raise UsageError(f"{given[0]} is of the formats onnx and torch", "leave it out: safetensors holds all weights")
        _convert(reference, out, dtype or "float16")
    elif dtype:
        raise UsageError("--dtype is of the format safetensors", "add --format safetensors, or leave it out")
    else:
        _export_part(reference, out, part, format_, n)


def _write_bom(reference: str, out: Path | None) -> None:
    """Writes the bill of materials of a checkpoint."""
    from zoo_core.atomic import write_file
    from zoo_core.config import dump_json
    from zoo_core.hub.fetch import pull
    from zoo_core.hub.lock_writer import locked
    from zoo_core.loading import info
    from zoo_core.trust.bom import bill_of_materials

    [files] = pull(reference)
    entry = locked(files)
    document = bill_of_materials(info(reference), {name: pin.sha256 for name, pin in entry.files.items()}, entry.distributions)
    path = out or Path(f"{files.name}.cdx.json")
    write_file(path, dump_json(document).encode())
    click.echo(inert(f"{path}: {len(document['components'])} components"))


def _export_part(reference: str, out: Path | None, part: str, format_: str, n: int) -> None:
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


def _convert(reference: str, out: Path | None, dtype: str) -> None:
    with loading("export"):
        from zoo_core.checkpoint.files import WEIGHTS
        from zoo_core.loading import load
        from zoo_core.training.convert import convert

        model = load(reference, device="cpu")
    folder = convert(model, out or Path(f"{model.name}-{dtype}"), dtype)
    size = human_size((folder / WEIGHTS).stat().st_size)
    click.echo(inert(f"{folder}: {size} of weights in {dtype}, {human_size(model.files.size(WEIGHTS))} before"))
    say(f"zoo: measure it anew: zoo evaluate local:{inert(str(folder))} --out {inert(str(folder / 'metrics.json'))}")
