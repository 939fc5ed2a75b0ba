"""Download of one file into the cache: hashed as it arrives, and kept only if it is the file that the Hub listed.

A download that breaks off goes on where it stopped. Wrong bytes are discarded and fetched once more, past any cache in
between.
"""

import hashlib
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO
from urllib.parse import quote

from zoo_core.errors import IntegrityError
from zoo_core.hub.cache import RepoCache, is_true
from zoo_core.hub.client import endpoint, get_response, host, with_retries
from zoo_core.hub.deadline import Deadline
from zoo_core.specs import Pin

__all__ = ["OnBytes", "RemoteFile", "progress_bar", "receive"]

OnBytes = Callable[[int], object]
"""``on_bytes(count)``: called with the number of bytes that arrived, negative where bytes were discarded."""

_FILE_SECONDS = 60.0
_PACE = 16 << 10  # bytes per second that a server must send
_LONGEST = 4 * 3600.0  # seconds for a file of any size
_BUFFER = 1 << 20  # bytes that are written and hashed at once


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file in a commit on the Hub.

    Args:
        name: its name in the repository.
        oid: its id: the sha256 of a large file (LFS), git's id of any other.
        size: its size in bytes.

    Example:
        >>> from zoo_core.hub.download import RemoteFile
        >>> RemoteFile("config.json", "ce013625030ba8dba906f756967f9e9ca394464a", 6).is_large
        False
    """

    name: str
    oid: str
    size: int

    @property
    def is_large(self) -> bool:
        """Whether the file is stored by LFS, and its id is a sha256."""
        return len(self.oid) == 64


class _Body:
    """A file as it arrives: its bytes on disk, their number, and their digests."""

    def __init__(self, target: BinaryIO, file: RemoteFile, on_bytes: OnBytes) -> None:
        self.target = target
        self.file = file
        self.on_bytes = on_bytes
        self.received = 0
        self.buffer = bytearray()
        self.restart()

    def restart(self) -> None:
        """Discards the bytes that have arrived."""
        self.on_bytes(-self.received)
        self.target.seek(0)
        self.target.truncate()
        self.buffer.clear()
        self.received = 0
        self.sha256 = hashlib.sha256()
        self.git = None if self.file.is_large else hashlib.sha1(b"blob %d\0" % self.file.size)

    def add(self, chunk: bytes) -> bool:
        """Takes a chunk, up to the first byte too many; returns whether another chunk is welcome."""
        chunk = chunk[: self.file.size + 1 - self.received]
        self.buffer += chunk
        self.received += len(chunk)
        if len(self.buffer) >= _BUFFER:
            self.flush()
        self.on_bytes(len(chunk))
        return self.received <= self.file.size

    def flush(self) -> None:
        """Writes and hashes the buffer."""
        self.target.write(self.buffer)
        self.sha256.update(self.buffer)
        if self.git:
            self.git.update(self.buffer)
        self.buffer.clear()

    def fault(self, pin: Pin | None) -> str:
        """Description of the first difference from the listed and pinned file; empty if there is none."""
        self.flush()
        if self.received != self.file.size:
            return f"is {'longer' if self.received > self.file.size else 'shorter'} than {self.file.size} bytes"
        digest = self.sha256.hexdigest()
        oid = (self.git or self.sha256).hexdigest()
        if oid != self.file.oid:
            return f"has the id {oid[:12]}..., and must have {self.file.oid[:12]}..."
        return f"has the sha256 {digest[:12]}..., pinned is {pin.sha256[:12]}..." if pin and digest != pin.sha256 else ""


def receive(cache: RepoCache, commit: str, file: RemoteFile, pin: Pin | None, on_bytes: OnBytes) -> None:
    """Downloads a file and makes it a blob of the cache. The caller holds the lock of that blob.

    Args:
        cache: cache of the repository.
        commit: commit that holds the file.
        file: the listed file.
        pin: pinned sha256 of it, if any.
        on_bytes: called as bytes arrive.

    Raises:
        IntegrityError: if the file arrived twice and was not the listed or pinned one.
        HubError: if it did not arrive.
        OSError: if the cache cannot be written.
    """
    kind = "" if cache.kind == "models" else f"{cache.kind}/"
    url = f"{endpoint()}/{kind}{cache.repo}/resolve/{commit}/{quote(file.name)}"
    title = f"{file.name} of {cache.repo}@{commit[:12]}"
    deadline = Deadline(host(), title, _FILE_SECONDS, pace=_PACE, longest=_LONGEST)
    fault = ""
    for headers in ({}, {"Cache-Control": "no-cache"}):
        with cache.new_blob(file.oid) as target:
            body = _Body(target, file, on_bytes)
            with_retries(title, lambda body=body, headers=headers: _receive(url, headers, title, body, deadline), deadline)  # type: ignore[misc]
            fault = body.fault(pin)
            if not fault:
                cache.store(target, file.oid)
                return
            body.restart()
    hint = "update the package or the lock file that pins it; is HF_ENDPOINT right?"
    if ", pinned is " not in fault:
        hint = "try again later; tell its authors if it stays so"
    raise IntegrityError(f"{title} came from {host()} twice, and {fault}", hint)


def _receive(url: str, headers: Mapping[str, str], title: str, body: _Body, deadline: Deadline) -> None:
    """One request for the rest of a file; begins anew if the server cannot go on in the middle."""
    if body.received >= body.file.size:
        return
    start = {"Range": f"bytes={body.received}-"} if body.received else {}
    with get_response(url, {**headers, **start}, title) as response:
        content_range = response.headers.get("Content-Range", "")
        if body.received and not (response.status_code == 206 and content_range.startswith(f"bytes {body.received}-")):
            body.restart()
        for chunk in response.iter_raw():
            deadline.check()
            deadline.received += len(chunk)
            if not body.add(chunk):
                return


@contextmanager
def progress_bar(title: str, total: int) -> Iterator[OnBytes]:
    """A bar of ``total`` bytes on stderr, if that is a terminal; its value takes the number of bytes that arrived."""
    if not (sys.stderr and sys.stderr.isatty()) or is_true("HF_HUB_DISABLE_PROGRESS_BARS"):
        yield lambda count: None
        return
    from tqdm import tqdm

    with tqdm(desc=title, total=total, unit="B", unit_scale=True, leave=False) as bar:
        yield bar.update
