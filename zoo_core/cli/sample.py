"""``zoo sample``."""

import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from zoo_core.arguments import classes_in
from zoo_core.atomic import write_file
from zoo_core.checkpoint.config import CheckpointConfig, class_names, default_sampler, read_config
from zoo_core.checkpoint.files import TRAINING, Files
from zoo_core.cli.completers import complete_classes
from zoo_core.cli.conditions import pictures_of, read_conditions
from zoo_core.cli.console import inert, say
from zoo_core.cli.drawing import Drawing, in_folder, in_memory, shared
from zoo_core.cli.options import OF_SCHEDULER, STAGES, OutPath, option, refuse_name, scheduler_option, writable
from zoo_core.cli.progress import loading
from zoo_core.config import apply_overrides, encode
from zoo_core.errors import UsageError
from zoo_core.figures.titles import title_line
from zoo_core.hub.fetch import fetch
from zoo_core.interfaces import Sampler
from zoo_core.loading import with_base
from zoo_core.registry.reference import stages_of
from zoo_core.samplers.factory import as_sampler

if TYPE_CHECKING:
    from torch import Tensor

    from zoo_core.distributed import Processes
    from zoo_core.pretrained import Pretrained

__all__ = ["choose_device", "sample"]

_SUFFIXES = (".png", ".npz", ".txt")
_MOST = 10_000_000
_IMAGES, _POINTS, _TEXTS = 16, 1000, 4  # by default


@click.command()
@click.argument("reference", type=STAGES)
@option("n", type=click.IntRange(1, _MOST), help="Number of samples.  [default: 16 images, 1000 points, or 4 texts]")
@option("seed", help="Image i of a seed is always the same.")
@click.option(
    "--labels",
    metavar="CLASS,...",
    shell_complete=complete_classes,
    help="A class by number or name, or several such as 0,1,2, 0-9 or Bag,Coat, which repeat.",
)
@click.option("--guidance", type=float, metavar="SCALE", help="Classifier-free guidance; 1 has no effect. Needs --labels or --prompt.")
@click.option(
    "--condition",
    metavar="PATH|REF",
    help="What samples must fit, such as smaller images: a picture, a folder of them, or a checkpoint that draws them.  "
    "[default: examples in the checkpoint]",
)
@click.option("--prompt", "prompts", metavar="TEXT", multiple=True, help="A text that samples must fit; several take turns.")
@option("sampler")
@option("scheduler", help="See `zoo list schedulers`.  [default: the checkpoint's, or the trained levels]")
@option("steps", help="Short for -o steps=N.")
@option("options", help="An option of the sampler, such as eta=0.5, or of --scheduler, such as scheduler.rho=3; repeatable.")
@option("batch_size", type=click.IntRange(1, _MOST))
@option("device", default="auto", show_default=True, help="cpu, cuda, ...; auto takes a GPU if there is one.")
@click.option(
    "--dtype",
    type=click.Choice(["float32", "bfloat16", "float16", "auto"]),
    metavar="NAME",
    default="float32",
    show_default=True,
    help="The net computes in float32, bfloat16, float16; auto: bfloat16 where it is native.",
)
@click.option(
    "--out",
    type=OutPath(),
    help="A .png (grid, plot or page), an .npz, a .txt of texts, or a folder of PNGs.  [default: NAME.png; texts: the terminal]",
)
def sample(
    reference: str,
    n: int | None,
    labels: str | None,
    condition: str | None,
    prompts: tuple[str, ...],
    sampler: str | None,
    scheduler: str | None,
    steps: int | None,
    options: tuple[str, ...],
    device: str,
    dtype: str,
    out: Path | None,
    **settings: Any,
) -> None:
    """Draw images, points or texts from the checkpoint REFERENCE.

    Into a folder, a draw that was interrupted goes on by the same command. Under torchrun, the processes share the batches, and the
    images stay the same.

    \b
    Examples:
      zoo sample ddpm-afhq-cat -n 16 --seed 0 --out cats.png
      zoo sample ddpm-afhq-cat --steps 25 -o eta=0.7
      zoo sample ddpm-afhq-cat --scheduler karras -o scheduler.rho=3
      zoo sample ddpm-afhq-cat -n 1000 --out cats/        one file each
      torchrun --nproc-per-node 2 -m zoo_core.cli sample ddpm-afhq-cat \\
          -n 50000 --out cats/
      zoo sample ddpm-afhq-cat+local:runs/larger          a cascade
      zoo sample projection-cgan-fashion-mnist -n 60      a column for each class
      zoo sample local:runs/cat --out cats.npz            without loss
      zoo sample local:runs/words -n 8 --out texts.txt
      zoo sample local:runs/seven --prompt "a red seven on blue" --guidance 3
    """
    pictures = pictures_of(condition)
    *bases, last = stages_of(reference if pictures or not condition else f"{condition}+{reference}")
    files = fetch(last)
    config = read_config(files)
    chosen = _sampler(config, sampler, steps, [text for text in options if not text.strip().startswith(OF_SCHEDULER)])
    schedule = scheduler_option(scheduler, options)
    classes = classes_in(labels, class_names(files)) if labels is not None else None
    named = f"{'+'.join([*(fetch(base).name for base in bases), files.name])}.png"
    if out is not None:
        _checked(out)
    with loading("sample"):
        from zoo_core.pretrained import assemble

        processes = shared(device)
        model = assemble(files, config, device=processes.device if processes else choose_device(device), dtype=dtype)
        model = with_base(model, bases)
    from zoo_core.pretrained.conditions import class_turns

    turns = class_turns(model, classes)
    path = out or (None if "text" in model.capabilities else _checked(Path(named)))
    if path is not None:
        _check_shape(model, path)
    settings |= {"conditions": read_conditions(model, pictures, prompts), "prompts": prompts}
    settings["scheduler"] = schedule or model.scheduler_of(chosen)
    drawing = Drawing(n=n or _number(model, turns), classes=turns, sampler=chosen, **settings)
    _draw(path, drawing, model, processes)


def _draw(path: Path | None, drawing: Drawing, model: "Pretrained", processes: "Processes | None") -> None:
    """Draws the samples into a file or a folder, or texts to the terminal, alone or with other processes, and says so once."""
    started = time.perf_counter()
    known = 0
    if path is None or path.suffix:
        samples = in_memory(drawing, model, processes)
        if samples is not None:
            _write(path, samples, drawing, model)
    else:
        known = in_folder(path, drawing, model, processes)
    seconds = time.perf_counter() - started
    if processes:
        processes.leave()
    if processes is None or processes.main:
        kept = f", {known:,} of them from before" if known else ""
        place = "texts" if path is None else path
        say(inert(f"{place}: {drawing.n} from {model.name}, seed {drawing.seed}, {drawing.walk}{kept}; {seconds:.1f} s"))


def _sampler(config: CheckpointConfig, name: str | None, steps: int | None, options: Sequence[str]) -> Sampler:
    """The sampler ``name`` with its own defaults, or else the checkpoint's own; in both cases with options changed."""
    refuse_name(options, "--sampler")
    base = {"name": name} if name else encode(default_sampler(config))
    values = apply_overrides(base, ([f"steps={steps}"] if steps else []) + list(options))
    return as_sampler(values)


def _number(model: "Pretrained", turns: Sequence[int]) -> int:
    """The default number of samples: whole turns of the classes."""
    if "text" in model.capabilities:
        return _TEXTS
    if tuple(model.event.shape) == (2,):
        return _POINTS
    return math.ceil(_IMAGES / len(turns)) * len(turns) if turns else _IMAGES


def _check_shape(model: "Pretrained", path: Path) -> None:
    """Refuses a folder of pictures for samples that are not images, and a text file for samples that are not texts.

    Raises:
        UsageError: if ``path`` is such a folder or file.
    """
    from zoo_core.images import is_image

    if path.suffix.lower() == ".txt" and "text" not in model.capabilities:
        raise UsageError(f"--out {path}: samples of {model.name} are not texts", "name a .png or an .npz")
    if not path.suffix and "text" in model.capabilities:
        hint = "name a .txt, a .png for a page, or an .npz"
        raise UsageError(f"--out {path}: a folder of pictures, but {model.name} draws texts", hint)
    if not path.suffix and not is_image(model.event.shape):
        what = f"--out {path}: a folder of pictures, but samples of {model.name} are not images"
        raise UsageError(what, "name a .npz, or a .png for a plot of points")


def _checked(path: Path) -> Path:
    """Checks that ``path`` can be written to, before anything is computed.

    Raises:
        UsageError, ResourceError: if it cannot.
    """
    if path.suffix and path.suffix.lower() not in _SUFFIXES and not path.is_dir():
        raise UsageError(f"--out {path}: cannot write {path.suffix}", "name a .png, an .npz, a .txt of texts, or a folder")
    if path.suffix and path.is_dir():
        raise UsageError(f"--out {path} is a folder", "name a file, or a folder without a suffix")
    return writable(path)


def choose_device(device: str) -> str:
    """The device that ``auto`` stands for, or else ``device``."""
    if device != "auto":
        return device
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def _write(path: Path | None, samples: "Tensor", drawing: Drawing, model: "Pretrained") -> None:
    """Writes the samples, or texts to the terminal; if classes take turns in a grid, every column is of one class, under its name."""
    import torch

    from zoo_core import images
    from zoo_core.figures.samples import save_samples, save_texts

    record = drawing.record(model, range(drawing.n))
    columns = images.class_columns(len(drawing.classes), len(samples))
    names = _names(model.files, drawing.classes)
    above = [names[place % len(names)] for place in range(min(columns, len(samples)))] if columns and names else ()
    title = title_line(model.name, drawing.walk, f"seed {drawing.seed}") if tuple(model.event.shape) == (2,) else ""
    if path is None or path.suffix.lower() == ".txt":
        texts = _texts(model.show(samples))
        click.echo(inert(texts), nl=False) if path is None else write_file(path, texts.encode())
        return
    if not samples.isfinite().all():
        say("zoo: warning: some of the samples are not finite")
    if path.suffix.lower() == ".npz":
        classes = {"labels": torch.tensor([drawing.class_of(image) for image in range(drawing.n)])} if drawing.classes else {}
        images.save_npz(path, samples, record, **classes)
    elif "text" in model.capabilities:
        save_texts(path, model.show(samples), record, title=title_line(model.name, drawing.walk, f"seed {drawing.seed}"))
    else:
        save_samples(path, samples, record, columns, title, above, _captions(drawing, model))


def _captions(drawing: Drawing, model: "Pretrained") -> list[str]:
    """The prompt of each image; none without prompts."""
    from zoo_core.samplers.conditions import example_prompts

    prompts = drawing.prompts if drawing.conditions is not None else example_prompts(model.model) if model.base is None else []
    return [inert(prompts[image % len(prompts)]) for image in range(drawing.n)] if prompts else []


def _texts(texts: Sequence[str]) -> str:
    """Texts below each other, each under a line with its number; one alone as it is."""
    if len(texts) == 1:
        return f"{texts[0]}\n"
    return "\n".join(f"--- {number} ---\n{text}\n" for number, text in enumerate(texts))


def _names(files: Files, classes: Sequence[int]) -> list[str]:
    """The names of classes in training.json; empty unless it names all of them."""
    data = files.json(TRAINING).get("data") if TRAINING in files.names else None
    names = data.get("classes") if isinstance(data, Mapping) else None
    known = isinstance(names, list) and all(isinstance(name, str) for name in names) and len(names) > max(classes, default=0)
    return [inert(names[label])[:24] for label in classes] if known and names else []
