"""``evaluate``: numbers for a checkpoint, each with all that it takes to get it again."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, is_dataclass
from itertools import chain
from math import sqrt
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

import torch
from torch import Tensor

from zoo_core.cards.metrics import METRICS, metric_records, sample_count, sampler_and_scheduler
from zoo_core.checkpoint.files import TRAINING, WEIGHTS, Files
from zoo_core.config import apply_overrides, decode, encode
from zoo_core.distributed import Processes
from zoo_core.errors import ConfigError, UsageError, ZooError
from zoo_core.evaluation.compare import Comparison
from zoo_core.evaluation.feature_spaces import IDENTITY, space
from zoo_core.evaluation.features import OnBatch, OnStage
from zoo_core.evaluation.metrics import Answers, DataMetric, Metric
from zoo_core.evaluation.real_data import Real
from zoo_core.evaluation.records import check_kept, keep
from zoo_core.evaluation.reference_statistics import REFERENCE, moments_of
from zoo_core.hardware.environment import build, plugin_versions, processor, versions
from zoo_core.images import is_image
from zoo_core.interfaces import DatasetConfig, Sampler, Scheduler
from zoo_core.loading import load
from zoo_core.pretrained import Pretrained
from zoo_core.registry import registry, resolve
from zoo_core.rng import Stream, generator
from zoo_core.samplers.choice import as_sampler, as_scheduler
from zoo_core.specs import CheckpointSpec, MetricSpec

__all__ = ["Evaluation", "data_of", "evaluate", "evaluations", "metric", "some_of", "space_for"]

PACKAGES = ("zoo-core", "torch", "numpy")

Record = dict[str, Any]
Choice = str | Mapping[str, Any] | Sampler | None


def metric(name: str, options: Mapping[str, Any] | None = None) -> Metric | DataMetric:
    """The metric of a name, with its own defaults where an option is not given.

    Raises:
        UnknownNameError: no installed plugin has one.
        ConfigError: it has no such option, or refuses its value.
    """
    made: Metric | DataMetric = decode(resolve(registry().spec(MetricSpec, name).target), options or {}, name)
    return made


def data_of(files: Files, changes: Sequence[str] = ()) -> DatasetConfig:
    """The data that a checkpoint was trained on, as its training record says, with ``changes`` such as ``split=test``.

    A record that asks for a download is not obeyed: that is the user's word, among the changes.

    Raises:
        ConfigError: it has no record, or one without data, or there is no such thing to change.
    """
    if TRAINING in files.names:
        plain = files.json(TRAINING).get("recipe", {}).get("data")
        if isinstance(plain, dict):
            plain = {**plain, "download": False} if "download" in plain else plain
            return decode(DatasetConfig, apply_overrides(plain, changes), f"{TRAINING}: data", prefer=files.dist)
    raise ConfigError(f"{files.name} does not say what data it was trained on", "pass --data")


def _trained_on(model: Pretrained) -> Real:
    """The data that a model was trained on. Where the checkpoint carries its statistics, a distance to it needs no more."""
    config, trained = data_of(model.files), model.files.json(TRAINING).get("data", {})
    digest = trained.get("digest", "") if isinstance(trained, dict) else ""
    carried = moments_of(model.files.read(REFERENCE), digest) if digest and REFERENCE in model.files.names else {}
    real = Real(config, model.event.shape, digest=digest if carried else "")
    real.moments = carried
    return real


def space_for(config: DatasetConfig, shape: Sequence[int]) -> str:
    """The feature space in which the zoo compares samples of a ``shape`` of a data set.

    Raises:
        UsageError: no installed plugin has one for such images.
    """
    if not is_image(shape):
        return IDENTITY
    name = registry().name_of("dataset", type(config))
    known = name in ("mnist", "fashion-mnist", "cifar10")
    judge = f"classifier-{name if known else 'mnist' if shape[0] == 1 else 'cifar10'}"
    if judge not in registry().claims(CheckpointSpec):
        hint = "pip install zoo-classifier, or pass --features: inception, timm:resnet18, or a checkpoint that gives features"
        raise UsageError(f"the feature space {judge}, which is for such images, is not installed", hint)
    return judge


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What is measured of one model.

    Args:
        model: the checkpoint.
        processes: that share the work.
        batch_size: samples at once; changes speed and memory.
        on_batch: sees the number of samples after each batch, of all processes together.
        on_stage: sees the name and the number of samples before each pass through real or drawn ones.
    """

    model: Pretrained
    processes: Processes
    batch_size: int = 64
    on_batch: OnBatch = lambda n: None
    on_stage: OnStage = lambda name, total: None

    def of_samples(
        self,
        metrics: Mapping[str, Metric],
        real: Real,
        *,
        features: str | None = None,
        samplers: Sequence[Choice] = (None,),
        scheduler: str | Mapping[str, Any] | Scheduler | None = None,
        n: int | None = None,
        seed: int = 0,
        floors: bool = False,
    ) -> Iterator[Record]:
        """Draws samples by each of the samplers, and compares them with ``real``; each one's records come when it is done."""
        judge = space(features or space_for(real.config, self.model.event.shape), self.processes.device)
        classes = cast(int, getattr(self.model.model, "num_classes", 0)) if "labels" in self.model.capabilities else 0
        shown: dict[str, Any] = {"batch_size": self.batch_size, "on_batch": self.on_batch, "on_stage": self.on_stage}
        comparison = Comparison(metrics, real, judge, self.processes, classes=classes, **shown)
        bounds = comparison.bounds if floors else {}
        space_facts = {"name": judge.name, "digest": judge.digest, "resize": judge.resize(self.model.event.shape)}
        for sampler in [self._sampler(choice) for choice in samplers]:
            levels = self.model.scheduler_of(sampler) if scheduler is None else as_scheduler(scheduler)
            drawing: dict[str, Any] = {"sampler": sampler, "scheduler": levels, "batch_size": self.batch_size, "seed": seed}

            def draw(first: int, n: int, labels: Tensor | None, drawing: Mapping[str, Any] = drawing) -> Tensor:
                return self.model.sample(n, first=first, labels=labels, **drawing)

            drawn, found, failed = comparison.of(draw, n)
            way = {"sampler": encode(sampler), **({} if levels is None else {"scheduler": encode(levels)})}
            shared = {"features": space_facts, **way, "nfe": evaluations(self.model, sampler, levels), "seed": seed}
            for name, estimate in found.items():
                shown = {"metric": name, **asdict(estimate), "options": _options(metrics[name]), "n": comparison.counts(name, drawn)}
                time = {"seconds": round(drawn.seconds, 4), "pace": float(f"{drawn.pace:.4g}")}
                record = {**shown, **real.facts, **shared, **self._facts(metrics[name]), **time, **bounds.get(name, {})}
                if few := comparison.few(name, drawn):
                    record |= {"few": {**few["few"], **self._recorded(record)}}
                yield record
            for error in failed.values():
                raise error

    def _recorded(self, record: Record) -> Record:
        """What the checkpoint's own metrics.json says of the same measurement with other numbers of samples: that with the most."""
        files = self.model.files
        try:
            kept = metric_records(files.json(METRICS)) if METRICS in files.names else ()
        except ZooError:  # what is wrong with its old numbers is no reason to lose the new one
            return {}
        same = [each for each in kept if _measurement(each) == _measurement(record) and sample_count(each, "drawn")]
        largest = max(same, key=lambda each: sample_count(each, "drawn") or 0, default=None)
        return {} if largest is None else {"recorded": {key: largest[key] for key in ("value", "stderr", "n") if key in largest}}

    def of_data(self, metrics: Mapping[str, DataMetric], real: Real, *, n: int | None = None) -> Iterator[Record]:
        """Asks the model about real samples: ``n`` of them, drawn at random, or all.

        Raises:
            CapabilityError: the model cannot do what a metric needs.
            ConfigError: the data has no labels, or more classes than the model.
        """
        for name, each in metrics.items():
            each.check(self.model, name)
            _check_labels(each, name, real, self.model)
        if not metrics:
            return
        count = min(n or len(real.data), len(real.data))
        for name, said in self._answers(metrics, real, some_of(len(real.data), count)).items():
            each = metrics[name]
            unit = {"unit": each.unit} if each.unit else {}
            terms = {"terms": {term: _mean(values) for term, values in said.terms.items()}} if said.terms else {}
            shown = {"metric": name, **_mean(said.values), **unit, **said.facts, **terms, "options": _options(each)}
            yield {**shown, "n": {"real": count}, **real.facts, **self._facts(each)}

    def _answers(self, metrics: Mapping[str, DataMetric], real: Real, places: Tensor) -> dict[str, Answers]:
        """What the model says to each metric, asked batch by batch: what two of them need of it is computed once."""
        parts: list[dict[str, Answers]] = []
        size, data, turns = self.batch_size, real.data, self.processes.count
        self.on_stage("real samples", len(places))
        for turn in range(0, len(places), size * turns):
            first = turn + size * self.processes.index
            index = places[first : first + size]
            x, labels = data.rows(index), None if data.labels is None else data.labels[index]
            mine = {name: metric(self.model, x, labels, first) for name, metric in metrics.items()} if len(index) else None
            parts += [part for part in self.processes.gather(mine) if part is not None]
            self.on_batch(min(size * turns, len(places) - turn))
        return {name: _all([part[name] for part in parts]) for name in metrics}

    def _sampler(self, choice: Choice) -> Sampler:
        return self.model.sampler if choice is None else as_sampler(choice, self.model.sampler)

    def _facts(self, measured: Metric | DataMetric) -> Record:
        plugins = plugin_versions({"family": self.model.config, "metric": measured})
        place = {"build": build(), "processor": processor(self.processes.device)}
        how = {"batch_size": self.batch_size, "processes": self.processes.count}
        return {"weights": self.model.files.digest(WEIGHTS), "versions": {**versions(PACKAGES), **plugins}, **place, **how}


def _check_labels(metric: DataMetric, name: str, real: Real, model: Pretrained) -> None:
    if metric.labels:
        labels, classes = real.data.labels, cast(int, getattr(model.model, "num_classes", 0))
        if labels is None:
            raise ConfigError(f"{name} needs data with labels", "name images in class folders, or a set that has labels")
        if labels.max() >= classes:
            raise ConfigError(f"the data has {int(labels.max()) + 1} classes, and {model.name} tells {classes} apart")


def _all(parts: Sequence[Answers]) -> Answers:
    terms = {name: torch.cat([part.terms[name] for part in parts]) for name in parts[0].terms}
    return Answers(values=torch.cat([part.values for part in parts]), facts=parts[0].facts, terms=terms)


def _mean(values: Tensor) -> Record:
    """The mean and its standard error."""
    values = values.double()
    return {"value": float(values.mean()), "stderr": float(values.std()) / sqrt(len(values)) if len(values) > 1 else None}


def some_of(count: int, n: int) -> Tensor:
    """The places of ``n`` of ``count`` samples, always the same ones: a folder has its classes one after the other."""
    order = torch.from_numpy(generator(0, 0, Stream.DATA).permutation(count))
    return order[:n].sort().values


def _measurement(record: Mapping[str, Any]) -> list[Any]:
    """What two records have in common that differ in nothing but how many samples they are of, and of which seed."""
    return [record["metric"], *(record.get(key) for key in ("options", "features")), *sampler_and_scheduler(record)]


def _options(each: Metric | DataMetric) -> Record:
    """What a metric was asked for; None, which leaves something to it, is left out."""
    values: Record = {item.name: getattr(each, item.name) for item in fields(each)} if is_dataclass(each) else {}
    return {name: value for name, value in values.items() if value is not None}


def evaluations(model: Pretrained, sampler: Sampler, scheduler: Scheduler | None = None, *, most: int | None = None) -> int:
    """How often the sampler calls the net for a sample (NFE), found by drawing one.

    Raises:
        ConfigError: more often than ``most``; it is stopped there.
    """
    net, calls = model.model, 0
    name = "denoise" if sampler.requires == "denoise" else "decode"
    original = getattr(net, name)

    def counting(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if most is not None and calls > most:
            raise ConfigError(f"its sampler takes more than {most:,} evaluations", "look at its options")
        return original(*arguments, **options)

    net.__dict__[name] = counting
    try:
        model.sample(1, sampler=sampler, scheduler=scheduler, labels=0 if "labels" in model.capabilities else None)
    finally:
        del net.__dict__[name]
    return calls


def evaluate(
    reference: str,
    metrics: Sequence[str] = ("fd",),
    *,
    options: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
    n: int | None = None,
    data: DatasetConfig | None = None,
    features: str | None = None,
    samplers: Sequence[Choice] = (None,),
    scheduler: str | Mapping[str, Any] | Scheduler | None = None,
    seed: int = 0,
    batch_size: int = 64,
    device: str | None = None,
    floors: bool = False,
    out: Path | None = None,
    on_batch: OnBatch = lambda n: None,
    on_stage: OnStage = lambda name, total: None,
    on_record: Callable[[Record], None] = lambda record: None,
) -> list[Record]:
    """Measures a checkpoint, and returns a record for each number.

    Metrics of samples draw them and compare them with real ones; metrics of data, such as ``accuracy``, ask the model about real samples.
    Called in each of the processes that ``torchrun`` or ``accelerate launch`` starts, it shares the batches among them; image i of the seed
    is the same in every one, and so is the result.

    Args:
        reference: of the checkpoint.
        metrics: their names; ``zoo list metrics``.
        options: of the metrics, by their names: ``{"bpd": {"method": "bound"}}``.
        n: how many samples to draw, as many as there are real ones when None; for a metric of data, how many of these to take, at random.
        data: the real samples; those that the checkpoint was trained on when None. Of these, a metric that needs no more than mean and
            covariance, such as ``fd``, takes them from the checkpoint's own reference.safetensors where it has one.
        features: the name of a feature space; see :func:`zoo_core.evaluation.feature_spaces.space`. That of the data when None.
        samplers: each as :meth:`Pretrained.sample` takes it, and each is measured. None is the checkpoint's own.
        scheduler: of the noise levels, for all samplers, as :meth:`Pretrained.sample` takes it. None is what
            :meth:`Pretrained.scheduler_of` says.
        seed: of the samples.
        batch_size: samples at once; changes speed and memory.
        device: such as ``cuda``; the first accelerator, or the CPU, when None.
        floors: also compare one half of the real samples with the other, as it is and harmed.
        out: a metrics.json to put the records into; see :func:`zoo_core.evaluation.records.keep`.
        on_batch: sees the number of samples after each batch, of all processes together.
        on_stage: sees the name and the number of samples before each pass through real or drawn ones.
        on_record: sees each record as soon as it is there: of what is broken off, the others are not lost.

    Raises:
        UnknownNameError: there is no such metric or checkpoint.
        ConfigError: an option is wrong, or of a metric that is not asked for; the data is not there, or fits neither model nor feature
            space.
        CapabilityError: the model, or the feature space, cannot do what a metric needs.
        UsageError: too few samples for a metric.
        ZooError: a metric failed; raised after the records of the others of the same samples.
    """
    made = {name: metric(name, options.get(name)) for name in metrics}
    if idle := sorted(options.keys() - made.keys()):
        raise ConfigError(f"options of {idle[0]}, which is not measured", f"name it among the metrics: --metrics {idle[0]}")
    if not made:
        raise UsageError("no metric given", "`zoo list metrics` shows what there is")
    of_samples = {name: each for name, each in made.items() if isinstance(each, Metric)}
    of_data = {name: each for name, each in made.items() if isinstance(each, DataMetric)}
    if not of_samples and (features is not None or scheduler is not None or floors or any(each is not None for each in samplers)):
        names = ", ".join(of_data)
        told = "sampler, scheduler, features, floors and options that are no metric's"
        raise UsageError(f"{told} mean nothing to {names}, which draws no samples", "leave them out")
    processes = Processes(device)
    if out is not None:
        processes.on_main(lambda: check_kept(out))
    model = load(reference, device=processes.device)
    evaluation = Evaluation(model=model, processes=processes, batch_size=batch_size, on_batch=on_batch, on_stage=on_stage)
    for name, each in of_data.items():
        each.check(model, name)
    real = Real(data, model.event.shape) if data else _trained_on(model)
    found = [evaluation.of_data(of_data, real, n=n)]
    if of_samples:
        how: dict[str, Any] = {"features": features, "samplers": samplers, "scheduler": scheduler, "n": n, "seed": seed, "floors": floors}
        found.append(evaluation.of_samples(of_samples, real, **how))
    records: list[Record] = []
    for record in chain.from_iterable(found):
        records.append(record)
        on_record(record)
        if out is not None:  # now: the next one may take an hour, or fail
            processes.on_main(lambda: keep(out, records, real.moments))
    return records
