"""``verify``: comparison of the checkpoints on this machine with their pins. Nothing is fetched or replaced."""

import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from zoo_core.checkpoint.content import check_file
from zoo_core.checkpoint.files import Files
from zoo_core.errors import (
    CardError,
    ConfigError,
    IntegrityError,
    NotFoundError,
    ResourceError,
    TrustError,
    UnsafeContentError,
    UsageError,
)
from zoo_core.hub.cache import COMMIT
from zoo_core.hub.fetch import fetch, registered_copies, snapshot
from zoo_core.hub.repository import Repository
from zoo_core.hub.signed import check_by_key, check_signed, must_be_signed
from zoo_core.registry import Reference, parse_reference, registry
from zoo_core.specs import CheckpointSpec
from zoo_core.trust.keys import PublicKey
from zoo_core.trust.manifest import SIGNATURE

__all__ = ["State", "Verdict", "local_copies", "verdicts", "verify"]

State = Literal["ok", "missing", "differs", "unsafe", "unreadable", "untrusted", "unchecked"]
"""``unsafe``: a file with its pinned digest that must not be opened all the same, such as weights with NaN. ``untrusted``: a signature that
is not valid, or is missing, or cannot be checked. ``unchecked``: a signature by a key that nobody knows here."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """State of one file.

    Args:
        reference: reference of its checkpoint.
        file: name of the file; ``signature`` for the signature of all of them.
        source: place that holds it: a distribution and its version, or the cache.
        state: one of :data:`State`.
        why: reason, in words; empty for ``ok``.

    Example:
        >>> from zoo_core.hub.verify import Verdict
        >>> verdict = Verdict(reference="vae-mnist", file="config.json", source="zoo-vae 0.1.0", state="ok")
        >>> verdict.state, verdict.why
        ('ok', '')
    """

    reference: str
    file: str
    source: str
    state: State
    why: str = ""


def verify(*references: "str | os.PathLike[str]", key: Path | None = None) -> list[Verdict]:
    """Compares every file of the given checkpoints, in each place on this machine that holds them, with its pin.

    Args:
        references: names of checkpoints or repositories; without any, all registered checkpoints on this machine. Files
            of a repository that nothing pins are compared with the ids that the Hub listed when they were fetched, and
            its signatures are checked by the keys that installed plugins carry.
        key: file of public keys that must have signed the given checkpoints, which may be local folders then.

    Returns:
        A verdict for each file in each place.

    Raises:
        UsageError: if a reference is not valid, or is a local folder, which nothing pins, without ``key``.
        UnknownNameError, NameConflictError: if no installed plugin, or several, have a checkpoint of that name.
        NotFoundError: if a given checkpoint is not on this machine.
        ConfigError: if ``key`` holds no public keys.
        ResourceError: if ``key`` cannot be read.
    """
    return list(verdicts(*references, key=key))


def verdicts(*references: "str | os.PathLike[str]", key: Path | None = None) -> Iterator[Verdict]:
    """The verdicts of :func:`verify`, one file after the other."""
    keys = PublicKey.load_all(key) if key is not None else ()
    for reference in map(parse_reference, references):
        if reference.kind == "local" and key is None:
            raise UsageError(f"nothing pins {reference}", "`zoo pull PATH` reads the files of a folder; --key checks its signature")
        copies = [fetch(reference)] if reference.kind == "local" else local_copies(reference)
        yield from _verdicts(copies)
        for files in copies:
            yield from _signature(files, keys, str(key))
    if not references:
        for claims in registry().claims(CheckpointSpec).values():
            for claim in claims:
                name = claim.spec.name if len(claims) == 1 else claim.name
                yield from _verdicts(registered_copies(Reference(kind="name", name=name), claim))


def local_copies(reference: Reference) -> list[Files]:
    """The copies of a checkpoint on this machine, without any request.

    Args:
        reference: the name of a registered checkpoint, or of a repository.

    Raises:
        UnknownNameError, NameConflictError: if no installed plugin, or several, have a checkpoint of that name.
        NotFoundError: if there is no copy.
    """
    if reference.kind == "name":
        copies = registered_copies(reference, registry().claim(CheckpointSpec, reference.name))
    else:
        copies = _snapshots(reference)
    if not copies:
        raise NotFoundError(f"{reference} is not here", f"`zoo pull {reference}` fetches it")
    return copies


def _snapshots(reference: Reference) -> list[Files]:
    revision = reference.revision or "main"
    commit = revision if COMMIT.fullmatch(revision) else Repository(reference.name).cache.ref(revision)
    files = snapshot(reference, commit) if commit else None
    return [files] if files else []


def _verdicts(copies: list[Files]) -> Iterator[Verdict]:
    """The verdicts of all files in all places; missing files count only if no place has them all."""
    missing: list[list[Verdict]] = []
    for files in copies:
        missing.append([])
        for verdict in (_verdict(files, name) for name in files.names):
            if verdict.state == "missing":
                missing[-1].append(verdict)
            else:
                yield verdict
    if all(missing):
        yield from (verdict for lacking in missing[:1] for verdict in lacking)


def _signature(files: Files, keys: Collection[PublicKey], owner: str) -> Iterator[Verdict]:
    """The verdict of the signature of a repository, or of a folder; none if there is none, and no keys are given."""
    state: State = "ok"
    why = ""
    files = replace(files, repair=None)
    try:
        if keys:
            check_by_key(files, keys, owner)
        elif files.pins is not None or files.hub is None:
            return
        elif must_be_signed(files.hub.repo):
            check_signed(files, files.reference.revision or "main")
        elif SIGNATURE in files.names:
            state, why = "unchecked", f"no installed plugin carries keys for {files.hub.repo}; --key FILE checks it"
        else:
            return
    except (TrustError, NotFoundError) as error:
        state, why = "untrusted", error.what
    except IntegrityError as error:
        state, why = "differs", error.what
    except UnsafeContentError as error:
        state, why = "unsafe", error.what
    except ResourceError as error:
        state, why = "unreadable", error.what
    yield Verdict(reference=str(files.reference), file="signature", source=files.source, state=state, why=why)


def _verdict(files: Files, name: str) -> Verdict:
    state, why = _state(files, name)
    return Verdict(reference=str(files.reference), file=name, source=files.source, state=state, why=why)


def _state(files: Files, name: str) -> tuple[State, str]:
    try:
        check_file(replace(files, fresh=frozenset(), repair=None), name)
    except NotFoundError as error:
        return "missing", error.what
    except IntegrityError as error:
        return "differs", error.what
    except (CardError, ConfigError, UnsafeContentError) as error:
        return "unsafe", error.what
    except ResourceError as error:
        return "unreadable", error.what
    return "ok", ""
