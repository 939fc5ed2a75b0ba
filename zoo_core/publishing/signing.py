"""Signatures of a checkpoint that is published: they are made once the commit is planned, over exactly the files that it will hold."""

import hashlib
import logging
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from zoo_core.errors import IntegrityError, TrustError, UsageError
from zoo_core.hub.signed import SIGNATURES
from zoo_core.publishing.changes import Change, Plan, RemoteCommit
from zoo_core.publishing.options import option
from zoo_core.specs import Pin
from zoo_core.trust.envelope import after, sign, verify
from zoo_core.trust.index import INDEX, Index
from zoo_core.trust.keys import KEYS, PrivateKey, PublicKey, carrier_of
from zoo_core.trust.manifest import SIGNATURE, digests_of, statement_of

__all__ = ["DAYS", "Signer", "check_unsigned"]

DAYS = 180
"""The days for which an index is valid, by default."""

_log = logging.getLogger(__name__)

Read = Callable[[str, str], bytes]


@dataclass(frozen=True, slots=True)
class Signer:
    """Adds signatures to a planned commit.

    >>> Signer.load(Path("none.pem"), days=0, repo="zoo/cats")
    Traceback (most recent call last):
        ...
    zoo_core.errors.UsageError: days must be between 1 and 3650, not 0 -- leave it out for 180

    Args:
        key: the key that signs.
        days: days until the index expires.
    """

    key: PrivateKey
    days: int

    @classmethod
    def load(cls, path: "str | Path", days: int, repo: str) -> "Signer":
        """The signer of a PEM file with a private key, for a repository.

        Raises:
            UsageError: if it is not such a file, cryptography is not installed, or ``days`` is out of range; or if an installed plugin
                carries keys for the repository, and this is none of them.
            ResourceError: if it cannot be read.
            TrustError: if the list in that plugin is malformed, or the newest one has expired.
        """
        if not 1 <= days <= 3650:
            raise UsageError(f"{option('days')} must be between 1 and 3650, not {days}", f"leave it out for {DAYS}")
        signer = cls(PrivateKey.load(Path(path)), days)
        if not signer.keys(repo):
            _log.warning("zoo: warning: no installed plugin carries keys for %s: only `zoo verify --key` will check this signature", repo)
        return signer

    def signed(self, plan: Plan, remote: RemoteCommit, content: Callable[[str, str], bytes]) -> Plan:
        """The plan with signatures.

        Those in the repository stay if they are by this key, for these files, and last for more than half of ``days`` and not longer.

        Args:
            plan: the planned commit.
            remote: the present commit of the repository.
            content: returns the bytes of a file of a commit.

        Raises:
            UsageError: if an installed plugin carries keys for the repository, and not this one.
            TrustError: if the keys in that plugin are malformed, or have expired.
        """
        bundle = plan.bundle
        there = {name: content(remote.commit, name) for name in SIGNATURES if name in remote.oids}
        listed, keys = self._listed(bundle.repo, there.get(KEYS, b""))
        files = {**(self._kept(plan, there) or self._new(plan, there.get(INDEX, b""), listed)), **keys}
        changes: dict[str, Change] = {name: kind for name, kind in plan.changes.items() if name not in SIGNATURES}
        for name, data in files.items():
            changes[name] = "unchanged" if there.get(name) == data else "replace" if name in there else "add"
        changes |= {name: "delete" for name in there if name not in files}
        pins = {name: Pin(sha256=hashlib.sha256(data).hexdigest(), size=len(data)) for name, data in files.items()}
        return Plan(bundle=replace(bundle, files={**bundle.files, **files}, pins={**bundle.pins, **pins}), changes=changes)

    def _kept(self, plan: Plan, there: Mapping[str, bytes]) -> dict[str, bytes]:
        """The signatures in the repository, if they may stay; none otherwise."""
        try:
            signature, index = there[SIGNATURE], there[INDEX]
            own = (self.key.public,)
            digests = digests_of(verify(signature, own, SIGNATURE, owner="yours"), SIGNATURE)
            current = Index.parse(verify(index, own, INDEX, owner="yours"), INDEX)
            current.check(plan.bundle.repo, signature)
        except (KeyError, TrustError, IntegrityError):
            return {}
        lasts = after(self.days / 2) < current.expires <= after(self.days)
        return {SIGNATURE: signature, INDEX: index} if lasts and digests == _digests(plan) else {}

    def _new(self, plan: Plan, last: bytes, listed: Collection[PublicKey]) -> dict[str, bytes]:
        """New signatures. The serial is the time in seconds, so that it grows even where the last index is lost.

        It is also higher than that of the last index, as readers demand, if that is by one of the keys that are listed now.
        """
        bundle = plan.bundle
        signature = sign(statement_of(bundle.name, _digests(plan)), self.key)
        serial = int(after(0).timestamp())
        with suppress(TrustError):
            serial = max(serial, Index.parse(verify(last, listed, INDEX, owner="yours"), INDEX).serial + 1)
        index = Index(repo=bundle.repo, serial=serial, expires=after(self.days), signature=hashlib.sha256(signature).hexdigest())
        return {SIGNATURE: signature, INDEX: index.signed(self.key)}

    def keys(self, repo: str, there: bytes = b"") -> dict[str, bytes]:
        """The newest list of keys for a repository, as a file to publish; none if no installed plugin carries one.

        Raises:
            UsageError, TrustError: as :meth:`load` says.
        """
        return self._listed(repo, there)[1]

    def _listed(self, repo: str, there: bytes) -> tuple[Collection[PublicKey], dict[str, bytes]]:
        """The keys that sign a repository, this one alone if no installed plugin carries a list; and the list as a file to publish.

        Args:
            repo: ``ORG/NAME``.
            there: the list in the repository.

        Raises:
            UsageError: if this key is not in the list, or the list is not for the repository.
            TrustError: if the list in the plugin is malformed, or the newest one has expired.
        """
        carrier = carrier_of(repo)
        if carrier is None:
            return (self.key.public,), {}
        listed, data = carrier.newest(there)
        if not listed.covers(repo):
            what = f"{carrier.dist} carries keys for {repo}, and the newest list, version {listed.version}, has none for it"
            raise UsageError(what, "list it again: `zoo keys sign --repo`")
        if self.key.public not in listed.keys:
            what = f"{carrier.dist} carries keys for {repo}, and {self.key.public.id[:12]} is none of them: nobody would accept it"
            raise UsageError(what, "sign with a listed key, or list this one: `zoo keys sign`")
        return listed.keys, {KEYS: data}


def check_unsigned(repo: str, remote: RemoteCommit) -> None:
    """Refuses to put an unsigned version in the place of a signed one.

    Raises:
        UsageError: if the repository has a signature.
    """
    if SIGNATURE in remote.oids:
        hint = f"sign it with {option('sign', 'KEY')}, or delete the signature with {option('force', True)}"
        raise UsageError(f"{repo} is signed, and this version would not be", hint)


def _digests(plan: Plan) -> dict[str, str]:
    return {name: pin.sha256 for name, pin in plan.bundle.pins.items() if name not in SIGNATURES}
