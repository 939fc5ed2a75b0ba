"""Checks of the files that the Hub lists for a commit, before any of them is fetched."""

import logging

from zoo_core.checkpoint.files import CONFIG, WEIGHTS
from zoo_core.errors import IntegrityError, NotFoundError, UnsafeContentError
from zoo_core.hub.client import host
from zoo_core.hub.repository import Listing, Repository
from zoo_core.registry import Reference, registry
from zoo_core.specs import CheckpointSpec
from zoo_core.trust.keys import carriers

__all__ = ["check_checkpoint", "check_count", "check_same_files", "is_near", "warn_of_names"]

_MAX_FILES = 100
_SHOWN = 3
_ALIKE = str.maketrans("01_.", "ol--")
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
    check_count(reference, listing)
    skipped = [name for name in listing.skipped if name != ".gitattributes"]
    if skipped:
        more = f" and {len(skipped) - _SHOWN} more" if len(skipped) > _SHOWN else ""
        named = ", ".join(repr(name[:60]) for name in skipped[:_SHOWN])
        _log.warning("zoo: warning: not fetched from %s, since no checkpoint needs it: %s%s", reference, named, more)


def check_count(reference: Reference, listing: Listing) -> None:
    """Refuses a repository with more files than a checkpoint has.

    Raises:
        UnsafeContentError: if there are too many files.
    """
    if len(listing.files) > _MAX_FILES:
        raise UnsafeContentError(f"{reference} holds {len(listing.files)} files, and a checkpoint at most {_MAX_FILES}", "do not use it")


def warn_of_names(repository: Repository, revision: str, listing: Listing) -> None:
    """Warns of ambiguous names: nearly that of a pinned or signed repository, a renamed repository, a tag with the name of a branch."""
    repo = repository.name
    specs = [claim.spec for claims in registry().claims(CheckpointSpec).values() for claim in claims]
    pinned = {spec.hub.repo for spec in specs if isinstance(spec, CheckpointSpec) and spec.hub}
    if repo not in pinned and (near := sorted(other for other in pinned if is_near(repo, other))):
        _log.warning("zoo: warning: %s is nearly %s, which an installed package pins; make sure which one you mean", repo, near[0])
    if signed := _near_signed(repo):
        what = "make sure which one you mean: of this one no signature is checked"
        _log.warning("zoo: warning: %s is nearly %s, for which %s carries keys; %s", repo, *signed, what)
    if listing.renamed:
        _log.warning("zoo: warning: %s is now %s on %s; write that", repo, listing.renamed, host())
    if revision not in ("main", listing.commit) and len(repository.commits_of(revision)) > 1:
        hint = f"to be sure, write {repo}@{listing.commit}"
        _log.warning("zoo: warning: %s has a branch and a tag %s; %s gave %s -- %s", repo, revision, host(), listing.commit[:12], hint)


def _near_signed(repo: str) -> tuple[str, str] | None:
    """The repositories for which a plugin carries keys, and the plugin, if a name is nearly theirs and they do not have it."""
    found: tuple[str, str] | None = None
    for carrier in carriers():
        listed = carrier.carried()
        if listed.covers(repo):
            return None
        for pattern in listed.repositories:
            if is_near(repo, pattern.replace("*", repo.partition("/")[2])):
                found = found or (pattern, carrier.dist)
    return found


def is_near(name: str, other: str) -> bool:
    """Whether a name differs from another by one letter, by two that changed places, by case, or by letters that look alike.

    >>> is_near("zoo/cat", "zoo/cats"), is_near("zoo/c4ts", "zoo/cats"), is_near("zoo/dogs", "zoo/cats")
    (True, True, False)
    """
    name, other = (text.lower().translate(_ALIKE) for text in (name, other))
    if name == other:
        return True
    start = next((i for i, (a, b) in enumerate(zip(name, other, strict=False)) if a != b), min(len(name), len(other)))
    rest, expected = name[start:], other[start:]
    swapped = rest[:2][::-1] == expected[:2] and rest[2:] == expected[2:]
    return swapped or expected in (rest[1:], rest) or rest[1:] == expected[1:] or rest == expected[1:]


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
