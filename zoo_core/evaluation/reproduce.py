"""Reproduction of the numbers of a checkpoint: each is measured again as its record says, and compared."""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Literal

from zoo_core.cards.markdown import describe
from zoo_core.cards.metrics_json import METRICS, is_number, metric_records
from zoo_core.checkpoint.files import WEIGHTS
from zoo_core.config import decode, encode
from zoo_core.distributed import Processes
from zoo_core.errors import ConfigError, NotFoundError, UnknownNameError, UsageError, ZooError
from zoo_core.evaluation.factory import make_metric
from zoo_core.evaluation.feature_spaces import load_feature_space
from zoo_core.evaluation.features import OnBatch, OnStage
from zoo_core.evaluation.human import HUMAN
from zoo_core.evaluation.limits import Allowed
from zoo_core.evaluation.measurement import Evaluation, count_evaluations
from zoo_core.evaluation.metrics import DataMetric, Metric
from zoo_core.evaluation.real_data import RealData
from zoo_core.evaluation.reference_statistics import REFERENCE, read_references, reference_key
from zoo_core.hardware.environment import build
from zoo_core.interfaces import DatasetConfig
from zoo_core.loading import load
from zoo_core.registry import registry
from zoo_core.samplers.factory import as_sampler, as_scheduler

__all__ = ["Plan", "Rerun", "rerun"]

# A number passes if it is off by at most a thousandth, or a tenth of its standard error: convolutions sum in another order at another
# batch size. On another build it drifts if it is off by at most two standard errors, or two hundredths where none is known.
PASS, PASS_STDERRS, DRIFT, DRIFT_STDERRS = 1e-3, 0.1, 0.02, 2.0

State = Literal["pass", "drift", "fail", "absent"]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The work that measuring some numbers again takes.

    Args:
        metrics: names of the metrics.
        drawn: number of samples to draw; 0 for none.
        by: description of the sampler.
        reads: data sets to read, each as NAME:PLACE; may be empty.
        seconds: estimated time of drawing, from a few samples; None if nothing is drawn.

    >>> Plan(metrics=("fd",), drawn=1000, by="20 steps of Heun").drawn
    1000
    """

    metrics: tuple[str, ...]
    drawn: int = 0
    by: str = ""
    reads: tuple[str, ...] = ()
    seconds: float | None = None


@dataclass(frozen=True, kw_only=True)
class Rerun:
    """The outcome for one record.

    Args:
        record: record of metrics.json.
        state: ``pass``; ``drift`` if the number is slightly off on another build than the one that measured it; ``fail``; or ``absent``
            if the data or the feature space is not available here.
        value: the number as measured now; None if it was not measured.
        why: reason of a state other than ``pass``; may be empty.

    >>> Rerun(record={"metric": "fd", "value": 1.5}, state="absent", why="there is no folder cats").value is None
    True
    """

    record: Mapping[str, Any]
    state: State
    value: float | None = None
    why: str = ""


def rerun(
    reference: str,
    *,
    data: Sequence[tuple[str, str]] = (),
    data_root: str | None = None,
    device: str | None = None,
    batch_size: int = 64,
    on_batch: OnBatch = lambda n: None,
    on_stage: OnStage = lambda name, total: None,
    on_plan: Callable[[Plan], None] = lambda plan: None,
) -> Iterator[Rerun]:
    """Measures the numbers of a checkpoint again. Nothing is fetched.

    The data of a pinned checkpoint is read from where its records, ``data`` or ``data_root`` say. If metrics.json is not pinned, only the
    latter two count, and the work that the records may ask for is bounded: see :class:`zoo_core.evaluation.limits.Allowed`.

    Args:
        reference: reference of the checkpoint.
        data: names of data sets and their paths, such as ``[("folder", "/data/cats")]``.
        data_root: folder with the files of mnist, cifar10, ...
        device: name of a device, such as ``cuda``; None for the first accelerator, or the CPU.
        batch_size: samples per batch; changes speed and memory only.
        on_batch: called with the number of samples after each batch.
        on_stage: called with the name and the number of samples before each pass.
        on_plan: called with each plan before any of the work is done.

    Raises:
        NotFoundError: if the checkpoint has no metrics.json.
        ConfigError: if its metrics.json is malformed.
        ZooError: if the checkpoint cannot be loaded, see :func:`zoo_core.load`.
    """
    processes = Processes(device)
    model = load(reference, device=processes.device)
    if METRICS not in model.files.names:
        raise NotFoundError(f"{reference} has no {METRICS}", "`zoo evaluate` measures it")
    allowed = Allowed(pinned=METRICS in (model.files.pins or {}), root=data_root, data=data)
    evaluation = Evaluation(model=model, processes=processes, batch_size=batch_size, on_batch=on_batch, on_stage=on_stage)
    again = _Reproducer(evaluation, allowed)
    every = metric_records(model.files.json(METRICS))
    for record in every:
        if record["metric"] in HUMAN:
            yield Rerun(record=record, state="absent", why="people measured it; `zoo tally` counts their answers again")
    records = sorted((record for record in every if record["metric"] not in HUMAN), key=_samples_key)
    groups = [list(group) for _, group in groupby(records, key=_samples_key)]
    for group in groups:
        if plan := again.plan(group):
            on_plan(plan)
    for group in groups:
        yield from again.reproduce(group)


def _samples_key(record: Mapping[str, Any]) -> str:
    """A key that is equal for records of the same samples, which are drawn once for all their metrics."""
    n = record.get("n")
    drawn = isinstance(n, Mapping) and "drawn" in n
    source = ("features", "sampler", "scheduler", "guidance", "seed") if drawn else ("metric", "options")
    names = (*source, "data", "dataset", "split")
    return json.dumps([*map(record.get, names), n.get("drawn") if drawn else n], sort_keys=True)  # type: ignore[union-attr]  # drawn says so


class _Absent(Exception):
    """The data, metric or feature space of a record is not available here."""


class _Reproducer:
    """Measures records of one checkpoint again."""

    def __init__(self, evaluation: Evaluation, allowed: Allowed) -> None:
        self.evaluation, self.allowed = evaluation, allowed
        self._affordable: set[str] = set()
        self._weights = evaluation.model.files.digest(WEIGHTS)
        self._real: dict[str, tuple[RealData, str]] = {}

    def plan(self, records: Sequence[Mapping[str, Any]]) -> Plan | None:
        """The work for records of the same samples; None if it is refused, for which :meth:`reproduce` gives the reason."""
        first = records[0]
        try:
            self.allowed.check(first)
            reads = tuple(_place(config) for config in self._configs(first["data"]["config"]))
            metrics = tuple(str(record["metric"]) for record in records)
            if "drawn" not in first["n"]:
                return Plan(metrics=metrics, reads=reads)
            n, sampler = self.allowed.count(first["n"]["drawn"]), as_sampler(_object(first["sampler"]))
            self._check_evaluations(first)
            return Plan(metrics=metrics, drawn=n, by=describe(encode(sampler)), reads=reads, seconds=n * self._pace(first))
        except (ZooError, KeyError, TypeError, AttributeError, ValueError):
            return None

    def _pace(self, record: Mapping[str, Any]) -> float:
        """The seconds that a sample takes, measured with a few."""
        model, few = self.evaluation.model, min(8, self.evaluation.batch_size)
        classes = getattr(model.model, "num_classes", 0) if "labels" in model.capabilities else 0
        drawing: dict[str, Any] = {key: _object(record[key]) for key in ("sampler", "scheduler") if key in record}
        started = time.perf_counter()
        model.sample(few, labels=0 if classes else None, guidance=_guidance(record), **drawing)
        return (time.perf_counter() - started) / few

    def _configs(self, plain: Mapping[str, Any]) -> list[DatasetConfig]:
        try:
            return list(self.allowed.configs(plain))
        except ConfigError:
            return []

    def _check_evaluations(self, record: Mapping[str, Any]) -> None:
        """Raises ConfigError if a sampler takes more evaluations than its record says, before many samples are drawn."""
        key = json.dumps([*map(record.get, ("sampler", "scheduler", "guidance")), record["nfe"]], sort_keys=True)
        if key in self._affordable:
            return
        scheduler = as_scheduler(_object(record["scheduler"])) if "scheduler" in record else None
        way = (as_sampler(_object(record["sampler"])), scheduler, _guidance(record))
        count_evaluations(self.evaluation.model, *way, limit=record["nfe"])
        self._affordable.add(key)

    def reproduce(self, records: Sequence[Mapping[str, Any]]) -> list[Rerun]:
        """Measures records of the same samples together, or one by one if one of them fails."""
        try:
            return self._measure(records)
        except (_Absent, ZooError, KeyError, TypeError, AttributeError, ValueError) as error:
            if len(records) > 1:
                return [outcome for record in records for outcome in self.reproduce([record])]
            if isinstance(error, _Absent):
                return [Rerun(record=records[0], state="absent", why=str(error))]
            reason = error.what if isinstance(error, ZooError) else f"it is not what the zoo writes: {' '.join(str(error).split())[:80]}"
            return [Rerun(record=records[0], state="fail", why=reason)]

    def _measure(self, records: Sequence[Mapping[str, Any]]) -> list[Rerun]:
        first = records[0]
        if any(record["weights"] != self._weights for record in records):
            raise ConfigError("it was measured with other weights")
        self.allowed.check(first)
        metrics = {str(place): _metric(record) for place, record in enumerate(records)}
        if not first["data"].get("digest") and any(isinstance(each, DataMetric) or each.real for each in metrics.values()):
            raise ConfigError("it does not say which data it was measured on")
        real, missing = self._data(first)
        lacking = {place for place, each in metrics.items() if missing and _needs_data(each, first, real)}
        available = {place: each for place, each in metrics.items() if place not in lacking}
        of_data = {place: each for place, each in available.items() if isinstance(each, DataMetric)}
        of_samples = {place: each for place, each in available.items() if isinstance(each, Metric)}
        measured = list(self.evaluation.of_data(of_data, real, n=first["n"]["real"])) if of_data else []
        if of_samples:
            self._check_evaluations(first)
            measured += self.evaluation.of_samples(
                of_samples,
                real,
                features=_checked_space(first["features"]),
                samplers=[_object(first["sampler"])],
                scheduler=_object(first["scheduler"]) if "scheduler" in first else None,
                guidance=[_guidance(first)],
                n=self.allowed.count(first["n"]["drawn"]),
                seed=first["seed"],
                floors=not missing and any("floor" in record or "harms" in record for record in records),
            )
        outcomes = [_outcome(records[int(now["metric"])], now, missing) for now in measured]
        return [*outcomes, *(Rerun(record=records[int(place)], state="absent", why=missing) for place in sorted(lacking, key=int))]

    def _data(self, record: Mapping[str, Any]) -> tuple[RealData, str]:
        """The real samples of a record, and why they are not available; then they have the statistics that the checkpoint stores."""
        data = record["data"]
        key = json.dumps([data, record.get("features")], sort_keys=True)
        if key not in self._real:
            self._real[key] = self._find_data(data["config"], data.get("digest", ""), record)
        return self._real[key]

    def _find_data(self, plain: Mapping[str, Any], digest: str, record: Mapping[str, Any]) -> tuple[RealData, str]:
        files, shape = self.evaluation.model.files, self.evaluation.model.event.shape
        recorded = decode(DatasetConfig, plain, "data")
        stored, missing = None, ""
        if REFERENCE in files.names and "features" in record:
            stored = read_references(files.read(REFERENCE)).get(reference_key(record["features"], {"digest": digest}))
        if not digest:
            return RealData(recorded, shape), ""
        try:
            for config in self.allowed.configs(plain):
                real = RealData(config, shape, recorded=recorded)
                if real.data.digest == digest:
                    real.stored = stored
                    return real, ""
                missing = f"the data of {real.dataset} here is not that which was measured"
        except ConfigError as error:
            missing = error.what
        real = RealData(recorded, shape, digest=digest)
        real.moments = {record["features"]["digest"]: stored} if stored is not None else {}
        return real, missing


def _place(config: DatasetConfig) -> str:
    """The name of a data set and its place, as NAME:PLACE."""
    name = registry().name_of("dataset", type(config))
    return ":".join(filter(None, [name, str(getattr(config, "path", "") or getattr(config, "root", ""))]))


def _metric(record: Mapping[str, Any]) -> Metric | DataMetric:
    try:
        return make_metric(record["metric"], _object(record["options"]))
    except UnknownNameError as error:
        raise _Absent(error.what) from error


def _object(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise TypeError(f"{str(value)[:40]} is no object")
    return value


def _guidance(record: Mapping[str, Any]) -> float | None:
    """The guidance scale of a record; None if it has none."""
    if (scale := record.get("guidance")) is not None and not is_number(scale):
        raise TypeError(f"guidance {str(scale)[:40]} is no number")
    return scale


def _needs_data(metric: Metric | DataMetric, record: Mapping[str, Any], real: RealData) -> bool:
    """True if a metric needs the data itself, and not only its moments."""
    if isinstance(metric, DataMetric):
        return True
    return metric.real and (metric.features or record["features"]["digest"] not in real.moments)


def _checked_space(features: Mapping[str, Any]) -> str:
    """The name of the feature space of a record.

    Raises:
        ConfigError: if the space of that name has other weights now.
    """
    name = str(features["name"])
    try:
        digest = load_feature_space(name, fetch=False).digest
    except (NotFoundError, UnknownNameError, UsageError) as error:
        raise _Absent(error.what) from error
    if digest != features["digest"]:
        raise ConfigError(f"the features of {name} are not those that it was measured with")
    return name


# Fields that may differ from one measurement to the next, or are compared by themselves.
_UNCOMPARED = (
    "metric",
    "value",
    "stderr",
    "floor",
    "harms",
    "terms",
    "seconds",
    "pace",
    "versions",
    "build",
    "processor",
    "batch_size",
    "processes",
    "few",
)


def _outcome(record: Mapping[str, Any], now: Mapping[str, Any], missing: str) -> Rerun:
    """Compares a record with the measurement of now; ``missing`` says why the data was not read, or is empty."""
    same_build = record.get("build") == build() and _processor(record) == _processor(now)
    states: dict[State, str] = {}
    for name in dict.fromkeys([*record, *now]):
        if name not in _UNCOMPARED and _today(name, record.get(name)) != now.get(name):
            states["fail"] = f"{name} was {_short(record.get(name))}, and is {_short(now.get(name))}"
    for label, before, after in _pairs(record, now):
        verdict = _verdict(before, after, same_build)
        if verdict != "pass":
            states.setdefault(verdict, f"{label} was {_format(before)}, and is {_format(after)}")
    state: State = "fail" if "fail" in states else "drift" if "drift" in states else "pass"
    # Nobody here has seen the data: whoever wrote the number wrote the statistics too.
    trusting = f"by the statistics that it carries, since {missing}" if missing and "real" in record["n"] else ""
    return Rerun(record=record, state=state, value=now["value"], why=states.get(state, trusting))


def _today(name: str, value: Any) -> Any:
    """The field ``name`` of a record as it would be written now: options that were added later have their defaults."""
    if name in ("sampler", "scheduler") and value is not None:
        return encode(as_sampler(value) if name == "sampler" else as_scheduler(value))
    return {**value, "config": encode(decode(DatasetConfig, value["config"], name))} if name == "data" else value


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _format(entry: Mapping[str, Any] | None) -> str:
    if entry is None:
        return "not there"
    return f"{entry['value']:.5g}" + (f" +- {entry['stderr']:.2g}" if entry["stderr"] is not None else "")


def _processor(record: Mapping[str, Any]) -> str:
    return str(record.get("processor")).partition(",")[0]


Entry = Mapping[str, Any] | None


def _pairs(record: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[tuple[str, Entry, Entry]]:
    """All numbers of a record, each with a label, its entry in the record, and its entry now; None where there is none."""
    yield "it", {"value": record["value"], "stderr": record["stderr"]}, {"value": now["value"], "stderr": now["stderr"]}
    before, after = record.get("terms", {}), now.get("terms", {})
    for term in dict.fromkeys([*before, *after]):
        yield f"its {term}", before.get(term), after.get(term)
    if "floor" in now and ("floor" in record or "harms" in record):
        yield "its floor", record.get("floor"), now["floor"]
        before, after = record.get("harms", {}), now["harms"]
        for harm in dict.fromkeys([*before, *after]):
            yield f"its {harm}", before.get(harm), after.get(harm)


def _verdict(before: Entry, after: Entry, same_build: bool) -> State:
    if before is None or after is None or (before["stderr"] is None) != (after["stderr"] is None) or before.get("n") != after.get("n"):
        return "fail"
    stderr = after["stderr"] or 0.0
    off = max(abs(after["value"] - before["value"]), abs((before["stderr"] or 0.0) - stderr))
    if off <= max(PASS * abs(after["value"]), PASS_STDERRS * stderr):
        return "pass"
    if not same_build and off <= (DRIFT * abs(after["value"]) if after["stderr"] is None else DRIFT_STDERRS * stderr):
        return "drift"
    return "fail"
