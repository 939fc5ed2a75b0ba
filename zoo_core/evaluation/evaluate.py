"""``evaluate``: numbers for a checkpoint's samples, each with all that it takes to get it again."""

import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, cast

import torch
from torch import Tensor, nn

from zoo_core.config import decode, encode
from zoo_core.errors import CapabilityError, ConfigError, UsageError
from zoo_core.evaluation.metrics import Gathered, Metric
from zoo_core.evaluation.spaces import Space, space
from zoo_core.hub import TRAINING, WEIGHTS
from zoo_core.interfaces import DatasetConfig, Sampler
from zoo_core.loading import load
from zoo_core.pretrained import Pretrained
from zoo_core.registry import registry, resolve
from zoo_core.rng import Stream, generator
from zoo_core.specs import CheckpointSpec, MetricSpec
from zoo_core.training.data import Data, load_data
from zoo_core.training.processes import Processes

__all__ = ["HARMS", "data_of", "evaluate", "evaluations", "gather_data", "gather_samples", "harmed", "metric", "space_for"]

PACKAGES = ("zoo-core", "torch", "numpy")
HARMS = ("blur", "noise", "class left out")

OnBatch = Callable[[int], None]
"""``on_batch(n)``: called after every n images."""


def metric(name: str) -> Metric:
    """The metric of a name, with its own defaults.

    Raises:
        UnknownNameError: no installed plugin has one.
    """
    made: Metric = resolve(registry().spec(MetricSpec, name).target)()
    return made


def data_of(model: Pretrained) -> DatasetConfig:
    """The data that a checkpoint was trained on, as its training record says.

    Raises:
        ConfigError: it has no record, or one without data.
    """
    if TRAINING in model.files.names:
        plain = model.files.json(TRAINING).get("recipe", {}).get("data")
        if isinstance(plain, dict):
            return decode(DatasetConfig, plain, f"{TRAINING}: data")
    raise ConfigError(f"{model.name} does not say what data it was trained on", "pass --data")


def space_for(config: DatasetConfig, channels: int) -> str:
    """The feature space in which the zoo compares images of a data set.

    Raises:
        UsageError: no installed plugin has one for such images.
    """
    name = registry().name_of("dataset", type(config))
    judge = (
        f"classifier-{name}" if name in ("mnist", "fashion-mnist", "cifar10") else f"classifier-{'mnist' if channels == 1 else 'cifar10'}"
    )
    if judge not in registry().claims(CheckpointSpec):
        hint = "pass --features: inception, timm:resnet18, or a checkpoint that gives features"
        raise UsageError(f"the feature space {judge}, which is for such images, is not installed", hint)
    return judge


def evaluate(
    reference: str,
    metrics: Sequence[str] = ("fd",),
    *,
    n: int | None = None,
    data: DatasetConfig | None = None,
    features: str | None = None,
    sampler: "str | Mapping[str, Any] | Sampler | None" = None,
    seed: int = 0,
    batch_size: int = 64,
    device: str | None = None,
    floors: bool = False,
    on_batch: OnBatch = lambda n: None,
) -> list[dict[str, Any]]:
    """Draws samples from a checkpoint, compares them with real ones, and returns a record for each metric.

    Called in each of the processes that ``torchrun`` or ``accelerate launch`` starts, it shares the batches among them; image i of the seed
    is the same in every one, and so is the result.

    Args:
        reference: of the checkpoint.
        metrics: their names; ``zoo list metrics``.
        n: how many samples to draw; as many as there are real ones when None.
        data: the real samples; those that the checkpoint was trained on when None.
        features: the name of a feature space; see :func:`zoo_core.evaluation.spaces.space`. That of the data when None.
        sampler: as :meth:`Pretrained.sample` takes it.
        seed: of the samples.
        batch_size: samples at once; changes speed and memory.
        device: such as ``cuda``; the first accelerator, or the CPU, when None.
        floors: also measure each distance between two halves of the real samples, and between a half and the other one harmed.
        on_batch: sees the number of images after each batch of this process.

    Raises:
        UnknownNameError: there is no such metric or checkpoint.
        ConfigError: the data is not there, or fits neither model nor feature space.
        CapabilityError: the model, or the feature space, cannot do what a metric needs.
        UsageError: too few samples for a metric.
    """
    started = time.perf_counter()
    wanted = {name: metric(name) for name in metrics}
    if not wanted:
        raise UsageError("no metric given", "`zoo list metrics` shows what there is")
    processes = Processes(device)
    model = load(reference, device=processes.device)
    config = data or data_of(model)
    real_data = load_data(config)
    if real_data.event.shape != model.event.shape:
        raise ConfigError(
            f"the data has samples of {list(real_data.event.shape)}, {model.name} of {list(model.event.shape)}", "choose other --data"
        )
    judge = space(features or space_for(config, model.event.shape[0]), processes.device)
    _check(wanted, model, judge)
    chosen = _sampler(model, sampler)
    share: dict[str, Any] = {"keeps": any(each.features for each in wanted.values()), "batch_size": batch_size, "on_batch": on_batch}
    real = gather_data(real_data, judge, processes, **share)
    drawn = gather_samples(model, judge, processes, n or len(real_data), sampler=chosen, seed=seed, **share)
    facts = {
        "dataset": registry().name_of("dataset", type(config)),
        "split": getattr(config, "split", "train"),
        "data": {"config": encode(config), "digest": real_data.digest},
        "features": {"name": judge.name, "digest": judge.digest, "resize": judge.resize(model.event.shape)},
        "sampler": encode(chosen),
        "nfe": evaluations(model, chosen),
        "seed": seed,
        "weights": model.files.digest(WEIGHTS),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
    }
    bounds = _bounds(wanted, real_data, judge, processes, batch_size, on_batch) if floors else {}
    records = []
    for name, each in wanted.items():
        found = each(real, drawn)
        counts = {"real": real.count, "drawn": drawn.count} if each.real else {"drawn": drawn.count}
        record = {"metric": name, "value": found.value, "stderr": found.stderr, "options": _options(each), "n": counts, **facts}
        records.append({**record, **bounds.get(name, {}), "seconds": round(time.perf_counter() - started, 1)})
    return records


def _check(wanted: Mapping[str, Metric], model: Pretrained, judge: Space) -> None:
    for name, each in wanted.items():
        if each.classes and not judge.classes:
            raise CapabilityError(f"{name} needs class probabilities, and {judge.name} gives none", "choose other --features")
        if each.labels and "labels" not in model.capabilities:
            raise CapabilityError(f"{name} needs samples of chosen classes, and {model.name} has no labels", "leave it out")


def _sampler(model: Pretrained, sampler: "str | Mapping[str, Any] | Sampler | None") -> Sampler:
    from zoo_core.catalogue import as_sampler

    if isinstance(sampler, Sampler):
        return sampler
    if sampler is None:
        return model.sampler
    if isinstance(sampler, str):
        return as_sampler({"name": sampler})
    return as_sampler(sampler if "name" in sampler else {**encode(model.sampler), **sampler})


def _options(each: Metric) -> dict[str, Any]:
    return {name: getattr(each, name) for name in getattr(each, "__dataclass_fields__", {})}


def evaluations(model: Pretrained, sampler: Sampler) -> int:
    """How often the sampler calls the net for a sample (NFE), found by drawing one."""
    net, calls = model.model, 0
    name = "denoise" if sampler.requires == "denoise" else "decode"
    original = getattr(net, name)

    def counting(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        return original(*arguments, **options)

    net.__dict__[name] = counting
    try:
        model.sample(1, sampler=sampler)
    finally:
        del net.__dict__[name]
    return calls


@dataclass(frozen=True)
class _Batch:
    index: Tensor
    features: Tensor
    probabilities: Tensor | None
    labels: Tensor | None


def _gather(into: Gathered, batches: int, processes: Processes, compute: Callable[[int], _Batch]) -> Gathered:
    """Adds the batches in their order; the processes take turns, so that each batch is the same however many they are."""
    for first in range(0, batches, processes.count):
        mine = first + processes.index
        for batch in processes.gather(compute(mine) if mine < batches else None):
            if batch is not None:
                into.add(batch.features, batch.probabilities, batch.index, batch.labels)
    return into


def gather_data(
    data: Data,
    judge: Space,
    processes: Processes,
    *,
    index: Tensor | None = None,
    keeps: bool = True,
    batch_size: int = 64,
    change: Callable[[Tensor, Tensor], Tensor] | None = None,
    on_batch: OnBatch = lambda n: None,
) -> Gathered:
    """The features of real samples: all, or those of ``index``; ``change(x, index)`` spoils them first."""
    places = torch.arange(len(data)) if index is None else index

    def compute(number: int) -> _Batch:
        mine = places[number * batch_size : (number + 1) * batch_size]
        x = data.rows(mine)
        features, probabilities = judge(x if change is None else change(x, mine))
        on_batch(len(mine))
        numbers = torch.arange(number * batch_size, number * batch_size + len(mine))
        return _Batch(numbers, features, probabilities, None if data.labels is None else data.labels[mine])

    dim = judge(data.rows(places[:1]))[0].shape[1]
    return _gather(Gathered(dim, judge.classes, keeps), -(-len(places) // batch_size), processes, compute)


def gather_samples(
    model: Pretrained,
    judge: Space,
    processes: Processes,
    n: int,
    *,
    sampler: Sampler | None = None,
    seed: int = 0,
    keeps: bool = True,
    batch_size: int = 64,
    on_batch: OnBatch = lambda n: None,
) -> Gathered:
    """The features of samples 0 ... n - 1 of a seed; of a model with labels, the classes take turns."""
    classes = cast(int, getattr(model.model, "num_classes", 0)) if "labels" in model.capabilities else 0

    def compute(number: int) -> _Batch:
        first = number * batch_size
        index = torch.arange(first, min(first + batch_size, n))
        labels = index % classes if classes else None
        x = model.sample(len(index), seed=seed, first=first, labels=labels, sampler=sampler, batch_size=batch_size)
        features, probabilities = judge(x)
        on_batch(len(index))
        return _Batch(index, features, probabilities, labels)

    dim = judge(torch.zeros(1, *model.event.shape))[0].shape[1]
    return _gather(Gathered(dim, judge.classes, keeps), -(-n // batch_size), processes, compute)


def _bounds(
    wanted: Mapping[str, Metric], data: Data, judge: Space, processes: Processes, batch_size: int, on_batch: OnBatch
) -> dict[str, dict[str, Any]]:
    """For metrics that compare with real samples: one half against the other, as it is (the floor) and harmed."""
    compared = {name: each for name, each in wanted.items() if each.real}
    keeps = any(each.features for each in compared.values())
    order = torch.from_numpy(generator(0, 0, Stream.DATA).permutation(len(data)))
    half = len(data) // 2
    first, second = order[:half], order[half : 2 * half]
    real = gather_data(data, judge, processes, index=first, keeps=keeps, batch_size=batch_size, on_batch=on_batch)
    found: dict[str, dict[str, Any]] = {name: {"floor": None, "harms": {}} for name in compared}
    for harm, index, change in [("", second, None), *harmed(data, second)]:
        other = gather_data(data, judge, processes, index=index, keeps=keeps, batch_size=batch_size, change=change, on_batch=on_batch)
        for name, each in compared.items():
            estimate = each(real, other)
            entry = {"value": estimate.value, "stderr": estimate.stderr, "n": [real.count, other.count]}
            if harm:
                found[name]["harms"][harm] = entry
            else:
                found[name]["floor"] = entry
    return found


def harmed(data: Data, index: Tensor) -> list[tuple[str, Tensor, Callable[[Tensor, Tensor], Tensor] | None]]:
    """Ways to spoil real images, each with the images and what is done to them: known harms for a distance to stand beside.

    ``blur`` is a Gaussian of one pixel, ``noise`` one of a standard deviation of 0.1; without the class that stands first, where there are
    classes.
    """
    ways: list[tuple[str, Tensor, Callable[[Tensor, Tensor], Tensor] | None]] = [("blur", index, _blurred), ("noise", index, _noisy)]
    if data.labels is not None and data.labels.min() < data.labels.max():
        ways.append(("class left out", index[data.labels[index] != data.labels.min()], None))
    return ways


def _blurred(x: Tensor, index: Tensor) -> Tensor:
    distance = torch.arange(-3.0, 4.0)
    kernel = torch.exp(-(distance**2) / 2)
    kernel = (kernel / kernel.sum()).expand(x.shape[1], 1, 1, -1)
    for weights in (kernel, kernel.transpose(2, 3)):
        pad = [weights.shape[3] // 2] * 2 + [weights.shape[2] // 2] * 2
        x = nn.functional.conv2d(nn.functional.pad(x, pad, mode="reflect"), weights, groups=x.shape[1])
    return x


def _noisy(x: Tensor, index: Tensor) -> Tensor:
    rows = [generator(1, int(number), Stream.DATA).standard_normal(x.shape[1:], dtype="float32") for number in index]
    return x + 0.1 * torch.stack([torch.from_numpy(row) for row in rows])
