"""The data of a Hub: repositories, their commits, and files by the ids of git and git-lfs."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatch
from threading import RLock

__all__ = ["LFS_PATTERNS", "Blob", "Commit", "Refusal", "Repo", "Store", "is_lfs", "make_blob"]

LFS_PATTERNS = ("*.safetensors", "*.npz", "*.parquet", "*.png")
_LFS_SIZE = 10_000_000
_EPOCH = datetime(2024, 1, 1, tzinfo=UTC)


class Refusal(Exception):
    """An error as the answer of the Hub.

    >>> Refusal(404, "Repository not found", "RepoNotFound").status
    404

    Args:
        status: HTTP status.
        message: message for people.
        code: header ``X-Error-Code``, from which the client chooses its exception.
        headers: further headers.
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

    >>> make_blob(b"", lfs=False).oid
    'e69de29bb2d1d6434b8b29ae775ad8c2e48c5391'

    Args:
        data: content of the file.
        oid: git blob id: of the file itself, or of the pointer to an LFS file.
        sha256: sha256 of an LFS file; None for a regular file.
    """

    data: bytes
    oid: str
    sha256: str | None

    @property
    def size(self) -> int:
        """The size in bytes."""
        return len(self.data)

    @property
    def etag(self) -> str:
        """The name of the file in the client's cache."""
        return self.sha256 or self.oid

    @property
    def pointer_size(self) -> int:
        """The size of the pointer to an LFS file in bytes."""
        return len(_pointer(self.etag, self.size))


def make_blob(data: bytes, lfs: bool) -> Blob:
    """A regular file, or an LFS file with its pointer."""
    sha256 = hashlib.sha256(data).hexdigest() if lfs else None
    stored = data if sha256 is None else _pointer(sha256, len(data))
    return Blob(data=data, oid=hashlib.sha1(b"blob %d\0" % len(stored) + stored).hexdigest(), sha256=sha256)


def _pointer(sha256: str, size: int) -> bytes:
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()


def is_lfs(path: str, size: int) -> bool:
    """Whether a Hub puts a file into LFS; not an empty one, which the client uploads as a regular file."""
    return size > 0 and (size > _LFS_SIZE or any(fnmatch(path, pattern) for pattern in LFS_PATTERNS))


@dataclass(frozen=True, kw_only=True, slots=True)
class Commit:
    """A commit with all of its files; ``id`` depends on the files, the parent and the message alone.

    >>> store = Store()
    >>> first = store.create(Repo(id="zoo/cats"), {"a": make_blob(b"1", lfs=False)}, "initial commit")
    >>> first.blob("a").data
    b'1'

    Args:
        id: id of the commit.
        parent: id of the parent; None for the first commit.
        title: first line of the message.
        message: further lines of the message.
        date: date in ISO format.
        files: files by path.
    """

    id: str
    parent: str | None
    title: str
    message: str
    date: str
    files: Mapping[str, Blob]

    def blob(self, path: str) -> Blob:
        """The file at ``path``.

        Raises:
            Refusal: EntryNotFound, if there is none.
        """
        if path not in self.files:
            # The client caches that the file is missing from this commit.
            raise Refusal(404, "Entry not found", "EntryNotFound", {"X-Repo-Commit": self.id})
        return self.files[path]


@dataclass(kw_only=True, slots=True)
class Repo:
    """A repository with one branch, ``main``.

    >>> repo = Repo(id="zoo/cats")
    >>> commit = Store().create(repo, {}, "initial commit")
    >>> repo.at("main") is repo.head is commit
    True

    Args:
        id: ``OWNER/NAME``, ``datasets/OWNER/NAME`` or ``spaces/OWNER/NAME``.
        private: whether only the owner sees it.
        gated: whether only the owner may read its files.
        tags: tags of the model.
        commits: commits of ``main``, the oldest first.
        refs: commit ids by tag name.
    """

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
        """The commit of a branch, a tag or a full commit id.

        Raises:
            Refusal: RevisionNotFound, if there is none.
        """
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
    """All repositories and large files. Callers hold ``lock`` while they read or change them.

    Each commit is dated a second after the one before, so that the same calls give the same answers.

    >>> store = Store()
    >>> commit = store.create(Repo(id="zoo/cats"), {}, "initial commit")
    >>> list(store.repos)
    ['zoo/cats']
    """

    def __init__(self) -> None:
        self.lock = RLock()
        self.repos: dict[str, Repo] = {}
        self.objects: dict[str, bytes] = {}
        self._seconds = 0

    def create(self, repo: Repo, files: Mapping[str, Blob], title: str) -> Commit:
        """Adds a repository with its first commit.

        Raises:
            Refusal: 409, if there is one of that id.
        """
        if repo.id in self.repos:
            raise Refusal(409, "You already created this repo")
        self.repos[repo.id] = repo
        return self.commit(repo, files, title)

    def commit(self, repo: Repo, files: Mapping[str, Blob], title: str, message: str = "") -> Commit:
        """Adds a commit with ``files`` as the whole content of ``main``."""
        self._seconds += 1
        date = (_EPOCH + timedelta(seconds=self._seconds)).strftime("%Y-%m-%dT%H:%M:%S.000Z")
        parent = repo.commits[-1].id if repo.commits else None
        id = _digest([parent, title, message, sorted((path, blob.etag) for path, blob in files.items())])
        commit = Commit(id=id, parent=parent, title=title, message=message, date=date, files=dict(sorted(files.items())))
        repo.commits.append(commit)
        self.objects.update(_large(files.values()))
        return commit


def _digest(value: object) -> str:
    return hashlib.sha1(json.dumps(value).encode()).hexdigest()


def _large(blobs: Iterable[Blob]) -> dict[str, bytes]:
    return {blob.sha256: blob.data for blob in blobs if blob.sha256}
