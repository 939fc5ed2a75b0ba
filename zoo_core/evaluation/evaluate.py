"""``evaluate``: measures a checkpoint; each record holds all that is needed to reproduce its number."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from types import MappingProxyType
from typing import Any

from zoo_core.data.factory import as_dataset
from zoo_core.data.vocabularies import with_vocabulary_of
from zoo_core.distributed import Processes
from zoo_core.errors import ConfigError, UsageError
from zoo_core.evaluation.factory import make_metric, training_data
from zoo_core.evaluation.features import OnBatch, OnStage
from zoo_core.evaluation.measurement import Evaluation, Record
from zoo_core.evaluation.metrics import DataMetric, Metric
from zoo_core.evaluation.real_data import RealData
from zoo_core.evaluation.records import check_records, save_records
from zoo_core.hub.datasets import pin_dataset
from zoo_core.interfaces import DatasetConfig, DatasetLike, Sampler, SamplerLike, SchedulerLike
from zoo_core.loading import load
from zoo_core.pretrained import Pretrained

__all__ = ["evaluate"]


def evaluate(
    reference: "str | os.PathLike[str] | Pretrained",
    metrics: str | Sequence[str] = ("fd",),
    *,
    options: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
    n: int | None = None,
    data: DatasetLike | None = None,
    features: str | None = None,
    samplers: SamplerLike | Sequence[SamplerLike | None] = (None,),
    scheduler: SchedulerLike | None = None,
    guidance: float | Sequence[float | None] = (None,),
    seed: int = 0,
    batch_size: int = 64,
    device: str | None = None,
    floors: bool = False,
    out: Path | None = None,
    on_batch: OnBatch = lambda n: None,
    on_stage: OnStage = lambda name, total: None,
    on_record: Callable[[Record], None] = lambda record: None,
) -> list[Record]:
    """Measures a checkpoint, and returns a record for each number. Under ``torchrun``, the processes share the work; the result is equal.

    Args:
        reference: reference of the checkpoint, or the loaded one.
        metrics: names of metrics, or one: of samples, which are drawn and compared with real ones, or of data, such as ``accuracy``.
        options: options of the metrics by their names: ``{"bpd": {"method": "bound"}}``.
        n: number of samples to draw, None for that of the real ones; for a metric of data, how many of these to take at random.
        data: real samples, such as ``folder:PATH``; None for the training data, or its statistics where metrics, as ``fd``, need no more.
        features: name of a feature space, see :func:`~zoo_core.evaluation.feature_spaces.load_feature_space`; None for that of the data.
        samplers: sampler, or several to measure one after the other, as :meth:`Pretrained.sample` takes it; None is the checkpoint's own.
        scheduler: scheduler of the noise levels, for all samplers; None is what :meth:`Pretrained.scheduler_of` returns.
        guidance: scale of classifier-free guidance, or several to measure one after the other; None is no guidance.
        seed: seed of the samples.
        batch_size: samples per batch; changes speed and memory only.
        device: name of a device, such as ``cuda``; None for that of a loaded checkpoint, or the first accelerator, or the CPU.
        floors: True to compare halves of the real samples too, as they are and degraded.
        out: path of a metrics.json to add the records to, see :func:`~zoo_core.evaluation.records.save_records`.
        on_batch: called with the number of samples after each batch.
        on_stage: called with the name and the number of samples before each pass.
        on_record: called with each record as soon as it is measured, so that an interruption loses no other.

    Raises:
        UnknownNameError: if there is no such metric or checkpoint.
        ConfigError: if an option is wrong, or the data is not available or does not fit.
        CapabilityError: if the model, or the feature space, lacks a capability that a metric needs.
        UsageError: if there are too few samples, or options that no metric uses.
        ZooError: if a metric fails; raised after the records of the others of the same samples.
    """
    of_samples, of_data = _make_metrics(_listed(metrics), options)
    chosen = {"samplers": _listed(samplers), "scheduler": scheduler, "guidance": _listed(guidance), "features": features, "floors": floors}
    drawing = _check_drawing(of_samples, of_data, chosen)
    processes = Processes(str(reference.device) if isinstance(reference, Pretrained) and device is None else device)
    if out is not None:
        processes.on_main(lambda: check_records(out))
    model = reference.to(processes.device) if isinstance(reference, Pretrained) else load(reference, device=processes.device)
    _check_capabilities(of_data, model)
    real = RealData(processes.on_main(lambda: _dataset(data, model)), model.event.shape) if data else training_data(model)
    evaluation = Evaluation(model=model, processes=processes, batch_size=batch_size, on_batch=on_batch, on_stage=on_stage)
    drawn = evaluation.of_samples(of_samples, real, n=n, seed=seed, **drawing) if of_samples else ()
    return _collect(chain(evaluation.of_data(of_data, real, n=n), drawn), real, processes, out, on_record)


def _dataset(data: DatasetLike, model: Pretrained) -> DatasetConfig:
    """The config of given data, with the commit of data on the Hub, and of a text with the model's vocabulary."""
    return with_vocabulary_of(pin_dataset(as_dataset(data)), model.config)


def _listed(choice: Any) -> Sequence[Any]:
    """One value as a list; a list as it is."""
    return [choice] if isinstance(choice, str | Mapping | Sampler | float | int) else choice


def _make_metrics(names: Sequence[str], options: Mapping[str, Mapping[str, Any]]) -> tuple[dict[str, Metric], dict[str, DataMetric]]:
    """Makes the metrics of samples and those of data, by their names."""
    metrics = {name: make_metric(name, options.get(name)) for name in names}
    if idle := sorted(options.keys() - metrics.keys()):
        raise ConfigError(f"options of {idle[0]}, which is not measured", f"name it among the metrics: --metrics {idle[0]}")
    if not metrics:
        raise UsageError("no metric given", "`zoo list metrics` shows what there is")
    of_samples = {name: metric for name, metric in metrics.items() if isinstance(metric, Metric)}
    of_data = {name: metric for name, metric in metrics.items() if isinstance(metric, DataMetric)}
    return of_samples, of_data


def _check_drawing(of_samples: Mapping[str, Metric], of_data: Mapping[str, DataMetric], drawing: dict[str, Any]) -> dict[str, Any]:
    """Returns the options of drawing; raises UsageError if some are given, and nothing is drawn."""
    choices = [*drawing["samplers"], *drawing["guidance"], drawing["features"], drawing["scheduler"]]
    given = any(choice is not None for choice in choices) or drawing["floors"]
    if given and not of_samples:
        useless = "sampler, scheduler, guidance, features, floors and options that are no metric's"
        raise UsageError(f"{useless} mean nothing to {', '.join(of_data)}, which draws no samples", "leave them out")
    return drawing


def _check_capabilities(of_data: Mapping[str, DataMetric], model: Pretrained) -> None:
    for name, metric in of_data.items():
        metric.check(model, name)


def _collect(
    measured: Iterable[Record], real: RealData, processes: Processes, out: Path | None, on_record: Callable[[Record], None]
) -> list[Record]:
    """Collects records, and saves and shows each at once: the next one may take an hour, or fail."""
    records: list[Record] = []
    for record in measured:
        records.append(record)
        on_record(record)
        if out is not None:
            processes.on_main(lambda: save_records(out, records, real.moments))
    return records
