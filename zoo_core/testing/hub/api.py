"""What all answers of the Hub have in common: the call, who may do what, lists in pages, and refusals. No sockets here."""

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
    """A request that was read in full. ``path`` is as it was sent; ``user`` is None without a token, and empty for a wrong one."""

    method: str
    path: str
    query: Mapping[str, Sequence[str]]
    body: bytes = b""
    range: str | None = None
    user: str | None = None

    def flag(self, name: str) -> bool:
        """Whether the query says yes."""
        return self.one(name).lower() in ("1", "true")

    def one(self, name: str, default: str = "") -> str:
        """The query's last value of that name."""
        return self.query.get(name, [default])[-1]

    def json(self) -> Any:
        """The body."""
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise Refusal(400, f"the body is no JSON: {error}") from error


class Api:
    """What a Hub answers.

    Args:
        store: what it answers from, and what uploads change.
        endpoint: the Hub's own address, for the links in its answers.
        content: the address of large files: another origin, as that of a real Hub is, so that the client sends no token there.
        page_size: entries of a list in one answer.
    """

    def __init__(self, store: Store, endpoint: str, content: str, page_size: int) -> None:
        self.store = store
        self.endpoint = endpoint
        self.content = content
        self.page_size = page_size

    # Who may do what

    def repo(self, call: Call, repo_id: str) -> Repo:
        """A repository that the caller may see. A private one and none at all give the same answer."""
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
        """One page of a list, with a Link header to the next."""
        start, size = int(call.one("cursor", "0")), min(int(call.one("limit", "1000")), self.page_size)
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
    """The answer that a refusal is."""
    headers = {"X-Error-Message": ascii(refusal.message)[1:-1], **refusal.headers}
    if refusal.code:
        headers["X-Error-Code"] = refusal.code
    return as_json({"error": refusal.message}, refusal.status, headers)


def check_owner(call: Call) -> None:
    """Refuses all but the owner: 401 without a token, 403 with another."""
    if call.user is None:
        raise Refusal(401, "Invalid username or password.")
    if call.user != OWNER:
        raise Refusal(403, "You don't have the rights to do that")
