"""One repository on the Hub: the files of a revision, and their verified download into the cache.

Files end up in the cache of the Hub's own client, under its locks. The requests, however, are made by
:mod:`zoo_core.hub.client` and not by ``hf_hub_download``, for three reasons:

- A server's name for a file or a commit never becomes a path unchecked. The client names blobs by the ETag of a HEAD
  request of its own, which a check before the call cannot vouch for: a hostile server may answer the second request in
  another way. Here names come from one listing that was checked; the ids in the headers are used for nothing.
- A body is hashed as it arrives, and gets into the cache only if it is the listed file. The client checks sizes at
  most, and keeps wrong files for ever. A body that is too long is left at its first byte too many.
- Every request is bounded in time and tries. The client repeats a HEAD for minutes, and listings without a limit.

Xet is not used: the Hub serves files that are stored there by plain HTTP as well.
"""

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from zoo_core.atomic import disk_error
from zoo_core.checkpoint.files import WEIGHTS, max_size
from zoo_core.errors import HubError, IntegrityError, UnsafeContentError
from zoo_core.hub.cache import COMMIT, OID, RepoCache, cache_folder
from zoo_core.hub.client import get_json, host
from zoo_core.hub.download import OnBytes, RemoteFile, progress_bar, receive
from zoo_core.registry import REPO
from zoo_core.specs import Pin

__all__ = ["Listing", "Repository"]

_REPO = re.compile(REPO)


@dataclass(frozen=True, kw_only=True, slots=True)
class Listing:
    """The files of a revision.

    Args:
        commit: id of the commit that the revision is.
        files: wanted files, by name.
        skipped: names of all other files.
        renamed: the repository's present name, if the Hub still knows it by the one that was asked for; otherwise
            empty.

    Example:
        >>> from zoo_core.hub.download import RemoteFile
        >>> from zoo_core.hub.repository import Listing
        >>> listing = Listing(commit="0" * 40, files={"config.json": RemoteFile("config.json", "1" * 40, 6)}, skipped=("run.py",))
        >>> listing.oids["config.json"] == "1" * 40, listing.size
        (True, 6)
    """

    commit: str
    files: Mapping[str, RemoteFile]
    skipped: tuple[str, ...]
    renamed: str = ""

    @property
    def oids(self) -> dict[str, str]:
        """Ids of the wanted files, by name."""
        return {name: file.oid for name, file in self.files.items()}

    @property
    def size(self) -> int:
        """Size of the wanted files together, in bytes."""
        return sum(file.size for file in self.files.values())


class Repository:
    """A repository on the Hub, with its folder in the cache on this machine.

    Args:
        name: ``ORG/NAME``.
        kind: ``models`` or ``datasets``.

    Attributes:
        cache: its part of the cache, in the folder that the environment names when the object is made.

    Example:
        >>> from zoo_core.hub.repository import Repository
        >>> Repository("zoo/cats").cache.folder.name
        'models--zoo--cats'
    """

    def __init__(self, name: str, kind: str = "models") -> None:
        self.name = name
        self.kind = kind
        self.cache = RepoCache(name, cache_folder(), kind)

    def source(self, commit: str) -> str:
        """The repository at a commit, for messages."""
        return f"{host()}, {self.name} at {commit[:12]}"

    def listing(self, revision: str, is_wanted: Callable[[str], bool], layout: str = "") -> Listing:
        """The files of a revision, in one request.

        Args:
            revision: a commit, branch or tag.
            is_wanted: tells by its name whether a file is wanted.
            layout: the layout of the files, on which the limits of their sizes depend; empty for that of the zoo.

        Raises:
            HubError: if the Hub cannot be reached, or its answer is not a description of a repository.
            IntegrityError: if it answers with another commit than was asked for.
            UnsafeContentError: if a commit, an id or a name in the answer could lead out of the cache.
        """
        data = get_json(f"/api/{self.kind}/{self.name}/revision/{quote(revision, safe='')}", {"blobs": "true"}, f"{self.name}@{revision}")
        siblings = data.get("siblings") if isinstance(data, dict) else None
        if not isinstance(data, dict) or not isinstance(siblings, list):
            raise HubError(f"{host()} does not say what {self.name} holds", "is HF_ENDPOINT a Hugging Face Hub?")
        commit = data.get("sha")
        if not isinstance(commit, str) or not COMMIT.fullmatch(commit):
            raise self._unsafe(f"{commit!r:.60} is not the id of a commit")
        if COMMIT.fullmatch(revision) and commit != revision:
            what = f"{host()} was asked for {self.name} at {revision[:12]} and answered with {commit[:12]}"
            raise IntegrityError(what, "is HF_ENDPOINT right?")
        entries = {self._checked_name(sibling): sibling for sibling in siblings}
        files = {name: self._checked_file(name, entry, max_size(name, layout)) for name, entry in entries.items() if is_wanted(name)}
        if len({name.lower() for name in files}) != len(files):
            raise self._unsafe("it has two files whose names differ in case alone")
        name = data.get("id")
        renamed = name if isinstance(name, str) and _REPO.fullmatch(name) and name != self.name else ""
        return Listing(commit=commit, files=files, skipped=tuple(name for name in entries if name not in files), renamed=renamed)

    def tags(self) -> frozenset[str]:
        """Names of the tags; empty if the Hub does not say."""
        return frozenset(ref["name"] for ref in self._refs("tags") if isinstance(ref.get("name"), str))

    def _refs(self, *kinds: str) -> list[dict[str, Any]]:
        """Branches and tags, as the Hub describes them; none if it does not."""
        try:
            refs = get_json(f"/api/{self.kind}/{self.name}/refs", {}, f"the branches and tags of {self.name}")
        except HubError:
            return []
        listed = [refs.get(kind) for kind in kinds] if isinstance(refs, dict) else []
        return [ref for entries in listed if isinstance(entries, list) for ref in entries if isinstance(ref, dict)]

    def commits_of(self, revision: str) -> tuple[str, ...]:
        """The commits that a name refers to, as a branch and as a tag.

        Two if both exist and differ, none if the Hub does not say.
        """
        named = [ref for ref in self._refs("branches", "tags") if ref.get("name") == revision]
        commits = [ref.get("targetCommit") for ref in named]
        return tuple(dict.fromkeys(commit if isinstance(commit, str) and COMMIT.fullmatch(commit) else "" for commit in commits))

    def download(
        self,
        commit: str,
        file: RemoteFile,
        *,
        pin: Pin | None = None,
        on_bytes: OnBytes = lambda count: None,
        doubted: bool = False,
    ) -> bool:
        """Puts a file into the cache, verified.

        Nothing is written, and no lock is needed, if the whole file is there already.

        Args:
            commit: commit that holds the file.
            file: the listed file.
            pin: pinned sha256 and size of it, if any.
            on_bytes: called as bytes arrive.
            doubted: whether a file that is there already is read and compared first.

        Returns:
            Whether the file was fetched.

        Raises:
            IntegrityError: if the file arrived twice and was not the listed one, or the listed one is not the pinned
                one.
            HubError: if the file did not arrive.
            ResourceError: if the cache cannot be written.
            LockTimeout: if another process has been fetching the file for too long.
        """
        if pin and (pin.size != file.size or (file.is_large and pin.sha256 != file.oid)):
            raise IntegrityError(
                f"{file.name} of {self.name} at {commit[:12]} on {host()} is not the pinned file",
                "update the package or the lock file that pins it; is HF_ENDPOINT right?",
            )
        if not doubted and self.cache.has(commit, file.name, file.oid, file.size):
            return False
        try:
            with self.cache.lock(file.oid, file.name):
                if doubted and not self.holds(file):
                    self.cache.remove(commit, file.name, file.oid)
                missing = not self.cache.blob(file.oid).exists()
                if missing:
                    receive(self.cache, commit, file, pin, on_bytes)
                self.cache.link(commit, file.name, file.oid)
                return missing
        except OSError as error:
            raise disk_error(f"cannot write into the cache {self.cache.root}", error, "set HF_HOME to another folder") from error

    def download_all(self, listing: Listing, pins: Mapping[str, Pin]) -> frozenset[str]:
        """Fetches all files of a listing that are not in the cache, with a progress bar on a terminal; weights come last.

        Args:
            listing: the files.
            pins: pinned sha256 and size of some or all of them.

        Returns:
            The names of the files that were fetched.

        Raises:
            ZooError: as :meth:`download` does.
        """
        self.cache.remove_unfinished()
        ordered = sorted(listing.files.values(), key=lambda file: (file.name == WEIGHTS, file.name))
        with progress_bar(self.name, listing.size) as on_bytes:
            return frozenset(
                file.name for file in ordered if self.download(listing.commit, file, pin=pins.get(file.name), on_bytes=on_bytes)
            )

    def holds(self, file: RemoteFile) -> bool:
        """Whether the blob of a file in the cache has the content that its id names."""
        digest = hashlib.sha256() if file.is_large else hashlib.sha1(b"blob %d\0" % file.size)
        try:
            with self.cache.blob(file.oid).open("rb") as blob:
                while chunk := blob.read(1 << 20):
                    digest.update(chunk)
        except OSError:
            return False
        return digest.hexdigest() == file.oid

    def _unsafe(self, what: str) -> UnsafeContentError:
        return UnsafeContentError(f"{self.name} on {host()}: {what}", "do not use it; tell its authors, or whoever runs that Hub")

    def _checked_name(self, sibling: object) -> str:
        name = sibling.get("rfilename") if isinstance(sibling, dict) else None
        parts = name.split("/") if isinstance(name, str) else [""]
        if not isinstance(name, str) or not name.isprintable() or "\\" in name or not {"", ".", ".."}.isdisjoint(parts):
            raise self._unsafe(f"{name!r:.80} is not a name for a file")
        return name

    def _checked_file(self, name: str, sibling: Mapping[str, Any], largest: int) -> RemoteFile:
        lfs = sibling.get("lfs")
        is_large = isinstance(lfs, dict)
        oid = lfs.get("sha256") if isinstance(lfs, dict) else sibling.get("blobId")
        size = lfs.get("size") if isinstance(lfs, dict) else sibling.get("size")
        if not isinstance(oid, str) or not OID.fullmatch(oid) or (len(oid) == 64) != is_large:
            raise self._unsafe(f"{oid!r:.60}, the id of {name} there, is not the id of a file")
        if type(size) is not int or not 0 <= size <= largest:
            raise self._unsafe(f"{name} has {size!r:.60} bytes, and may have {largest} at most")
        return RemoteFile(name, oid, size)
