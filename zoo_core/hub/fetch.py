"""From a reference to verified files.

A checkpoint is found in a local folder, in the package that carries it, in the Hugging Face cache, or on the Hub, in this order. Its files
must be what is pinned. What nothing pins, a repository that was named by ORG/NAME, must be what the Hub says by the ids of its files, which
stay in the cache as the names of the blobs.

A revision is resolved to a commit once; from there on everything is asked of that commit. What a commit must have the pins say, or a note
in the cache that is written when all of it has been fetched. A commit that is cached and pinned or noted needs no request; one that another
tool has cached is asked for once.
"""

import logging
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from zoo_core.atomic import disk_error
from zoo_core.checkpoint.content import check_file
from zoo_core.checkpoint.files import CONFIG, WEIGHTS, Files, OnFile, check_name, is_data
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
from zoo_core.hub import repository as remote
from zoo_core.hub.cache import COMMIT, RepoCache, cache_folder, is_true
from zoo_core.hub.client import host
from zoo_core.registry import REPO, Claim, Reference, parse_reference, registry
from zoo_core.specs import CheckpointSpec, Hub, Pin

__all__ = [
    "cached",
    "carried",
    "carries",
    "fetch",
    "places",
    "pull",
    "unpinned_in_cache",
]

_REPO = re.compile(REPO)
_MAX_FILES = 100
_SHOWN = 3
_ROOM = 1 << 24  # bytes of a tensor that are looked at at once; a multiple of the size of every number
_log = logging.getLogger(__name__)


def fetch(reference: "str | os.PathLike[str] | Reference") -> Files:
    """Finds the files of a checkpoint, and fetches those that are neither in a package nor in the cache. Nothing is read yet.

    Raises:
        UsageError: ``reference`` is none.
        UnknownNameError, NameConflictError: no installed plugin, or several, have a checkpoint of that name.
        NotFoundError: there is no such folder, repository or revision.
        OfflineError: it is on the Hub alone, and there is no network.
        HubError: the Hub does not give it.
        IntegrityError: the Hub gives something else than what is pinned, or than it says itself.
        TrustError: the Hub is to be asked by plain HTTP over a network.
        UnsafeContentError: it says what could lead out of the cache.
        ResourceError: the cache cannot be written.
    """
    reference = reference if isinstance(reference, Reference) else parse_reference(reference)
    if reference.kind == "local":
        return _local(reference)
    return _hosted(reference) if reference.kind == "hub" else _registered(reference)


def _local(reference: Reference) -> Files:
    folder = reference.path
    try:
        is_folder, is_whole = folder.is_dir(), (folder / CONFIG).exists()
    except OSError as error:
        raise disk_error(f"cannot read {folder}", error) from error
    run = folder.parent if folder.name == "export" else folder
    if not is_folder and (run / "recipe.json").is_file() and (run / "steps").is_dir():
        raise NotFoundError(f"the run in {run} is not finished", "the same `zoo train` command goes on with it, and exports its result")
    if not is_folder:
        what = f"{folder} is a file" if folder.is_file() else f"there is no folder {folder}"
        raise NotFoundError(what, "name the folder of a checkpoint or of a training run")
    if not is_whole:
        other = f"; {reference.name}@main is the repository on the Hub" if _REPO.fullmatch(reference.name) else ""
        raise NotFoundError(f"{folder} holds no checkpoint: it has no {CONFIG}", f"name the folder of a checkpoint or of a run{other}")
    named = folder.resolve().parent if folder.name == "export" else folder.resolve()
    return Files(reference=reference, name=named.name, folder=folder, source="local folder")


def _registered(reference: Reference) -> Files:
    try:
        claim = registry().claim(CheckpointSpec, reference.name)
    except UnknownNameError as error:
        raise _hinted(reference, error) from None
    spec = claim.spec
    assert isinstance(spec, CheckpointSpec)
    _check_names(spec)
    if spec.hub is None or carries(spec):
        return carried(reference, claim)
    return cached(reference, claim) or _published(reference, claim, spec.hub)


def carries(spec: CheckpointSpec) -> bool:
    """Whether the package that pins a checkpoint has all of its files."""
    return spec.folder is not None and bool(spec.files) and all(os.path.isfile(spec.folder / name) for name in spec.files)


def carried(reference: Reference, claim: Claim) -> Files:
    """The files of a registered checkpoint in its package.

    Raises:
        NotFoundError: the package does not carry them.
    """
    spec = claim.spec
    assert isinstance(spec, CheckpointSpec)
    if spec.folder is None or not spec.folder.is_dir():
        raise NotFoundError(f"{claim.plugin.dist} does not carry the files of {spec.name}", f"install {claim.plugin.dist} again")
    source = f"{claim.plugin.dist} {claim.plugin.version}"
    dist = claim.plugin.dist
    return Files(reference=reference, name=spec.name, folder=spec.folder, source=source, spec=spec, pins=spec.files, dist=dist)


def cached(reference: Reference, claim: Claim | None = None, commit: str = "") -> Files | None:
    """The files of a registered checkpoint, or of a commit of a repository, in the Hugging Face cache, if they are all there.

    No request is made, and nothing is read.
    """
    files = _pinned_in_cache(reference, claim) if claim else unpinned_in_cache(reference, commit)
    return files if files and all(os.path.isfile(files.folder / name) for name in files.names) else None


def unpinned_in_cache(reference: Reference, commit: str) -> Files | None:
    """The files that a commit of a repository must have by the note in the cache, or else those that are there."""
    cache = _cache(reference.name)
    oids = {name: oid for name, oid in (cache.noted(commit) or cache.held(commit)).items() if _is_wanted(name)}
    if not {CONFIG, WEIGHTS} <= set(oids):
        return None
    return _in_cache(reference, reference.name.partition("/")[2], Hub(repo=cache.repo, commit=commit), oids=oids)


def places(reference: Reference, claim: Claim) -> list[Files]:
    """A registered checkpoint in every place here that has any file of it: its package, and the cache."""
    spec = claim.spec
    assert isinstance(spec, CheckpointSpec)
    _check_names(spec)
    inside = carried(reference, claim) if spec.folder is not None and spec.folder.is_dir() else None
    found = [inside, _pinned_in_cache(reference, claim)]
    return [files for files in found if files and any(os.path.isfile(files.folder / name) for name in files.names)]


def _pinned_in_cache(reference: Reference, claim: Claim) -> Files | None:
    spec = claim.spec
    assert isinstance(spec, CheckpointSpec)
    if spec.hub is None or not (_REPO.fullmatch(spec.hub.repo) and COMMIT.fullmatch(spec.hub.commit)):
        return None
    return _in_cache(reference, spec.name, spec.hub, spec=spec, pins=spec.files, dist=claim.plugin.dist)


def _cache(repo: str) -> RepoCache:
    return RepoCache(repo, cache_folder())


def _in_cache(reference: Reference, name: str, hub: Hub, **more: Any) -> Files:
    cache = _cache(hub.repo)
    return Files(
        reference=reference,
        name=name,
        folder=cache.snapshot(hub.commit),
        source=f"the cache, {hub.repo} at {hub.commit[:12]}",
        hub=hub,
        root=cache.root,
        again=_fetch_again,
        **more,
    )


def _published(reference: Reference, claim: Claim, hub: Hub) -> Files:
    """Fetches a pinned checkpoint."""
    files, dist = _pinned_in_cache(reference, claim), claim.plugin.dist
    if files is None or files.pins is None:
        raise UnsafeContentError(f"{dist} pins {claim.spec.name} to no repository and commit", "`zoo publish --pin` writes such pins")
    there = remote.listing(hub.repo, hub.commit, files.pins.__contains__)
    if missing := sorted(set(files.pins) - set(there.files)):
        raise NotFoundError(f"{hub.repo} at {hub.commit[:12]} on {host()} has no {missing[0]}", f"update {dist}")
    return replace(files, source=_on_hub(hub.repo, hub.commit), fresh=_download(_cache(hub.repo), there, files.pins))


def _on_hub(repo: str, commit: str) -> str:
    return f"{host()}, {repo} at {commit[:12]}"


def _hosted(reference: Reference) -> Files:
    """Finds or fetches what nothing pins."""
    cache, revision = _cache(reference.name), reference.revision or "main"
    known = revision if COMMIT.fullmatch(revision) else cache.ref(revision)
    here = cached(reference, commit=known) if known else None
    if here and known == revision and cache.noted(revision):
        return here
    try:
        return _asked(reference, cache, revision)
    except (HubError, ResourceError) as error:
        if here is None or isinstance(error, NotFoundError | GatedError):
            raise _hinted(reference, error) from None
        _log.warning("zoo: warning: %s is what it was when it was last fetched, %s: %s", reference, here.source, error.what)
        return here


def _asked(reference: Reference, cache: RepoCache, revision: str) -> Files:
    """What a revision is now, by the Hub; fetches what is not in the cache."""
    there = remote.listing(cache.repo, revision, _is_wanted)
    files, oids = cached(reference, commit=there.commit), {name: entry.oid for name, entry in there.files.items()}
    if files is None or files.oids != oids:
        _check_listing(reference, there)
        _warn_of_names(cache.repo, revision, there)
        fresh = _download(cache, there, {})
        hub = Hub(repo=cache.repo, commit=there.commit)
        files = _in_cache(reference, reference.name.partition("/")[2], hub, oids=oids, fresh=fresh)
        files = replace(files, source=_on_hub(cache.repo, there.commit))
    cache.note(there.commit, oids)
    cache.note_ref(revision, there.commit)
    return files


def _warn_of_names(repo: str, revision: str, there: remote.Listing) -> None:
    """Warns where a name means something else than whoever wrote it may think: a renamed repository, a tag with a branch's name."""
    if there.renamed:
        _log.warning("zoo: warning: %s is now %s on %s; write that", repo, there.renamed, host())
    if revision not in ("main", there.commit) and len(remote.commits_of(repo, revision)) > 1:
        hint = f"to be sure, write {repo}@{there.commit}"
        _log.warning("zoo: warning: %s has a branch and a tag %s; %s gave %s -- %s", repo, revision, host(), there.commit[:12], hint)


def _is_wanted(name: str) -> bool:
    return is_data(name) and "/" not in name


def _hinted(reference: Reference, error: ZooError) -> ZooError:
    """The error, with a better hint where a folder may have been meant."""
    text = str(reference)
    if os.path.isdir(text):
        near = f"{error.hint} " if error.hint.startswith("did you mean") else ""
        return type(error)(error.what, f"{near}the folder {text} here holds no checkpoint")
    parent, _, last = text.rpartition("/")
    if parent and reference.revision is None and os.path.isdir(parent):
        from difflib import get_close_matches

        close = get_close_matches(last, os.listdir(parent), n=1)
        return type(error)(error.what, f"there is no folder {text} here" + (f": did you mean {parent}/{close[0]}?" if close else ""))
    return error


def _check_listing(reference: Reference, there: remote.Listing) -> None:
    """Refuses what is no checkpoint before anything is fetched, and names what is left out."""
    for name in (CONFIG, WEIGHTS):
        if name not in there.files:
            raise NotFoundError(f"{reference} is no checkpoint of the zoo: it has no {name}", "`zoo list --remote` shows those that are")
    if len(there.files) > _MAX_FILES:
        raise UnsafeContentError(f"{reference} holds {len(there.files)} files, and a checkpoint at most {_MAX_FILES}", "do not use it")
    skipped = [name for name in there.skipped if name != ".gitattributes"]
    if skipped:
        more = f" and {len(skipped) - _SHOWN} more" if len(skipped) > _SHOWN else ""
        named = ", ".join(repr(name[:60]) for name in skipped[:_SHOWN])
        _log.warning("zoo: warning: not fetched from %s, since no checkpoint needs it: %s%s", reference, named, more)


def _download(cache: RepoCache, there: remote.Listing, pins: Mapping[str, Pin]) -> frozenset[str]:
    """Fetches all files of a commit that are not in the cache, the weights last; returns the names of those."""
    cache.sweep()
    with _progress(cache.repo, sum(entry.size for entry in there.files.values())) as on_bytes:
        return frozenset(
            name
            for name in sorted(there.files, key=lambda name: (name == WEIGHTS, name))
            if remote.download(cache, there.commit, name, there.files[name], pin=pins.get(name), on_bytes=on_bytes)
        )


@contextmanager
def _progress(what: str, total: int) -> Iterator[Callable[[int], object]]:
    """A bar on stderr, if that is a terminal."""
    if not (sys.stderr and sys.stderr.isatty()) or is_true("HF_HUB_DISABLE_PROGRESS_BARS"):
        yield lambda count: None
        return
    from tqdm import tqdm

    with tqdm(desc=what, total=total, unit="B", unit_scale=True, leave=False) as bar:
        yield bar.update


def _fetch_again(files: Files, name: str, error: IntegrityError) -> None:
    """Replaces a file of the cache that is wrong.

    Raises:
        IntegrityError: nothing better came.
    """
    assert files.hub
    cache = _cache(files.hub.repo)
    try:
        entry = remote.listing(cache.repo, files.hub.commit, name.__eq__).files.get(name)
        if entry is None or (files.oids is not None and entry.oid != files.oids[name]):
            raise IntegrityError(f"{host()} has another {name} at {files.hub.commit[:12]} now")
        remote.download(cache, files.hub.commit, name, entry, pin=(files.pins or {}).get(name), doubted=True)
    except ZooError as again:
        raise IntegrityError(error.what, f"the cache is wrong, and it could not be fetched again: {again.what}") from None


def _check_names(spec: CheckpointSpec) -> None:
    for name in spec.files:
        check_name(name)
    if len({name.lower() for name in spec.files}) != len(spec.files):
        raise UnsafeContentError(f"{spec.name} pins two files whose names differ in case alone", "rename one of them")


def pull(*references: "str | os.PathLike[str]", on_file: OnFile | None = None) -> list[Files]:
    """Fetches checkpoints and verifies every file: size and sha256, config, card, the header of the weights, and that these are finite.

    Raises:
        IntegrityError: a file is not what is pinned.
        NotFoundError: it has no config or no weights.
        UnsafeContentError: weights that are malformed, NaN, infinite or beyond the numbers of float32.
        ConfigError, CardError: a JSON file that the zoo reads, or the card, cannot be read.
        ZooError: as :func:`fetch` does.
    """
    if not references:
        raise UsageError("no checkpoint given", "`zoo list` shows what there is")
    fetched = [fetch(reference) for reference in references]
    for files in fetched:
        for name in (CONFIG, WEIGHTS):
            if name not in files.names:
                raise NotFoundError(f"{files.reference} is no checkpoint: it has no {name}", files._mend())
        for name in files.names:
            try:
                size = check_file(files, name)
            except (CardError, ConfigError, UnsafeContentError) as error:
                hint = error.hint if files.reference.kind == "local" else "do not use it; tell its authors"
                raise type(error)(f"{files.reference}: {error.what}", hint) from None
            if on_file:
                on_file(files, name, size)
    return fetched
