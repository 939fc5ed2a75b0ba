"""Processes that decode pictures into a file of images, chunk by chunk; a chunk that is done stays done when all of them are killed."""

import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import Any

from zoo_core.atomic import disk_error
from zoo_core.errors import ConfigError, ResourceError, UsageError, ZooError

__all__ = ["Outcome", "decode_all", "workers"]

_EVERY = 10.0  # seconds between lines about the progress

_log = logging.getLogger(__name__)


@dataclass(kw_only=True)
class Outcome:
    """The pictures of a set that are no ordinary images.

    Args:
        failed: numbers and reasons of pictures that cannot be read.
        drawn: numbers of pictures that the zoo drew.
        animated: number of pictures with several frames.

    >>> Outcome(failed=[(3, "it is empty")]).animated
    0
    """

    failed: list[tuple[int, str]] = field(default_factory=list)
    drawn: list[int] = field(default_factory=list)
    animated: int = 0

    def add(self, result: Mapping[str, Any]) -> None:
        """Adds the result of a chunk."""
        self.failed += [(int(i), str(reason)) for i, reason in result["failed"]]
        self.drawn += result["drawn"]
        self.animated += result["animated"]


def workers() -> int:
    """The number of processes that decode, from ``ZOO_WORKERS``; else the number of cores of this process, and at most 16.

    Raises:
        UsageError: if the variable is not a number from 1 to 256.
    """
    given = os.environ.get("ZOO_WORKERS", "").strip()
    if given and not (given.isdecimal() and 0 < int(given) <= 256):
        raise UsageError(f"ZOO_WORKERS is {given!r:.40}, which is not a number of processes", "set it to 4, or unset it")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return int(given) if given else min(cores, 16)


def decode_all(chunks: Sequence[Mapping[str, Any]], images: Path, log: Path, channels: int, size: int, resize: str, what: str) -> Outcome:
    """Decodes the chunks that are not done yet.

    Args:
        chunks: chunks in order, as :func:`zoo_core.data.worker.decode_chunk` takes them; ``start`` is added here.
        images: file of the images, of its final size.
        log: file with the result of each chunk that is done, a line of JSON each.
        channels, size, resize: of the images.
        what: what holds the pictures, for messages.

    Raises:
        ConfigError: if a table cannot be read to its end.
        ResourceError: if a worker ends, or cannot write.
    """
    results = _done(log)
    starts = _starts(chunks)
    todo: SimpleQueue[int] = SimpleQueue()
    for place in range(len(chunks)):
        if place not in results:
            todo.put(place)
    run = _Run(chunks, starts, todo, results, images, log, what)
    command = [sys.executable, "-m", "zoo_core.data.worker", str(images), str(channels), str(size), resize]
    threads = [Thread(target=run.serve, args=(command,), daemon=True) for _ in range(min(workers(), max(todo.qsize(), 0)))]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            while thread.is_alive():
                thread.join(0.5)
                run.tell()
                run.save()
        run.save()
    finally:  # also after Ctrl-C
        run.stop()
    if run.error is not None:
        raise run.error
    outcome = Outcome()
    for place in sorted(results):
        outcome.add(results[place])
    return outcome


def _starts(chunks: Sequence[Mapping[str, Any]]) -> list[int]:
    starts = [0]
    for chunk in chunks:
        starts.append(starts[-1] + chunk["count"])
    return starts


def _done(log: Path) -> dict[int, dict[str, Any]]:
    """The results of chunks that an earlier process finished; a last line that was cut off does not count."""
    results: dict[int, dict[str, Any]] = {}
    if log.exists():
        raw = log.read_bytes()
        whole = raw[: raw.rfind(b"\n") + 1]
        if whole != raw:
            log.write_bytes(whole)
        for line in whole.splitlines():
            entry = json.loads(line)
            results[entry.pop("chunk")] = entry
    return results


class _Run:
    """The threads of one call, each with a worker of its own, and what they share."""

    def __init__(
        self,
        chunks: Sequence[Mapping[str, Any]],
        starts: Sequence[int],
        todo: "SimpleQueue[int]",
        results: dict[int, dict[str, Any]],
        images: Path,
        log: Path,
        what: str,
    ) -> None:
        self.chunks = chunks
        self.starts = starts
        self.todo = todo
        self.results = results
        self.images = images
        self.log = log
        self.what = what
        self.error: ZooError | None = None
        self._lock = Lock()
        self._unsaved: list[int] = []
        self._processes: list[subprocess.Popen[bytes]] = []
        self._begun = self._said = time.monotonic()
        self._first = sum(chunks[place]["count"] for place in results)

    def serve(self, command: Sequence[str]) -> None:
        """Feeds one worker until nothing is left, or something fails."""
        # One thread each: the workers share the cores. Its errors go to this process's stderr.
        env = {**os.environ, "OMP_NUM_THREADS": "1", "ZOO_PLUGINS": ""}
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env, start_new_session=True) as process:
            with self._lock:
                self._processes.append(process)
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                while self.error is None:
                    place = self.todo.get_nowait()
                    chunk = {**self.chunks[place], "start": self.starts[place]}
                    process.stdin.write(json.dumps(chunk).encode() + b"\n")
                    process.stdin.flush()
                    self._take(place, process.stdout.readline())
            except Empty:
                pass
            except (OSError, ValueError):  # its pipe is closed
                self._fail(ResourceError(f"a process that decodes {self.what} ended", "is there enough memory? ZOO_WORKERS=1 takes less"))

    def _take(self, place: int, line: bytes) -> None:
        result = json.loads(line)  # ValueError without a line
        if "errno" in result:
            number = result["errno"]
            error = OSError(number, os.strerror(number))
            self._fail(disk_error(f"cannot write {self.images}", error, "set ZOO_CACHE to a folder on a larger disk"))
        elif "broken" in result:
            name = self.chunks[place].get("name", self.what)
            self._fail(ConfigError(f"cannot read {name}: {result['broken']}", "get the file again, or choose other data"))
        else:
            with self._lock:
                self.results[place] = result
                self._unsaved.append(place)

    def _fail(self, error: ZooError) -> None:
        with self._lock:
            self.error = self.error or error

    def save(self) -> None:
        """Writes down the chunks that are done, once their images are safe on the disk."""
        with self._lock:
            places, self._unsaved = self._unsaved, []
        if not places:
            return
        try:
            with self.images.open("rb") as written:
                os.fsync(written.fileno())
            with self.log.open("a") as file:
                file.writelines(json.dumps({"chunk": place, **self.results[place]}) + "\n" for place in places)
        except OSError as error:
            self._fail(disk_error(f"cannot write {self.log.parent}", error, "set ZOO_CACHE to a folder on a larger disk"))

    def tell(self) -> None:
        """Says how far the work is, every few seconds."""
        now = time.monotonic()
        if now - self._said < _EVERY:
            return
        self._said = now
        with self._lock:
            done = sum(self.chunks[place]["count"] for place in self.results)
        speed = (done - self._first) / (now - self._begun)
        left = f", {(self.starts[-1] - done) / speed / 60:.1f} min left" if speed else ""
        _log.warning("zoo: decoding %s once: %s of %s pictures%s", self.what, f"{done:,}", f"{self.starts[-1]:,}", left)

    def stop(self) -> None:
        """Ends the workers."""
        with self._lock:
            processes = list(self._processes)
            self.error = self.error or (ZooError("stopped") if any(process.poll() is None for process in processes) else None)
        for process in processes:
            if process.poll() is None:
                process.kill()
