"""The Hub that tests hold in their hands: repositories without HTTP, the log, faults, and the environment of its clients."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

from zoo_core.testing.hub.api import OWNER, VISITOR, Api
from zoo_core.testing.hub.faults import Fault, Log, Match, Request
from zoo_core.testing.hub.routes import content_answer, hub_answer
from zoo_core.testing.hub.server import Server
from zoo_core.testing.hub.store import Blob, Commit, Repo, Store, is_lfs, make_blob

__all__ = ["LoopbackHub", "loopback_hub"]

TOKEN, VISITOR_TOKEN = "hf_loopback", "hf_loopback_visitor"


class LoopbackHub:
    """A running Hub, from :func:`loopback_hub`.

    Args:
        page_size: entries of a list in one answer; the next page is behind a Link header.

    Attributes:
        endpoint: ``http://127.0.0.1:PORT``.
        content_endpoint: the address of large files: another port, and so another origin, to which a client must not send its token.
        token: of ``zoo``, the user who owns every repository of every namespace.
        visitor_token: of ``visitor``, a user who may read what is public and neither private nor gated.
    """

    def __init__(self, page_size: int = 1000) -> None:
        self.token, self.visitor_token = TOKEN, VISITOR_TOKEN
        self._log, self._store = Log(), Store()
        users = {TOKEN: OWNER, VISITOR_TOKEN: VISITOR}
        self._content = Server("content", self._log, users, lambda call: content_answer(self._api, call))
        self._hub = Server("hub", self._log, users, lambda call: hub_answer(self._api, call))
        self.endpoint, self.content_endpoint = self._hub.address, self._content.address
        self._api = Api(self._store, self.endpoint, self.content_endpoint, page_size)

    def add_repo(self, id: str, files: Mapping[str, bytes], *, private: bool = False, gated: bool = False, tags: Sequence[str] = ()) -> str:
        """Puts a repository there without HTTP. File names are taken as they are, hostile ones too.

        Returns:
            The id of its only commit.
        """
        repo = Repo(id=id, private=private, gated=gated, tags=tuple(tags))
        with self._store.lock:
            return self._store.create(repo, _blobs(files), "initial commit").id

    def commit(self, id: str, files: Mapping[str, bytes], message: str = "another commit") -> str:
        """Adds or replaces files of a repository without HTTP.

        Returns:
            The id of the commit.
        """
        with self._store.lock:
            repo = self._store.repos[id]
            return self._store.commit(repo, {**repo.head.files, **_blobs(files)}, message).id

    def read(self, id: str, path: str, revision: str = "main") -> bytes:
        """The bytes of a file."""
        with self._store.lock:
            return self._store.repos[id].at(revision).blob(path).data

    def commits(self, id: str) -> tuple[Commit, ...]:
        """The history of ``main``, the newest commit first."""
        with self._store.lock:
            return tuple(self._store.repos[id].history("main"))

    @property
    def repos(self) -> Mapping[str, Repo]:
        """The repositories by their ids, as they are now."""
        with self._store.lock:
            return MappingProxyType(dict(self._store.repos))

    @property
    def requests(self) -> tuple[Request, ...]:
        """What was asked so far, of both addresses, in the order of arrival."""
        return self._log.requests

    def fault(self, match: Match, **what: Any) -> AbstractContextManager[Fault]:
        """Inside a ``with`` block, what matches goes wrong: the keywords are those of :class:`Fault`.

        ``with hub.fault(r"GET .*/model\\.safetensors", flip=100, times=1) as fault: ...; assert fault.hits == 1``
        """
        return self._log.fault(match, **what)

    def environment(self, home: Path) -> dict[str, str]:
        """The variables by which a client process finds this Hub, logs in as its owner and keeps its cache below ``home``.

        Unset ``HF_HUB_OFFLINE``, ``HF_HUB_CACHE`` and ``HF_TOKEN_PATH`` beside, where they may be set.
        """
        return {
            "HF_ENDPOINT": self.endpoint,
            "HF_HOME": str(home),
            "HF_TOKEN": self.token,
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "HF_HUB_DISABLE_UPDATE_CHECK": "1",
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
        }


def _blobs(files: Mapping[str, bytes]) -> dict[str, Blob]:
    return {path: make_blob(data, is_lfs(path, len(data))) for path, data in files.items()}


@contextmanager
def loopback_hub(*, page_size: int = 1000) -> Iterator[LoopbackHub]:
    """Inside a ``with`` block, a Hub runs in threads of this process. Afterwards neither threads nor sockets are left.

    Raises:
        ExceptionGroup: at the end, what hooks of tests raised in its threads.
    """
    hub = LoopbackHub(page_size)
    servers = (hub._hub, hub._content)
    for server in servers:
        server.start()
    try:
        yield hub
    finally:
        for server in servers:
            server.stop()
    if hub._log.errors:
        raise ExceptionGroup("in the threads of the loopback Hub", hub._log.errors)
