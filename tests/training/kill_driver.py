"""A process that has imported everything once, and forks a child for each run that a test wants to see killed.

It reads a JSON object a line from stdin and answers each with one on stdout. It computes nothing itself: torch's thread pools would not
survive a fork.
"""

import builtins
import errno
import io
import json
import os
import platform
import select
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

import accelerate  # noqa: F401  # this and timm: what training imports on first use
import timm.optim
import timm.utils  # noqa: F401
import torch

from zoo_core.errors import CapabilityError, ZooError
from zoo_core.interfaces import ModelConfig, Sampler
from zoo_core.recipes import EMAConfig, OptimizerConfig
from zoo_core.testing import fake_zoo
from zoo_core.testing.fake_config import TINY
from zoo_core.training import loop
from zoo_core.training.fit import Report, fit

PATIENCE = 30.0  # seconds that a child may take; it needs less than one
# Two phases with an optimizer each and an average: every kind of part, in few files.
FIT = replace(
    TINY.fit,
    optimizers={"critic": OptimizerConfig(name="sgd", lr=1e-2)},
    ema=EMAConfig(),
    warmup=5,
    save_every=3,
    log_every=1,
)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Disk:
    """The calls that change the disk, counted; the one numbered ``at`` is where ``fault`` happens.

    Faults: ``before`` and ``half`` (of a write) kill the process there; ``power`` is ``before``, and what was not flushed is lost; ``full``
    and ``half full`` let every call that needs space fail from there on. All calls are real but for that.
    """

    def __init__(self, at: int = -1, fault: str = "") -> None:
        self.calls: list[tuple[str, str]] = []
        self.at, self.fault = at, fault
        self.written: list[int] = []  # a handle on every file that was opened for writing
        self.flushed: dict[int, int] = {}  # by inode: the size that a loss of power leaves
        self.renamed: list[tuple[str, str]] = []  # since their folder was flushed last
        self.paths: dict[int, str] = {}  # by handle
        self.fsync, self.rename, self.open, self.io_open = os.fsync, os.rename, os.open, io.open

    def call(self, name: str, path: Any, act: Callable[[], Any], half: Callable[[], Any] | None = None) -> Any:
        here = len(self.calls) == self.at
        self.calls.append((name, os.fspath(path)))
        if here and half and self.fault.startswith("half"):
            done = half()
            if self.fault == "half":
                die()
            return done
        if here and self.fault == "power":
            self.lose()
        if here and self.fault in ("before", "power"):
            die()
        if self.fault.endswith("full") and len(self.calls) > self.at and name in ("open", "write", "fsync", "mkdir"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return act()

    def lose(self) -> None:
        """What a loss of power may do: data that was not flushed is gone, renames that were not are undone."""
        for handle in self.written:
            facts = os.fstat(handle)
            os.ftruncate(handle, min(facts.st_size, self.flushed.get(facts.st_ino, 0)))
        for before, after in reversed(self.renamed):
            if os.path.exists(after):
                self.rename(after, before)

    def do_fsync(self, handle: int) -> None:
        path = self.paths[handle]
        self.call("fsync", path, lambda: self.fsync(handle))
        facts = os.fstat(handle)
        self.flushed[facts.st_ino] = facts.st_size
        self.renamed = [(before, after) for before, after in self.renamed if os.path.dirname(after) != path]

    def do_rename(self, before: Any, after: Any) -> None:
        self.call("rename", after, lambda: self.rename(before, after))
        self.renamed.append((os.fspath(before), os.fspath(after)))

    def do_open(self, path: Any, flags: int, *rest: Any, **options: Any) -> Any:
        def act() -> int:
            handle = self.open(path, flags, *rest, **options)
            self.paths[handle] = os.fspath(path)
            return handle

        return self.call("open", path, act) if flags & os.O_CREAT else act()

    def do_io_open(self, file: Any, mode: str = "r", *rest: Any, **options: Any) -> Any:
        if not set(mode) & set("wax+") or isinstance(file, int):
            return self.io_open(file, mode, *rest, **options)
        assert "+" not in mode
        raw = self.call("open", file, lambda: Counted(self, file, mode.replace("b", "").replace("t", "")))
        buffered = io.BufferedWriter(raw)
        return buffered if "b" in mode else io.TextIOWrapper(buffered, encoding="utf-8")

    def install(self) -> None:
        def counted(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
            return lambda *given, **options: self.call(name, given[0], lambda: real(*given, **options))

        patches = {name: counted(name, getattr(os, name)) for name in ("mkdir", "replace", "unlink", "remove", "rmdir", "truncate")}
        patches.update(fsync=self.do_fsync, rename=self.do_rename, open=self.do_open)
        for name, patch in patches.items():
            setattr(os, name, patch)
        io.open = builtins.open = self.do_io_open


class Counted(io.FileIO):
    """A file whose writes are counted at the system call, below Python's buffer."""

    def __init__(self, disk: Disk, path: Any, mode: str) -> None:
        super().__init__(path, mode)
        self.disk = disk
        disk.paths[self.fileno()] = os.fspath(path)
        disk.written.append(os.dup(self.fileno()))
        if "a" in mode:
            facts = os.fstat(self.fileno())
            disk.flushed.setdefault(facts.st_ino, facts.st_size)

    def write(self, data: Any) -> Any:
        whole, write = bytes(data), super().write
        return self.disk.call("write", str(self.name), lambda: write(whole), lambda: write(whole[: len(whole) // 2]))


def count_calls(last: int) -> list[int]:
    """Counts the calls and returns of Python from now on, and dies at number ``last``."""
    count = [0]

    def step(frame: FrameType, event: str, detail: object) -> None:
        count[0] += 1
        if count[0] == last:
            die()

    sys.setprofile(step)
    return count


def no_sampler(model: ModelConfig) -> Sampler:
    """Stands in for the choice of the family's sampler: drawing samples would take most of a life."""
    raise CapabilityError(f"{type(model).__name__} is not drawn here")


def run(request: dict[str, Any]) -> dict[str, Any]:
    """One life of a run, in the child: what it did, if it lives to tell."""
    recipe = replace(TINY, sampler=None, fit=replace(FIT, steps=request["steps"], keep=request["keep"]))
    disk, reports, error = Disk(request.get("at", -1), request.get("fault", "")), list[Report](), ""
    code, started = 0, time.monotonic()
    disk.install()
    loop.family_sampler = no_sampler  # type: ignore[assignment]
    calls = count_calls(request["call"]) if "call" in request else [0]
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            fit(recipe, Path(request["out"]), device="cpu", on_report=reports.append)
        except ZooError as raised:
            error, code = type(raised).__name__, raised.exit_code
        except Exception:
            error, code = traceback.format_exc(), 1
    sys.setprofile(None)
    return {
        "error": error,
        "code": code,
        "warnings": [str(warning.message) for warning in warned],
        "first": reports[0].step if reports else None,
        "disk": disk.calls,
        "calls": calls[0],
        "seconds": time.monotonic() - started,
    }


def child(request: dict[str, Any], told: Path) -> None:
    try:
        nothing = os.open(os.devnull, os.O_RDWR)
        for handle in (0, 1):
            os.dup2(nothing, handle)
        with told.open("w") as file:  # before the disk's calls are counted
            file.write(json.dumps(run(request)))
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(0)


def reap(pid: int, seconds: float) -> int | None:
    """The exit code of a child, or None if it has not ended within that time."""
    until, ended, poll = time.monotonic() + seconds, (0, 0), select.poll()
    handle = os.pidfd_open(pid) if hasattr(os, "pidfd_open") else None  # Linux alone tells without asking again and again
    if handle is not None:
        poll.register(handle, select.POLLIN)
    while not ended[0] and (left := until - time.monotonic()) > 0:
        poll.poll(left * 1000 if handle is not None else 1)
        ended = os.waitpid(pid, os.WNOHANG)
    if handle is not None:
        os.close(handle)
    return os.waitstatus_to_exitcode(ended[1]) if ended[0] else None


def answer(request: dict[str, Any], told: Path) -> dict[str, Any]:
    pid = os.fork()
    if pid == 0:
        child(request, told)
    code = reap(pid, request.get("after", PATIENCE))
    if code is None:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        return {"killed": True} if "after" in request else {"hung": True}
    return {"killed": True} if code == -signal.SIGKILL else json.loads(told.read_text())


def main() -> None:
    torch.set_num_threads(1)
    platform.processor()  # starts a process on first use
    told = Path(sys.argv[1])
    with fake_zoo():
        print(json.dumps({"ready": True}), flush=True)
        for line in sys.stdin:
            print(json.dumps(answer(json.loads(line), told)), flush=True)


if __name__ == "__main__":
    main()
