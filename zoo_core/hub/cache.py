"""The Hugging Face cache on this machine: its folder, the files of a repository, and the steps that add a verified file.

The layout is that of the Hub's own client, so that each finds the files that the other fetched::

    models--ORG--NAME/blobs/OID                 the bytes, under the id that the Hub gives them; of data sets, datasets--ORG--NAME
    models--ORG--NAME/snapshots/COMMIT/FILE     a link to them
    models--ORG--NAME/refs/REVISION             the commit that a branch or tag meant when it was last fetched
    models--ORG--NAME/zoo/COMMIT.json           the zoo's own: the ids of the files that the commit must have, once they are all here
    models--ORG--NAME/zoo/index.sig, keys.sig   of a signed repository: the index and the list of keys that were accepted last
    .locks/models--ORG--NAME/OID.lock           held while a blob is fetched; a killed process holds none

An OID is the sha256 of a large file and git's id of any other, so the files can be checked without any request. The
environment is read at each call: it may change in a long session, and the client's own constants hold its state at the
client's import.
"""

import json
import os
import re
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

from zoo_core.errors import LockTimeout, ResourceError, UnsafeContentError
from zoo_core.hub.locks import file_lock, lock_timeout

__all__ = ["COMMIT", "OID", "RepoCache", "cache_folder", "is_offline", "is_true"]

COMMIT = re.compile(r"[0-9a-f]{40}")
OID = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")

_STALE = 60.0
_MAX_SEEN = 1000
_MAX_NOTE = 1 << 20


def is_true(variable: str) -> bool:
    """Whether an environment variable says yes, in the words of the Hub's client."""
    return os.environ.get(variable, "").upper() in ("1", "ON", "YES", "TRUE")


def is_offline() -> bool:
    """Whether ``HF_HUB_OFFLINE`` (or ``TRANSFORMERS_OFFLINE``) forbids all requests."""
    return is_true("HF_HUB_OFFLINE") or is_true("TRANSFORMERS_OFFLINE")


def cache_folder() -> Path:
    """Folder of the cache, from ``HF_HUB_CACHE``, ``HUGGINGFACE_HUB_CACHE``, ``HF_HOME`` or ``XDG_CACHE_HOME``."""
    home = os.environ.get("HF_HOME") or os.path.join(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "huggingface")
    given = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE") or os.path.join(home, "hub")
    return Path(os.path.expandvars(os.path.expanduser(given))).absolute()


def _start_of(path: Path, count: int) -> bytes:
    """The first bytes of a regular file; empty for anything else, such as a pipe, which would block."""
    if not path.is_file():
        return b""
    with path.open("rb") as file:
        return file.read(count)


@dataclass(frozen=True, slots=True)
class RepoCache:
    """The part of the cache that belongs to one repository. Reading never writes, so that a read-only cache serves too.

    Args:
        repo: ``ORG/NAME``.
        root: folder of the whole cache.
        kind: kind of the repository, ``models`` or ``datasets``.

    Example:
        >>> from pathlib import Path
        >>> from zoo_core.hub.cache import RepoCache
        >>> RepoCache("zoo/cats", Path("cache")).snapshot("0123abcd").as_posix()
        'cache/models--zoo--cats/snapshots/0123abcd'
    """

    repo: str
    root: Path
    kind: str = "models"

    @property
    def folder(self) -> Path:
        """Folder of this repository. No name on the Hub has ``--``, so no two repositories share one."""
        return self.root / self._named

    @property
    def _named(self) -> str:
        return f"{self.kind}--" + self.repo.replace("/", "--")

    def snapshot(self, commit: str) -> Path:
        """The folder of a commit's files."""
        return self.folder / "snapshots" / commit

    def blob(self, oid: str) -> Path:
        """File with the bytes of that id."""
        return self.folder / "blobs" / oid

    def present_oids(self, commit: str) -> Mapping[str, str]:
        """Ids of the files in a commit's folder, read from their links. Some files of the commit may be missing."""
        oids = {}
        folder = self.snapshot(commit)
        with suppress(OSError):
            for path in sorted([*folder.iterdir(), *folder.glob("*/*")]):
                oid = Path(os.readlink(path)).name if path.is_symlink() else ""
                if OID.fullmatch(oid):
                    oids[path.relative_to(folder).as_posix()] = oid
        return oids

    def has(self, commit: str, name: str, oid: str, size: int) -> bool:
        """Whether a commit's folder has a file, judged by its link and size without reading it."""
        path = self.snapshot(commit) / name
        with suppress(OSError):
            return path.samefile(self.blob(oid)) if path.is_symlink() else path.is_file() and path.stat().st_size == size
        return False

    def required_oids(self, commit: str) -> Mapping[str, str] | None:
        """Ids of the files that a commit must have, if :meth:`save_required_oids` wrote them down."""
        with suppress(OSError, ValueError, RecursionError, LookupError, TypeError, AttributeError):
            oids = json.loads(_start_of(self._note(commit), _MAX_NOTE))["files"] if self.snapshot(commit).is_dir() else None
            if oids and all(isinstance(oid, str) and OID.fullmatch(oid) for oid in oids.values()):
                return dict(oids)
        return None

    def save_required_oids(self, commit: str, oids: Mapping[str, str]) -> None:
        """Writes down the ids of a commit's files, once all of them are here; does nothing if the cache is read-only."""
        if self.required_oids(commit) != oids:
            self._write(self._note(commit), json.dumps({"files": dict(oids)}))

    def note(self, name: str) -> bytes:
        """A note about the repository, as :meth:`save_note` wrote it; empty if there is none."""
        with suppress(OSError):
            return _start_of(self.folder / "zoo" / name, _MAX_NOTE)
        return b""

    def save_note(self, name: str, data: bytes) -> None:
        """Writes a note about the repository; does nothing if it is there, or the cache is read-only."""
        if self.note(name) != data:
            self._write(self.folder / "zoo" / name, data.decode())

    def _note(self, commit: str) -> Path:
        return self.folder / "zoo" / f"{commit}.json"

    def ref(self, revision: str) -> str | None:
        """The commit of a branch or tag when it was last fetched; None if it never was."""
        for path in self._refs(revision):
            with suppress(OSError):
                commit = _start_of(path, 64).decode("ascii", "replace").strip()
                if COMMIT.fullmatch(commit):
                    return commit
        return None

    def seen(self, revision: str) -> tuple[str, ...]:
        """The commits of a branch or tag at earlier fetches by the zoo, the oldest first."""
        with suppress(OSError):
            lines = _start_of(self._seen(revision), _MAX_NOTE).decode("ascii", "replace").split()
            return tuple(line for line in lines if COMMIT.fullmatch(line))
        return ()

    def _seen(self, revision: str) -> Path:
        return self.folder / "zoo" / "seen" / quote(revision, safe="")

    def save_ref(self, revision: str, commit: str) -> None:
        """Writes down the present commit of a branch or tag; does nothing if the cache is read-only."""
        seen = self.seen(revision)
        if revision != commit and commit not in seen[-1:]:
            kept = [each for each in seen if each != commit][-_MAX_SEEN:]
            self._write(self._seen(revision), "\n".join([*kept, commit, ""]))
        if revision == commit or self.ref(revision) == commit:
            return
        shared, own = self._refs(revision)
        if self._write(shared, commit):
            with suppress(OSError):
                own.unlink(missing_ok=True)
        else:
            self._write(own, commit)

    def _refs(self, revision: str) -> tuple[Path, Path]:
        """The client's file of a branch or tag, and the zoo's own for names that are taken there.

        ``feature`` cannot be a file beside ``feature/x``.
        """
        return self.folder / "refs" / revision, self.folder / "zoo" / "refs" / quote(revision, safe="")

    def _write(self, path: Path, text: str) -> bool:
        """Writes a small file in one step, or not at all; returns whether it did."""
        temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}.tmp")
        with suppress(OSError, UnsafeContentError):
            self.check_inside(path.parent)
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                temporary.write_text(text)
                temporary.replace(path)
                return True
            finally:
                temporary.unlink(missing_ok=True)
        return False

    @contextmanager
    def lock(self, oid: str, name: str = "a file", seconds: float | None = None) -> Iterator[None]:
        """Holds the lock by which processes, those of the Hub's own client too, fetch a blob one after the other.

        While it waits, a line every few seconds says for whom and how long.

        Args:
            oid: id of the blob.
            name: name of the file, for messages.
            seconds: how long to wait; :func:`lock_timeout` if None.

        Raises:
            LockTimeout: if another process holds the lock for that long.
            ResourceError: if the lock file cannot be opened, such as one of another user.
        """
        path = self.root / ".locks" / self._named / f"{oid}.lock"
        self.check_inside(path.parent)
        path.parent.mkdir(parents=True, exist_ok=True)
        with file_lock(path, f"{name} of {self.repo}", lock_timeout() if seconds is None else seconds):
            yield

    def check_inside(self, *folders: Path) -> None:
        """Refuses to write through a link that leads out of the cache.

        Raises:
            UnsafeContentError: if one of the folders lies outside of the cache once its links are followed.
        """
        root = self.root.resolve()
        for folder in folders:
            if not folder.resolve().is_relative_to(root):
                raise UnsafeContentError(f"{folder} leads out of the cache {self.root} by a link", "remove that link")

    @contextmanager
    def new_blob(self, oid: str) -> Iterator[BinaryIO]:
        """A new file for the bytes of a blob; it is deleted afterwards, unless :meth:`store` made it the blob."""
        path = self.blob(oid).with_name(f"{oid}.{uuid.uuid4().hex[:8]}.incomplete")
        self.check_inside(path.parent)
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with path.open("w+b") as file:
                yield file
        finally:
            path.unlink(missing_ok=True)

    def store(self, file: BinaryIO, oid: str) -> None:
        """Makes a file of :meth:`new_blob` the blob, in one step.

        Processes that have the old blob open still read the old bytes.
        """
        file.flush()
        os.replace(file.name, self.blob(oid))

    def link(self, commit: str, name: str, oid: str) -> None:
        """Puts a blob under its name into a commit's folder: a link, or a copy if the disk has no links."""
        path = self.snapshot(commit) / name
        target = Path(*[".."] * (2 + name.count("/")), "blobs", oid)
        if path.is_symlink() and Path(os.readlink(path)) == target:
            return
        temporary = path.with_name(f".{uuid.uuid4().hex[:8]}.tmp")
        self.check_inside(path.parent)
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            try:
                temporary.symlink_to(target)
            except OSError:
                shutil.copyfile(self.blob(oid), temporary)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)

    def remove(self, commit: str, name: str, oid: str) -> None:
        """Removes a wrong blob, and its name in a commit's folder."""
        self.check_inside(self.snapshot(commit), self.blob(oid).parent)
        (self.snapshot(commit) / name).unlink(missing_ok=True)
        self.blob(oid).unlink(missing_ok=True)

    def remove_unfinished(self) -> None:
        """Removes unfinished downloads of killed processes: old files that nobody has locked."""
        with suppress(OSError):
            for path in (self.folder / "blobs").glob("*.incomplete"):
                with suppress(OSError, LockTimeout, ResourceError, UnsafeContentError):
                    if time.time() - path.stat().st_mtime > _STALE:
                        with self.lock(path.name.partition(".")[0], seconds=0.01):
                            path.unlink()
