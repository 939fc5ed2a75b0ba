"""Whether the numbers of a checkpoint come out again, each by the recipe that its own record holds."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Literal

from zoo_core.config import decode
from zoo_core.errors import ConfigError, NotFoundError, UnknownNameError, UsageError, ZooError
from zoo_core.evaluation.evaluate import Evaluation, metric
from zoo_core.evaluation.gathering import OnBatch
from zoo_core.evaluation.metrics import DataMetric, Metric
from zoo_core.evaluation.real import Real
from zoo_core.evaluation.references import REFERENCE, read_references, reference_key
from zoo_core.evaluation.spaces import space
from zoo_core.hub import WEIGHTS
from zoo_core.interfaces import DatasetConfig
from zoo_core.loading import load
from zoo_core.machine import build
from zoo_core.numbers import METRICS, numbers
from zoo_core.pretrained import Pretrained
from zoo_core.training.processes import Processes

__all__ = ["Rerun", "rerun"]

# A number comes out again if it is within a thousandth, or within a tenth of its standard error: convolutions sum in another order at
# another batch size. On another build it may be twice the standard error away, two hundredths where none is known, and is said to drift.
PASS, PASS_STDERRS, DRIFT, DRIFT_STDERRS = 1e-3, 0.1, 0.02, 2.0

State = Literal["pass", "drift", "fail", "absent"]


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


def rerun(reference: str, *, device: str | None = None, batch_size: int = 64, on_batch: OnBatch = lambda n: None) -> Iterator[Rerun]:
    """Measures the numbers of a checkpoint again.

    Args:
        reference: of the checkpoint.
        device: such as ``cuda``; the first accelerator, or the CPU, when None.
        batch_size: samples at once; changes speed and memory.
        on_batch: sees the number of samples after each batch.

    Raises:
        NotFoundError: it has no metrics.json.
        ConfigError: its metrics.json is not what the zoo writes.
        ZooError: as :func:`zoo_core.load` does.
    """
    processes = Processes(device)
    model = load(reference, device=processes.device)
    if METRICS not in model.files.names:
        raise NotFoundError(f"{reference} has no {METRICS}", "`zoo evaluate` measures it")
    evaluation = Evaluation(model=model, processes=processes, batch_size=batch_size, on_batch=on_batch)
    records = sorted(numbers(model.files.json(METRICS)), key=_samples)
    for _, same in groupby(records, key=_samples):
        yield from _again(evaluation, list(same))


def _samples(record: Mapping[str, Any]) -> str:
    """What tells the samples of one record from those of another: they are drawn once for all metrics of them."""
    drawn = record["n"].get("drawn") if isinstance(record.get("n"), Mapping) else None
    return json.dumps([record.get("data"), record.get("features"), record.get("sampler"), record.get("seed"), drawn], sort_keys=True)


def _again(evaluation: Evaluation, records: Sequence[Mapping[str, Any]]) -> Iterator[Rerun]:
    """Records of one set of samples, or of the same data."""
    weights = evaluation.model.files.digest(WEIGHTS)
    for record in (record for record in records if record.get("weights") != weights):
        yield Rerun(record=record, state="fail", why="it was measured with other weights, or does not say with which")
    known = [record for record in records if record.get("weights") == weights]
    try:
        yield from _measured(evaluation, known) if known else ()
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        why = f"its record is not what the zoo writes: {' '.join(str(error).split())[:80]}"
        yield from (Rerun(record=record, state="fail", why=why) for record in known)
    except ZooError as error:
        absent = isinstance(error, NotFoundError | UnknownNameError | UsageError)
        yield from (Rerun(record=record, state="absent" if absent else "fail", why=error.what) for record in known)


def _measured(evaluation: Evaluation, records: Sequence[Mapping[str, Any]]) -> list[Rerun]:
    real, missing = _real(evaluation.model, records[0])
    made = {str(place): metric(record["metric"], record["options"]) for place, record in enumerate(records)}
    lacking = {place for place, each in made.items() if missing and _needs(each, records[int(place)], real)}
    there = {place: each for place, each in made.items() if place not in lacking}
    on_data = {place: each for place, each in there.items() if isinstance(each, DataMetric)}
    on_samples = {place: each for place, each in there.items() if isinstance(each, Metric)}
    found = evaluation.of_data(on_data, real, n=records[0]["n"].get("real")) if on_data else []
    if on_samples:
        first = records[0]
        found += evaluation.of_samples(
            on_samples,
            real,
            features=_installed(first["features"]),
            samplers=[first["sampler"]],
            n=first["n"]["drawn"],
            seed=first["seed"],
            floors=not missing and any("floor" in record for record in records),
        )
    again = [_judged(records[int(now["metric"])], now) for now in found]
    return [*again, *(Rerun(record=records[int(place)], state="absent", why=missing) for place in sorted(lacking))]


def _real(model: Pretrained, record: Mapping[str, Any]) -> tuple[Real, str]:
    """The real samples of a record, and why they are not to be had; then their statistics are those that the checkpoint carries."""
    config, digest = decode(DatasetConfig, record["data"]["config"], "data"), record["data"].get("digest", "")
    real = Real(config, model.event.shape)
    try:
        if real.data.digest == digest or not digest:
            return real, ""
        why = f"the data of {real.dataset} here is not that which was measured"
    except ConfigError as error:
        why = error.what
    real = Real(config, model.event.shape, digest=digest)
    if REFERENCE in model.files.names and "features" in record:
        moments = read_references(model.files.read(REFERENCE)).get(reference_key(record["features"], record["data"]))
        real.moments = {record["features"]["digest"]: moments} if moments is not None else {}
    return real, why


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
    if space(name).digest != features["digest"]:
        raise ConfigError(f"the features of {name} are not those that it was measured with")
    return name


def _judged(record: Mapping[str, Any], now: Mapping[str, Any]) -> Rerun:
    same = record.get("build") == build() and _processor(record) == _processor(now)
    states: dict[State, str] = {}
    for what, before, after, stderr in _pairs(record, now):
        verdict = _compared(before, after, stderr, same)
        if verdict != "pass":
            states.setdefault(verdict, f"{what} was {before:.5g}, and is {after:.5g}")
    for name in ("nfe", "n", "dataset"):
        if record.get(name) != now.get(name):
            states["fail"] = f"{name} was {record.get(name)}, and is {now.get(name)}"
    state: State = "fail" if "fail" in states else "drift" if "drift" in states else "pass"
    return Rerun(record=record, state=state, value=now["value"], why=states.get(state, ""))


def _processor(record: Mapping[str, Any]) -> str:
    return str(record.get("processor")).partition(",")[0]


def _pairs(record: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[tuple[str, float, float, float | None]]:
    """All numbers of a record, with those of now that can be had, and their standard error."""
    yield "it", record["value"], now["value"], now["stderr"]
    if record["stderr"] is not None and now["stderr"] is not None:
        # What a standard error may be off by is not known; that it was not made up is.
        yield "its standard error", record["stderr"], now["stderr"], now["stderr"]
    if "floor" in record and "floor" in now:
        yield "its floor", record["floor"]["value"], now["floor"]["value"], now["floor"]["stderr"]
        for harm, entry in record["harms"].items():
            yield f"its {harm}", entry["value"], now["harms"][harm]["value"], now["harms"][harm]["stderr"]


def _compared(before: float, after: float, stderr: float | None, same: bool) -> State:
    off = abs(after - before)
    if off <= max(PASS * abs(after), PASS_STDERRS * (stderr or 0.0)):
        return "pass"
    if not same and off <= (DRIFT * abs(after) if stderr is None else DRIFT_STDERRS * stderr):
        return "drift"
    return "fail"
