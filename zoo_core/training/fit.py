"""``fit``: trains a recipe in a run folder, in one process or several, and exports a checkpoint folder."""

import errno
import json
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from textwrap import shorten
from typing import Any, TextIO

import torch

from zoo_core.checkpoint.build import difference
from zoo_core.config import load_json
from zoo_core.data.dataset import load_data
from zoo_core.data.vocabularies import with_vocabulary
from zoo_core.datasets import HubDatasetConfig
from zoo_core.distributed import Processes
from zoo_core.errors import ConfigError, IncompatibleCheckpoint, Interrupted, LostProcess, ResourceError, ZooError
from zoo_core.hardware.environment import source_commit
from zoo_core.hardware.precision import DTYPES, PRECISION_HINT, warn_if_emulated
from zoo_core.hub.datasets import pin_dataset
from zoo_core.loading import load
from zoo_core.recipes import FitConfig, Recipe, load_recipe
from zoo_core.training.checkpoints import Snapshot, locked, save_snapshot
from zoo_core.training.compatibility import check_fits
from zoo_core.training.export import export, portable
from zoo_core.training.loop import Loop, build
from zoo_core.training.monitor import Monitor, MonitorConfig
from zoo_core.training.preview import pictures, save_sheet
from zoo_core.training.run_folder import Origin, claim_run, find_run, flat
from zoo_core.training.teachers import pin_teachers

__all__ = ["Report", "fit"]

_ASK_EVERY = 2000  # milliseconds; torchrun kills a process that does not end within thirty seconds of its signal

OnReport = Callable[["Report"], None]
Stopping = Callable[[], AbstractContextManager[Callable[[], int]]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """The state of a run, reported every ``fit.log_every`` steps.

    >>> report = Report(
    ...     step=50, steps=100, logs={"loss.model": 0.5}, speed=640.0, seconds_left=10.0, memory=2**30, precision="no"
    ... )
    >>> f"{report.step / report.steps:.0%}, loss {report.logs['loss.model']}"
    '50%, loss 0.5'

    Args:
        step: number of steps done.
        steps: number of steps of the run.
        logs: means since the last report: ``loss.PHASE``, ``gradient.PHASE`` (norm before clipping), the logs of the trainer, and
            metrics of samples such as ``fd`` if they were measured.
        speed: samples per second, over all processes.
        seconds_left: seconds until the last step at this speed.
        memory: peak memory in bytes: of the device, or on a CPU of this process.
        precision: ``no``, ``bf16`` or ``fp16``.
        device: type of the device, such as ``cpu`` or ``cuda``.
    """

    step: int
    steps: int
    logs: Mapping[str, float]
    speed: float
    seconds_left: float
    memory: int
    precision: str
    device: str = "cpu"


def fit(
    recipe: Recipe | str,
    out: "str | os.PathLike[str]",
    *,
    resume: bool = True,
    fork: bool = False,
    device: str | None = None,
    tracker: str | None = None,
    monitor: MonitorConfig | None = None,
    command: str = "",
    on_report: OnReport | None = None,
    on_message: Callable[[str], None] = lambda text: None,
    stopping: Stopping = lambda: nullcontext(lambda: 0),
) -> Path:
    """Trains a recipe in the run folder ``out``, or resumes the run that it holds, and exports the result.

    Called in each process of ``torchrun`` or ``accelerate launch``, it shares every batch among them; only the first process writes.

    Args:
        recipe: recipe with data, or the name of one, such as ``realnvp/2d``.
        out: run folder, with recipe.json, metrics.jsonl, samples/, steps/ and export/.
        resume: whether to resume a run that the folder holds; if False, such a folder is refused.
        fork: resume the run even under another recipe or on other data; its record says so.
        device: device such as ``cuda``; the first accelerator, or the CPU, when None.
        tracker: ``tensorboard``, ``wandb`` or ``trackio``, to send metrics, sample sheets and figures to.
        monitor: metrics of samples to measure during the run; they are logged with the losses.
        command: command line, for the record and for errors.
        on_report: function called in the first process after the first step and every ``fit.log_every`` steps.
        on_message: function called in the first process with lines for the user.
        stopping: context manager whose value is polled after every step; a signal's number other than 0 ends the run after a
            checkpoint. Several processes ask each other every other second.

    Returns:
        ``out/export``, a checkpoint folder.

    Raises:
        ConfigError: if the recipe has no data, the data does not fit the model, or the family lacks a capability.
        UsageError: if the folder holds a run and ``resume`` is False, or the device or the tracker does not exist.
        IncompatibleCheckpoint: if the run in the folder or the weights of ``start_from`` do not fit the recipe.
        IntegrityError: if the checkpoints of the run are damaged or gone.
        LockTimeout: if another process trains in the folder.
        ResourceError: if memory or disk is full; the last checkpoint still resumes.
        LostProcess: if another process of the run has ended; the last checkpoint still resumes.
        ZooError: if a loss is not finite.
        Interrupted: if ``stopping`` ended the run; its state is saved.
    """
    recipe, out = (load_recipe(recipe) if isinstance(recipe, str) else recipe), Path(out)
    loop = _prepared(recipe, device, tracker, out)
    measures = Monitor(monitor, loop.recipe, loop.data, loop.trainer.model, loop.processes) if monitor else None
    search = {"resume": resume, "fork": fork, "auto": recipe.fit.precision == "auto", "command": command}
    search["uses_steps"] = loop.trainer.uses_steps
    with ExitStack() as held, _explained(recipe.fit, out):
        loop.processes.on_main(lambda: held.enter_context(locked(out)))
        origin = _begin(loop, out, search)
        for line in _opening(loop, origin, out, monitor) if loop.processes.main else ():
            on_message(line)
        with loop.processes.tracking(out.name, flat(loop.recipe.to_dict())):
            with stopping() as stop:
                _Run(loop, out, origin.facts, measures, on_report, stop).go()
            return _finish(loop, out, origin.facts, command)


def _prepared(recipe: Recipe, device: str | None, tracker: str | None, out: Path) -> Loop:
    """The loop of a recipe with its data. The checks come before the run folder is created, so that a refused run leaves none.

    Raises:
        ConfigError: if there is no data, or it does not fit the model.
    """
    if recipe.data is None:
        raise ConfigError("the recipe names no data", "--data folder:PATH")
    processes = Processes(device, tracker, out)
    recipe = with_vocabulary(_pinned(recipe, processes, out))
    assert recipe.data is not None
    data = load_data(recipe.data)
    if len(set(processes.gather(data.digest))) > 1:
        raise ConfigError("the processes do not read the same data", "every machine needs the same files, under the same path")
    recipe = pin_teachers(recipe)
    loop = Loop(recipe, build(recipe), data, processes)
    check_fits(loop.trainer.model, data, begun=recipe.start_from is not None, captions=loop.trainer.reads_captions)
    return loop


def _pinned(recipe: Recipe, processes: Processes, out: Path) -> Recipe:
    """The recipe with the commit of data on the Hub: the one that the run in the folder began with, if the recipe names none."""
    data = recipe.data
    if not isinstance(data, HubDatasetConfig):
        return recipe
    if not data.revision:
        with suppress(ZooError):  # of a new run
            begun = Recipe.from_dict(load_json(out / "recipe.json")).data
            if isinstance(begun, HubDatasetConfig) and begun.repo == data.repo:
                data = replace(data, revision=begun.revision)
    pinned = data
    return replace(recipe, data=processes.on_main(lambda: pin_dataset(pinned)))


def _opening(loop: Loop, origin: Origin, out: Path, monitor: MonitorConfig | None) -> list[str]:
    """The lines for the user before the first step."""
    lines = origin.lines(out, loop.recipe.fit.steps)
    if monitor and loop.step == 0:
        lines.append(f"measuring {', '.join(monitor.metrics)} of {monitor.n:,} samples before the first step")
    return lines


def _finish(loop: Loop, out: Path, facts: Mapping[str, Any], command: str) -> Path:
    """Exports the result of a run with its record, and sends its pictures to the tracker; returns the export folder."""
    processes = loop.processes
    record = {
        "command": portable(command),
        **{name: value for name, value in facts.items() if name in ("commit", "forks") and value != []},
        "steps": loop.step,
        "hours": round(loop.seconds / 3600, 3),
        "processes": processes.count,
    }
    folder = processes.on_main(lambda: export(loop.recipe, loop.published, loop.data, out, record=record, device=loop.device))
    if processes.tracked:
        processes.on_main(lambda: processes.track_pictures(pictures(out, folder), loop.step))
    return folder


def _begin(loop: Loop, out: Path, search: Mapping[str, Any]) -> Origin:
    """Starts the loop anew, or restores it from the run in the folder, and claims the folder; returns the origin of the run."""
    processes = loop.processes
    origin = processes.on_main(lambda: find_run(out, loop.recipe, digest=loop.data.digest, commit=source_commit(), **search))
    loop.recipe = origin.recipe
    if processes.main:
        warn_if_emulated(DTYPES[loop.recipe.fit.precision], loop.device, PRECISION_HINT)
    if origin.snapshot is not None:
        _restore(loop, origin.snapshot, out, options=not origin.forked)
    else:
        _start(loop)
    processes.on_main(lambda: claim_run(out, loop.recipe, loop.step))
    loop.read_inputs(out)
    return origin


def _start(loop: Loop) -> None:
    """Starts a new run, with the weights of ``start_from`` if the recipe names a checkpoint.

    Raises:
        IncompatibleCheckpoint: if these are the weights of another model.
    """
    reference = loop.recipe.start_from
    if reference is not None:
        weights = loop.processes.on_main(lambda: load(reference).model.state_dict())
        if differences := difference(weights, loop.trainer.model.state_dict()):
            hint = "train with its model: leave --recipe and -o model.KEY out"
            raise IncompatibleCheckpoint(f"the weights of {reference} are of another model: {differences}", hint)
        loop.trainer.model.load_state_dict(weights)
    loop.start(prepared=reference is not None)


def _restore(loop: Loop, snapshot: Snapshot, out: Path, *, options: bool) -> None:
    """Restores a snapshot.

    Raises:
        IncompatibleCheckpoint: if it does not fit the loop.
    """
    try:
        loop.restore(snapshot, options=options)
    except (KeyError, ValueError, TypeError, RuntimeError) as error:
        what = f"the checkpoint of step {snapshot.step} in {out} is of another version or family"
        raise IncompatibleCheckpoint(f"{what}: {shorten(str(error), 100, placeholder=' ...')}", "choose another --out") from error


@contextmanager
def _explained(fit: FitConfig, out: Path) -> Iterator[None]:
    """Inside a ``with`` block, errors of memory, disk, compiler and other processes become errors that say what to do next.

    Raises:
        ResourceError: if memory or disk is full, or the nets cannot be compiled.
        LostProcess: if another process of the run has ended.
    """
    try:
        yield
    except (ConnectionError, TimeoutError):  # of a tracker
        raise
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        hint = f"{'free some space' if full else 'check the folder'}; the same command goes on from the last checkpoint"
        raise ResourceError(f"cannot write {error.filename or out}: {error.strerror or error}", hint) from error
    except (RuntimeError, MemoryError) as error:
        if isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in str(error):
            what = f"out of memory with batches of {fit.batch_size}"
            smaller = max(fit.batch_size // 2, 1)
            hint = f"try --batch-size {smaller}, or -o fit.accumulate={2 * fit.accumulate} for the same step in less memory"
            raise ResourceError(what, hint) from error
        if type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
            raise ResourceError(f"cannot compile: {shorten(str(error), 120, placeholder=' ...')}", "leave --compile out") from error
        if lost := LostProcess.cause_of(error):
            raise lost from error
        raise


class _Run:
    """The steps of a run, with reports, checkpoints, sample sheets and measurements between them."""

    def __init__(
        self,
        loop: Loop,
        out: Path,
        facts: Mapping[str, Any],
        monitor: Monitor | None,
        on_report: OnReport | None,
        stop: Callable[[], int],
    ) -> None:
        self.loop = loop
        self.out = out
        self.facts = facts
        self.monitor = monitor
        self.on_report = on_report
        self.stop = stop
        self.fit = loop.recipe.fit
        self.saved = loop.step
        self.reported = self.asked = (loop.step, time.perf_counter())
        self.ask = loop.step

    def go(self) -> None:
        """Takes all steps that are left.

        Raises:
            Interrupted: if a signal ends the run.
        """
        loop = self.loop
        fit = self.fit
        with (self.out / "metrics.jsonl").open("a") if loop.processes.main else nullcontext() as metrics:
            if loop.step == 0 and (measured := self._measured()):
                self._report(metrics, measured)
            while loop.step < fit.steps:
                loop.advance()
                last = loop.step == fit.steps
                measured = self._measured()
                if last or measured or loop.step == 1 or loop.step % fit.log_every == 0:
                    self._report(metrics, measured)
                if fit.sample_every and loop.step % fit.sample_every == 0:
                    loop.processes.on_main(self._draw)
                signum = self._signal()
                if last or signum or loop.step % fit.save_every == 0:
                    self._save(metrics)
                if signum:
                    raise Interrupted(f"stopped at step {self.saved} of {fit.steps}", "the same command goes on from there", signum=signum)

    def _measured(self) -> dict[str, float]:
        """The metrics of samples, if they are due. The time that they take does not count for the speed of the training."""
        if self.monitor is None or not self.monitor.due(self.loop.step, self.fit.steps):
            return {}
        started = time.perf_counter()
        metrics = self.monitor(self.loop.published, self.stop)
        step, then = self.reported
        self.reported = (step, then + time.perf_counter() - started)
        return metrics

    def _draw(self) -> None:
        loop = self.loop
        if loop.recipe.sampler:
            path = self.out / "samples" / f"step-{loop.step}.png"
            save_sheet(path, loop.published, loop.recipe.sampler, loop.device, loop.recipe.scheduler)
            loop.processes.track_pictures({"samples": path.read_bytes()} if path.exists() else {}, loop.step)

    def _signal(self) -> int:
        """The number of the signal to stop for, or 0. Several processes agree on it every other second, by the slowest one's clock."""
        step = self.loop.step
        now = time.perf_counter()
        processes = self.loop.processes
        if processes.count == 1:
            return self.stop()
        if step < self.ask:
            return 0
        before, then = self.asked
        signum, milliseconds = processes.largest(self.stop(), int(1000 * (now - then) / (step - before)) + 1)
        self.asked = (step, now)
        self.ask = step + max(1, _ASK_EVERY // milliseconds)
        return signum

    def _report(self, metrics: TextIO | None, measured: Mapping[str, float]) -> None:
        loop = self.loop
        now = time.perf_counter()
        loop.check_finite(self.saved)
        logs = {**loop.logs(), **measured}
        loop.processes.track(logs, loop.step)
        if metrics is None:
            return
        metrics.write(json.dumps({"step": loop.step, **logs, "seconds": round(loop.seconds, 3)}) + "\n")
        metrics.flush()
        before, then = self.reported
        self.reported = (loop.step, now)
        if self.on_report and loop.step > before:
            speed = (loop.step - before) / max(now - then, 1e-9)
            self.on_report(
                Report(
                    step=loop.step,
                    steps=self.fit.steps,
                    logs=logs,
                    speed=speed * self.fit.batch_size,
                    seconds_left=(self.fit.steps - loop.step) / speed,
                    memory=_memory(loop.device),
                    precision=self.fit.precision,
                    device=loop.device.type,
                )
            )

    def _save(self, metrics: TextIO | None) -> None:
        loop = self.loop
        loop.check_finite(self.saved, weights=True)
        loop.share_logs()
        if metrics is not None:
            os.fsync(metrics.fileno())
        loop.processes.on_main(lambda: save_snapshot(self.out / "steps", loop.snapshot(self.facts), keep=self.fit.keep))
        self.saved = loop.step


def _memory(device: torch.device) -> int:
    """The peak memory of the GPU, or of this process, in bytes."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
