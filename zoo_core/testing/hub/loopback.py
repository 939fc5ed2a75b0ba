"""The Hub as tests see it: repositories without HTTP, the log, faults, and the environment of its clients."""

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

    >>> with loopback_hub() as hub:
    ...     commit = hub.add_repo("zoo/cats", {"config.json": b"{}"})
    ...     hub.read("zoo/cats", "config.json")
    b'{}'

    Args:
        page_size: number of entries of a list in one answer; a Link header leads to the next page.

    Attributes:
        endpoint: address of the Hub, ``http://127.0.0.1:PORT``.
        content_endpoint: address of large files, on another port and so of another origin, to which a client must not send its token.
        token: token of ``zoo``, the user who owns every repository.
        visitor_token: token of ``visitor``, a user who may read repositories that are neither private nor gated.
    """

    def __init__(self, page_size: int = 1000) -> None:
        self.token = TOKEN
        self.visitor_token = VISITOR_TOKEN
        self._log = Log()
        self._store = Store()
        users = {TOKEN: OWNER, VISITOR_TOKEN: VISITOR}
        self._content = Server("content", self._log, users, lambda call: content_answer(self._api, call))
        self._hub = Server("hub", self._log, users, lambda call: hub_answer(self._api, call))
        self.endpoint = self._hub.address
        self.content_endpoint = self._content.address
        self._api = Api(self._store, self.endpoint, self.content_endpoint, page_size)

    def add_repo(self, id: str, files: Mapping[str, bytes], *, private: bool = False, gated: bool = False, tags: Sequence[str] = ()) -> str:
        """Adds a repository without HTTP. File names are not checked, so that hostile ones are possible.

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
        """The present repositories by their ids."""
        with self._store.lock:
            return MappingProxyType(dict(self._store.repos))

    @property
    def requests(self) -> tuple[Request, ...]:
        """The requests to both addresses so far, in the order of arrival."""
        return self._log.requests

    def fault(self, match: Match, **what: Any) -> AbstractContextManager[Fault]:
        """Inside a ``with`` block, matching requests have a fault; the keywords are those of :class:`Fault`.

        ``with hub.fault(r"GET .*/model\\.safetensors", flip=100, times=1) as fault: ...; assert fault.hits == 1``
        """
        return self._log.fault(match, **what)

    def environment(self, home: Path) -> dict[str, str]:
        """The variables of a client process that uses this Hub as its owner, with its cache below ``home``.

        ``HF_HUB_OFFLINE``, ``HF_HUB_CACHE`` and ``HF_TOKEN_PATH`` must be unset besides.
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
    """Inside a ``with`` block, a Hub runs in threads of this process. Afterwards its threads and sockets are closed.

    Args:
        page_size: number of entries of a list in one answer.

    Raises:
        ExceptionGroup: at the end, with the exceptions of the tests' hooks in its threads.
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
