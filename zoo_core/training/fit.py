"""``fit``: from a recipe to a checkpoint folder, in one process or several."""

import errno
import json
import os
import resource
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from textwrap import shorten
from typing import Any, TextIO, cast

import torch
from torch import Tensor, nn

from zoo_core.checkpoint.build import difference
from zoo_core.data.dataset import Data, load_data
from zoo_core.distributed import Processes
from zoo_core.errors import ConfigError, IncompatibleCheckpoint, Interrupted, ResourceError, ZooError
from zoo_core.hardware.precision import DTYPES, PRECISION_HINT, warn_if_emulated
from zoo_core.interfaces import Decoder, Denoiser
from zoo_core.loading import load
from zoo_core.recipes import FitConfig, Recipe
from zoo_core.training.checkpoint import locked, save_snapshot
from zoo_core.training.export import export, portable, source_commit
from zoo_core.training.loop import Loop, build
from zoo_core.training.monitor import Watch, Watching
from zoo_core.training.preview import pictures, save_sheet
from zoo_core.training.run_folder import Origin, claim_run, find_run, flat

__all__ = ["Report", "check_fits", "fit"]

_ASK_EVERY = 2000  # milliseconds; torchrun kills what does not end within thirty seconds of its signal

OnReport = Callable[["Report"], None]
Stopping = Callable[[], AbstractContextManager[Callable[[], int]]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """What the loop tells every ``fit.log_every`` steps.

    Args:
        step: steps done, of ``steps``.
        logs: means since the last report: ``loss.PHASE``, ``gradient.PHASE`` (its norm before clipping), then the phases' own, and what
            is watched, such as ``fd``, where it was measured.
        speed: rows of the batch a second, over all processes.
        seconds_left: until the last step, at this speed.
        memory: bytes at most, so far: of the device, or of this process on a CPU.
        precision: ``no``, ``bf16`` or ``fp16``.
        device: its type, such as ``cpu`` or ``cuda``.
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
    recipe: Recipe,
    out: Path,
    *,
    resume: bool = True,
    fork: bool = False,
    device: str | None = None,
    tracker: str | None = None,
    watching: Watching | None = None,
    command: str = "",
    on_report: OnReport | None = None,
    on_message: Callable[[str], None] = lambda text: None,
    stopping: Stopping = lambda: nullcontext(lambda: 0),
) -> Path:
    """Trains a recipe in the folder ``out``, from its newest checkpoint if it holds one, and exports the result.

    Called in each of the processes that ``torchrun`` or ``accelerate launch`` starts, it shares every batch among them; the first one
    alone writes.

    Args:
        recipe: what to train. Its data must be given.
        out: the run folder: recipe.json, metrics.jsonl, samples/, steps/, export/.
        resume: go on with a run that the folder holds; when False, such a folder is refused.
        fork: go on with it even under another recipe or on other data; the record of the run tells.
        device: such as ``cuda``; the first accelerator, or the CPU, when None.
        tracker: ``tensorboard``, ``wandb`` or ``trackio``, which gets the metrics, the sample sheets and at last the figures of them.
        watching: metrics of samples to measure before the first step, now and then, and at the end; they go where the losses go.
        command: the command line, for the record and for errors.
        on_report: called with the logs of the first step and of every ``fit.log_every`` steps, in the first process.
        on_message: called with lines for the user, such as the step that the run goes on from, in the first process.
        stopping: a context that the loop runs in, which gives what is asked after each step: a signal's number ends the run after a
            checkpoint. Several processes ask each other every other second.

    Returns:
        ``out/export``, a checkpoint folder.

    Raises:
        ConfigError: the recipe names no data, or data that is not there or does not fit the model, or asks what the family cannot do.
        UsageError: ``resume`` is False and the folder holds a run, or there is no such device or tracker.
        IncompatibleCheckpoint: the folder holds a run of another recipe or other data, or ``start_from`` has weights of another model.
        IntegrityError: the folder holds a run whose checkpoints are damaged or gone.
        LockTimeout: another process trains in the folder.
        ResourceError: memory ran out, or the disk is full; the last checkpoint still resumes.
        ZooError: a loss is not finite.
        Interrupted: ``stopping`` asked for it; the state was saved.
    """
    if recipe.data is None:
        raise ConfigError("the recipe names no data", "--data folder:PATH")
    # What may be refused comes first, so that a refused run leaves no folder behind.
    processes, data = Processes(device, tracker, out), load_data(recipe.data)
    if len(set(processes.gather(data.digest))) > 1:
        raise ConfigError("the processes do not read the same data", "every machine needs the same files, under the same path")
    loop, auto = Loop(recipe, build(recipe), data, processes), recipe.fit.precision == "auto"
    check_fits(loop.trainer.model, data, begun=recipe.start_from is not None)
    watch = Watch(watching, recipe, data, loop.trainer.model, processes) if watching else None
    with ExitStack() as held, _told(recipe.fit, out):
        processes.on_main(lambda: held.enter_context(locked(out)))
        look = partial(find_run, out, loop.recipe, digest=data.digest, resume=resume, fork=fork, auto=auto, command=command)
        origin = processes.on_main(lambda: look(commit=source_commit()))
        recipe = _begin(loop, origin, out)
        processes.on_main(lambda: claim_run(out, recipe, loop.step))
        lines = origin.lines(out, recipe.fit.steps)
        if watching and loop.step == 0:
            lines.append(f"measuring {', '.join(watching.metrics)} of {watching.n:,} samples before the first step")
        for line in lines if processes.main else ():
            on_message(line)
        with processes.tracking(out.name, flat(recipe.to_dict())):
            with stopping() as stop:
                _Run(loop, out, origin.facts, watch, on_report, stop).go()
            return _finish(loop, out, origin.facts, command)


def _finish(loop: Loop, out: Path, facts: Mapping[str, Any], command: str) -> Path:
    """Exports the result of a run, with its record, and gives its pictures to the tracker; returns the folder of the export."""
    processes, recipe = loop.processes, loop.recipe
    kept = {name: value for name, value in facts.items() if name in ("commit", "forks") and value != []}
    record = {"command": portable(command), **kept, "steps": loop.step, "hours": round(loop.seconds / 3600, 3)}
    record["processes"] = processes.count
    folder = processes.on_main(lambda: export(recipe, loop.published, loop.data, out, record=record, device=loop.device))
    if processes.tracked:
        processes.on_main(lambda: processes.track_pictures(pictures(out, folder), loop.step))
    return folder


def check_fits(model: nn.Module, data: Data, *, begun: bool = False) -> None:
    """Checks that the model draws samples of the data's shape and range, and knows exactly the classes of the data.

    Args:
        model: the model to train.
        data: the data to train it on.
        begun: the model begins with the weights of a checkpoint, and may know more classes than the data has.

    Raises:
        ConfigError: if it does not.
    """
    event = cast(Denoiser | Decoder, model).event
    if event.shape != data.event.shape:
        what = f"the data has samples of {list(data.event.shape)}, the model of {list(event.shape)}"
        raise ConfigError(what, f"the sizes and channels of data.* and model.* must agree{_to_agree(model, event.shape, data.event.shape)}")
    if event.range is not None and data.x.is_floating_point():
        low, high = map(float, data.x.aminmax())
        if not event.range[0] <= low <= high <= event.range[1]:
            what = f"the data goes from {low:.3g} to {high:.3g}, the model's samples from {event.range[0]:g} to {event.range[1]:g}"
            raise ConfigError(what, "the data set's plugin must scale them, or return uint8 images")
        if low >= sum(event.range) / 2:
            told = f"the data goes from {low:.3g} to {high:.3g}, and so fills only the upper half of the model's range"
            warnings.warn(f"{told} {list(event.range)}", RuntimeWarning, stacklevel=2)
    _check_classes(cast(int, getattr(model, "num_classes", 0)), data, begun)


def _to_agree(model: nn.Module, ours: tuple[int, ...], theirs: tuple[int, ...]) -> str:
    """The options that give images (c, h, w) of data the model's size, and the model their channels; empty for other samples."""
    if len(ours) != 3 or len(theirs) != 3:
        return ""
    options = [f"-o data.size={ours[-1]}"] if ours[1:] != theirs[1:] else []
    if ours[0] != theirs[0] and hasattr(getattr(model, "config", None), "channels"):
        options.append(f"-o model.channels={theirs[0]}")
    return f", as by {' '.join(options)}" if options else ""


def _check_classes(classes: int, data: Data, begun: bool) -> None:
    if not classes:
        return
    labels = 0 if data.labels is None else int(data.labels.max()) + 1
    if not 0 < labels <= classes:
        hint = (
            f"they must agree: -o model.num_classes={labels}"
            if labels
            else "put the images into class folders, or choose a set with labels"
        )
        raise ConfigError(f"the data has {labels} classes, and model.num_classes is {classes}", hint)
    named = max(labels, len(data.classes))
    if named < classes and not begun:
        what = f"the data has {named} classes, and model.num_classes is {classes}: it would draw classes that it never saw"
        raise ConfigError(what, f"-o model.num_classes={named}")
    if unseen := classes - int((cast(Tensor, data.labels).bincount() > 0).sum()):
        warnings.warn(f"the data has no sample of {unseen} of the model's {classes} classes", RuntimeWarning, stacklevel=3)


def _begin(loop: Loop, origin: Origin, out: Path) -> Recipe:
    """Puts the loop where the run begins, or goes on; returns the run's recipe."""
    loop.recipe = origin.recipe
    if loop.processes.main:
        warn_if_emulated(DTYPES[loop.recipe.fit.precision], loop.device, PRECISION_HINT)
    snapshot, reference = origin.snapshot, loop.recipe.start_from
    if snapshot is not None:
        what, hint = f"the checkpoint of step {snapshot.step} in {out} is of another version or family", "choose another --out"
        with _fitting(what, hint):
            loop.restore(snapshot, options=not origin.forked)
        return loop.recipe
    if reference is not None:
        weights = loop.processes.on_main(lambda: load(reference).model.state_dict())
        if found := difference(weights, loop.trainer.model.state_dict()):
            hint = "train with its model: leave --recipe and -o model.KEY out"
            raise IncompatibleCheckpoint(f"the weights of {reference} are of another model: {found}", hint)
        loop.trainer.model.load_state_dict(weights)
    loop.start(prepared=reference is not None)
    return loop.recipe


@contextmanager
def _fitting(what: str, hint: str) -> Iterator[None]:
    try:
        yield
    except (KeyError, ValueError, TypeError, RuntimeError) as error:
        raise IncompatibleCheckpoint(f"{what}: {shorten(str(error), 100, placeholder=' ...')}", hint) from error


@contextmanager
def _told(fit: FitConfig, out: Path) -> Iterator[None]:
    """Names the batch size where memory runs out, on whatever device, the disk where it is full, and what to leave out if nets will not
    compile."""
    try:
        yield
    except (ConnectionError, TimeoutError):  # of who watches, such as a tracker
        raise
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        hint = f"{'free some space' if full else 'see to the folder'}; the same command goes on from the last checkpoint"
        raise ResourceError(f"cannot write {error.filename or out}: {error.strerror or error}", hint) from error
    except (RuntimeError, MemoryError) as error:
        if isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in str(error):
            what = f"out of memory with batches of {fit.batch_size}"
            smaller = max(fit.batch_size // 2, 1)
            hint = f"try --batch-size {smaller}, or -o fit.accumulate={2 * fit.accumulate} for the same step in less memory"
            raise ResourceError(what, hint) from error
        if type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
            raise ResourceError(f"cannot compile: {shorten(str(error), 120, placeholder=' ...')}", "leave --compile out") from error
        if "closed by peer" in str(error) or "reset by peer" in str(error):
            raise ZooError("another process of this run has ended", "its own message says why") from error
        raise


class _Run:
    """The steps of a run, and what is done between them."""

    def __init__(
        self,
        loop: Loop,
        out: Path,
        facts: Mapping[str, Any],
        watch: Watch | None,
        on_report: OnReport | None,
        stop: Callable[[], int],
    ) -> None:
        self.loop, self.out, self.facts, self.watch, self.on_report, self.stop = loop, out, facts, watch, on_report, stop
        self.fit = loop.recipe.fit
        self.saved = loop.step
        self.reported = self.asked = (loop.step, time.perf_counter())
        self.ask = loop.step

    def go(self) -> None:
        """Steps to the end, or to a signal."""
        loop, fit, main = self.loop, self.fit, self.loop.processes.main
        with (self.out / "metrics.jsonl").open("a") if main else nullcontext() as metrics:
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
        """The metrics that are watched, if it is time; the seconds that they take do not count for the training's speed."""
        if self.watch is None or not self.watch.due(self.loop.step, self.fit.steps):
            return {}
        started = time.perf_counter()
        found = self.watch(self.loop.published, self.stop)
        step, then = self.reported
        self.reported = (step, then + time.perf_counter() - started)
        return found

    def _draw(self) -> None:
        loop = self.loop
        if loop.recipe.sampler:
            path = self.out / "samples" / f"step-{loop.step}.png"
            save_sheet(path, loop.published, loop.recipe.sampler, loop.device, loop.recipe.scheduler)
            loop.processes.track_pictures({"samples": path.read_bytes()} if path.exists() else {}, loop.step)

    def _signal(self) -> int:
        """The signal to stop for. Several processes agree on it, which costs them a wait, every other second by the slowest one's clock."""
        step, now, processes = self.loop.step, time.perf_counter(), self.loop.processes
        if processes.count == 1:
            return self.stop()
        if step < self.ask:
            return 0
        before, then = self.asked
        signum, milliseconds = processes.largest(self.stop(), int(1000 * (now - then) / (step - before)) + 1)
        self.asked, self.ask = (step, now), step + max(1, _ASK_EVERY // milliseconds)
        return signum

    def _report(self, metrics: TextIO | None, measured: Mapping[str, float]) -> None:
        loop, fit, now = self.loop, self.fit, time.perf_counter()
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
                    steps=fit.steps,
                    logs=logs,
                    speed=speed * fit.batch_size,
                    seconds_left=(fit.steps - loop.step) / speed,
                    memory=_memory(loop.device),
                    precision=fit.precision,
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
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
