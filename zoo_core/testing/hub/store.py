"""What a Hub keeps: repositories, their commits, and files under the names that git and git-lfs give them."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatch
from threading import RLock

__all__ = ["LFS_PATTERNS", "Blob", "Commit", "Refusal", "Repo", "Store", "is_lfs", "make_blob"]

LFS_PATTERNS = ("*.safetensors", "*.npz", "*.png")
_LFS_SIZE = 10_000_000
_EPOCH = datetime(2024, 1, 1, tzinfo=UTC)


class Refusal(Exception):
    """What the Hub answers instead of what was asked.

    Args:
        status: of HTTP.
        message: for people.
        code: the header ``X-Error-Code``, by which the client picks its exception.
        headers: further ones.
    """

    def __init__(self, status: int, message: str, code: str = "", headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.headers = dict(headers or {})


@dataclass(frozen=True, kw_only=True, slots=True)
class Blob:
    """A file of a commit.

    Args:
        data: its bytes.
        oid: the git blob id of what git holds: the file itself, or the pointer of an LFS file.
        sha256: of an LFS file, by which git-lfs names it; None for a regular file.
    """

    data: bytes
    oid: str
    sha256: str | None

    @property
    def size(self) -> int:
        """In bytes."""
        return len(self.data)

    @property
    def etag(self) -> str:
        """What the client names the file by in its cache."""
        return self.sha256 or self.oid

    @property
    def pointer_size(self) -> int:
        """Of what git holds for an LFS file, in bytes."""
        return len(_pointer(self.etag, self.size))


def make_blob(data: bytes, lfs: bool) -> Blob:
    """A file that git holds itself, or by a pointer to a large file."""
    sha256 = hashlib.sha256(data).hexdigest() if lfs else None
    held = data if sha256 is None else _pointer(sha256, len(data))
    return Blob(data=data, oid=hashlib.sha1(b"blob %d\0" % len(held) + held).hexdigest(), sha256=sha256)


def _pointer(sha256: str, size: int) -> bytes:
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()


def is_lfs(path: str, size: int) -> bool:
    """Whether a Hub puts a file into LFS. An empty file never is: the client uploads it as a regular one."""
    return size > 0 and (size > _LFS_SIZE or any(fnmatch(path, pattern) for pattern in LFS_PATTERNS))


@dataclass(frozen=True, kw_only=True, slots=True)
class Commit:
    """A complete set of files. ``id`` depends on the files, the parent and the message, and on nothing else."""

    id: str
    parent: str | None
    title: str
    message: str
    date: str
    files: Mapping[str, Blob]

    def blob(self, path: str) -> Blob:
        """The file at ``path``, or the answer EntryNotFound."""
        if path not in self.files:
            # The client remembers by this commit that the file is missing.
            raise Refusal(404, "Entry not found", "EntryNotFound", {"X-Repo-Commit": self.id})
        return self.files[path]


@dataclass(kw_only=True, slots=True)
class Repo:
    """A model repository with one branch, ``main``. ``commits`` are the oldest first."""

    id: str
    private: bool = False
    gated: bool = False
    tags: tuple[str, ...] = ()
    commits: list[Commit] = field(default_factory=list)
    refs: dict[str, str] = field(default_factory=dict)

    @property
    def head(self) -> Commit:
        """The newest commit of ``main``."""
        return self.commits[-1]

    def at(self, revision: str) -> Commit:
        """The commit that a branch, a tag or a full commit id names, or the answer RevisionNotFound."""
        if revision in ("main", "refs/heads/main"):
            return self.head
        wanted = self.refs.get(revision.removeprefix("refs/tags/"), revision)
        for commit in self.commits:
            if commit.id == wanted:
                return commit
        raise Refusal(404, f"Invalid rev id: {revision}", "RevisionNotFound")

    def history(self, revision: str) -> list[Commit]:
        """The commits up to a revision, the newest first."""
        return self.commits[self.commits.index(self.at(revision)) :: -1]


class Store:
    """All repositories and large files. Hold ``lock`` while reading or changing them.

    Dates are counted, a second a commit, so that the same calls give the same answers.
    """

    def __init__(self) -> None:
        self.lock = RLock()
        self.repos: dict[str, Repo] = {}
        self.objects: dict[str, bytes] = {}
        self._seconds = 0

    def create(self, repo: Repo, files: Mapping[str, Blob], title: str) -> Commit:
        """Adds a repository with its first commit, or answers 409."""
        if repo.id in self.repos:
            raise Refusal(409, "You already created this model repo")
        self.repos[repo.id] = repo
        return self.commit(repo, files, title)

    def commit(self, repo: Repo, files: Mapping[str, Blob], title: str, message: str = "") -> Commit:
        """Makes ``files`` the content of ``main``."""
        self._seconds += 1
        date = (_EPOCH + timedelta(seconds=self._seconds)).strftime("%Y-%m-%dT%H:%M:%S.000Z")
        parent = repo.commits[-1].id if repo.commits else None
        named = _digest([parent, title, message, sorted((path, blob.etag) for path, blob in files.items())])
        made = Commit(id=named, parent=parent, title=title, message=message, date=date, files=dict(sorted(files.items())))
        repo.commits.append(made)
        self.objects.update(_large(files.values()))
        return made


def _digest(value: object) -> str:
    return hashlib.sha1(json.dumps(value).encode()).hexdigest()


def _large(blobs: Iterable[Blob]) -> dict[str, bytes]:
    return {blob.sha256: blob.data for blob in blobs if blob.sha256}
