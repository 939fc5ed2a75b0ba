"""Measurements of a loaded model, each with the facts that its record needs."""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, is_dataclass
from itertools import product
from math import sqrt
from typing import Any, cast

import torch
from torch import Tensor

from zoo_core.cards.metrics_json import METRICS, drawing_of, metric_records, sample_count
from zoo_core.checkpoint.files import WEIGHTS
from zoo_core.config import encode
from zoo_core.data.captioned_sets import CaptionedConfig
from zoo_core.data.dataset import Data
from zoo_core.distributed import Processes
from zoo_core.errors import CapabilityError, ConfigError, ZooError
from zoo_core.evaluation.compare import Comparison, Results
from zoo_core.evaluation.factory import default_feature_space
from zoo_core.evaluation.feature_spaces import load_feature_space
from zoo_core.evaluation.features import OnBatch, OnStage
from zoo_core.evaluation.metrics import Answers, DataMetric, Metric, call_metric
from zoo_core.evaluation.real_data import RealData
from zoo_core.hardware.environment import build, plugin_versions, processor, versions
from zoo_core.interfaces import Sampler, SamplerLike, Scheduler, SchedulerLike
from zoo_core.pretrained import Pretrained
from zoo_core.rng import Stream, generator
from zoo_core.samplers.factory import as_sampler, as_scheduler

__all__ = ["Evaluation", "Record", "base_facts", "count_evaluations", "drawing_facts", "model_facts", "random_subset"]

PACKAGES = ("zoo-core", "torch", "numpy")

Record = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Measurements of one model.

    Args:
        model: checkpoint.
        processes: processes that share the work.
        batch_size: samples per batch; changes speed and memory only.
        on_batch: called with the number of samples after each batch, of all processes together.
        on_stage: called with the name and the number of samples before each pass over real or drawn ones.

    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from zoo_core.evaluation.factory import make_metric
    >>> from zoo_core.loading import load
    >>> from zoo_core.testing import fake_zoo, write_checkpoint
    >>> from zoo_core.testing.fake import Fake
    >>> from zoo_core.testing.fake_config import FakeConfig, FakeDataConfig
    >>> with fake_zoo(), TemporaryDirectory() as folder:
    ...     model = load(f"local:{write_checkpoint(Path(folder), Fake(FakeConfig()), FakeConfig())}")
    ...     real = RealData(FakeDataConfig(shape=model.event.shape), model.event.shape)
    ...     evaluation = Evaluation(model=model, processes=Processes("cpu"))
    ...     [record] = evaluation.of_data({"nll": make_metric("nll")}, real, n=50)
    >>> record["metric"], record["unit"], record["n"]
    ('nll', 'nats', {'real': 50})
    """

    model: Pretrained
    processes: Processes
    batch_size: int = 64
    on_batch: OnBatch = lambda n: None
    on_stage: OnStage = lambda name, total: None

    def of_samples(
        self,
        metrics: Mapping[str, Metric],
        real: RealData,
        *,
        features: str | None = None,
        samplers: Sequence[SamplerLike | None] = (None,),
        scheduler: SchedulerLike | None = None,
        guidance: Sequence[float | None] = (None,),
        n: int | None = None,
        seed: int = 0,
        floors: bool = False,
    ) -> Iterator[Record]:
        """Draws samples by each sampler and guidance scale, compares them with ``real``, and yields their records; see :func:`evaluate`."""
        if metrics and self.model.event.categories is not None:
            what = f"{next(iter(metrics))} compares numbers such as pixels, and {self.model.name} draws categories"
            raise CapabilityError(what, "metrics of texts are bpd, in bits per character or word, and nll")
        space = load_feature_space(features or default_feature_space(real.config, self.model.event.shape), self.processes.device)
        classes = cast(int, getattr(self.model.model, "num_classes", 0)) if "labels" in self.model.capabilities else 0
        passes: dict[str, Any] = {"batch_size": self.batch_size, "on_batch": self.on_batch, "on_stage": self.on_stage}
        prompts = self._prompts(real)
        comparison = Comparison(metrics, real, space, self.processes, classes=classes, captions=prompts, **passes)
        bounds = comparison.bounds if floors else {}
        chosen = [self.model.sampler if choice is None else as_sampler(choice, self.model.sampler) for choice in samplers]
        for sampler, scale in product(chosen, guidance):
            levels = self.model.scheduler_of(sampler) if scheduler is None else as_scheduler(scheduler)
            way: dict[str, Any] = {"sampler": sampler, "scheduler": levels, "guidance": scale}

            def draw(first: int, n: int, labels: Tensor | None, way: Mapping[str, Any] = way) -> Tensor:
                texts = [prompts[image % len(prompts)] for image in range(first, first + n)] if prompts else None
                return self.model.sample(n, first=first, labels=labels, prompts=texts, batch_size=self.batch_size, seed=seed, **way)

            results = comparison.measure(draw, n)
            resized = {"name": space.name, "digest": space.digest, "resize": space.resize(self.model.event.shape)}
            facts = {"features": resized, **drawing_facts(self.model, seed=seed, **way), **({"prompts": "captions"} if prompts else {})}
            for name in results.estimates:
                yield {**self._sample_record(comparison, results, name, facts), **bounds.get(name, {})}
            for error in results.errors.values():
                raise error

    def _prompts(self, real: RealData) -> tuple[str, ...]:
        """The captions of the real samples, which are the prompts of a model that takes some; none for other models and data."""
        takes = "condition" in self.model.capabilities and hasattr(self.model.model, "prompt_conditions")
        return real.data.captions if takes and isinstance(real.config, CaptionedConfig) else ()

    def _sample_record(self, comparison: Comparison, results: Results, name: str, facts: Record) -> Record:
        metric, drawn = comparison.metrics[name], results.drawn
        estimate = {key: value for key, value in asdict(results.estimates[name]).items() if key != "terms" or value}
        for term in estimate.get("terms", {}).values():
            term.pop("terms")
        number = {"metric": name, **estimate, "options": _options(metric), "n": comparison.counts(name, drawn)}
        time = {"seconds": round(drawn.seconds, 4), "pace": float(f"{drawn.pace:.4g}")}
        record = {**number, **comparison.data.facts, **facts, **self._facts(metric), **time}
        if few := comparison.few_samples(name, drawn):
            record |= {"few": {**few["few"], **self._recorded(record)}}
        return record

    def _recorded(self, record: Record) -> Record:
        """The field ``recorded``: the same measurement in the checkpoint's own metrics.json, with the most samples."""
        files = self.model.files
        try:
            records = metric_records(files.json(METRICS)) if METRICS in files.names else ()
        except ZooError:  # a fault of the old numbers is no reason to lose the new one
            return {}
        same = [each for each in records if _measurement(each) == _measurement(record) and sample_count(each, "drawn")]
        largest = max(same, key=lambda each: sample_count(each, "drawn") or 0, default=None)
        return {} if largest is None else {"recorded": {key: largest[key] for key in ("value", "stderr", "n") if key in largest}}

    def of_data(self, metrics: Mapping[str, DataMetric], real: RealData, *, n: int | None = None) -> Iterator[Record]:
        """Measures real samples by the model, and yields a record for each metric.

        Args:
            metrics: metrics by their names.
            real: real samples.
            n: number of samples, taken at random; None takes all.

        Raises:
            CapabilityError: if the model lacks the capability that a metric needs.
            ConfigError: if the data has no labels, or more classes than the model.
        """
        for name, metric in metrics.items():
            metric.check(self.model, name)
            _check_labels(metric, name, real, self.model)
        if not metrics:
            return
        count = min(n or len(real.data), len(real.data))
        for name, answers in self._answers(metrics, real, random_subset(len(real.data), count)).items():
            metric = metrics[name]
            unit = {"unit": metric.unit} if metric.unit else {}
            terms = {"terms": {term: _mean(values) for term, values in answers.terms.items()}} if answers.terms else {}
            number = {
                "metric": name,
                **_mean(metric.combine(answers.values)),
                **unit,
                **answers.facts,
                **terms,
                "options": _options(metric),
            }
            yield {**number, "n": {"real": count}, **real.facts, **self._facts(metric)}

    def _answers(self, metrics: Mapping[str, DataMetric], real: RealData, places: Tensor) -> dict[str, Answers]:
        """The answers of the model for each metric at all ``places`` (n,) of the data, gathered from all processes."""
        parts: list[dict[str, Answers]] = []
        size, data, turns = self.batch_size, real.data, self.processes.count
        self.on_stage("real samples", len(places))
        for turn in range(0, len(places), size * turns):
            first = turn + size * self.processes.index
            index = places[first : first + size]
            mine = self._batch_answers(metrics, data, index, first) if len(index) else None
            parts += [part for part in self.processes.gather(mine) if part is not None]
            self.on_batch(min(size * turns, len(places) - turn))
        return {name: _joined([part[name] for part in parts]) for name in metrics}

    def _batch_answers(self, metrics: Mapping[str, DataMetric], data: Data, index: Tensor, first: int) -> dict[str, Answers]:
        x = data.rows(index)
        labels = None if data.labels is None else data.labels[index]
        computed: dict[Hashable, Any] = {}
        texts = [data.captions[row] for row in index.tolist()] if data.captions else []
        given = {name: {"captions": texts} if metric.captions else {} for name, metric in metrics.items()}
        return {name: call_metric(metric, computed, self.model, x, labels, first, **given[name]) for name, metric in metrics.items()}

    def _facts(self, metric: Metric | DataMetric) -> Record:
        return {**model_facts(self.model, metric=metric), "batch_size": self.batch_size, "processes": self.processes.count}


def drawing_facts(model: Pretrained, sampler: Sampler, scheduler: Scheduler | None, seed: int, guidance: float | None = None) -> Record:
    """The fields of a record that say how samples were drawn."""
    options = {"scheduler": scheduler and encode(scheduler), "guidance": guidance}
    given = {name: value for name, value in options.items() if value is not None}
    nfe = count_evaluations(model, sampler, scheduler, guidance)
    return {"sampler": encode(sampler), **given, "nfe": nfe, "seed": seed}


def model_facts(model: Pretrained, **parts: object) -> Record:
    """The fields of a record about the weights, and about the software and the processor that ran them.

    Args:
        model: checkpoint.
        parts: configs and metrics by their kinds, whose plugins' versions count beside that of the family.
    """
    plugins = plugin_versions({"family": model.config, **parts})
    place = {"build": build(), "processor": processor(model.device)}
    facts = {"weights": model.files.digest(WEIGHTS), "versions": {**versions(PACKAGES), **plugins}, **place}
    return {**facts, "base": base_facts(cast(Pretrained, model.base))} if model.base else facts


def base_facts(base: Pretrained) -> Record:
    """The fields of a record about the stage of a cascade that draws the conditions."""
    drawing = drawing_facts(base, base.sampler, base.scheduler_of(base.sampler), 0)
    drawing.pop("seed")
    before = {"base": base_facts(cast(Pretrained, base.base))} if base.base else {}
    return {"name": base.files.name, "weights": base.files.digest(WEIGHTS), **drawing, **before}


def _check_labels(metric: DataMetric, name: str, real: RealData, model: Pretrained) -> None:
    if metric.captions and not real.data.captions:
        raise ConfigError(f"{name} needs data with captions", "--data captioned-mnist")
    if metric.labels:
        labels, classes = real.data.labels, cast(int, getattr(model.model, "num_classes", 0))
        if labels is None:
            raise ConfigError(f"{name} needs data with labels", "name images in class folders, or a set that has labels")
        if labels.max() >= classes:
            raise ConfigError(f"the data has {int(labels.max()) + 1} classes, and {model.name} has {classes}")


def _joined(parts: Sequence[Answers]) -> Answers:
    terms = {name: torch.cat([part.terms[name] for part in parts]) for name in parts[0].terms}
    return Answers(values=torch.cat([part.values for part in parts]), facts=parts[0].facts, terms=terms)


def _mean(values: Tensor) -> Record:
    """The fields ``value`` and ``stderr``: the mean and its standard error."""
    values = values.double()
    return {"value": float(values.mean()), "stderr": float(values.std()) / sqrt(len(values)) if len(values) > 1 else None}


def random_subset(count: int, n: int) -> Tensor:
    """Sorted places, int64 (n,), of ``n`` of ``count`` samples, drawn at random but always the same.

    The first samples would not do: a folder has its classes one after the other.

    >>> random_subset(5, 5)
    tensor([0, 1, 2, 3, 4])
    """
    order = torch.from_numpy(generator(0, 0, Stream.DATA).permutation(count))
    return order[:n].sort().values


def _measurement(record: Mapping[str, Any]) -> list[Any]:
    """The fields that are equal in two records which differ in the number of samples and the seed alone."""
    return [record["metric"], *(record.get(key) for key in ("options", "features")), *drawing_of(record)]


def _options(metric: Metric | DataMetric) -> Record:
    """The options of a metric, without those that are None, which leave the choice to it."""
    values: Record = {item.name: getattr(metric, item.name) for item in fields(metric)} if is_dataclass(metric) else {}
    return {name: value for name, value in values.items() if value is not None}


def count_evaluations(
    model: Pretrained, sampler: Sampler, scheduler: Scheduler | None = None, guidance: float | None = None, *, limit: int | None = None
) -> int:
    """Counts how often a sampler calls the network per sample (NFE), by drawing one sample.

    Args:
        model: checkpoint.
        sampler: sampler.
        scheduler: scheduler of its noise levels; None for the default.
        guidance: scale of classifier-free guidance, which takes two evaluations a pass; None for none.
        limit: number of calls at which the sampler is stopped; None for no limit.

    Raises:
        ConfigError: if the sampler calls the network more than ``limit`` times.
    """
    net, calls = model.sampled_model, 0
    name = "denoise" if sampler.requires == "denoise" else "decode"
    original = getattr(net, name)

    def counting(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if limit is not None and calls > limit:
            raise ConfigError(f"its sampler takes more than {limit:,} evaluations", "look at its options")
        return original(*arguments, **options)

    net.__dict__[name] = counting
    try:
        model.sample(1, sampler=sampler, scheduler=scheduler, guidance=guidance, labels=0 if "labels" in model.capabilities else None)
    finally:
        del net.__dict__[name]
    return calls
