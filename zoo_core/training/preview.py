"""The pictures of a run: sheets of samples, always from the same noise, and the figures of its loss and metrics."""

import json
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from zoo_core.arguments import single
from zoo_core.cards.metrics_log import curve, read_metrics
from zoo_core.config import encode
from zoo_core.figures.samples import save_samples, save_texts
from zoo_core.images import class_columns, is_image, save_npz
from zoo_core.interfaces import Conditional, Decoder, Denoiser, Sampler, Scheduler, TextModel
from zoo_core.registry import registry
from zoo_core.rng import ImageRng, Stream
from zoo_core.samplers.conditions import example_conditions, example_prompts
from zoo_core.samplers.latent_space import decoded, sampled_model
from zoo_core.specs import MetricSpec

__all__ = ["draw", "layout", "pictures", "save_sheet"]

COUNT, SEED = 64, 0
POINTS = 2000
TEXTS = 16
CAPTIONED = 36


def layout(model: nn.Module) -> tuple[int, int | None]:
    """The numbers of images and of columns of a sheet of samples.

    A model with 2 to 32 classes gets whole rows in which all classes take turns, with about 64 images; any other model gets 64 images in a
    square, for which the number of columns is None.
    """
    columns = class_columns(_classes(model), COUNT)
    return (COUNT, None) if columns is None else (columns * round(COUNT / columns), columns)


def _classes(model: nn.Module) -> int:
    return cast(int, getattr(model, "num_classes", 0))


def save_sheet(
    path: Path,
    model: nn.Module,
    sampler: Sampler,
    device: torch.device,
    scheduler: Scheduler | None = None,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Draws the first images of seed 0, or 2,000 points in the plane, and writes them as a PNG.

    If the model has classes, they take turns, so that a column of the PNG is of one class (:func:`layout`). A model with example prompts
    draws them in turns, and each image stands above its prompt. Texts are written
    on a page; samples that are neither texts, images nor points in the plane, as an .npz beside it.

    Args:
        path: path of the PNG.
        model: model in training.
        sampler: sampler that draws.
        device: device of the model.
        scheduler: noise levels; the sampler's own when None.
        metadata: facts that the file carries, besides the sampler and the seed.

    Raises:
        ResourceError: if the disk is full or the folder cannot be written to.
    """
    classes = _classes(model)
    count, columns = layout(model)
    prompts = example_prompts(model)
    event = cast(Denoiser | Decoder, model).event
    if event.categories is not None:
        count = TEXTS
    elif event.shape == (2,):
        count = POINTS
    elif prompts:
        count, columns = CAPTIONED, round(CAPTIONED**0.5)
    x = draw(model, sampler, device, range(count), torch.arange(count) % classes if classes else None, scheduler)
    facts = {**(metadata or {}), "sampler": json.dumps(encode(sampler)), "seed": str(SEED)}
    facts |= {"scheduler": json.dumps(encode(scheduler))} if scheduler else {}
    facts |= {"prompts": json.dumps(prompts)} if prompts else {}
    shape = tuple(x.shape[1:])
    if isinstance(model, TextModel):
        save_texts(path, model.show(x), facts)
    elif is_image(shape) or (shape == (2,) and find_spec("matplotlib")):
        captions = [prompts[row % len(prompts)] for row in range(count)] if prompts else ()
        save_samples(path, x, facts, columns, captions=captions)
    else:
        save_npz(path.with_suffix(".npz"), x, facts)


def draw(
    model: nn.Module,
    sampler: Sampler,
    device: torch.device,
    index: Sequence[int],
    labels: Tensor | None,
    scheduler: Scheduler | None = None,
) -> Tensor:
    """Images ``index`` of seed 0 from a model in training, float32 or int64 (n, *event.shape), on the CPU."""
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            y = None if labels is None else labels.to(device)
            walked = sampled_model(model)
            sigmas = sampler.noise_levels(walked, scheduler)
            if (condition := example_conditions(model, index)) is not None:
                walked = cast(Conditional, model).conditioned(condition, ImageRng(SEED, index, device, stream=Stream.CONDITION))
            x = sampler(walked, ImageRng(SEED, index, device), sigmas=sigmas, labels=y)
            x = decoded(model, x, y)
    finally:
        model.train(was_training)
    return single(x).cpu()


def pictures(out: Path, export: Path) -> dict[str, bytes]:
    """The PNGs of a finished run in the folder ``out``, by name: ``samples``, and ``loss`` and ``metrics`` if matplotlib is installed."""
    sheet = export / "samples.png"
    images = {"samples": sheet.read_bytes()} if sheet.exists() else {}
    if not find_spec("matplotlib"):
        return images
    from zoo_core.figures import curves, metric_curves, render

    values = curve(read_metrics(out / "metrics.jsonl"))
    steps = [step for step in values["step"] if step is not None]
    losses = {name: column for name, column in values.items() if name.startswith("loss.")}
    measured = {name: column for name, column in values.items() if registry().offers(MetricSpec, name)}
    if losses:
        images["loss"] = render(curves(steps, losses, out.name))
    if measured:
        images["metrics"] = render(metric_curves(steps, measured, out.name))
    return images
