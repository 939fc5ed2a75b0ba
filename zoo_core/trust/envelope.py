"""Signed statements: an in-toto statement in a DSSE envelope in a Sigstore bundle, as OpenSSF Model Signing writes it with a key.

The signature is ECDSA over one of the curves P-256, P-384 and P-521, with SHA-256, SHA-384 and SHA-512. Nothing here needs a network.
The formats: https://github.com/in-toto/attestation, https://github.com/secure-systems-lab/dsse (protocol 1.0),
https://docs.sigstore.dev/about/bundle (0.3).
"""

import base64
import binascii
import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from zoo_core.config import parse_json
from zoo_core.errors import ConfigError, TrustError

if TYPE_CHECKING:
    from zoo_core.trust.keys import PrivateKey, PublicKey

__all__ = ["MAX_BYTES", "Statement", "after", "check_date", "date_of", "in_words", "now", "read", "sign", "verify"]

MAX_BYTES = 1 << 20
"""The largest size of a signature file."""
_BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
_PAYLOAD = "application/vnd.in-toto+json"
_STATEMENT = "https://in-toto.io/Statement/v1"
_OTHER_KEY = "do not use it, unless its author says that the key is new: then update the package that carries the keys"
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Statement:
    """An in-toto statement: a predicate about some subjects, each of which is a name and a digest.

    >>> statement = Statement(kind="urn:example:1", subjects={"model.sig": "ab" * 32}, predicate={"serial": 1})
    >>> statement.to_dict()["subject"][0]["name"]
    'model.sig'

    Args:
        kind: address of the kind of predicate.
        subjects: sha256 of each subject in hex, by name.
        predicate: what is said about them, in JSON values.
    """

    kind: str
    subjects: Mapping[str, str]
    predicate: Mapping[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """The statement in its JSON form."""
        return {
            "_type": _STATEMENT,
            "subject": [{"name": name, "digest": {"sha256": digest}} for name, digest in self.subjects.items()],
            "predicateType": self.kind,
            "predicate": dict(self.predicate),
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class _Envelope:
    """The parts of a bundle, none of them verified."""

    payload: bytes
    signature: bytes
    hint: str


def sign(statement: Statement, key: "PrivateKey") -> bytes:
    """A signature file: the statement and its signature by ``key``, as JSON."""
    payload = json.dumps(statement.to_dict(), sort_keys=True).encode()
    bundle = {
        "mediaType": _BUNDLE,
        "verificationMaterial": {"publicKey": {"hint": key.public.id}, "tlogEntries": []},
        "dsseEnvelope": {
            "payload": base64.b64encode(payload).decode(),
            "payloadType": _PAYLOAD,
            "signatures": [{"sig": base64.b64encode(key.sign(_encoded(payload))).decode(), "keyid": ""}],
        },
    }
    return (json.dumps(bundle) + "\n").encode()


def verify(data: bytes, keys: "Collection[PublicKey]", what: str, *, owner: str) -> Statement:
    """The statement of a signature file, once its signature is found to be by one of the keys.

    Args:
        data: bytes of the file.
        keys: keys that are trusted.
        what: the file, in words, for messages.
        owner: whose keys these are, in words.

    Raises:
        TrustError: if the file is malformed, is signed by another key, or its signature does not fit; or if cryptography is not installed.
    """
    envelope = _read(data, what)
    known = [key for key in keys if envelope.hint in ("", key.id)]
    if not known:
        trusted = ", ".join(key.id[:12] for key in keys) or "none"
        raise TrustError(f"{what} is signed by key {envelope.hint[:12]!r}, and the keys of {owner} are {trusted}", _OTHER_KEY)
    if not any(key.verify(envelope.signature, _encoded(envelope.payload)) for key in known):
        raise TrustError(f"{what}: its signature is not that of a key of {owner}, or what it signs was changed", "do not use it")
    return _statement(envelope.payload, what)


def read(data: bytes, what: str) -> Statement:
    """The statement of a signature file, whoever signed it.

    Raises:
        TrustError: if the file is malformed.
    """
    return _statement(_read(data, what).payload, what)


def now() -> datetime:
    """The present time."""
    return datetime.now(UTC)


def after(days: float) -> datetime:
    """The time that comes after some days."""
    return now() + timedelta(days=days)


def date_of(text: object, what: str) -> datetime:
    """A date of a statement.

    Raises:
        TrustError: if it is not a date with a time zone.
    """
    try:
        date = datetime.fromisoformat(str(text))
        if date.tzinfo is not None and date.astimezone(UTC):
            return date
    except (ValueError, OverflowError):
        pass
    raise TrustError(f"{what} has {str(text)[:40]!r} where a date should be", "do not use it")


def check_date(expires: datetime, what: str, why: str, hint: str) -> None:
    """Refuses what has expired.

    Raises:
        TrustError: if ``expires`` is past.
    """
    if now() >= expires:
        raise TrustError(f"{what} expired on {expires:%Y-%m-%d}: {why}", hint)


def in_words(error: Exception) -> str:
    """What is wrong with values of JSON, by the error of the reader that took them apart.

    >>> in_words(KeyError("keys")), in_words(TypeError("'int' object is not iterable")), in_words(ValueError("it is no index"))
    ("it has no 'keys'", 'a value in it is of another type', 'it is no index')
    """
    if isinstance(error, KeyError):
        return f"it has no {error.args[0]!r}"
    return "a value in it is of another type" if isinstance(error, TypeError | AttributeError) else " ".join(str(error).split())


def _encoded(payload: bytes) -> bytes:
    """The bytes that are signed: DSSE's pre-authentication encoding."""
    return b"DSSEv1 %d %s %d %s" % (len(_PAYLOAD), _PAYLOAD.encode(), len(payload), payload)


def _read(data: bytes, what: str) -> _Envelope:
    """The parts of a signature file."""
    if len(data) > MAX_BYTES:
        raise _malformed(what, f"it is larger than {MAX_BYTES >> 20} MiB")
    try:
        bundle = parse_json(data, "it")
        material, envelope = bundle["verificationMaterial"], bundle["dsseEnvelope"]
        if bundle["mediaType"] != _BUNDLE or envelope["payloadType"] != _PAYLOAD:
            raise _malformed(what, f"it is no {_BUNDLE}")
        if "publicKey" not in material:
            raise TrustError(
                f"{what} is signed with a certificate, and the zoo checks keys", "`model_signing verify certificate` checks it"
            )
        if len(envelope["signatures"]) != 1:
            raise ValueError(f"it has {len(envelope['signatures'])} signatures, and must have one")
        [entry] = envelope["signatures"]
        hint = material["publicKey"].get("hint") or ""
        return _Envelope(payload=_decoded(envelope["payload"]), signature=_decoded(entry["sig"]), hint=_text(hint))
    except ConfigError as error:
        raise _malformed(what, error.what) from None
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise _malformed(what, in_words(error)) from None


def _decoded(text: object) -> bytes:
    try:
        return base64.b64decode(_text(text), validate=True)
    except binascii.Error as error:
        raise ValueError(f"not base64: {error}") from None


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{str(value)[:40]!r} is not text")
    return value


def _statement(payload: bytes, what: str) -> Statement:
    try:
        data = parse_json(payload, "the statement")
        if data["_type"] != _STATEMENT:
            raise ValueError(f"{str(data['_type'])[:60]!r} is no {_STATEMENT}")
        subjects = {_text(subject["name"]): _text(subject["digest"]["sha256"]) for subject in data["subject"]}
        if len(subjects) != len(data["subject"]) or not all(map(_SHA256.fullmatch, subjects.values())):
            raise ValueError("its subjects are not names with a sha256 each")
        if not isinstance(data["predicate"], dict):
            raise ValueError("its predicate is not an object")
        return Statement(kind=_text(data["predicateType"]), subjects=subjects, predicate=data["predicate"])
    except ConfigError as error:
        raise _malformed(what, error.what) from None
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise _malformed(what, in_words(error)) from None


def _malformed(what: str, why: str) -> TrustError:
    line = " ".join(why.split())
    return TrustError(f"{what} is not a signature file: {line[:200]}", "do not use it; tell its authors")
