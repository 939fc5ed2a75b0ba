"""``zoo sample``."""

import json
import math
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from zoo_core import __version__
from zoo_core.arguments import class_of
from zoo_core.checkpoint.config import CheckpointConfig, class_names, default_sampler, family_of, read_config
from zoo_core.checkpoint.files import TRAINING, WEIGHTS, Files
from zoo_core.cli.console import inert, say
from zoo_core.cli.options import OF_SCHEDULER, REFERENCE, refuse_name, scheduler_option, writable
from zoo_core.cli.progress import Progress, loading
from zoo_core.config import apply_overrides, encode
from zoo_core.errors import UsageError
from zoo_core.figures.titles import title_line, walk_text
from zoo_core.hub.fetch import fetch
from zoo_core.interfaces import Labelled, OnStep, Sampler, Scheduler
from zoo_core.samplers.choice import as_sampler

if TYPE_CHECKING:
    from torch import Tensor

    from zoo_core.pretrained import Pretrained

__all__ = ["SEED", "OutPath", "choose_device", "progress", "sample"]

SEED = click.IntRange(0, 2**64 - 1)
_SUFFIXES = (".png", ".npz")
_MOST = 10_000_000
_IMAGES, _POINTS = 16, 1000  # by default


class OutPath(click.Path):
    """The path of a file or folder to write, which has a name."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if str(value) in ("", *_SUFFIXES):
            raise UsageError(f"--out {str(value)!r} has no name", "write it as --out NAME.png")
        return super().convert(value, param, ctx)


@click.command()
@click.argument("reference", type=REFERENCE)
@click.option("-n", "--number", "n", type=click.IntRange(1, _MOST), metavar="N", help="How many.  [default: 16 images, or 1000 points]")
@click.option("--seed", type=SEED, metavar="N", default=0, show_default=True, help="Image i of a seed is always the same.")
@click.option("--labels", metavar="CLASS,...", help="A class by number or name, or several such as 0,1,2, 0-9 or Bag,Coat, which repeat.")
@click.option("--guidance", type=float, metavar="SCALE", help="Classifier-free guidance; 1 is none. Needs --labels.")
@click.option("--sampler", metavar="NAME", help="See `zoo list samplers`.  [default: the checkpoint's]")
@click.option("--scheduler", metavar="NAME", help="See `zoo list schedulers`.  [default: the checkpoint's, or the trained levels]")
@click.option("--steps", type=click.IntRange(min=1), metavar="N", help="Short for -o steps=N.")
@click.option(
    "-o",
    "--option",
    "options",
    multiple=True,
    metavar="KEY=VALUE",
    help="An option of the sampler, such as eta=0.5, or of --scheduler, such as scheduler.rho=3; repeatable.",
)
@click.option("--batch-size", type=click.IntRange(1, _MOST), metavar="N", default=64, show_default=True, help="How many at once.")
@click.option("--device", metavar="NAME", default="auto", show_default=True, help="cpu, cuda, ...; auto takes a GPU where there is one.")
@click.option(
    "--dtype",
    type=click.Choice(["float32", "bfloat16", "float16", "auto"]),
    metavar="NAME",
    default="float32",
    show_default=True,
    help="The net computes in float32, bfloat16, float16; auto: bfloat16 where it is native.",
)
@click.option("--out", type=OutPath(), help="A .png (grid or plot), an .npz, or a folder of PNGs.  [default: NAME.png]")
def sample(
    reference: str,
    n: int | None,
    seed: int,
    labels: str | None,
    guidance: float | None,
    sampler: str | None,
    scheduler: str | None,
    steps: int | None,
    options: tuple[str, ...],
    batch_size: int,
    device: str,
    dtype: str,
    out: Path | None,
) -> None:
    """Draw images, or points, from the checkpoint REFERENCE.

    \b
    Examples:
      zoo sample ddpm-afhq-cat -n 16 --seed 0 --out cats.png
      zoo sample ddpm-afhq-cat --steps 25 -o eta=0.7
      zoo sample ddpm-afhq-cat --scheduler karras -o scheduler.rho=3
      zoo sample ddpm-afhq-cat -n 1000 --out cats/        one file each
      zoo sample projection-cgan-fashion-mnist -n 60      a column for each class
      zoo sample local:runs/cat --out cats.npz            without loss
    """
    files = fetch(reference)
    config = read_config(files)
    chosen = _sampler(config, sampler, steps, [text for text in options if not text.strip().startswith(OF_SCHEDULER)])
    schedule = scheduler_option(scheduler, options)
    classes = _classes(labels, class_names(files)) if labels is not None else None
    path = _checked(out or Path(f"{files.name}.png"))
    with loading("sample"):
        from zoo_core.images import is_image
        from zoo_core.pretrained import assemble

        model = assemble(files, config, device=choose_device(device), dtype=dtype)
    schedule = schedule or model.scheduler_of(chosen)
    if classes is None and getattr(model.model, "needs_labels", False):
        classes = list(range(cast(Labelled, model.model).num_classes))
    if classes and "labels" in model.capabilities:
        _check_classes(classes, cast(Labelled, model.model).num_classes)
    if not path.suffix and not is_image(model.event.shape):
        raise UsageError(f"--out {path}: a folder of pictures, and {files.name} draws none", "name a .npz, or a .png for a plot of points")
    plane = tuple(model.event.shape) == (2,)
    n = n or (_POINTS if plane else math.ceil(_IMAGES / len(classes)) * len(classes) if classes else _IMAGES)
    chosen_labels = [classes[i % len(classes)] for i in range(n)] if classes else None
    started = time.perf_counter()
    with progress(math.ceil(n / batch_size), chosen, model, schedule) as on_step:
        made = model.sample(
            n,
            seed=seed,
            sampler=chosen,
            scheduler=schedule,
            labels=chosen_labels,
            guidance=guidance,
            batch_size=batch_size,
            on_step=on_step,
        )
    record = _record(model, chosen, schedule, seed=seed, n=n, labels=chosen_labels, guidance=guidance, batch_size=batch_size)
    walk = walk_text(chosen, schedule)
    title = title_line(files.name, walk, f"seed {seed}") if plane else ""
    _write(path, made, record, chosen_labels, len(classes or ()), title, _names(files, classes or ()))
    say(inert(f"{path}: {n} from {files.name}, seed {seed}, {walk}; {time.perf_counter() - started:.1f} s"))


def _names(files: Files, classes: Sequence[int]) -> list[str]:
    """The names of classes, as training.json has them; nothing where it does not know all."""
    data = files.json(TRAINING).get("data") if TRAINING in files.names else None
    names = data.get("classes") if isinstance(data, Mapping) else None
    known = isinstance(names, list) and all(isinstance(name, str) for name in names) and len(names) > max(classes, default=0)
    return [inert(names[label])[:24] for label in classes] if known and names else []


def _check_classes(classes: list[int], count: int) -> None:
    """Refuses a class that there is not, though n may be too small for its turn to come."""
    if max(classes) >= count:
        raise UsageError(f"--labels must be in 0 ... {count - 1}, not {max(classes)}")


def _sampler(config: CheckpointConfig, name: str | None, steps: int | None, options: Sequence[str]) -> Sampler:
    """The checkpoint's own sampler with options changed, or the one that is named, with its own defaults."""
    refuse_name(options, "--sampler")
    base = {"name": name} if name else encode(default_sampler(config, family_of(config)))
    values = apply_overrides(base, ([f"steps={steps}"] if steps else []) + list(options))
    return as_sampler(values)


def _classes(text: str, names: Sequence[str]) -> list[int]:
    """The classes of a list such as ``3``, ``0,1,2``, ``0-4,7``, in which 0-4 is 0, 1, 2, 3, 4, or ``Bag,Coat``, by their ``names``."""
    found: list[int] = []
    for part in (each.strip() for each in text.split(",")):
        ends = re.fullmatch(r"(\d{1,6})(?:-(\d{1,6}))?", part, re.ASCII)
        if ends is None and part and names:
            found.append(class_of(part, names))
            continue
        first, last = (int(ends[1]), int(ends[2] or ends[1])) if ends else (0, -1)
        if last < first:
            raise UsageError(f"--labels {text[:40]!r} is no list of classes", "write it as --labels 3, --labels 0,1,2 or --labels 0-9")
        found += range(first, last + 1)
    return found


def _checked(path: Path) -> Path:
    """``path``, if it can be written to: found out now and not after an hour of sampling."""
    if path.suffix and path.suffix.lower() not in _SUFFIXES and not path.is_dir():
        raise UsageError(f"--out {path}: cannot write {path.suffix}", "name a .png, an .npz, or a folder")
    if path.suffix and path.is_dir():
        raise UsageError(f"--out {path} is a folder", "name a file, or a folder without a suffix")
    return writable(path)


def choose_device(device: str) -> str:
    """The device that ``auto`` means, or ``device``."""
    if device != "auto":
        return device
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


@contextmanager
def progress(batches: int, sampler: Sampler, model: "Pretrained", scheduler: Scheduler | None) -> Iterator[OnStep]:
    """An ``on_step`` that counts the sampler's steps on stderr."""
    steps = len(sampler.noise_levels(model.model, scheduler)) - 1 if sampler.requires in model.capabilities else 0
    with Progress("sample", batches * max(steps, 1), "steps") as bar:

        def on_step(step: int, sigma: float, x: "Tensor", x0: "Tensor") -> None:
            # A walk tells of its start and of every step's result; a single pass of its result alone.
            if step or steps < 1:
                bar.add(1)

        yield on_step


def _record(model: "Pretrained", sampler: Sampler, scheduler: Scheduler | None, *, n: int, **facts: Any) -> dict[str, str]:
    """What made the samples, as the strings that a PNG carries."""
    found = {
        "Software": f"zoo-core {__version__}",
        "reference": str(model.files.reference),
        "weights": f"sha256:{model.files.digest(WEIGHTS)}",
        "sampler": encode(sampler),
        "scheduler": encode(scheduler) if scheduler else None,
        "images": f"0-{n - 1}",
        **facts,
        "dtype": str(model.dtype).removeprefix("torch."),
        "device": model.device.type,
    }
    return {key: value if isinstance(value, str) else json.dumps(value) for key, value in found.items() if value is not None}


def _write(
    path: Path, made: "Tensor", record: Mapping[str, str], labels: list[int] | None, classes: int, title: str, names: Sequence[str]
) -> None:
    """Writes the samples; of a grid in which ``classes`` take turns, every column is of one of them, under its name."""
    import torch

    from zoo_core import images
    from zoo_core.figures.samples import save_samples

    columns = images.class_columns(classes, len(made))
    above = [names[place % classes] for place in range(min(columns, len(made)))] if columns and names else ()
    writers: dict[str, Callable[[], object]] = {
        ".npz": lambda: images.save_npz(path, made, record, **({"labels": torch.tensor(labels)} if labels else {})),
        ".png": lambda: save_samples(path, made, record, columns, title, above),
    }
    if not made.isfinite().all():
        say("zoo: warning: some of the samples are not finite")
    writers.get(path.suffix.lower(), lambda: images.save_folder(path, made, record))()
