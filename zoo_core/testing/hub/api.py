"""The common parts of all answers of the Hub: the call, permissions, lists in pages, and refusals; without sockets."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from zoo_core.testing.hub.faults import Answer
from zoo_core.testing.hub.store import Refusal, Repo, Store

__all__ = ["OWNER", "VISITOR", "Api", "Call", "as_json", "check_owner", "refused"]

OWNER, VISITOR = "zoo", "visitor"


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """A request that was read in full.

    >>> Call(method="GET", path="/api/models", query={"full": ["true"]}).flag("full")
    True

    Args:
        method: HTTP method.
        path: path as it was sent, without the query.
        query: values of the query by name.
        body: body of the request.
        range: the Range header.
        user: name of the caller; None without a token, empty for a wrong one.
    """

    method: str
    path: str
    query: Mapping[str, Sequence[str]]
    body: bytes = b""
    range: str | None = None
    user: str | None = None

    def flag(self, name: str) -> bool:
        """Whether the query has ``1`` or ``true`` under a name."""
        return self.one(name).lower() in ("1", "true")

    def one(self, name: str, default: str = "") -> str:
        """The last value of a name in the query."""
        return self.query.get(name, [default])[-1]

    def json(self) -> Any:
        """The JSON of the body.

        Raises:
            Refusal: if it is not JSON.
        """
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise Refusal(400, f"the body is not JSON: {error}") from error


class Api:
    """The state and the addresses of a Hub, for its answers.

    >>> from zoo_core.testing.hub.store import Store
    >>> api = Api(Store(), "http://127.0.0.1:1", "http://127.0.0.1:2", page_size=2)
    >>> api.paged(Call(method="GET", path="/list", query={}), [1, 2, 3]).body
    b'[1, 2]'

    Args:
        store: repositories and files.
        endpoint: address of the Hub, for links in its answers.
        content: address of large files, of another origin, as on a real Hub, so that the client sends no token there.
        page_size: number of entries of a list in one answer.
    """

    def __init__(self, store: Store, endpoint: str, content: str, page_size: int) -> None:
        self.store = store
        self.endpoint = endpoint
        self.content = content
        self.page_size = page_size

    # Permissions

    def repo(self, call: Call, repo_id: str) -> Repo:
        """A repository that the caller may see.

        Raises:
            Refusal: if there is none, or it is private; both give the same answer.
        """
        repo = self.store.repos.get(repo_id)
        if repo is None or (repo.private and call.user != OWNER):
            if call.user is None:
                raise Refusal(401, "Invalid username or password.", "RepoNotFound")
            raise Refusal(404, "Repository not found", "RepoNotFound")
        return repo

    def open_repo(self, call: Call, repo_id: str) -> Repo:
        """A repository whose files the caller may read."""
        repo = self.repo(call, repo_id)
        if repo.gated and call.user != OWNER:
            raise Refusal(401 if call.user is None else 403, f"Access to model {repo_id} is restricted", "GatedRepo")
        return repo

    def own_repo(self, call: Call, repo_id: str) -> Repo:
        """A repository that the caller may change."""
        check_owner(call)
        return self.repo(call, repo_id)

    # Lists

    def paged(self, call: Call, items: Sequence[object]) -> Answer:
        """A page of a list, with a Link header to the next one."""
        start = int(call.one("cursor", "0"))
        size = min(int(call.one("limit", "1000")), self.page_size)
        headers = {}
        if start + size < len(items):
            query = urlencode({**call.query, "cursor": str(start + size)}, doseq=True)
            headers["Link"] = f'<{self.endpoint}{call.path}?{query}>; rel="next"'
        return as_json(items[start : start + size], headers=headers)


def as_json(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    """An answer that carries JSON."""
    body = json.dumps(value, default=str).encode()
    return Answer(status=status, headers={"Content-Type": "application/json; charset=utf-8", **(headers or {})}, body=body)


def refused(refusal: Refusal) -> Answer:
    """The answer of a refusal."""
    headers = {"X-Error-Message": ascii(refusal.message)[1:-1], **refusal.headers}
    if refusal.code:
        headers["X-Error-Code"] = refusal.code
    return as_json({"error": refusal.message}, refusal.status, headers)


def check_owner(call: Call) -> None:
    """Checks that the caller is the owner.

    Raises:
        Refusal: 401 without a token, 403 with another one.
    """
    if call.user is None:
        raise Refusal(401, "Invalid username or password.")
    if call.user != OWNER:
        raise Refusal(403, "You don't have the rights to do that")
