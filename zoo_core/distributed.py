"""The processes of a run: one, or several that share each batch, started by ``torchrun`` or ``accelerate launch``.

Every process holds the whole data set and the whole state, and makes the same steps; only the rows of a batch that it computes differ. Only
the first process writes to the run folder. Communication is torch.distributed through Hugging Face Accelerate.
"""

import gc
import io
import os
import socket
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import timedelta
from hashlib import sha256
from importlib import import_module
from importlib.util import find_spec
from inspect import signature
from pathlib import Path
from threading import Thread
from typing import Any, TypeVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from zoo_core.errors import ConfigError, LostProcess, UsageError, ZooError
from zoo_core.hardware.devices import resolve_device

__all__ = ["PATIENCE", "TRACKERS", "Processes"]

TRACKERS = ("tensorboard", "wandb", "trackio")
PATIENCE = 300.0
"""Seconds in which the processes of a launcher must meet. Loading PyTorch from a slow disk takes some of it."""
_PAUSE = 0.05  # seconds until one looks again whether the others are there
_SILENCE = timedelta(minutes=30)  # torch's own patience with a process that neither answers nor closes its connections

_T = TypeVar("_T")


class Processes:
    """This process and the others of its run.

    Args:
        device: name of a device, such as ``cuda``; None for the first accelerator, or the CPU. Each of several processes chooses its own
            device of that type.
        tracker: one of :data:`TRACKERS`, or None.
        folder: folder of the tracker's files.

    Attributes:
        index: number of this process, from 0.
        count: number of processes.
        device: device of this process.

    Raises:
        UsageError: if there is no such device, or the tracker is not installed.
        LostProcess: if the processes of the launcher do not meet within :data:`PATIENCE`.

    >>> processes = Processes("cpu")
    >>> processes.main, processes.rows(batch_size=8, parts=2)
    (True, [slice(0, 4, None), slice(4, 8, None)])
    """

    def __init__(self, device: str | None = None, tracker: str | None = None, folder: Path | None = None) -> None:
        with warnings.catch_warnings():  # in a notebook without ipywidgets, for bars of accelerate's own, which are not used
            warnings.filterwarnings("ignore", message="IProgress not found")
            from accelerate import Accelerator
            from accelerate.state import PartialState

        _check_tracker(tracker)
        if device is not None:
            resolve_device(device)
        count = int(os.environ.get("WORLD_SIZE", "1")) if "LOCAL_RANK" in os.environ and torch.distributed.is_available() else 1
        on_cpu = device == "cpu" or (count > 1 and resolve_device(device).type == "cpu")
        met = _met(count) if count > 1 and not torch.distributed.is_initialized() else {}
        launched = PartialState(cpu=on_cpu, **met).num_processes > 1
        # The precision is the recipe's alone, not that of a launcher's configuration: "no" leaves it to the loop.
        self._accelerator = Accelerator(mixed_precision="no", cpu=launched and on_cpu, log_with=tracker, project_dir=folder)
        self.index: int = self._accelerator.process_index
        self.count: int = self._accelerator.num_processes
        self.device: torch.device = self._accelerator.device if launched else resolve_device(device)
        if launched and device is not None and torch.device(device).type != self.device.type:
            raise UsageError(f"cannot use the device {device} in several processes", "leave --device out, or use cpu")

    @property
    def main(self) -> bool:
        """True in the first process, which writes the files."""
        return self.index == 0

    def rows(self, batch_size: int, parts: int) -> list[slice]:
        """The rows of a batch that this process computes.

        Args:
            batch_size: number of rows of the whole batch.
            parts: number of parts that a process computes one after the other.

        Raises:
            ConfigError: if the batch does not divide evenly.
        """
        if batch_size % (self.count * parts):
            among = f" in {self.count} processes" if self.count > 1 else ""
            problem = f"a batch of {batch_size} cannot be split evenly into {parts} part{'s' if parts > 1 else ''}{among}"
            raise ConfigError(problem, f"choose a --batch-size that is a multiple of {self.count * parts}")
        share = batch_size // (self.count * parts)
        first = self.index * parts * share
        return [slice(first + part * share, first + (part + 1) * share) for part in range(parts)]

    def wrap(self, trainer: nn.Module, *, phases: int) -> nn.Module:
        """Wraps a trainer in DistributedDataParallel, with the weights of the first process.

        It is returned unchanged for one process, and if it has no parameter that requires a gradient.

        Args:
            trainer: trainer.
            phases: number of phases of a step.
        """
        from torch.nn.parallel import DistributedDataParallel

        if self.count == 1:
            return trainer
        self.share_buffers(trainer)
        if not any(parameter.requires_grad for parameter in trainer.parameters()):
            return trainer
        places = [self.device] if self.device.type != "cpu" else None
        # Later versions of torch have another name. Buffers are shared after each phase, not before each forward.
        is_later = "forward_sync_buffers" in signature(DistributedDataParallel).parameters
        options: dict[str, Any] = {"forward_sync_buffers" if is_later else "broadcast_buffers": False}
        # With several phases, each phase uses only some of the parameters.
        return DistributedDataParallel(trainer, device_ids=places, find_unused_parameters=phases > 1, **options)

    def without_sync(self, wrapped: nn.Module) -> AbstractContextManager[None]:
        """Context in which gradients add up in each process and are not averaged over the processes."""
        return cast(AbstractContextManager[None], self._accelerator.no_sync(wrapped))

    def share_buffers(self, trainer: nn.Module) -> None:
        """Copies the buffers of the first process, such as the running statistics of batch norm, to all processes."""
        if self.count > 1:
            saved = trainer.state_dict().keys()  # other buffers are constants
            for name, buffer in trainer.named_buffers():
                if name in saved:
                    torch.distributed.broadcast(buffer, 0)

    def mean(self, values: Tensor) -> Tensor:
        """Returns, in every process, the mean of tensors over the processes."""
        if self.count > 1:
            values = values.clone()
            torch.distributed.all_reduce(values)
            values /= self.count
        return values

    def largest(self, *values: int) -> list[int]:
        """Returns, in every process, the maximum of each value over the processes."""
        if self.count == 1:
            return list(values)
        shared = torch.tensor(values, dtype=torch.int64, device=self.device)
        torch.distributed.all_reduce(shared, torch.distributed.ReduceOp.MAX)
        return cast(list[int], shared.tolist())

    def gather(self, thing: _T) -> list[_T]:
        """Returns, in every process, the objects that the processes passed, in their order."""
        if self.count == 1:
            return [thing]
        things: list[Any] = [None] * self.count
        torch.distributed.all_gather_object(things, thing)
        return things

    def on_main(self, work: Callable[[], _T]) -> _T:
        """Calls ``work`` in the first process alone; all processes return its result, or raise its error, so that none waits forever."""
        if self.count == 1:
            return work()
        from accelerate.utils import broadcast_object_list

        outcome: list[Any] = [None, None]
        if self.main:
            try:
                outcome[0] = work()
            except (ZooError, OSError) as error:
                outcome[1] = error
        broadcast_object_list(outcome)
        if outcome[1] is not None:
            raise outcome[1]
        return cast(_T, outcome[0])

    @staticmethod
    def leave() -> None:
        """Waits for all processes at the end of their work: a process that exits earlier would stop the others."""
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.barrier()
            gc.collect()  # nets in cycles of references hold the group, whose threads must end before the interpreter does
            torch.distributed.destroy_process_group()

    @staticmethod
    def is_said(line: str, *, if_any: bool = False) -> bool:
        """True if another process of the launcher has said this line before; call it once, before a line that ends this process.

        Args:
            line: the line.
            if_any: whether any other line will do, as that of the process whose end has ended this one.
        """
        if (store := _Meeting.store) is None:
            return False
        name = sha256(line.encode()).hexdigest()
        try:
            if if_any and store.add("zoo/said", 0):
                return True
            store.add("zoo/said", 1)
            return bool(store.add(f"zoo/said/{name}", 1) > 1)
        except RuntimeError:  # it ended with the process that held it
            return False

    @contextmanager
    def tracking(self, run: str, config: Mapping[str, Any]) -> Iterator[None]:
        """Context in which the tracker records a run: in a folder ``tensorboard`` of the run folder, or in the project ``zoo``.

        Args:
            run: name of the run.
            config: config of the run, for the tracker.
        """
        plain = {key: value if isinstance(value, bool | int | float | str) else str(value) for key, value in config.items()}
        for tracker in self._accelerator.log_with:
            project = "tensorboard" if str(tracker) == "tensorboard" else "zoo"
            self._accelerator.init_trackers(project, plain, {"wandb": {"name": run}, "trackio": {"name": run}})
        try:
            yield
        finally:
            for opened in self._accelerator.trackers:
                opened.finish()

    def track(self, logs: Mapping[str, float], step: int) -> None:
        """Sends values to the tracker."""
        self._accelerator.log(dict(logs), step=step)

    @property
    def tracked(self) -> bool:
        """True if there is a tracker."""
        return bool(self._accelerator.log_with)

    def track_pictures(self, pictures: Mapping[str, bytes], step: int) -> None:
        """Sends PNG files to the tracker by their names. Call it in the first process."""
        for name, png in pictures.items() if self._accelerator.trackers else ():
            with Image.open(io.BytesIO(png)) as opened:
                pixels = np.asarray(opened.convert("RGB"))
            for tracker in self._accelerator.trackers:
                _track_picture(tracker, name, pixels, step)


class _Meeting:
    """The store at which the processes of the launcher have met, if there is one."""

    store: Any = None


def _met(count: int) -> Mapping[str, Any]:
    """Waits until all ``count`` processes of the launcher are there; returns the options of their group.

    torch alone would wait for half an hour, or for ever, and fill the screen.

    Raises:
        LostProcess: if one of them, or the place where they meet, is not there within :data:`PATIENCE`.
    """
    outcome: list[Any] = []
    until = time.monotonic() + PATIENCE
    # In a thread, since torch has no limit for a place that is silent, and listens to no signal meanwhile.
    waiting = Thread(target=lambda: outcome.append(_store(count, until)), daemon=True)
    waiting.start()
    waiting.join(PATIENCE)
    if not outcome or outcome[0] is None:
        place = f"{os.environ.get('MASTER_ADDR')}:{os.environ.get('MASTER_PORT')}"
        hint = "check that all of them run, and that no other program has that port; then start the command again"
        raise LostProcess(f"the {count} processes of this run did not meet at {place} within {PATIENCE:g} seconds", hint)
    _Meeting.store = outcome[0]
    return {"store": _Meeting.store, "rank": int(os.environ["RANK"]), "world_size": count, "timeout": _SILENCE}


def _store(count: int, until: float) -> Any:
    """The store of the launcher's processes, when all are there; None if they are not there in time."""
    from torch.distributed.rendezvous import rendezvous

    rank = int(os.environ["RANK"])
    holds = rank == 0 and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True"  # else the launcher does
    try:
        while not holds and not _listens():
            if time.monotonic() > until:
                return None
            time.sleep(_PAUSE)
        store, _, _ = next(rendezvous("env://", timeout=timedelta(seconds=PATIENCE)))
        store.set(f"zoo/met/{rank}", "")
        while not store.check([f"zoo/met/{each}" for each in range(count)]):
            if time.monotonic() > until:
                return None
            time.sleep(_PAUSE)
        store.set_timeout(_SILENCE)
    except (RuntimeError, ValueError, KeyError):  # of torch, or of the environment
        return None
    return store


def _listens() -> bool:
    """Whether something listens at the place where the processes meet."""
    with suppress(OSError), socket.create_connection((os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])), timeout=5):
        return True
    return False


def _track_picture(tracker: Any, name: str, pixels: NDArray[np.uint8], step: int) -> None:
    """Logs an image, uint8 (height, width, 3), by the method that the tracker has for images."""
    if tracker.name == "tensorboard":
        tracker.log_images({name: pixels[None]}, step=step, dataformats="NHWC")
    elif tracker.name == "trackio":  # Accelerate's class has no method for images
        tracker.log({name: import_module("trackio").Image(pixels)}, step=step)
    else:
        tracker.log_images({name: [pixels]}, step=step)


def _check_tracker(name: str | None) -> None:
    if name is None:
        return
    if name not in TRACKERS:
        raise UsageError(f"there is no tracker {name!r}", f"choose {', '.join(TRACKERS)}")
    if find_spec(name) is None:
        raise UsageError(f"the tracker {name} is not installed", f"pip install {name}")
