"""The index of a signed repository: the signature that is current, a serial that only grows, and an expiry.

It tells a reader what a signature of files alone cannot: that an old version was put in the place of a newer one (its serial is lower),
that the newest one is kept back (the index expires), that the files belong to another repository of the same author, and that the
signature is that of another version.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from zoo_core.errors import IntegrityError, TrustError
from zoo_core.trust.envelope import Statement, check_date, date_of, sign
from zoo_core.trust.keys import PrivateKey
from zoo_core.trust.manifest import SIGNATURE

__all__ = ["INDEX", "Index"]

INDEX = "index.sig"
_KIND = "urn:zoo-core:index:1"
_HINT = "do not use it; tell its authors, or whoever runs that Hub"


@dataclass(frozen=True, kw_only=True, slots=True)
class Index:
    """The index of one repository.

    >>> from datetime import UTC
    >>> Index(repo="zoo/cats", serial=3, expires=datetime(2030, 1, 1, tzinfo=UTC), signature="ab" * 32).serial
    3

    Args:
        repo: ``ORG/NAME``.
        serial: number of the version; a later one has a higher one.
        expires: date after which the index is not trusted.
        signature: sha256 of the current ``model.sig``, in hex.
    """

    repo: str
    serial: int
    expires: datetime
    signature: str

    @classmethod
    def parse(cls, statement: Statement, what: str) -> "Index":
        """The index of a statement.

        Raises:
            TrustError: if it is malformed.
        """
        said: Any = statement.predicate
        repo, serial, subjects = said.get("repository"), said.get("serial"), statement.subjects
        if statement.kind != _KIND or not isinstance(repo, str) or type(serial) is not int or not 0 < serial < 1 << 53:
            raise TrustError(f"{what} is not an index of a repository", "do not use it")
        if set(subjects) != {SIGNATURE}:
            raise TrustError(f"{what} names no {SIGNATURE}, or others", "do not use it")
        return cls(repo=repo, serial=serial, expires=date_of(said.get("expires"), what), signature=subjects[SIGNATURE])

    def signed(self, key: PrivateKey) -> bytes:
        """The index as a signature file."""
        said = {"repository": self.repo, "serial": self.serial, "expires": self.expires.strftime("%Y-%m-%dT%H:%M:%SZ")}
        return sign(Statement(kind=_KIND, subjects={SIGNATURE: self.signature}, predicate=said), key)

    def check(self, repo: str, signature: bytes) -> None:
        """Checks that the index is that of a repository, and names its signature.

        Raises:
            TrustError: if it is that of another repository.
            IntegrityError: if it names another signature.
        """
        if self.repo.lower() != repo.lower():
            raise TrustError(f"{INDEX} of {repo} is that of {self.repo[:100]}", _HINT)
        if hashlib.sha256(signature).hexdigest() != self.signature:
            raise IntegrityError(f"{SIGNATURE} of {repo} is that of another version than {INDEX} names", _HINT)

    def check_current(self, last: "Index | None", hint: str) -> None:
        """Checks that the index has not expired, and is not older than the last one that was seen.

        Args:
            last: the index of the last version that was accepted; None if there was none.
            hint: the next step for the user.

        Raises:
            TrustError: if it has expired, or is older, or another one of the same serial.
        """
        if last and self.serial < last.serial:
            raise TrustError(f"{self.repo} went back to serial {self.serial}, and serial {last.serial} was seen here", hint)
        if last and self.serial == last.serial and self.signature != last.signature:
            raise TrustError(f"{self.repo} has two versions of serial {self.serial}", hint)
        check_date(self.expires, f"the index of {self.repo} (serial {self.serial})", "a newer version may be kept from you", hint)
