"""``verify``: checks installed files against their pins. Nothing is fetched, and nothing is mended."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from zoo_core.checkpoint.content import check_file
from zoo_core.checkpoint.files import Files
from zoo_core.errors import CardError, ConfigError, IntegrityError, NotFoundError, ResourceError, UnsafeContentError, UsageError
from zoo_core.hub.cache import COMMIT, RepoCache, cache_folder
from zoo_core.hub.fetch import places, unpinned_in_cache
from zoo_core.registry import Claim, Reference, parse_reference, registry
from zoo_core.specs import CheckpointSpec

__all__ = ["State", "Verdict", "here", "verdicts", "verify"]

State = Literal["ok", "missing", "differs", "unsafe", "unreadable"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What was found of a file: ``unsafe`` is what has its pinned digest and still must not be opened, such as weights with NaN."""

    reference: str
    file: str
    source: str
    state: State
    why: str = ""


def verify(*references: "str | os.PathLike[str]") -> list[Verdict]:
    """Reads every file of the given checkpoints, in each place that holds them, and compares it with its pin.

    Args:
        references: of checkpoints; all registered ones that are here when none is given. One that nothing pins, from the Hub, is compared
            with the ids that the Hub gave its files when they were fetched.

    Raises:
        UsageError: a reference is none, or means a local folder, which nothing pins.
        UnknownNameError, NameConflictError: no installed plugin, or several, have a checkpoint of that name.
        NotFoundError: one of the given checkpoints is not here.
    """
    return list(verdicts(*references))


def verdicts(*references: "str | os.PathLike[str]") -> Iterator[Verdict]:
    """As :func:`verify`, one file after the other."""
    for reference in map(parse_reference, references):
        if reference.kind == "local":
            raise UsageError(f"nothing pins {reference}", "`zoo pull PATH` reads and checks the files of a folder")
        yield from _verdicts(here(reference))
    if not references:
        for claims in registry().claims(CheckpointSpec).values():
            for claim in claims:
                name = claim.spec.name if len(claims) == 1 else claim.name
                yield from _verdicts(places(Reference(kind="name", name=name), claim))


def here(reference: Reference) -> list[Files]:
    """The files of a checkpoint in every place here, asking no network.

    Raises:
        UnknownNameError, NameConflictError: no installed plugin, or several, have a checkpoint of that name.
        NotFoundError: it is not here.
    """
    found = _registered(reference) if reference.kind == "name" else _hosted(reference)
    if not found:
        raise NotFoundError(f"{reference} is not here", f"`zoo pull {reference}` fetches it")
    return found


def _registered(reference: Reference) -> list[Files]:
    claim: Claim = registry().claim(CheckpointSpec, reference.name)
    return places(reference, claim)


def _hosted(reference: Reference) -> list[Files]:
    revision = reference.revision or "main"
    commit = revision if COMMIT.fullmatch(revision) else RepoCache(reference.name, cache_folder()).ref(revision)
    files = unpinned_in_cache(reference, commit) if commit else None
    return [files] if files else []


def _verdicts(found: list[Files]) -> Iterator[Verdict]:
    """Of all files in all places; what a place lacks counts only where no place is whole."""
    missing: list[list[Verdict]] = []
    for files in found:
        missing.append([])
        for verdict in (_verdict(files, name) for name in files.names):
            if verdict.state == "missing":
                missing[-1].append(verdict)
            else:
                yield verdict
    if all(missing):
        yield from (verdict for lacking in missing[:1] for verdict in lacking)


def _verdict(files: Files, name: str) -> Verdict:
    state, why = _state(files, name)
    return Verdict(reference=str(files.reference), file=name, source=files.source, state=state, why=why)


def _state(files: Files, name: str) -> tuple[State, str]:
    try:
        check_file(replace(files, fresh=frozenset(), again=None), name)
    except NotFoundError as error:
        return "missing", error.what
    except IntegrityError as error:
        return "differs", error.what
    except (CardError, ConfigError, UnsafeContentError) as error:
        return "unsafe", error.what
    except ResourceError as error:
        return "unreadable", error.what
    return "ok", ""
