"""Moves of branches and tags on the Hub since they were last fetched: which are updates, and which are refused.

Nothing pins a repository that is named by ORG/NAME, so the first fetch is trusted, and remembered (trust on first use). Later a
branch may go forward to a commit that has the last one in its history. A branch that goes back, or to another history, and a tag
that moves, are refused until the user accepts the move. The history is what the Hub says it is; commits that were fetched here
before are remembered on this machine.
"""

import logging
from itertools import islice

from zoo_core.errors import HubError, TrustError
from zoo_core.hub.cache import COMMIT
from zoo_core.hub.client import get_json_pages, host
from zoo_core.hub.repository import Repository

__all__ = ["check_move"]

_MAX_PAGES = 20  # of fifty commits each, as the Hub sends them
_log = logging.getLogger(__name__)


def check_move(repository: Repository, revision: str, commit: str, *, accept: bool = False) -> None:
    """Compares the commit of a branch or tag with the one that was last fetched, and says if it went forward.

    >>> check_move(Repository("zoo/never-fetched"), "main", "0" * 40)

    Args:
        repository: repository.
        revision: branch, tag or commit.
        commit: commit that the Hub gives for it now.
        accept: whether every move is accepted.

    Raises:
        TrustError: if a branch went back or to another history, or a tag moved, and the move is not accepted.
    """
    last = repository.cache.ref(revision)
    if COMMIT.fullmatch(revision) or last in (None, commit):
        return
    problem = _problem(repository, revision, last, commit)
    name = f"{revision} of {repository.name}"
    if problem and not accept:
        keep = f"{repository.name}@{last}"
        raise TrustError(
            f"{name} on {host()} {problem}: {last[:12]} before, {commit[:12]} now",
            f"{keep} is what you had; `zoo pull --accept-move {repository.name}@{revision}` takes the other, if its author says so",
        )
    _log.warning("zoo: %s moved from %s to %s since it was last fetched", name, last[:12], commit[:12])


def _problem(repository: Repository, revision: str, last: str, commit: str) -> str:
    """What is wrong with a move, in words; empty for an update."""
    if commit in repository.cache.seen(revision):
        return "went back to an older commit"
    if revision != "main" and _is_tag(repository, revision):
        return "is a tag, and moved"
    if _descends(repository, commit, last):
        return ""
    return "went back to an older commit" if _descends(repository, last, commit) else "has another history now"


def _is_tag(repository: Repository, revision: str) -> bool:
    return revision in repository.tags()


def _descends(repository: Repository, commit: str, ancestor: str) -> bool:
    """Whether the Hub says that ``ancestor`` is in the history of a commit; False if it does not say so within some pages."""
    what = f"the commits of {repository.name}"
    try:
        pages = islice(get_json_pages(f"/api/models/{repository.name}/commits/{commit}", what), _MAX_PAGES)
        return any(isinstance(entry, dict) and entry.get("id") == ancestor for page in pages for entry in page)
    except HubError:
        return False
