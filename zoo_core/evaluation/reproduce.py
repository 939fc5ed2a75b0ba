"""Whether the numbers of a checkpoint come out again, each by the recipe that its own record holds."""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Literal

from zoo_core.cards.markdown import describe
from zoo_core.cards.metrics import METRICS, metric_records
from zoo_core.checkpoint.files import WEIGHTS
from zoo_core.config import decode, encode
from zoo_core.distributed import Processes
from zoo_core.errors import ConfigError, NotFoundError, UnknownNameError, UsageError, ZooError
from zoo_core.evaluation.evaluate import Evaluation, evaluations, metric
from zoo_core.evaluation.feature_spaces import space
from zoo_core.evaluation.features import OnBatch, OnStage
from zoo_core.evaluation.limits import Allowed
from zoo_core.evaluation.metrics import DataMetric, Metric
from zoo_core.evaluation.real_data import Real
from zoo_core.evaluation.reference_statistics import REFERENCE, read_references, reference_key
from zoo_core.hardware.environment import build
from zoo_core.interfaces import DatasetConfig
from zoo_core.loading import load
from zoo_core.registry import registry
from zoo_core.samplers.choice import as_sampler, as_scheduler

__all__ = ["Plan", "Rerun", "rerun"]

# A number comes out again if it is within a thousandth, or within a tenth of its standard error: convolutions sum in another order at
# another batch size. On another build it may be twice the standard error away, two hundredths where none is known, and is said to drift.
PASS, PASS_STDERRS, DRIFT, DRIFT_STDERRS = 1e-3, 0.1, 0.02, 2.0

State = Literal["pass", "drift", "fail", "absent"]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What it takes to measure some numbers again.

    Args:
        metrics: their names.
        drawn: how many samples will be drawn; 0 for none.
        by: the sampler, in words.
        reads: the data that is looked for, by its name and place; empty for none.
        seconds: about how long drawing takes, by the time of a few samples; None where nothing is drawn.
    """

    metrics: tuple[str, ...]
    drawn: int = 0
    by: str = ""
    reads: tuple[str, ...] = ()
    seconds: float | None = None


@dataclass(frozen=True, kw_only=True)
class Rerun:
    """What became of a record.

    Args:
        record: as metrics.json has it.
        state: ``pass``; ``drift``, a little off on another build than measured it; ``fail``; or ``absent``, which says nothing: its data or
            features are not to be had here.
        value: as it was measured now; None where it was not.
        why: what is wrong, or absent.
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

    The data of a pinned checkpoint is where its records say, or where ``data`` and ``data_root`` do. Where nothing pins the records, those
    two alone say it, and what the records ask for is bounded: see :class:`zoo_core.evaluation.limits.Allowed`.

    Args:
        reference: of the checkpoint.
        data: names of data sets and their paths, such as ``[("folder", "/data/cats")]``.
        data_root: where the files of mnist, cifar10, ... are.
        device: such as ``cuda``; the first accelerator, or the CPU, when None.
        batch_size: samples at once; changes speed and memory.
        on_batch: sees the number of samples after each batch.
        on_stage: sees the name and the number of samples before each pass.
        on_plan: sees what will be read and drawn, before it is.

    Raises:
        NotFoundError: it has no metrics.json.
        ConfigError: its metrics.json is not what the zoo writes.
        ZooError: as :func:`zoo_core.load` does.
    """
    processes = Processes(device)
    model = load(reference, device=processes.device)
    if METRICS not in model.files.names:
        raise NotFoundError(f"{reference} has no {METRICS}", "`zoo evaluate` measures it")
    allowed = Allowed(pinned=METRICS in (model.files.pins or {}), root=data_root, data=data)
    again = _Again(Evaluation(model=model, processes=processes, batch_size=batch_size, on_batch=on_batch, on_stage=on_stage), allowed)
    records = sorted(metric_records(model.files.json(METRICS)), key=_samples)
    groups = [list(same) for _, same in groupby(records, key=_samples)]
    for same in groups:
        if plan := again.plan(same):
            on_plan(plan)
    for same in groups:
        yield from again.all(same)


def _samples(record: Mapping[str, Any]) -> str:
    """What tells the samples of one record from those of another: they are drawn once for all metrics of them."""
    n = record.get("n")
    drawn = isinstance(n, Mapping) and "drawn" in n
    what = ("features", "sampler", "scheduler", "seed") if drawn else ("metric", "options")
    names = (*what, "data", "dataset", "split")
    return json.dumps([*map(record.get, names), n.get("drawn") if drawn else n], sort_keys=True)  # type: ignore[union-attr]  # drawn says so


class _Absent(Exception):
    """What it takes to measure a number is not here."""


class _Again:
    """Measures records of one checkpoint again."""

    def __init__(self, evaluation: Evaluation, allowed: Allowed) -> None:
        self.evaluation, self.allowed = evaluation, allowed
        self._affordable: set[str] = set()
        self._weights = evaluation.model.files.digest(WEIGHTS)
        self._real: dict[str, tuple[Real, str]] = {}

    def plan(self, records: Sequence[Mapping[str, Any]]) -> Plan | None:
        """What measuring records of the same samples again takes; None where it is refused, as :meth:`all` will say."""
        first = records[0]
        try:
            self.allowed.check(first)
            reads = tuple(_place(config) for config in self._configs(first["data"]["config"]))
            metrics = tuple(str(record["metric"]) for record in records)
            if "drawn" not in first["n"]:
                return Plan(metrics=metrics, reads=reads)
            n, sampler = self.allowed.count(first["n"]["drawn"]), as_sampler(_object(first["sampler"]))
            self._evaluations(first)
            return Plan(metrics=metrics, drawn=n, by=describe(encode(sampler)), reads=reads, seconds=n * self._pace(first))
        except (ZooError, KeyError, TypeError, AttributeError, ValueError):
            return None

    def _pace(self, record: Mapping[str, Any]) -> float:
        """Seconds that a sample takes, by the time of a few."""
        model, few = self.evaluation.model, min(8, self.evaluation.batch_size)
        classes = getattr(model.model, "num_classes", 0) if "labels" in model.capabilities else 0
        how: dict[str, Any] = {key: _object(record[key]) for key in ("sampler", "scheduler") if key in record}
        started = time.perf_counter()
        model.sample(few, labels=0 if classes else None, **how)
        return (time.perf_counter() - started) / few

    def _configs(self, plain: Mapping[str, Any]) -> list[DatasetConfig]:
        try:
            return list(self.allowed.configs(plain))
        except ConfigError:
            return []

    def _evaluations(self, record: Mapping[str, Any]) -> None:
        """Raises ConfigError where a sampler takes more evaluations than its record says, before many samples are drawn."""
        key = json.dumps([record["sampler"], record.get("scheduler"), record["nfe"]], sort_keys=True)
        if key in self._affordable:
            return
        scheduler = as_scheduler(_object(record["scheduler"])) if "scheduler" in record else None
        evaluations(self.evaluation.model, as_sampler(_object(record["sampler"])), scheduler, most=record["nfe"])
        self._affordable.add(key)

    def all(self, records: Sequence[Mapping[str, Any]]) -> list[Rerun]:
        """Records of the same samples: together, or each for itself where one of them would spoil it for the others."""
        try:
            return self._measured(records)
        except (_Absent, ZooError, KeyError, TypeError, AttributeError, ValueError) as error:
            if len(records) > 1:
                return [again for record in records for again in self.all([record])]
            if isinstance(error, _Absent):
                return [Rerun(record=records[0], state="absent", why=str(error))]
            what = error.what if isinstance(error, ZooError) else f"it is not what the zoo writes: {' '.join(str(error).split())[:80]}"
            return [Rerun(record=records[0], state="fail", why=what)]

    def _measured(self, records: Sequence[Mapping[str, Any]]) -> list[Rerun]:
        first = records[0]
        if any(record["weights"] != self._weights for record in records):
            raise ConfigError("it was measured with other weights")
        self.allowed.check(first)
        made = {str(place): _metric(record) for place, record in enumerate(records)}
        if not first["data"].get("digest") and any(isinstance(each, DataMetric) or each.real for each in made.values()):
            raise ConfigError("it does not say which data it was measured on")
        real, missing = self._data(first)
        lacking = {place for place, each in made.items() if missing and _needs(each, first, real)}
        there = {place: each for place, each in made.items() if place not in lacking}
        on_data = {place: each for place, each in there.items() if isinstance(each, DataMetric)}
        on_samples = {place: each for place, each in there.items() if isinstance(each, Metric)}
        found = list(self.evaluation.of_data(on_data, real, n=first["n"]["real"])) if on_data else []
        if on_samples:
            self._evaluations(first)
            found += self.evaluation.of_samples(
                on_samples,
                real,
                features=_installed(first["features"]),
                samplers=[_object(first["sampler"])],
                scheduler=_object(first["scheduler"]) if "scheduler" in first else None,
                n=self.allowed.count(first["n"]["drawn"]),
                seed=first["seed"],
                floors=not missing and any("floor" in record or "harms" in record for record in records),
            )
        judged = [_judged(records[int(now["metric"])], now, missing) for now in found]
        return [*judged, *(Rerun(record=records[int(place)], state="absent", why=missing) for place in sorted(lacking, key=int))]

    def _data(self, record: Mapping[str, Any]) -> tuple[Real, str]:
        """The real samples of a record, and why they are not to be had; then their statistics are those that the checkpoint carries."""
        data = record["data"]
        key = json.dumps([data, record.get("features")], sort_keys=True)
        if key not in self._real:
            self._real[key] = self._found(data["config"], data.get("digest", ""), record)
        return self._real[key]

    def _found(self, plain: Mapping[str, Any], digest: str, record: Mapping[str, Any]) -> tuple[Real, str]:
        files, shape = self.evaluation.model.files, self.evaluation.model.event.shape
        told = decode(DatasetConfig, plain, "data")
        carried, why = None, ""
        if REFERENCE in files.names and "features" in record:
            carried = read_references(files.read(REFERENCE)).get(reference_key(record["features"], {"digest": digest}))
        if not digest:
            return Real(told, shape, told=told), ""
        try:
            for config in self.allowed.configs(plain):
                real = Real(config, shape, told=told)
                if real.data.digest == digest:
                    real.carried = carried
                    return real, ""
                why = f"the data of {real.dataset} here is not that which was measured"
        except ConfigError as error:
            why = error.what
        real = Real(told, shape, digest=digest)
        real.moments = {record["features"]["digest"]: carried} if carried is not None else {}
        return real, why


def _place(config: DatasetConfig) -> str:
    """The name of a data set, and where it is looked for."""
    name = registry().name_of("dataset", type(config))
    return ":".join(filter(None, [name, str(getattr(config, "path", "") or getattr(config, "root", ""))]))


def _metric(record: Mapping[str, Any]) -> Metric | DataMetric:
    try:
        return metric(record["metric"], _object(record["options"]))
    except UnknownNameError as error:
        raise _Absent(error.what) from error


def _object(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise TypeError(f"{str(value)[:40]} is no object")
    return value


def _needs(each: Metric | DataMetric, record: Mapping[str, Any], real: Real) -> bool:
    """Whether a metric needs the data itself."""
    if isinstance(each, DataMetric):
        return True
    return each.real and (each.features or record["features"]["digest"] not in real.moments)


def _installed(features: Mapping[str, Any]) -> str:
    """The name of a feature space.

    Raises:
        ConfigError: the space of that name is another now.
    """
    name = str(features["name"])
    try:
        digest = space(name, fetch=False).digest
    except (NotFoundError, UnknownNameError, UsageError) as error:
        raise _Absent(error.what) from error
    if digest != features["digest"]:
        raise ConfigError(f"the features of {name} are not those that it was measured with")
    return name


# What may differ from one measurement to the next, or is compared by itself.
_FREE = (
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


def _judged(record: Mapping[str, Any], now: Mapping[str, Any], missing: str) -> Rerun:
    same = record.get("build") == build() and _processor(record) == _processor(now)
    states: dict[State, str] = {}
    for name in dict.fromkeys([*record, *now]):
        if name not in _FREE and _today(name, record.get(name)) != now.get(name):
            states["fail"] = f"{name} was {_short(record.get(name))}, and is {_short(now.get(name))}"
    for what, before, after in _pairs(record, now):
        verdict = _compared(before, after, same)
        if verdict != "pass":
            states.setdefault(verdict, f"{what} was {_told(before)}, and is {_told(after)}")
    state: State = "fail" if "fail" in states else "drift" if "drift" in states else "pass"
    # Nobody here has seen the data: whoever wrote the number wrote the statistics too.
    trusting = f"by the statistics that it carries, since {missing}" if missing and "real" in record["n"] else ""
    return Rerun(record=record, state=state, value=now["value"], why=states.get(state, trusting))


def _today(name: str, value: Any) -> Any:
    """What stands under ``name`` of a record, as it would be written now: an option that came later has its default there."""
    if name in ("sampler", "scheduler") and value is not None:
        return encode(as_sampler(value) if name == "sampler" else as_scheduler(value))
    return {**value, "config": encode(decode(DatasetConfig, value["config"], name))} if name == "data" else value


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _told(entry: Mapping[str, Any] | None) -> str:
    if entry is None:
        return "not there"
    return f"{entry['value']:.5g}" + (f" +- {entry['stderr']:.2g}" if entry["stderr"] is not None else "")


def _processor(record: Mapping[str, Any]) -> str:
    return str(record.get("processor")).partition(",")[0]


Entry = Mapping[str, Any] | None


def _pairs(record: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[tuple[str, Entry, Entry]]:
    """All numbers of a record, each with its standard error, and those of now, where they could be measured."""
    yield "it", {"value": record["value"], "stderr": record["stderr"]}, {"value": now["value"], "stderr": now["stderr"]}
    before, after = record.get("terms", {}), now.get("terms", {})
    for term in dict.fromkeys([*before, *after]):
        yield f"its {term}", before.get(term), after.get(term)
    if "floor" in now and ("floor" in record or "harms" in record):
        yield "its floor", record.get("floor"), now["floor"]
        before, after = record.get("harms", {}), now["harms"]
        for harm in dict.fromkeys([*before, *after]):
            yield f"its {harm}", before.get(harm), after.get(harm)


def _compared(before: Entry, after: Entry, same: bool) -> State:
    if before is None or after is None or (before["stderr"] is None) != (after["stderr"] is None) or before.get("n") != after.get("n"):
        return "fail"
    stderr = after["stderr"] or 0.0
    off = max(abs(after["value"] - before["value"]), abs((before["stderr"] or 0.0) - stderr))
    if off <= max(PASS * abs(after["value"]), PASS_STDERRS * stderr):
        return "pass"
    if not same and off <= (DRIFT * abs(after["value"]) if after["stderr"] is None else DRIFT_STDERRS * stderr):
        return "drift"
    return "fail"
