"""Verified files of a checkpoint, by its reference.

A checkpoint is looked for in a local folder, in the package that carries it, in the Hugging Face cache and on the Hub,
in this order. Its files must be the pinned ones. Files of a repository that was named by ORG/NAME, which nothing pins,
must have the ids that the Hub lists; these stay in the cache as the names of the blobs.

A revision is resolved to a commit once, and everything else is asked of that commit. The files that a commit must have
are known from the pins, or from a note in the cache that is written once all of them were fetched. A cached commit that
is pinned or noted needs no request; one that another tool cached is asked for once.
"""

import logging
import os
import re
from dataclasses import replace

from zoo_core.atomic import disk_error
from zoo_core.checkpoint.content import check_file
from zoo_core.checkpoint.files import CONFIG, WEIGHTS, Files, OnFile, check_name
from zoo_core.checkpoint.layouts import presented
from zoo_core.errors import (
    CardError,
    ConfigError,
    GatedError,
    HubError,
    IntegrityError,
    NotFoundError,
    ResourceError,
    UnknownNameError,
    UnsafeContentError,
    UsageError,
    ZooError,
)
from zoo_core.hub.cache import COMMIT
from zoo_core.hub.client import host
from zoo_core.hub.hints import hinted
from zoo_core.hub.layouts import check_listed, fetch_listed, is_whole, wanted_by, wanted_names
from zoo_core.hub.listing_checks import check_same_files, warn_of_names
from zoo_core.hub.lockfile import Lock, frozen_lock
from zoo_core.hub.moves import check_move
from zoo_core.hub.repository import Repository
from zoo_core.hub.signed import check_signed, only_signed, remember_signed
from zoo_core.registry import REPO, Claim, Reference, parse_reference, registry
from zoo_core.specs import CheckpointSpec, Hub

__all__ = [
    "cached",
    "cached_commit",
    "fetch",
    "is_packaged",
    "located",
    "packaged",
    "pull",
    "registered_copies",
    "snapshot",
]

_REPO = re.compile(REPO)
_log = logging.getLogger(__name__)


def fetch(reference: "str | os.PathLike[str] | Reference", *, accept_move: bool = False, lock: Lock | None = None) -> Files:
    """Finds the files of a checkpoint, and fetches those that are neither in a package nor in the cache.

    Files of another library's layout are presented in that of the zoo.

    Args:
        reference: the checkpoint, as :func:`located` takes it.
        accept_move, lock: as for :func:`located`.

    Returns:
        The files. Each is verified when it is read.

    Raises:
        ZooError: as :func:`located` does, and as a layout does.
    """
    return presented(located(reference, accept_move=accept_move, lock=lock))


def located(reference: "str | os.PathLike[str] | Reference", *, accept_move: bool = False, lock: Lock | None = None) -> Files:
    """Finds the files of a checkpoint as they are, in the zoo's layout or in another, and fetches those that are missing.

    No file is read yet.

    Args:
        reference: ``NAME``, ``DIST:NAME``, ``ORG/NAME[@REVISION]``, ``local:PATH``, or the path of a folder; ``LAYOUT:`` may stand before
            the last three.
        accept_move: whether a branch of ORG/NAME may have gone back since it was last fetched, and a tag moved.
        lock: lock file that must have the checkpoint; that of ZOO_FROZEN if None.

    Returns:
        The files. Each is verified when it is read.

    Raises:
        UsageError: if the reference is not valid.
        UnknownNameError, NameConflictError: if no installed plugin, or several, have a checkpoint of that name.
        NotFoundError: if there is no such folder, repository or revision.
        OfflineError: if the checkpoint is on the Hub alone, and there is no network.
        HubError: if the Hub does not send it.
        IntegrityError: if the Hub sends other bytes than the pinned or listed ones.
        TrustError: if the Hub would be asked by plain HTTP over a network, or a branch went back or a tag moved; if an
            installed plugin carries keys for the repository, and its signatures are not valid; or if the lock file has no
            such checkpoint, or other versions of its packages.
        UnsafeContentError: if the Hub's answer could lead out of the cache.
        ResourceError: if the cache cannot be written.
    """
    reference = reference if isinstance(reference, Reference) else parse_reference(reference)
    if lock := lock or frozen_lock():
        return _locked(reference, lock)
    if reference.kind == "local":
        return _local(reference)
    return _from_hub(reference, accept_move) if reference.kind == "hub" else _registered(reference)


def _locked(reference: Reference, lock: Lock) -> Files:
    """The files of a checkpoint as a lock file has them."""
    entry, again = lock.find(str(reference)), lock.command(str(reference))
    if reference.kind == "local":
        return replace(_local(reference), pins=entry.files)
    if reference.kind == "name":
        entry.check_spec(str(reference), _spec(_claim(reference)), again)
        return _registered(reference)
    if entry.hub is None or entry.hub.repo != reference.name:
        what = f"{lock.path} has {entry.hub.repo if entry.hub else 'no repository'} as the place of {reference}"
        raise ConfigError(what, f"{again} writes it anew")
    files = replace(_snapshot(reference, _name(reference), Repository(reference.name), entry.hub.commit), pins=entry.files)
    return _if_whole(files) or _download(files, f"{again} locks what is there now")


# A local folder


def _local(reference: Reference) -> Files:
    folder = reference.path
    try:
        is_folder = folder.is_dir()
        holds_checkpoint = bool(reference.layout) or (folder / CONFIG).exists()
    except OSError as error:
        raise disk_error(f"cannot read {folder}", error) from error
    run = folder.parent if folder.name == "export" else folder
    if not is_folder and (run / "recipe.json").is_file() and (run / "steps").is_dir():
        raise NotFoundError(f"the run in {run} is not finished", "the same `zoo train` command goes on with it, and exports its result")
    if not is_folder:
        what = f"{folder} is a file" if folder.is_file() else f"there is no folder {folder}"
        raise NotFoundError(what, "name the folder of a checkpoint or of a training run")
    if not holds_checkpoint:
        other = f"; {reference.name}@main is the repository on the Hub" if _REPO.fullmatch(reference.name) else ""
        raise NotFoundError(f"{folder} holds no checkpoint: it has no {CONFIG}", f"name the folder of a checkpoint or of a run{other}")
    named = folder.resolve().parent if folder.name == "export" else folder.resolve()
    return Files(reference=reference, name=named.name, folder=folder, source="local folder")


# A registered checkpoint


def _registered(reference: Reference) -> Files:
    claim = _claim(reference)
    spec = _spec(claim)
    _check_names(spec)
    if spec.hub is None or is_packaged(spec):
        return packaged(reference, claim)
    return cached(reference, claim) or _download_pinned(reference, claim)


def _claim(reference: Reference) -> Claim:
    try:
        return registry().claim(CheckpointSpec, reference.name)
    except UnknownNameError as error:
        raise hinted(reference, error) from None


def _spec(claim: Claim) -> CheckpointSpec:
    assert isinstance(claim.spec, CheckpointSpec)
    return claim.spec


def _check_names(spec: CheckpointSpec) -> None:
    for name in spec.files:
        check_name(name)
    if len({name.lower() for name in spec.files}) != len(spec.files):
        raise UnsafeContentError(f"{spec.name} pins two files whose names differ in case alone", "rename one of them")


def is_packaged(spec: CheckpointSpec) -> bool:
    """Whether the package that pins a checkpoint has all of its files."""
    return spec.folder is not None and bool(spec.files) and all(os.path.isfile(spec.folder / name) for name in spec.files)


def packaged(reference: Reference, claim: Claim) -> Files:
    """The files of a registered checkpoint in its package.

    Raises:
        NotFoundError: if the package does not carry them.
    """
    spec = _spec(claim)
    dist = claim.plugin.dist
    if spec.folder is None or not spec.folder.is_dir():
        raise NotFoundError(f"{dist} does not carry the files of {spec.name}", f"install {dist} again")
    source = f"{dist} {claim.plugin.version}"
    return Files(reference=reference, name=spec.name, folder=spec.folder, source=source, spec=spec, pins=spec.files, dist=dist)


def cached(reference: Reference, claim: Claim) -> Files | None:
    """The files of a registered checkpoint in the Hugging Face cache; None unless all of them are there.

    No request is made.
    """
    return _if_whole(_pinned_snapshot(reference, claim))


def registered_copies(reference: Reference, claim: Claim) -> list[Files]:
    """The copies of a registered checkpoint on this machine, in its package and in the cache.

    A copy has at least one of the files.
    """
    spec = _spec(claim)
    _check_names(spec)
    inside = packaged(reference, claim) if spec.folder is not None and spec.folder.is_dir() else None
    copies = [inside, _pinned_snapshot(reference, claim)]
    return [files for files in copies if files and any(os.path.isfile(files.folder / name) for name in files.names)]


def _pinned_snapshot(reference: Reference, claim: Claim) -> Files | None:
    """The files of a registered checkpoint at its place in the cache, whether or not they are there.

    None if it is not pinned to a repository and commit.
    """
    spec = _spec(claim)
    if spec.hub is None or not (_REPO.fullmatch(spec.hub.repo) and COMMIT.fullmatch(spec.hub.commit)):
        return None
    files = _snapshot(reference, spec.name, Repository(spec.hub.repo), spec.hub.commit)
    return replace(files, spec=spec, pins=spec.files, dist=claim.plugin.dist)


def _download_pinned(reference: Reference, claim: Claim) -> Files:
    files = _pinned_snapshot(reference, claim)
    dist = claim.plugin.dist
    if files is None:
        raise UnsafeContentError(f"{dist} pins {claim.spec.name} to no repository and commit", "`zoo publish --pin` writes such pins")
    return _download(files, f"update {dist}")


def _download(files: Files, hint: str) -> Files:
    """Downloads pinned files of a commit; ``hint`` says what to do if the commit lacks one."""
    assert files.hub is not None
    assert files.pins is not None
    repository = Repository(files.hub.repo)
    listing = repository.listing(files.hub.commit, files.pins.__contains__, files.reference.layout)
    if missing := sorted(set(files.pins) - set(listing.files)):
        raise NotFoundError(f"{repository.name} at {files.hub.commit[:12]} on {host()} has no {missing[0]}", hint)
    source = repository.source(files.hub.commit)
    return replace(files, source=source, fresh=repository.download_all(listing, files.pins))


# A repository on the Hub


def _from_hub(reference: Reference, accept_move: bool) -> Files:
    repository = Repository(reference.name)
    revision = reference.revision or "main"
    commit = revision if COMMIT.fullmatch(revision) else repository.cache.ref(revision)
    here = cached_commit(reference, commit) if commit else None
    if here and commit == revision and repository.cache.required_oids(revision):
        return check_signed(here, revision)
    try:
        return _download_current(reference, repository, revision, accept_move)
    except (HubError, ResourceError) as error:
        if here is None or isinstance(error, NotFoundError | GatedError):
            raise hinted(reference, error) from None
        here = check_signed(here, revision)
        _log.warning("zoo: warning: using the last fetched copy of %s, %s: %s", reference, here.source, error.what)
        return here


def _download_current(reference: Reference, repository: Repository, revision: str, accept_move: bool) -> Files:
    """The files of a revision as the Hub has it now; fetches those that are not in the cache."""
    listing = repository.listing(revision, wanted_by(reference), reference.layout)
    commit = listing.commit
    check_same_files(repository, listing)
    check_move(repository, revision, commit, accept=accept_move)
    listed = replace(_snapshot(reference, _name(reference), repository, commit), oids=listing.oids)
    listing = only_signed(listed, revision, listing)
    files = cached_commit(reference, commit)
    if files is None or files.oids != listing.oids:
        check_listed(reference, listing)
        warn_of_names(repository, revision, listing)
        files = replace(listed, oids=listing.oids, source=repository.source(commit))
        files = replace(files, fresh=fetch_listed(files, repository, listing))
    files = check_signed(files, revision)
    remember_signed(files, revision)
    repository.cache.save_required_oids(commit, listing.oids)
    repository.cache.save_ref(revision, commit)
    return files


def cached_commit(reference: Reference, commit: str) -> Files | None:
    """The files of a commit of a repository in the Hugging Face cache; None unless all of them are there.

    No request is made.
    """
    return _if_whole(snapshot(reference, commit))


def snapshot(reference: Reference, commit: str) -> Files | None:
    """The files that a commit of a repository must have by the note in the cache, or else those that are there.

    None if they are not a checkpoint.
    """
    repository = Repository(reference.name)
    known = repository.cache.required_oids(commit) or repository.cache.present_oids(commit)
    is_wanted = wanted_by(reference)
    oids = {name: oid for name, oid in known.items() if is_wanted(name)}
    if not is_whole(reference, oids):
        return None
    return replace(_snapshot(reference, _name(reference), repository, commit), oids=oids)


def _snapshot(reference: Reference, name: str, repository: Repository, commit: str) -> Files:
    return Files(
        reference=reference,
        name=name,
        folder=repository.cache.snapshot(commit),
        source=f"the cache, {repository.name} at {commit[:12]}",
        hub=Hub(repo=repository.name, commit=commit),
        root=repository.cache.root,
        repair=_fetch_again,
    )


def _if_whole(files: Files | None) -> Files | None:
    return files if files and all(os.path.isfile(files.folder / name) for name in files.names) else None


def _name(reference: Reference) -> str:
    return reference.name.partition("/")[2]


def _fetch_again(files: Files, name: str, error: IntegrityError) -> None:
    """Replaces a wrong file of the cache.

    Raises:
        IntegrityError: if no better file arrived.
    """
    assert files.hub
    repository = Repository(files.hub.repo)
    commit = files.hub.commit
    try:
        file = repository.listing(commit, name.__eq__, files.reference.layout).files.get(name)
        if file is None or (files.oids is not None and file.oid != files.oids[name]):
            raise IntegrityError(f"{host()} has another {name} at {commit[:12]} now")
        repository.download(commit, file, pin=(files.pins or {}).get(name), doubted=True)
    except ZooError as again:
        why = "; ".join(filter(None, (again.what, again.hint)))
        raise IntegrityError(error.what, f"it could not be fetched again: {why}") from None


# Fetched and verified


def pull(*references: "str | os.PathLike[str]", on_file: OnFile | None = None, accept_move: bool = False) -> list[Files]:
    """Fetches checkpoints and verifies every file.

    Sizes and digests must be the pinned or listed ones, JSON and cards well-formed, and weights finite.

    Args:
        references: one or more, as :func:`fetch` takes them.
        on_file: called as ``on_file(files, name, size)`` after each verified file.
        accept_move: as for :func:`fetch`.

    Returns:
        The files of each checkpoint, as they are.

    Raises:
        IntegrityError: if a file is not the pinned or listed one.
        NotFoundError: if there is no config, or there are no weights.
        UnsafeContentError: if weights are malformed, NaN, infinite or beyond the range of float32.
        ConfigError, CardError: if a JSON file that the zoo reads, or the card, cannot be read.
        ZooError: as :func:`fetch` does.
    """
    if not references:
        raise UsageError("no checkpoint given", "`zoo list` shows what there is")
    fetched = [located(reference, accept_move=accept_move) for reference in references]
    for files in fetched:
        _verify(files, on_file)
    return fetched


def _verify(files: Files, on_file: OnFile | None) -> None:
    shown = presented(files)
    for name in (CONFIG, WEIGHTS):
        if name not in shown.names:
            raise NotFoundError(f"{files.reference} is not a checkpoint: it has no {name}", files.repair_hint())
    for name in wanted_names(files):
        try:
            size = check_file(files, name)
        except (CardError, ConfigError, UnsafeContentError) as error:
            hint = error.hint if files.reference.kind == "local" else "do not use it; tell its authors"
            raise type(error)(f"{files.reference}: {error.what}", hint) from None
        if on_file:
            on_file(files, name, size)
