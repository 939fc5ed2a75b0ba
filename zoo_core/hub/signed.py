"""Signatures of repositories on the Hub whose author's keys an installed plugin carries: nothing unsigned of them is used.

``model.sig`` names the digest of each file, ``index.sig`` the current ``model.sig``, with a serial and an expiry, and ``keys.sig`` the keys
that sign both. The newest list of keys and the last index that were accepted are kept beside the repository in the cache;
a list that was seen in one repository counts for all that it is for.
"""

from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace

from zoo_core.checkpoint.files import Files
from zoo_core.errors import IntegrityError, TrustError
from zoo_core.hub.cache import RepoCache, cache_folder
from zoo_core.hub.repository import Listing, Repository
from zoo_core.trust.envelope import Statement, verify
from zoo_core.trust.index import INDEX, Index
from zoo_core.trust.keys import KEYS, Carrier, KeyList, PublicKey, carrier_of
from zoo_core.trust.manifest import SIGNATURE, digests_of

__all__ = ["SIGNATURES", "check_by_key", "check_signed", "must_be_signed", "only_signed", "remember_signed"]

SIGNATURES = (SIGNATURE, INDEX, KEYS)
"""The names of the signatures, which are themselves not signed."""
_CURRENT = "main"


def must_be_signed(repo: str) -> bool:
    """Whether an installed plugin carries keys for a repository.

    >>> must_be_signed("nobody/signs-this")
    False

    Raises:
        TrustError: if the list of keys in a package is malformed.
    """
    return carrier_of(repo) is not None


def only_signed(files: Files, revision: str, listing: Listing) -> Listing:
    """The listing of a commit without files that nobody signed, once the signatures are fetched and found to be valid.

    It stays as it is if nobody's keys are known here.

    Args:
        files: the files of the listing, which need not be here.
        revision: branch, tag or commit that was asked for.
        listing: the listing.

    Raises:
        TrustError, IntegrityError: as :func:`check_signed` raises.
        HubError: if a signature did not arrive.
    """
    assert files.hub
    if not must_be_signed(files.hub.repo):
        return listing
    signatures = {name: file for name, file in listing.files.items() if name in SIGNATURES}
    Repository(files.hub.repo).download_all(replace(listing, files=signatures), {})
    digests = _signed_digests(files, revision)
    kept = {name: file for name, file in listing.files.items() if name in digests or name in SIGNATURES}
    return replace(listing, files=kept, skipped=(*listing.skipped, *sorted(set(listing.files) - set(kept))))


def check_signed(files: Files, revision: str) -> Files:
    """Checks that all files of a repository are the signed ones; files that nobody signed are left out.

    Of ``main``, the index must be current; a commit or a tag is asked for by its name, and may be old.

    Args:
        files: the files, all of them here.
        revision: branch, tag or commit that was asked for.

    Returns:
        The signed files and their signatures; all files if nobody's keys are known here.

    Raises:
        TrustError: if a signature is missing, malformed, expired, by another key, or older than one that was seen, or cannot be checked.
        IntegrityError: if a file is not the signed one, or is missing, or the signatures are those of different versions.
    """
    if files.hub is None or files.oids is None or not must_be_signed(files.hub.repo):
        return files
    digests = _signed_digests(files, revision)
    _compare(files, digests, read_all=True)
    return replace(files, oids={name: oid for name, oid in files.oids.items() if name in digests or name in SIGNATURES})


def remember_signed(files: Files, revision: str) -> None:
    """Keeps the index of checked files, and the newest list of keys, in the cache."""
    if files.hub is None or (carrier := carrier_of(files.hub.repo)) is None:
        return
    cache = Repository(files.hub.repo).cache
    cache.save_note(KEYS, _newest_keys(files, carrier)[1])
    if revision == _CURRENT:
        cache.save_note(INDEX, files.read(INDEX))


def check_by_key(files: Files, keys: Collection[PublicKey], owner: str) -> None:
    """Checks the signature of a checkpoint by given public keys, whatever plugins carry.

    Args:
        files: the files.
        keys: the keys.
        owner: whose keys these are, in words.

    Raises:
        TrustError: if there is no signature, or it is malformed or by another key, or cannot be checked.
        IntegrityError: if a file is not the signed one, is missing, or is not signed.
    """
    if SIGNATURE not in files.names:
        raise TrustError(f"{files.reference} has no {SIGNATURE}", "nobody signed it, or the signature was removed")
    what = f"{SIGNATURE} of {files.reference}"
    digests = digests_of(verify(files.read(SIGNATURE), keys, what, owner=owner), what)
    for name in sorted({*digests, *files.names} - {*SIGNATURES}):
        if name not in digests:
            raise IntegrityError(f"{name} of {files.reference} is not signed", f"do not use it; {SIGNATURE} names the signed files")
        if name not in files.names or files.digest(name) != digests[name]:
            raise IntegrityError(f"{name} of {files.reference} is not the one that was signed", "do not use it; tell its authors")


def _signed_digests(files: Files, revision: str) -> Mapping[str, str]:
    """The sha256 of each signed file by its name, once the signatures are valid, and fit what the Hub lists."""
    assert files.hub
    repo = files.hub.repo
    carrier = carrier_of(repo)
    assert carrier
    for name in (SIGNATURE, INDEX):
        if name not in files.names:
            what = f"{repo} at {files.hub.commit[:12]} has no {name}, and {carrier.dist} carries the keys of its author"
            raise TrustError(what, "this version was never signed, or its signature was removed: do not use it")
    cache = Repository(repo).cache
    keys, _ = _newest_keys(files, carrier)
    digests = digests_of(_verified(files, SIGNATURE, keys, carrier), f"{SIGNATURE} of {repo}")
    index = Index.parse(_verified(files, INDEX, keys, carrier), f"{INDEX} of {repo}")
    index.check(repo, files.read(SIGNATURE))
    if revision == _CURRENT:
        here = cache.ref(revision)
        index.check_current(_last_index(repo, keys, carrier), f"{repo}@{here} is what you had" if here else "do not use it")
    _compare(files, digests, read_all=False)
    return digests


def _compare(files: Files, digests: Mapping[str, str], *, read_all: bool) -> None:
    """Compares files with their signed digests: large ones by their ids on the Hub, small ones once they are read."""
    assert files.hub
    assert files.oids is not None
    where = f"{files.hub.repo} at {files.hub.commit[:12]}"
    hint = "it mixes files of several versions: do not use it; tell its authors, or whoever runs that Hub"
    for name, wanted in digests.items():
        if name not in files.oids:
            raise IntegrityError(f"{where} has no {name}, which its author signed", hint)
        oid = files.oids[name]
        is_large = len(oid) == len(wanted)
        if (is_large or read_all) and (oid if is_large else files.digest(name)) != wanted:
            raise IntegrityError(f"{name} of {where} is not the one that its author signed", hint)


def _verified(files: Files, name: str, keys: KeyList, carrier: Carrier) -> Statement:
    return verify(files.read(name), keys.keys, f"{name} of {files.reference}", owner=carrier.dist)


def _newest_keys(files: Files, carrier: Carrier) -> tuple[KeyList, bytes]:
    """The newest list of keys, in the package, in the repository, or seen here before, and its bytes; it must be for the repository."""
    assert files.hub
    repo = files.hub.repo
    keys, data = carrier.newest(*_seen_keys(repo, carrier), files.read(KEYS) if KEYS in files.names else b"")
    if not keys.covers(repo):
        what = f"the list of keys of {carrier.dist} (version {keys.version}) is not for {repo} any more"
        raise TrustError(what, f"do not use it; pip install --upgrade {carrier.dist}")
    return keys, data


def _seen_keys(repo: str, carrier: Carrier) -> Iterable[bytes]:
    """The lists of keys that were accepted before, in this repository or in another one of the author."""
    root = cache_folder()
    patterns = [f"models--{pattern.replace('/', '--')}" for pattern in carrier.carried().repositories]
    folders = {folder.name for pattern in patterns for folder in root.glob(pattern)}
    repos = [repo, *(name.removeprefix("models--").replace("--", "/") for name in sorted(folders))]
    return dict.fromkeys(RepoCache(each, root).note(KEYS) for each in repos)


def _last_index(repo: str, keys: KeyList, carrier: Carrier) -> Index | None:
    """The index of the last version that was accepted; None if there is none, or its note is damaged.

    One by a key that is not listed any more counts for nothing: whoever stole it may have signed the highest serial there is.
    """
    with suppress(TrustError):
        return Index.parse(verify(Repository(repo).cache.note(INDEX), keys.keys, INDEX, owner=carrier.dist), INDEX)
    return None
