"""Parts of every figure: the checkpoint, the place to write to, the options of a sampler, the record of its making."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo_core import __version__
from zoo_core.catalogue import as_sampler, read_config
from zoo_core.cli.console import inert
from zoo_core.config import apply_overrides, encode
from zoo_core.errors import UsageError
from zoo_core.files import check_folder
from zoo_core.hub import WEIGHTS, fetch

if TYPE_CHECKING:
    from torch import Tensor

    from zoo_core.interfaces import Sampler
    from zoo_core.pretrained import Pretrained

__all__ = [
    "IMAGES",
    "LEVELS",
    "MOST",
    "POINTS",
    "check_number",
    "checked",
    "level_names",
    "one_line",
    "opened",
    "percents_of",
    "pictures",
    "record_of",
    "sampler_of",
    "save",
    "with_steps",
]

LEVELS = "0,25,50,75,99"
MOST = 64
IMAGES, POINTS = 4, 1000


def checked(out: Path | None, name: str, kind: str) -> Path:
    """Where to write, found to be possible before anything is computed."""
    path = out or Path(f"{name}-{kind}.png")
    if path.suffix.lower() != ".png":
        raise UsageError(f"--out {path}: figures are .png files")
    return check_folder(path)


def check_number(n: int | None, most: int) -> None:
    """Refuses a figure of more than that.

    Raises:
        UsageError: there are more.
    """
    if n is not None and n > most:
        raise UsageError(f"-n {n}: there is room for {most} in this figure")


def opened(target: str, out: Path | None, kind: str) -> "tuple[Pretrained, Path]":
    """The checkpoint, and where to write its figure.

    Raises:
        UsageError, ResourceError: it cannot be written there.
    """
    files = fetch(target)
    config = read_config(files)
    path = checked(out, files.name, kind)
    from zoo_core.assembly import assemble

    return assemble(files, config), path


def sampler_of(model: "Pretrained", name: str | None, options: Sequence[str], kind: str | None = None) -> "Sampler | None":
    """The sampler of that name, or the checkpoint's own, with options changed; where it is of another ``kind``, the one of that name.

    None where nothing is asked for.
    """
    if not name and not options:
        return None
    own = encode(model.sampler)
    base = {"name": name} if name else own if kind in (None, own["name"]) else {"name": kind}
    return as_sampler(apply_overrides(base, list(options)))


def with_steps(steps: int | None, options: Sequence[str]) -> list[str]:
    """Options of a sampler, with ``--steps N`` among them where it was given."""
    return [*([] if steps is None else [f"steps={steps}"]), *options]


def percents_of(text: str) -> list[float]:
    try:
        percents = [float(part) for part in text.split(",")]
    except ValueError:
        percents = [math.nan]
    if not all(0 <= percent <= 100 for percent in percents):
        raise UsageError(f"--at {text!r} is no list of percentages", "write it as --at 0,25,50,75,99")
    return percents


def level_names(model: "Pretrained", percents: Sequence[float]) -> list[str]:
    from zoo_core import figures

    levels = figures.trained_levels(figures.denoiser(model))
    return [f"t = {figures.level_at(levels, percent)[0]}\n({percent:g} %)" for percent in percents]


def pictures(model: "Pretrained", images: Sequence[Path]) -> "Tensor":
    import torch

    from zoo_core.images import read_image

    return torch.stack([read_image(image, model.event.shape) for image in images])


def one_line(path: Path, columns: Sequence[str]) -> str:
    return f"{inert(str(path))}: {', '.join(' '.join(text.split()) for text in columns)}"


def record_of(model: "Pretrained", facts: Mapping[str, str]) -> dict[str, str]:
    return {
        "Software": f"zoo-core {__version__}",
        "reference": str(model.files.reference),
        "weights": f"sha256:{model.files.digest(WEIGHTS)}",
        "sampler": json.dumps(encode(model.sampler)),
        **facts,
    }


def save(path: Path, cells: "Tensor", model: "Pretrained", facts: Mapping[str, str], **captions: Any) -> None:
    """Writes cells in [-1, 1] (rows, columns, c, h, w) with captions, and with what made them in the file."""
    from zoo_core.files import write_file
    from zoo_core.images import labelled_grid, png

    write_file(path, png(labelled_grid(cells, **captions), record_of(model, facts)))
