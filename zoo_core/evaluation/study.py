"""Pictures and key of a study in which people say of pictures whether they are real or drawn."""

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor

from zoo_core.arguments import as_int
from zoo_core.data.factory import as_dataset
from zoo_core.errors import ConfigError, UsageError
from zoo_core.evaluation.factory import training_data
from zoo_core.evaluation.features import OnBatch
from zoo_core.evaluation.human import Key, Kind, Picture
from zoo_core.evaluation.measurement import drawing_facts, model_facts
from zoo_core.evaluation.real_data import RealData
from zoo_core.images import is_image, to_uint8
from zoo_core.interfaces import DatasetLike, SamplerLike, SchedulerLike
from zoo_core.loading import load
from zoo_core.pretrained import Pretrained
from zoo_core.rng import Stream, generator
from zoo_core.samplers.factory import as_sampler, as_scheduler

__all__ = ["MAX_EXPOSURE", "MAX_PICTURES", "make_study"]

MAX_PICTURES = 2000
MAX_EXPOSURE = 60_000
"""The longest exposure, in ms."""


def make_study(
    reference: str,
    *,
    n: int = 100,
    exposures: Sequence[int] = (500,),
    data: DatasetLike | None = None,
    sampler: SamplerLike | None = None,
    scheduler: SchedulerLike | None = None,
    seed: int = 0,
    batch_size: int = 64,
    device: str | None = None,
    on_batch: OnBatch = lambda n: None,
) -> tuple[Key, Tensor]:
    """Chooses the pictures of a study: images 0 ... n / 2 - 1 of a seed, and as many real ones, in an order of that seed.

    Each exposure has as many real pictures as drawn ones. Classes of a model with labels take turns.

    Args:
        reference: reference of the checkpoint.
        n: number of pictures, a multiple of twice the number of exposures.
        exposures: times for which pictures are shown, in ms; 0 until they are answered.
        data: real images, by name such as ``folder:PATH`` or by config; None for the training data.
        sampler: sampler, as :meth:`Pretrained.sample` takes it; None for the checkpoint's own.
        scheduler: scheduler of the noise levels; None for that of the checkpoint.
        seed: seed of the drawn images, of the choice of the real ones, and of the order.
        batch_size: images per batch; changes speed and memory only.
        device: name of a device, such as ``cuda``; None for the first accelerator, or the CPU.
        on_batch: called with the number of images after each batch.

    Returns:
        The key, and the pictures in its order, uint8 (n, c, h, w).

    Raises:
        UsageError: if a number is out of range, or the model does not draw images.
        ConfigError: if the data is not available, does not fit, or has too few images.
    """
    _check_numbers(n, exposures)
    model = load(reference, device=device)
    if not is_image(model.event.shape):
        problem = f"a study shows images, and {model.name} draws samples of shape {list(model.event.shape)}"
        raise UsageError(problem, "name another checkpoint")
    real = RealData(as_dataset(data), model.event.shape) if data else training_data(model)
    half = n // 2
    if len(real.data) < half:
        raise ConfigError(f"the data has {len(real.data):,} images, and {half:,} real ones are asked for", "ask for fewer by -n")
    chosen = generator(seed, 0, Stream.DATA).permutation(len(real.data))[:half]
    used = as_sampler(sampler, model.sampler) if sampler is not None else model.sampler
    levels = model.scheduler_of(used) if scheduler is None else as_scheduler(scheduler)
    drawing: dict[str, Any] = {"sampler": used, "scheduler": levels, "seed": seed}
    drawn = _drawn(model, half, batch_size, on_batch, drawing)
    pixels = torch.cat([to_uint8(real.data.rows(torch.from_numpy(chosen))), to_uint8(drawn)])
    indices: list[tuple[Kind, int]] = [("real", int(place)) for place in chosen]
    indices += [("drawn", i) for i in range(half)]
    pictures = [Picture(kind=kind, index=index, exposure=exposures[i % half % len(exposures)]) for i, (kind, index) in enumerate(indices)]
    order = generator(seed, 1, Stream.DATA).permutation(n)
    facts = {**real.facts, **drawing_facts(model, used, levels, seed), **model_facts(model), "batch_size": batch_size}
    return Key(reference=reference, pictures=tuple(pictures[i] for i in order), facts=facts), pixels[torch.from_numpy(order)]


def _check_numbers(n: int, exposures: Sequence[int]) -> None:
    for exposure in exposures:
        as_int("an exposure", exposure, 0, MAX_EXPOSURE)
    if not exposures or len(set(exposures)) < len(exposures):
        raise UsageError("exposures must be one or more different times in ms", "write them as --exposure 500 or --exposure 100,500,0")
    as_int("the number of pictures", n, 2, MAX_PICTURES)
    unit = 2 * len(exposures)
    if n % unit:
        each = f" for each of {len(exposures)} exposures" if len(exposures) > 1 else ""
        problem = f"{n} pictures cannot be halved into real and drawn ones{each}"
        raise UsageError(problem, f"take a multiple of {unit}, such as -n {n + unit - n % unit}")


def _drawn(model: Pretrained, n: int, batch_size: int, on_batch: OnBatch, drawing: dict[str, Any]) -> Tensor:
    classes = cast(int, getattr(model.model, "num_classes", 0)) if "labels" in model.capabilities else 0
    batches = []
    for first in range(0, n, batch_size):
        index = torch.arange(first, min(first + batch_size, n))
        labels = index % classes if classes else None
        batches.append(model.sample(len(index), first=first, labels=labels, batch_size=batch_size, **drawing).cpu())
        on_batch(len(index))
    return torch.cat(batches)
