"""Drawing of many samples: by the processes of a launcher, which share the batches, and into a folder that fills up."""

import math
import os
import re
import signal
from pathlib import Path
from typing import TYPE_CHECKING

from zoo_core.cli.console import inert, say
from zoo_core.cli.sample import Drawing, progress
from zoo_core.errors import Interrupted

if TYPE_CHECKING:
    from torch import Tensor

    from zoo_core.distributed import Processes
    from zoo_core.pretrained import Pretrained

__all__ = ["in_folder", "in_memory", "shared"]

_LEFTOVER = re.compile(r"\.tmp-\d{6,}\.png-[0-9a-f]{8}")  # of a process that was killed while it wrote


def shared(device: str) -> "Processes | None":
    """This process and the others of a launcher; None for a process alone.

    Args:
        device: device of ``--device``.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) < 2:
        return None
    from zoo_core.distributed import Processes

    return Processes(None if device == "auto" else device)


def in_memory(drawing: Drawing, model: "Pretrained", processes: "Processes | None") -> "Tensor | None":
    """Draws all samples, (n, *event.shape) on the CPU; None in all processes but the first.

    Args:
        drawing: samples to draw.
        model: checkpoint.
        processes: processes that share the batches, or None.
    """
    import torch

    turn, turns = (processes.index, processes.count) if processes else (0, 1)
    mine = drawing.batches(turn, turns)
    parts: list[Tensor | None] = []
    with progress(len(mine), drawing.sampler, model, drawing.scheduler) as on_step:
        for place in range(math.ceil(len(drawing.batches()) / turns)):
            drawn = drawing.draw(model, mine[place], on_step) if place < len(mine) else None
            together = processes.gather(drawn) if processes else [drawn]
            parts += together if turn == 0 else []
    return torch.cat([part for part in parts if part is not None]) if turn == 0 else None


def in_folder(folder: Path, drawing: Drawing, model: "Pretrained", processes: "Processes | None") -> int:
    """Draws samples into a folder, a file each, batch by batch; batches that are there already, drawn in the same way, are kept.

    Args:
        folder: path of the folder.
        drawing: samples to draw.
        model: checkpoint.
        processes: processes that share the batches, or None.

    Returns:
        The number of images that were there already.

    Raises:
        Interrupted: after Ctrl-C; what is drawn is saved.
    """
    from zoo_core import images

    turn, turns = (processes.index, processes.count) if processes else (0, 1)
    if turn == 0:
        _sweep(folder)
    mine = drawing.batches(turn, turns)
    missing = [batch for batch in mine if not all(_is_drawn(folder, image, drawing, model) for image in batch)]
    known = sum(map(len, mine)) - sum(map(len, missing))
    known = sum(processes.gather(known)) if processes else known
    done = 0
    try:
        with progress(len(missing), drawing.sampler, model, drawing.scheduler) as on_step:
            for batch in missing:
                samples = drawing.draw(model, batch, on_step)
                if not samples.isfinite().all():
                    say(f"zoo: warning: some of the samples {batch.start}-{batch.stop - 1} are not finite")
                for image, sample in zip(batch, samples, strict=True):
                    images.save_folder(folder, sample[None], drawing.record(model, range(image, image + 1)), first=image)
                done += len(batch)
    except KeyboardInterrupt:
        what = inert(f"stopped: {known + done:,} of {drawing.n:,} images are in {folder}")
        raise Interrupted(what, "the same command goes on from there", signum=signal.SIGINT) from None
    return known


def _sweep(folder: Path) -> None:
    """Removes the files that a killed process did not finish."""
    for path in folder.glob(".tmp-*"):
        if _LEFTOVER.fullmatch(path.name):
            path.unlink(missing_ok=True)


def _is_drawn(folder: Path, image: int, drawing: Drawing, model: "Pretrained") -> bool:
    """Whether the file of an image says that it was drawn from the same weights in the same way."""
    from PIL import Image

    path = folder / f"{image:06d}.png"
    if not path.is_file():
        return False
    try:
        with Image.open(path, formats=("PNG",)) as opened:
            found = {key: value for key, value in opened.info.items() if isinstance(value, str)}
    except Exception:  # not a PNG, or a damaged one: it is drawn again
        return False
    expected = drawing.record(model, range(image, image + 1))
    # Where the checkpoint was found does not matter; its weights do.
    return {**found, "reference": ""} == {**expected, "reference": ""}
