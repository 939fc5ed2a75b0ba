"""The training loop. It knows phases, not families: a family's own ideas are all in its Trainer."""

import json
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from zoo_core.config import dump_json, load_json
from zoo_core.curves import read_metrics
from zoo_core.errors import ConfigError, IncompatibleCheckpoint, Interrupted, ResourceError, UsageError, ZooError
from zoo_core.files import write_file
from zoo_core.interfaces import Decoder, Denoiser
from zoo_core.recipes import FitConfig, OptimizerConfig, Recipe
from zoo_core.registry import registry, resolve
from zoo_core.rng import StepRng, Stream, isolated
from zoo_core.specs import ModelSpec, TrainerSpec
from zoo_core.training import optimizers
from zoo_core.training.checkpoint import Snapshot, locked, newest, save_snapshot
from zoo_core.training.data import Data, load_data
from zoo_core.training.export import export, source_commit
from zoo_core.training.sheet import save_sheet
from zoo_core.training.trainer import Batch, Trainer, only

__all__ = ["Report", "build", "fit", "learning_rate"]

FORMAT = 1  # of state.json
# Changing these does not change what the steps compute, so a resumed run may.
_FREE = ("steps", "save_every", "keep", "sample_every", "log_every")

OnReport = Callable[["Report"], None]
Stopping = Callable[[], AbstractContextManager[Callable[[], int]]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """What the loop tells about a step: steps done, their total, and its logs as floats (``loss.PHASE``, then the phases' own)."""

    step: int
    steps: int
    logs: Mapping[str, float]


def build(recipe: Recipe) -> Trainer:
    """The trainer of a recipe with its model, initialised from the recipe's seed; the global RNG is left alone."""
    model_spec = registry().spec(ModelSpec, registry().name_of("family", type(recipe.model)))
    trainer_spec = registry().spec(TrainerSpec, registry().name_of("trainer", type(recipe.trainer)))
    with isolated(recipe.fit.seed, stream=Stream.INIT):
        trainer: Trainer = resolve(trainer_spec.target)(resolve(model_spec.target)(recipe.model), recipe.trainer)
    return trainer.to(memory_format=torch.channels_last) if recipe.fit.channels_last else trainer


def learning_rate(fit: FitConfig, base: float, step: int) -> float:
    """The learning rate of step ``step`` (from 0): warm-up, then ``fit.lr_schedule``."""
    warm = min(1.0, (step + 1) / fit.warmup) if fit.warmup else 1.0
    progress = min(step / fit.steps, 1.0)
    decay = {"constant": 1.0, "linear": 1 - progress, "cosine": 0.5 * (1 + math.cos(math.pi * progress))}[fit.lr_schedule]
    return base * warm * decay


@dataclass(kw_only=True)
class _Loop:
    """The state of a run: trainer, EMA and one optimizer a phase."""

    recipe: Recipe
    trainer: Trainer
    data: Data
    device: torch.device
    step: int = 0
    seconds: float = 0.0
    ema: Any = None
    optimizers: dict[str, torch.optim.Optimizer] = field(default_factory=dict)
    _recent: dict[str, list[Tensor]] = field(default_factory=dict)
    _bad: dict[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        from timm.utils import ModelEmaV3

        fit = self.recipe.fit
        self.trainer.to(self.device)
        phases = self.trainer.phases(0)
        for phase in fit.optimizers:
            if phase not in phases:
                raise ConfigError(f"fit.optimizers.{phase}: the trainer has no such phase", f"it has {', '.join(phases)}")
        for phase in phases:
            where = f"fit.optimizers.{phase}" if phase in fit.optimizers else "fit.optimizer"
            self.optimizers[phase] = optimizers.create(self._optimizer_config(phase), self._parameters(phase), where)
        if fit.ema:
            self.ema = ModelEmaV3(self.trainer.model, decay=fit.ema.decay, use_warmup=fit.ema.warmup)
            self.ema.requires_grad_(False)

    def _optimizer_config(self, phase: str) -> OptimizerConfig:
        return self.recipe.fit.optimizers.get(phase, self.recipe.fit.optimizer)

    def _parameters(self, phase: str) -> list[nn.Parameter]:
        return list(self.trainer.parameters_of(phase))

    @property
    def published(self) -> nn.Module:
        """The model whose weights are the run's result: the average, or the raw one where there is no EMA."""
        return cast(nn.Module, self.ema.module) if self.ema is not None else self.trainer.model

    def advance(self) -> None:
        """One step: every phase forward, backward, optimizer, hook, EMA."""
        fit, started = self.recipe.fit, time.perf_counter()
        batch = self.data.batch(fit.seed, self.step, fit.batch_size, device=self.device)
        if self.step == 0:
            self._prepare(batch)
        rng = StepRng(fit.seed, self.step, fit.batch_size, device=self.device)
        with isolated(fit.seed, self.step, stream=Stream.STEP, devices=[self.device]):
            for phase in self.trainer.phases(self.step):
                self._phase(phase, batch, rng)
        self.step += 1
        self.seconds += time.perf_counter() - started

    def _prepare(self, batch: Batch) -> None:
        fit = self.recipe.fit
        rng = StepRng(fit.seed, 0, fit.batch_size, device=self.device, stream=Stream.INIT)
        with isolated(fit.seed, 1, stream=Stream.INIT, devices=[self.device]), torch.no_grad():
            self.trainer.prepare(batch, rng)

    def _phase(self, phase: str, batch: Batch, rng: StepRng) -> None:
        fit, optimizer, parameters = self.recipe.fit, self.optimizers[phase], self._parameters(phase)
        with only(self.trainer, parameters):
            with torch.autocast(self.device.type, torch.bfloat16, enabled=fit.precision == "bf16"):
                loss = self.trainer(phase, batch, rng)
            loss.value.backward()
        if fit.clip_norm is not None:
            nn.utils.clip_grad_norm_(parameters, fit.clip_norm)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(fit, self._optimizer_config(phase).lr, self.step)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        self.trainer.after(phase)
        if self.ema is not None and self._trains_model(parameters):
            self.ema.update(self.trainer.model, step=self.step + 1)
        self._watch(phase, loss.value.detach())
        for name, value in {f"loss.{phase}": loss.value.detach(), **loss.logs}.items():
            self._recent.setdefault(name, []).append(value)

    def _watch(self, phase: str, loss: Tensor) -> None:
        """Notes the first step whose loss is not finite, on the device: to look at it at every step would be to wait for the device."""
        step = torch.where(torch.isfinite(loss), -1, self.step + 1)
        first = self._bad.get(phase)
        self._bad[phase] = step if first is None else torch.where(first < 0, step, first)

    def check_finite(self, saved: int, *, weights: bool = False) -> None:
        """Stops a run that has gone wrong, naming the step of the last checkpoint, ``saved``.

        Raises:
            ZooError: a loss was not finite, or, if they are asked for too, the weights are not.
        """
        good = f"the last good checkpoint is that of step {saved}" if saved else "there is no checkpoint yet"
        hint = f"{good}; in a new --out, lower the learning rate or clip gradients with -o fit.clip_norm=1"
        bad = sorted((int(first), phase) for phase, first in self._bad.items() if first >= 0)
        if bad:
            raise ZooError(f"the loss of phase {bad[0][1]!r} is not finite at step {bad[0][0]}", hint)
        if weights and not all(bool(torch.isfinite(parameter).all()) for parameter in self.trainer.parameters()):
            raise ZooError(f"the weights are not finite after step {self.step}", hint)

    def _trains_model(self, parameters: Sequence[nn.Parameter]) -> bool:
        published = {id(parameter) for parameter in self.trainer.model.parameters()}
        return any(id(parameter) in published for parameter in parameters)

    def logs(self) -> dict[str, float]:
        """The means of what was logged since the last call."""
        means = {name: float(torch.stack(values).mean()) for name, values in self._recent.items()}
        self._recent.clear()
        return means

    def snapshot(self, facts: Mapping[str, Any]) -> Snapshot:
        """Everything that the next step depends on."""
        state = self.trainer.state_dict()
        parts = {
            "model": {name: value for name, value in state.items() if name.startswith("model.")},
            "trainer": {name: value for name, value in state.items() if not name.startswith("model.")},
        }
        if self.ema is not None:
            parts["ema"] = self.ema.module.state_dict()
        numbers = {}
        for phase, optimizer in self.optimizers.items():
            moments, numbers[phase] = optimizers.state_of(optimizer)
            parts.update({f"optimizer-{phase}-{name}": values for name, values in moments.items()})
        kept = {"format": FORMAT, "seconds": self.seconds, "optimizers": numbers, **facts}
        return Snapshot(step=self.step, parts={name: part for name, part in parts.items() if part}, facts=kept)

    def restore(self, snapshot: Snapshot) -> None:
        """Puts the run back to a snapshot."""
        self.step, self.seconds = snapshot.step, snapshot.facts["seconds"]
        self.trainer.load_state_dict({**snapshot.parts["model"], **snapshot.parts.get("trainer", {})})
        if self.ema is not None:
            self.ema.module.load_state_dict(snapshot.parts["ema"])
        for phase, optimizer in self.optimizers.items():
            prefix = f"optimizer-{phase}-"
            moments = {name.removeprefix(prefix): part for name, part in snapshot.parts.items() if name.startswith(prefix)}
            optimizers.restore(optimizer, self._parameters(phase), moments, snapshot.facts["optimizers"][phase])


def fit(
    recipe: Recipe,
    out: Path,
    *,
    resume: bool = True,
    device: str | None = None,
    command: str = "",
    on_report: OnReport | None = None,
    stopping: Stopping = lambda: nullcontext(lambda: 0),
) -> Path:
    """Trains a recipe in the folder ``out``, from its newest checkpoint if it holds one, and exports the result.

    Args:
        recipe: what to train. Its data must be given.
        out: the run folder: recipe.json, metrics.jsonl, samples/, steps/, export/.
        resume: go on with a run that the folder holds; when False, such a folder is refused.
        device: such as ``cuda``; the first accelerator, or the CPU, when None.
        command: the command line, for the record.
        on_report: sees the logs every ``fit.log_every`` steps.
        stopping: a context that the loop runs in, which gives what is asked after each step: a signal's number ends the run after a
            checkpoint.

    Returns:
        ``out/export``, a checkpoint folder.

    Raises:
        ConfigError: the recipe names no data, or data that is not there or does not fit the model.
        UsageError: ``resume`` is False and the folder holds a run, or there is no such device.
        IncompatibleCheckpoint: the folder holds a run of another recipe or other data.
        LockTimeout: another process trains in the folder.
        ResourceError: memory ran out, or the disk is full; the last checkpoint still resumes.
        ZooError: a loss is not finite.
        Interrupted: ``stopping`` asked for it; the state was saved.
    """
    if recipe.data is None:
        raise ConfigError("the recipe names no data", "--data folder:PATH")
    if not resume and (out / "recipe.json").exists():
        raise UsageError(f"{out} holds a run already", "choose another --out, or leave --no-resume out to go on with it")
    # What may be refused comes first, so that a refused run leaves no folder behind.
    where, data = _device(device), load_data(recipe.data)
    loop = _Loop(recipe=recipe, trainer=build(recipe), data=data, device=where)
    _check_fits(loop.trainer.model, data)
    with locked(out):
        _same_recipe(out / "recipe.json", recipe)
        facts = _restore(loop, out, {"data_digest": data.digest, "commit": source_commit()})
        write_file(out / "recipe.json", dump_json(recipe.to_dict()).encode())
        _trim_metrics(out / "metrics.jsonl", loop.step)
        with _memory(recipe.fit.batch_size), stopping() as stop:
            _run(loop, out, facts, on_report, stop)
        record = {"command": command, "commit": facts["commit"], "steps": loop.step, "hours": round(loop.seconds / 3600, 3)}
        return export(recipe, loop.published, data, out, record=record, device=where)


def _device(name: str | None) -> torch.device:
    if name is None:
        return torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise UsageError(f"cannot use the device {name}: {str(error).splitlines()[0][:120]}", "leave --device out, or use cpu") from error


def _check_fits(model: nn.Module, data: Data) -> None:
    shape = cast(Denoiser | Decoder, model).event.shape
    if shape != data.event.shape:
        hint = "the sizes and channels of data.* and model.* must agree"
        raise ConfigError(f"the data has samples of {list(data.event.shape)}, the model of {list(shape)}", hint)
    classes = cast(int, getattr(model, "num_classes", 0))
    if classes and (data.labels is None or int(data.labels.max()) >= classes):
        found = 0 if data.labels is None else int(data.labels.max()) + 1
        raise ConfigError(f"the data has {found} classes, and model.num_classes is {classes}", "they must agree")


def _restore(loop: _Loop, out: Path, facts: Mapping[str, Any]) -> Mapping[str, Any]:
    snapshot = newest(out / "steps")
    if snapshot is None:
        return facts
    if snapshot.facts.get("data_digest") != facts["data_digest"]:
        raise IncompatibleCheckpoint(
            f"the data is not what the run in {out} was trained on", "choose another --out, or bring the data back"
        )
    if snapshot.step > loop.recipe.fit.steps:
        raise IncompatibleCheckpoint(f"the run in {out} is at step {snapshot.step}, past {loop.recipe.fit.steps}", "choose another --out")
    try:
        loop.restore(snapshot)
        return {name: snapshot.facts[name] for name in facts}
    except (KeyError, ValueError, TypeError, RuntimeError) as error:
        what = f"the checkpoint of step {snapshot.step} in {out} is of another version or family"
        raise IncompatibleCheckpoint(f"{what}: {' '.join(str(error).split())[:80]}", "choose another --out") from error


def _same_recipe(path: Path, recipe: Recipe) -> None:
    if not path.exists():
        return
    before, now = _flat(load_json(path)), _flat(recipe.to_dict())
    free = {f"fit.{name}" for name in _FREE if name != "steps" or recipe.fit.lr_schedule == "constant"}
    free |= {"data.path", "data.root", "data.download"}  # what was read is compared by its digest
    changed = [key for key in {**before, **now} if key not in free and before.get(key) != now.get(key)]
    if changed:
        shown = ", ".join(f"{key}: {before.get(key)} -> {now.get(key)}" for key in changed[:3])
        raise IncompatibleCheckpoint(f"{path.parent} holds a run of another recipe ({shown})", "choose another --out")


def _flat(data: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(data, dict) or not data:
        return {prefix.rstrip("."): data}
    return {key: value for name, item in data.items() for key, value in _flat(item, f"{prefix}{name}.").items()}


def _trim_metrics(path: Path, step: int) -> None:
    """Drops the lines of steps after the checkpoint that the run goes on from: they come again."""
    if path.exists():
        rows = [row for row in read_metrics(path) if row["step"] <= step]
        write_file(path, "".join(f"{json.dumps(row)}\n" for row in rows).encode())


@contextmanager
def _memory(batch_size: int) -> Iterator[None]:
    """Names the batch size where memory runs out, on whatever device."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not isinstance(error, MemoryError | torch.OutOfMemoryError) and "can't allocate memory" not in str(error):
            raise
        what = f"out of memory with batches of {batch_size}"
        raise ResourceError(what, f"try --batch-size {max(batch_size // 2, 1)}, or -o fit.precision=bf16") from error


def _run(loop: _Loop, out: Path, facts: Mapping[str, Any], on_report: OnReport | None, stop: Callable[[], int]) -> None:
    fit = loop.recipe.fit
    saved = loop.step
    with (out / "metrics.jsonl").open("a") as metrics:
        while loop.step < fit.steps:
            loop.advance()
            if loop.step % fit.log_every == 0 or loop.step == fit.steps:
                loop.check_finite(saved)
                logs = loop.logs()
                line = {"step": loop.step, **logs, "seconds": round(loop.seconds, 3)}
                metrics.write(json.dumps(line) + "\n")
                metrics.flush()
                if on_report:
                    on_report(Report(step=loop.step, steps=fit.steps, logs=logs))
            if loop.recipe.sampler and fit.sample_every and loop.step % fit.sample_every == 0:
                save_sheet(out / "samples" / f"step-{loop.step}.png", loop.published, loop.recipe.sampler, loop.device)
            signum = stop()
            if loop.step % fit.save_every == 0 or loop.step == fit.steps or signum:
                loop.check_finite(saved, weights=True)
                os.fsync(metrics.fileno())
                save_snapshot(out / "steps", loop.snapshot(facts), keep=fit.keep)
                saved = loop.step
            if signum:
                raise Interrupted(f"stopped at step {saved} of {fit.steps}", "the same command goes on from there", signum=signum)
