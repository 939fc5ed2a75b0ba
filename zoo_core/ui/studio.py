"""The work behind the page: requests in a line, models in memory, and files to download."""

import shutil
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from zoo_core.atomic import write_file
from zoo_core.errors import UsageError
from zoo_core.ui.catalogue import Catalogue
from zoo_core.ui.drawing import Choice, Drawing, Report, draw
from zoo_core.ui.limits import LIMITS, Limits
from zoo_core.ui.line import Line, Place
from zoo_core.ui.models import Abilities, Models, abilities
from zoo_core.ui.process import inpaint, interpolate, reverse

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

    from zoo_core.pretrained import Pretrained

__all__ = ["Pair", "Shown", "Studio"]

OnWait = Callable[[int], None]
Work = Callable[["Pretrained", Report], Drawing]


@dataclass(frozen=True, kw_only=True, slots=True)
class Shown:
    """A drawing with its files.

    >>> Shown(png=Path("a.png"), npz=Path("a.npz"), title="a", note="").png.name
    'a.png'

    Args:
        png: path of the picture.
        npz: path of the data.
        title: checkpoint, sampler and seed in a line.
        note: description in words.
    """

    png: Path
    npz: Path
    title: str
    note: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """Two drawings side by side.

    >>> shown = Shown(png=Path("a.png"), npz=Path("a.npz"), title="a", note="")
    >>> Pair(left=shown, right=shown, note="equal").note
    'equal'

    Args:
        left, right: the drawings.
        note: how far they differ, in words.
    """

    left: Shown
    right: Shown
    note: str


class Studio:
    """The work behind a page: each request waits for its turn, and its files are kept for a while.

    >>> with Studio(["realnvp-moons"]) as studio:
    ...     shown = studio.draw(Choice(reference="realnvp-moons", n=4))
    ...     shown.npz.name
    'realnvp-moons-seed0.npz'

    Args:
        references: checkpoints of the page; all installed ones if empty.
        device: device of the models; the CPU when None.
        limits: bounds of what a visitor can ask for.

    Raises:
        ZooError: if a reference cannot be resolved.
    """

    def __init__(self, references: Sequence[str] = (), *, device: str | None = None, limits: Limits = LIMITS) -> None:
        self.catalogue = Catalogue(references)
        self.limits = limits
        self.line = Line(limits.requests, limits.seconds)
        self._models = Models(limits.models, device)
        self.folder = Path(tempfile.mkdtemp(prefix="zoo-ui-"))
        self._kept: deque[Path] = deque()
        self._lock = threading.Lock()

    def __enter__(self) -> "Studio":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Removes all files and models."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self._models.release(keep=0)

    def abilities(self, reference: object) -> Abilities:
        """The choices that a checkpoint of the page allows.

        Raises:
            ZooError: if the page does not offer it, or it cannot be loaded.
        """
        return abilities(self._models.get(self.catalogue.check(reference)))

    def draw(
        self, choice: Choice, owner: str = "", on_wait: OnWait = lambda ahead: None, report: Report = lambda done, total: None
    ) -> Shown:
        """Draws samples; raises as :func:`zoo_core.ui.drawing.draw` and :meth:`zoo_core.ui.line.Line.place` do."""
        return self._run(choice, owner, on_wait, report, lambda model, step: draw(model, choice, step, self.limits)[0])

    def reverse(
        self, choice: Choice, owner: str = "", on_wait: OnWait = lambda ahead: None, report: Report = lambda done, total: None
    ) -> Shown:
        """Draws samples while they are sampled; see :func:`zoo_core.ui.process.reverse`."""
        return self._run(choice, owner, on_wait, report, lambda model, step: reverse(model, choice, step, self.limits))

    def interpolate(
        self, choice: Choice, points: int, owner: str = "", on_wait: OnWait = lambda ahead: None, report: Report = lambda done, total: None
    ) -> Shown:
        """Draws paths between samples; see :func:`zoo_core.ui.process.interpolate`."""
        return self._run(choice, owner, on_wait, report, lambda model, _: interpolate(model, choice, points, self.limits))

    def inpaint(
        self,
        choice: Choice,
        picture: "Image.Image",
        painted: "Image.Image",
        owner: str = "",
        on_wait: OnWait = lambda ahead: None,
        report: Report = lambda done, total: None,
    ) -> Shown:
        """Fills in the painted part of a picture; see :func:`zoo_core.ui.process.inpaint`.

        Args:
            choice: settings; ``n`` is the number of completions.
            picture: picture of any size.
            painted: mask of the same size, of mode L: above 0 where the picture is to be filled in.
            owner: visitor.
            on_wait: called with the number of requests ahead.
            report: called after each step.
        """
        from zoo_core.figures import images_of

        def work(model: "Pretrained", step: Report) -> Drawing:
            shape = images_of(model)
            return inpaint(model, choice, _pixels(picture, shape), _known(painted, shape), step, self.limits)

        return self._run(choice, owner, on_wait, report, work)

    def picture(self, reference: str, seed: int, number: int) -> "Image.Image":
        """Image ``number`` of a seed, enlarged by whole pixels, as a ground to paint on.

        Raises:
            ZooError: if the page does not offer the checkpoint, or it does not draw images.
        """
        from zoo_core.arguments import as_int
        from zoo_core.figures import images_of
        from zoo_core.images import to_pil

        with self._turn():
            model = self._models.get(self.catalogue.check(reference))
            _, _, width = images_of(model)
            number = as_int("the number of the image", number, 0, 10**6)
            sample = model.sample(1, seed=as_int("the seed", seed), first=number)[0].clamp(-1, 1)
        scale = max(1, _GROUND // width)
        return to_pil(sample, scale=scale).crop((2, 2, 2 + width * scale, 2 + sample.shape[1] * scale)).convert("RGB")

    def compare(
        self,
        left: Choice,
        right: Choice,
        owner: str = "",
        on_wait: OnWait = lambda ahead: None,
        report: Report = lambda done, total: None,
    ) -> Pair:
        """Draws two choices, one after the other, and says how far their samples differ.

        Raises:
            UsageError: if they differ in seed or number, so that they are not comparable.
            ZooError: as :meth:`draw` does.
        """
        if (left.seed, left.n) != (right.seed, right.n):
            raise UsageError("the two sides must have one seed and one number of samples", "choose them once for both")
        with self._turn(owner, on_wait) as place:

            def step(first: int) -> Report:
                def counted(done: int, total: int) -> None:
                    place.check()
                    report(first * total + done, 2 * total)

                return counted

            drawn = []
            for first, choice in enumerate((left, right)):
                model = self._models.get(self.catalogue.check(choice.reference))
                drawn.append((*draw(model, choice, step(first), self.limits), model))
        note = _difference(drawn[0][1], drawn[1][1], drawn[0][2], drawn[1][2])
        return Pair(left=self._keep(drawn[0][0]), right=self._keep(drawn[1][0]), note=note)

    def stop(self, owner: str) -> int:
        """Gives up the requests of a visitor, and returns their number."""
        return self.line.give_up(owner)

    def _run(self, choice: Choice, owner: str, on_wait: OnWait, report: Report, work: Work) -> Shown:
        reference = self.catalogue.check(choice.reference)
        with self._turn(owner, on_wait) as place:

            def step(done: int, total: int) -> None:
                place.check()
                report(done, total)

            drawing = work(self._models.get(reference), step)
        return self._keep(drawing)

    @contextmanager
    def _turn(self, owner: str = "", on_wait: OnWait = lambda ahead: None) -> Iterator[Place]:
        """A place in the line. If nobody waits behind it, memory is given back at its end."""
        try:
            with self.line.place(owner, on_wait) as place:
                yield place
        finally:
            if not len(self.line):
                self._models.release()

    def _keep(self, drawing: Drawing) -> Shown:
        """Writes the files of a drawing, and removes those of the oldest one if there are too many."""
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        with self._lock:
            self._kept.append(folder)
            old = self._kept.popleft() if len(self._kept) > self.limits.drawings else None
        if old:
            shutil.rmtree(old, ignore_errors=True)
        png, npz = (folder / f"{drawing.name}.{suffix}" for suffix in ("png", "npz"))
        write_file(png, drawing.png)
        write_file(npz, drawing.npz)
        return Shown(png=png, npz=npz, title=drawing.title, note=drawing.note)


_GROUND = 384  # pixels: the width of a picture to paint on
_PAINTED = 0.3  # share of a pixel of the model that must be painted


def _pixels(picture: "Image.Image", shape: Sequence[int]) -> "Tensor":
    """A picture as a sample (c, h, w) in [-1, 1]: cropped at the centre and resized; whole multiples keep each pixel."""
    import numpy as np
    import torch
    from PIL import Image, ImageOps

    from zoo_core.images import from_uint8

    channels, height, width = shape
    mode = "RGB" if channels == 3 else "L"
    fitted = ImageOps.fit(picture.convert(mode), (width, height), Image.Resampling.BOX)
    return from_uint8(torch.from_numpy(np.array(fitted)).view(height, width, channels).permute(2, 0, 1))


def _known(painted: "Image.Image", shape: Sequence[int]) -> "Tensor":
    """The mask of the part that is not painted, bool (1, h, w)."""
    import numpy as np
    import torch
    from PIL import Image, ImageOps

    _, height, width = shape
    marks = painted.convert("L").point(lambda value: 255 if value > 0 else 0)
    share = ImageOps.fit(marks, (width, height), Image.Resampling.BOX)
    return torch.from_numpy(np.array(share) < 255 * _PAINTED)[None]


def _difference(a: "Tensor", b: "Tensor", left: "Pretrained", right: "Pretrained") -> str:
    """How far two sets of samples differ, in words."""
    if a.shape != b.shape:
        return "The samples have different shapes, so the two sides start from different noise."
    rms = (a - b).square().mean().sqrt().item()
    kinds = ["noise" if model.denoises else "latents" for model in (left, right)]
    unit = " (pixels go from -1 to 1)" if a.ndim == 4 else ""
    start = f"Sample i on both sides has the same seed and number, and so the same starting {kinds[0]}"
    if kinds[0] != kinds[1]:
        start = "One side starts from noise, the other from latents: only the seed is the same"
    elif left is not right:
        start = "Sample i on both sides has the same seed and number"
    return f"{start}. Root mean square difference: {rms:.3g}{unit}."
