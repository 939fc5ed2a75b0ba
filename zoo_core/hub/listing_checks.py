"""Checks of the files that the Hub lists for a commit, before any of them is fetched."""

import logging

from zoo_core.checkpoint.files import CONFIG, WEIGHTS
from zoo_core.errors import IntegrityError, NotFoundError, UnsafeContentError
from zoo_core.hub.client import host
from zoo_core.hub.repository import Listing, Repository
from zoo_core.registry import Reference

__all__ = ["check_checkpoint", "check_same_files", "warn_of_names"]

_MAX_FILES = 100
_SHOWN = 3
_log = logging.getLogger(__name__)


def check_checkpoint(reference: Reference, listing: Listing) -> None:
    """Refuses a repository that is not a checkpoint before any download, and warns of files that are left out.

    Raises:
        NotFoundError: if there is no config, or there are no weights.
        UnsafeContentError: if there are too many files.
    """
    for name in (CONFIG, WEIGHTS):
        if name not in listing.files:
            raise NotFoundError(f"{reference} is not a checkpoint of the zoo: it has no {name}", "`zoo list --remote` shows checkpoints")
    if len(listing.files) > _MAX_FILES:
        raise UnsafeContentError(f"{reference} holds {len(listing.files)} files, and a checkpoint at most {_MAX_FILES}", "do not use it")
    skipped = [name for name in listing.skipped if name != ".gitattributes"]
    if skipped:
        more = f" and {len(skipped) - _SHOWN} more" if len(skipped) > _SHOWN else ""
        named = ", ".join(repr(name[:60]) for name in skipped[:_SHOWN])
        _log.warning("zoo: warning: not fetched from %s, since no checkpoint needs it: %s%s", reference, named, more)


def warn_of_names(repository: Repository, revision: str, listing: Listing) -> None:
    """Warns of ambiguous names: a renamed repository, and a tag with the name of a branch."""
    repo = repository.name
    if listing.renamed:
        _log.warning("zoo: warning: %s is now %s on %s; write that", repo, listing.renamed, host())
    if revision not in ("main", listing.commit) and len(repository.commits_of(revision)) > 1:
        hint = f"to be sure, write {repo}@{listing.commit}"
        _log.warning("zoo: warning: %s has a branch and a tag %s; %s gave %s -- %s", repo, revision, host(), listing.commit[:12], hint)


def check_same_files(repository: Repository, listing: Listing) -> None:
    """Compares the listed files of a commit with those that it had when it was first fetched: a commit never changes.

    >>> check_same_files(Repository("zoo/never-fetched"), Listing(commit="0" * 40, files={}, skipped=()))

    Raises:
        IntegrityError: if a file has another id now.
    """
    known = repository.cache.required_oids(listing.commit) or {}
    changed = sorted(name for name, oid in known.items() if name in listing.oids and listing.oids[name] != oid)
    if changed:
        what = f"{host()} lists another {changed[0]} of {repository.name} at {listing.commit[:12]} than when it was first fetched"
        raise IntegrityError(what, "a commit never changes: do not use it; is HF_ENDPOINT right?")
