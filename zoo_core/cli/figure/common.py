"""Parts of every figure: the checkpoint, the file to write, the options of a sampler, the record of its origin."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo_core.checkpoint.config import read_config
from zoo_core.cli.console import inert, say
from zoo_core.cli.options import writable
from zoo_core.cli.progress import loading
from zoo_core.config import apply_overrides, encode
from zoo_core.errors import UsageError
from zoo_core.figures.canvas import FORMATS
from zoo_core.figures.titles import joined, sigma_text, title_line, walk_text
from zoo_core.hub.fetch import fetch
from zoo_core.loading import with_base
from zoo_core.registry.reference import stages_of
from zoo_core.samplers.factory import as_sampler

if TYPE_CHECKING:
    from torch import Tensor

    from zoo_core.interfaces import Sampler, Scheduler
    from zoo_core.pretrained import Pretrained

__all__ = [
    "IMAGES",
    "LEVELS",
    "MOST",
    "POINTS",
    "Page",
    "check_number",
    "is_plane",
    "level_names",
    "opened",
    "percents_of",
    "pictures",
    "plain",
    "sampler_of",
    "with_steps",
]

LEVELS = "0,10,25,50,75,100"
MOST = 64
IMAGES, POINTS = 4, 1000  # numbers of samples, by default


@dataclass(frozen=True, kw_only=True)
class Page:
    """The file that a figure is written to.

    >>> Page(out=Path("loss.pdf"), dpi=150).out.suffix
    '.pdf'

    Args:
        out: path of a .png, .pdf or .svg; NAME-KIND.png when None.
        title: title line; a description of the figure when None.
        dpi: pixels per inch, for plots.
        width: width in inches, for plots.
    """

    out: Path | None = None
    title: str | None = None
    dpi: float | None = None
    width: float | None = None

    def named(self, name: str, kind: str) -> "Page":
        """The page with a path; checks that it can be written to, before anything is computed.

        Raises:
            UsageError, ResourceError: if it cannot.
        """
        path = self.out or Path(f"{name}-{kind}.png")
        if path.suffix.lower().removeprefix(".") not in FORMATS:
            raise UsageError(f"--out {path}: figures are {', '.join(f'.{name}' for name in FORMATS)} files", f"name it {path.stem}.png")
        return replace(self, out=writable(path))

    @property
    def path(self) -> Path:
        """The path, of a page with a name."""
        assert self.out is not None
        return self.out

    def of_pixels(self) -> None:
        """Refuses --dpi and --width for a sheet of images.

        Raises:
            UsageError: if one of them is given.
        """
        for name, value in (("--dpi", self.dpi), ("--width", self.width)):
            if value is not None:
                raise UsageError(f"{name} is for plots: a sheet of images has whole pixels", "leave it out")

    def titled(self, line: str) -> str:
        """The title of the user, or else ``line``."""
        return line if self.title is None else self.title

    def plot(self, figure: Any, facts: Mapping[str, str], line: str) -> None:
        """Writes a matplotlib figure; the file holds ``facts`` and the title ``line`` as metadata."""
        from zoo_core.atomic import write_file
        from zoo_core.figures.canvas import render

        form = self.path.suffix.lower().removeprefix(".")
        write_file(self.path, render(figure, {"title": self.titled(line), **facts}, format=form, dpi=self.dpi, width=self.width))

    def sheet(self, cells: "Tensor", facts: Mapping[str, str], line: str, **captions: Any) -> None:
        """Writes a sheet of images under a title line, with captions.

        Args:
            cells: images in [-1, 1], (rows, columns, c, h, w).
            facts: metadata of the file.
            line: title line, unless the user gave one.
            captions: captions of rows and columns, as :func:`zoo_core.images.labelled_grid` takes them.
        """
        from zoo_core.atomic import write_file
        from zoo_core.figures.canvas import picture
        from zoo_core.images import labelled_grid, png

        pixels = labelled_grid(cells, title=self.titled(line), **captions)
        if self.path.suffix.lower() == ".png":
            write_file(self.path, png(pixels, {"title": self.titled(line), **facts}))
        else:
            self.plot(picture(pixels.permute(1, 2, 0).numpy()), facts, line)

    def say(self, text: str) -> None:
        """Prints a description of the file to stderr."""
        say(inert(f"{self.path}: {text}"))

    def say_columns(self, columns: Sequence[str]) -> None:
        """Prints the captions of the columns to stderr."""
        self.say(joined(columns))


def check_number(n: int | None, most: int) -> None:
    """Refuses more samples than a figure has room for.

    Raises:
        UsageError: if ``n`` is above ``most``.
    """
    if n is not None and n > most:
        raise UsageError(f"-n {n}: there is room for {most} in this figure")


def opened(target: str, page: Page, kind: str) -> "tuple[Pretrained, Page]":
    """The checkpoint, and the page to write its figure to.

    Raises:
        UsageError, ResourceError: if the page cannot be written to.
    """
    *bases, last = stages_of(target)
    files = fetch(last)
    config = read_config(files)
    page = page.named(files.name, kind)
    with loading(kind):
        from zoo_core.pretrained import assemble

        return with_base(assemble(files, config), bases), page


def is_plane(model: "Pretrained") -> bool:
    """Whether the samples of a model are points in the plane."""
    return tuple(model.event.shape) == (2,)


def sampler_of(model: "Pretrained", name: str | None, options: Sequence[str], kind: str | None = None) -> "Sampler | None":
    """The sampler that the options of a command ask for; None without options.

    Args:
        model: the checkpoint.
        name: name of a sampler, used with its own defaults.
        options: options to change, as ``KEY=VALUE``.
        kind: name of the sampler to change when ``name`` is None; the checkpoint's own when None, or if that has this name.
    """
    if not name and not options:
        return None
    own = encode(model.sampler)
    base = {"name": name} if name else own if kind in (None, own["name"]) else {"name": kind}
    return as_sampler(apply_overrides(base, list(options)))


def with_steps(steps: int | None, options: Sequence[str]) -> list[str]:
    """Options of a sampler, with ``--steps N`` among them if it is given."""
    return [*([] if steps is None else [f"steps={steps}"]), *options]


def percents_of(text: str) -> list[float]:
    """The percentages of ``--at``.

    Raises:
        UsageError: if they are not numbers in [0, 100].
    """
    try:
        percents = [float(part) for part in text.split(",")]
    except ValueError:
        percents = [math.nan]
    if not all(0 <= percent <= 100 for percent in percents):
        raise UsageError(f"--at {text!r} is not a list of percentages", f"write it as --at {LEVELS}")
    return percents


def level_names(model: "Pretrained", percents: Sequence[float]) -> list[str]:
    """A caption for each percentage of the noise levels T: the level, its noise, and the percentage."""
    from zoo_core import figures

    levels = figures.trained_levels(figures.denoiser(model, points=True))
    named = [figures.level_at(levels, percent) for percent in percents]
    return [f"t = {t:,}\n{sigma_text(sigma)}\n{percent:g} %" for percent, (t, sigma) in zip(percents, named, strict=True)]


def pictures(model: "Pretrained", images: Sequence[Path]) -> "Tensor":
    """The pictures of ``--image`` as samples of the model, (n, c, h, w).

    Raises:
        UsageError: if one cannot be read, or the model draws no images.
    """
    import torch

    from zoo_core.figures import images_of
    from zoo_core.images import read_image

    shape = images_of(model)
    return torch.stack([read_image(image, shape) for image in images])


def plain(model: "Pretrained", sampler: "Sampler | None" = None, *facts: str, scheduler: "Scheduler | None" = None, seed: int) -> str:
    """The title line of a figure of samples: ``NAME · SAMPLER, N steps · seed S``, then ``facts``."""
    chosen = sampler or model.sampler
    return title_line(model.name, walk_text(chosen, scheduler or model.scheduler_of(chosen)), f"seed {seed}", *facts)
