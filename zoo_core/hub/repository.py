"""What the Hub has: what a revision holds, the bytes of a file, and a search.

Files end up in the cache of the Hub's own client, under its locks. But the requests are made by :mod:`zoo_core.hub.client` and not by
``hf_hub_download``, for three reasons:

- What a server calls a file or a commit never becomes a path unchecked. The client names blobs by the ETag of a HEAD request of its own,
  which a check before the call cannot vouch for: a hostile server may answer the second request in another way. Here names come from one
  listing that was checked; the ids in the headers are used for nothing.
- A body is hashed as it arrives and gets into the cache only if it is what it must be. The client checks sizes at most, and keeps what is
  wrong for ever. A body that is too long is left at its first byte too many.
- Every request is bounded in time and tries. The client repeats a HEAD for minutes, and listings with no limit that could be set.

So no Xet is spoken: the Hub serves files that are stored there by plain HTTP as well.
"""

import hashlib
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO
from urllib.parse import quote

from zoo_core.atomic import disk_error
from zoo_core.cards.card import named_plugin
from zoo_core.checkpoint.files import max_size
from zoo_core.errors import HubError, IntegrityError, UnsafeContentError
from zoo_core.hub.cache import COMMIT, OID, RepoCache
from zoo_core.hub.client import answer, ask, endpoint, host, trying
from zoo_core.hub.deadline import Deadline
from zoo_core.registry import REPO
from zoo_core.specs import Pin

__all__ = ["Entry", "Found", "Listing", "commits_of", "download", "listing", "search"]

_REPO, _WORD, _DATE = re.compile(REPO), re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?"), re.compile(r"[0-9T:.Z+-]{10,40}")
_FILE_SECONDS, _PACE, _LONGEST = 60.0, 16 << 10, 4 * 3600.0
_AT_ONCE = 1 << 20


@dataclass(frozen=True, slots=True)
class Entry:
    """A file on the Hub: its id (the sha256 of a large one, git's id of any other) and its size in bytes."""

    oid: str
    size: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Listing:
    """What a revision of a repository holds: the commit that it is, the files that are wanted, and the names of all others.

    ``renamed`` is the repository's name of today where that is another than was asked for, which the Hub still knows; otherwise empty.
    """

    commit: str
    files: Mapping[str, Entry]
    skipped: tuple[str, ...]
    renamed: str = ""


def listing(repo: str, revision: str, is_wanted: Callable[[str], bool]) -> Listing:
    """What a revision holds, in one request.

    Raises:
        HubError: the Hub cannot be reached, or does not say.
        UnsafeContentError: it says a commit, an id or a name that could lead out of the cache.
    """
    data = ask(f"/api/models/{repo}/revision/{quote(revision, safe='')}", {"blobs": "true"}, f"{repo}@{revision}")
    siblings = data.get("siblings") if isinstance(data, dict) else None
    if not isinstance(data, dict) or not isinstance(siblings, list):
        raise HubError(f"{host()} does not say what {repo} holds", "is HF_ENDPOINT a Hugging Face Hub?")
    commit = data.get("sha")
    if not isinstance(commit, str) or not COMMIT.fullmatch(commit):
        raise _unsafe(repo, f"{commit!r:.60} is no id of a commit")
    if COMMIT.fullmatch(revision) and commit != revision:
        raise IntegrityError(f"{host()} was asked for {repo} at {revision[:12]} and answered with {commit[:12]}", "is HF_ENDPOINT right?")
    named = {_checked_name(repo, sibling): sibling for sibling in siblings}
    files = {name: _entry(repo, name, sibling) for name, sibling in named.items() if is_wanted(name)}
    if len({name.lower() for name in files}) != len(files):
        raise _unsafe(repo, "it has two files whose names differ in case alone")
    name = data.get("id")
    renamed = name if isinstance(name, str) and _REPO.fullmatch(name) and name != repo else ""
    return Listing(commit=commit, files=files, skipped=tuple(name for name in named if name not in files), renamed=renamed)


def commits_of(repo: str, revision: str) -> tuple[str, ...]:
    """The commits that a name means, as a branch and as a tag: two where both exist and differ, none if the Hub does not say."""
    try:
        refs = ask(f"/api/models/{repo}/refs", {}, f"the branches and tags of {repo}")
    except HubError:
        return ()
    found = [refs.get(kind) for kind in ("branches", "tags")] if isinstance(refs, dict) else []
    named = [ref for kind in found if isinstance(kind, list) for ref in kind if isinstance(ref, dict) and ref.get("name") == revision]
    return tuple(dict.fromkeys(_text(ref.get("targetCommit"), COMMIT) for ref in named))


def _unsafe(repo: str, what: str) -> UnsafeContentError:
    return UnsafeContentError(f"{repo} on {host()}: {what}", "do not use it; tell its authors, or whoever runs that Hub")


def _checked_name(repo: str, sibling: object) -> str:
    name = sibling.get("rfilename") if isinstance(sibling, dict) else None
    parts = name.split("/") if isinstance(name, str) else [""]
    if not isinstance(name, str) or not name.isprintable() or "\\" in name or not {"", ".", ".."}.isdisjoint(parts):
        raise _unsafe(repo, f"{name!r:.80} is no name for a file")
    return name


def _entry(repo: str, name: str, sibling: Mapping[str, Any]) -> Entry:
    large = sibling.get("lfs")
    oid, size = (large.get("sha256"), large.get("size")) if isinstance(large, dict) else (sibling.get("blobId"), sibling.get("size"))
    if not isinstance(oid, str) or not OID.fullmatch(oid) or (len(oid) == 64) != isinstance(large, dict):
        raise _unsafe(repo, f"{oid!r:.60} is no id of a file, and said to be that of {name}")
    if type(size) is not int or not 0 <= size <= max_size(name):
        raise _unsafe(repo, f"{name} has {size!r:.60} bytes, and may have {max_size(name)} at most")
    return Entry(oid, size)


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """A repository that a search found, in its author's words: ``family`` and ``plugin`` are hints, and empty where they are no names."""

    repo: str
    commit: str
    family: str
    plugin: str
    license: str
    updated: str


def search(text: str = "", *, author: str = "", limit: int = 50, families: Collection[str] = ()) -> list[Found]:
    """The models on the Hub with the tag ``zoo-core``, the newest first.

    Args:
        text: what their names hold.
        author: whose they are.
        limit: how many at most.
        families: which tags mean a family, where a card does not say which it is.

    Raises:
        HubError: the Hub cannot be reached, or does not say.
    """
    asked = {"filter": "zoo-core", "search": text, "author": author, "sort": "lastModified", "limit": str(limit)}
    given = {key: value for key, value in asked.items() if value}
    found = ask("/api/models", {**given, "full": "true", "cardData": "true"}, "the list of models")
    if not isinstance(found, list):
        raise HubError(f"{host()} does not say which models it has", "is HF_ENDPOINT a Hugging Face Hub?")
    return [_found(model, families) for model in found if isinstance(model, dict) and _REPO.fullmatch(str(model.get("id")))][:limit]


def _found(model: Mapping[str, Any], families: Collection[str]) -> Found:
    card, tags = model.get("cardData"), model.get("tags")
    family, plugin = named_plugin(card)
    return Found(
        repo=str(model["id"]),
        commit=_text(model.get("sha"), COMMIT),
        family=family or next((tag for tag in tags if isinstance(tag, str) and tag in families), "") if isinstance(tags, list) else family,
        plugin=plugin,
        license=_text(card.get("license"), _WORD) if isinstance(card, dict) else "",
        updated=_text(model.get("lastModified"), _DATE)[:10],
    )


def _text(value: object, pattern: re.Pattern[str]) -> str:
    return value if isinstance(value, str) and pattern.fullmatch(value) else ""


# Files


class _Body:
    """A file as it arrives: its bytes on disk, how many they are, and their digests, taken of many bytes at a time."""

    def __init__(self, file: BinaryIO, entry: Entry, on_bytes: Callable[[int], object]) -> None:
        self.file, self.entry, self.on_bytes = file, entry, on_bytes
        self.got, self.waiting = 0, bytearray()
        self.restart()

    def restart(self) -> None:
        """Forgets what has arrived."""
        self.on_bytes(-self.got)
        self.file.seek(0)
        self.file.truncate()
        self.waiting.clear()
        self.got, self.sha256 = 0, hashlib.sha256()
        self.git = None if len(self.entry.oid) == 64 else hashlib.sha1(b"blob %d\0" % self.entry.size)

    def add(self, chunk: bytes) -> bool:
        """Takes a chunk, of which no more than the first byte too many; whether there may be another."""
        chunk = chunk[: self.entry.size + 1 - self.got]
        self.waiting += chunk
        self.got += len(chunk)
        if len(self.waiting) >= _AT_ONCE:
            self.flush()
        self.on_bytes(len(chunk))
        return self.got <= self.entry.size

    def flush(self) -> None:
        """Writes and hashes what has arrived."""
        self.file.write(self.waiting)
        self.sha256.update(self.waiting)
        if self.git:
            self.git.update(self.waiting)
        self.waiting.clear()

    def wrong(self, pin: Pin | None) -> str:
        """What is wrong with the whole file; empty if nothing is."""
        self.flush()
        if self.got != self.entry.size:
            return f"is {'longer' if self.got > self.entry.size else 'shorter'} than {self.entry.size} bytes"
        digest, oid = self.sha256.hexdigest(), (self.git or self.sha256).hexdigest()
        if oid != self.entry.oid:
            return f"has the id {oid[:12]}..., and must have {self.entry.oid[:12]}..."
        return f"has the sha256 {digest[:12]}..., pinned is {pin.sha256[:12]}..." if pin and digest != pin.sha256 else ""


def download(
    cache: RepoCache,
    commit: str,
    name: str,
    entry: Entry,
    *,
    pin: Pin | None = None,
    on_bytes: Callable[[int], object] = lambda count: None,
    doubted: bool = False,
) -> bool:
    """Puts a file into the cache, verified. What is there already is taken as it is, unless it is ``doubted``: then it is read first.
    Where the whole file is there already, nothing is written, and so no lock is needed.

    Returns:
        Whether it was fetched.

    Raises:
        IntegrityError: twice it came as something else, or the Hub has something else than what is pinned.
        HubError: it did not come.
        ResourceError: the cache cannot be written.
        LockTimeout: another process has been fetching it for too long.
    """
    if pin and (pin.size != entry.size or (len(entry.oid) == 64 and pin.sha256 != entry.oid)):
        raise IntegrityError(
            f"{name} of {cache.repo} at {commit[:12]} on {host()} is not what is pinned",
            "update the package that pins it; is HF_ENDPOINT right?",
        )
    if not doubted and cache.has(commit, name, entry.oid, entry.size):
        return False
    try:
        with cache.lock(entry.oid, name):
            if doubted and not _is(cache, entry):
                cache.remove(commit, name, entry.oid)
            missing = not cache.blob(entry.oid).exists()
            if missing:
                _fetch(cache, commit, name, entry, pin, on_bytes)
            cache.link(commit, name, entry.oid)
            return missing
    except OSError as error:
        raise disk_error(f"cannot write into the cache {cache.root}", error, "set HF_HOME to another folder") from error


def _is(cache: RepoCache, entry: Entry) -> bool:
    """Whether the blob that lies in the cache is what its name says."""
    digest = hashlib.sha256() if len(entry.oid) == 64 else hashlib.sha1(b"blob %d\0" % entry.size)
    try:
        with cache.blob(entry.oid).open("rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
    except OSError:
        return False
    return digest.hexdigest() == entry.oid


def _fetch(cache: RepoCache, commit: str, name: str, entry: Entry, pin: Pin | None, on_bytes: Callable[[int], object]) -> None:
    url = f"{endpoint()}/{cache.repo}/resolve/{commit}/{quote(name)}"
    what = f"{name} of {cache.repo}@{commit[:12]}"
    deadline = Deadline(host(), what, _FILE_SECONDS, pace=_PACE, longest=_LONGEST)
    wrong = ""
    for headers in ({}, {"Cache-Control": "no-cache"}):
        with cache.incoming(entry.oid) as file:
            body = _Body(file, entry, on_bytes)
            trying(what, lambda body=body, headers=headers: _receive(url, headers, what, body, deadline), deadline)  # type: ignore[misc]
            wrong = body.wrong(pin)
            if not wrong:
                cache.keep(file, entry.oid)
                return
            body.restart()
    raise IntegrityError(f"{what} came from {host()} twice, and {wrong}", "try again later; tell its authors if it stays so")


def _receive(url: str, headers: Mapping[str, str], what: str, body: _Body, deadline: Deadline) -> None:
    """One try; it goes on where the last one stopped, if the server can."""
    if body.got >= body.entry.size:
        return
    start = {"Range": f"bytes={body.got}-"} if body.got else {}
    with answer(url, {**headers, **start}, what) as response:
        if body.got and not (response.status_code == 206 and response.headers.get("Content-Range", "").startswith(f"bytes {body.got}-")):
            body.restart()
        for chunk in response.iter_raw():
            deadline.check()
            deadline.received += len(chunk)
            if not body.add(chunk):
                return
