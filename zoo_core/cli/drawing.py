"""Drawing of many samples: by the processes of a launcher, which share the batches, and into a folder that fills up."""

import math
import os
import re
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from zoo_core.capabilities import supports
from zoo_core.cli.console import inert, say
from zoo_core.cli.progress import Progress
from zoo_core.errors import Interrupted
from zoo_core.figures.origin import origin_of
from zoo_core.figures.titles import walk_text
from zoo_core.interfaces import OnStep, Sampler, Scheduler

if TYPE_CHECKING:
    from torch import Tensor

    from zoo_core.distributed import Processes
    from zoo_core.pretrained import Pretrained

__all__ = ["Drawing", "in_folder", "in_memory", "progress", "shared"]

_LEFTOVER = re.compile(r"\.tmp-\d{6,}\.png-[0-9a-f]{8}")  # of a process that was killed while it wrote


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """The samples to draw, and the choices that they depend on.

    >>> from zoo_core.samplers import Latent
    >>> drawing = Drawing(n=10, classes=[0, 1, 2], sampler=Latent(), scheduler=None, seed=0, guidance=None, batch_size=4)
    >>> drawing.batches(turn=0, turns=2), drawing.class_of(4)
    ([range(0, 4), range(8, 10)], 1)

    Args:
        n: number of samples.
        classes: classes that take turns; empty without labels.
        sampler, scheduler, seed, guidance, batch_size: as :meth:`zoo_core.pretrained.Pretrained.sample` takes them.
        conditions: conditions that take turns, (k, *condition_event.shape); None for those of the model.
        prompts: the texts that they were computed from, if any.
    """

    n: int
    classes: Sequence[int]
    sampler: Sampler
    scheduler: Scheduler | None
    seed: int
    guidance: float | None
    batch_size: int
    conditions: "Tensor | None" = None
    prompts: Sequence[str] = ()

    @property
    def labels(self) -> list[int] | None:
        return [self.classes[i % len(self.classes)] for i in range(self.n)] if self.classes else None

    @property
    def walk(self) -> str:
        return walk_text(self.sampler, self.scheduler)

    def class_of(self, image: int) -> int | None:
        return self.classes[image % len(self.classes)] if self.classes else None

    def batches(self, turn: int = 0, turns: int = 1) -> list[range]:
        """The images of every ``turns``-th batch from number ``turn`` on: the same batches for any number of processes."""
        starts = range(0, self.n, self.batch_size)[turn::turns]
        return [range(start, min(start + self.batch_size, self.n)) for start in starts]

    def draw(self, model: "Pretrained", images: range, on_step: OnStep) -> "Tensor":
        return model.sample(
            len(images),
            first=images.start,
            seed=self.seed,
            sampler=self.sampler,
            scheduler=self.scheduler,
            labels=[self.classes[image % len(self.classes)] for image in images] if self.classes else None,
            guidance=self.guidance,
            condition=None if self.conditions is None else self.conditions[[image % len(self.conditions) for image in images]],
            batch_size=self.batch_size,
            on_step=on_step,
        )

    def record(self, model: "Pretrained", images: range) -> dict[str, str]:
        """The facts that a file of these images carries."""
        return origin_of(
            model,
            sampler=self.sampler,
            scheduler=self.scheduler,
            images=f"{images.start}-{images.stop - 1}" if len(images) > 1 else str(images.start),
            seed=self.seed,
            labels=[self.class_of(image) for image in images] if self.classes else None,
            guidance=self.guidance,
            conditions=None if self.conditions is None else f"sha256:{sha256(self.conditions.cpu().numpy().tobytes()).hexdigest()}",
            prompts=list(self.prompts) or None,
            batch_size=self.batch_size,
            dtype=str(model.dtype).removeprefix("torch."),
            device=model.device.type,
        )


@contextmanager
def progress(batches: int, sampler: Sampler, model: "Pretrained", scheduler: Scheduler | None) -> Iterator[OnStep]:
    """An ``on_step`` that counts the sampler's steps on stderr.

    Args:
        batches: number of batches, of which each takes all steps.
        sampler: sampler that calls it.
        model: model that the sampler evaluates.
        scheduler: noise levels of the sampler.
    """
    able = supports(model.capabilities, sampler.requires)
    steps = len(sampler.noise_levels(model.sampled_model, scheduler)) - 1 if able else 0
    with Progress("sample", batches * max(steps, 1), "steps") as bar:

        def on_step(step: int, sigma: float, x: "Tensor", x0: "Tensor") -> None:
            # A sampler with steps calls it at its start and after every step; one with a single pass calls it once.
            if step or steps < 1:
                bar.add(1)

        yield on_step


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
