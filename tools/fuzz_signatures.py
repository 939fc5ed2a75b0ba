"""Readers of signatures for the fuzzer: whole signature files, which must be refused unless they say what was signed, and statements."""

import base64
import json
import re
from collections.abc import Callable

from zoo_core.errors import TrustError
from zoo_core.trust.envelope import read, verify
from zoo_core.trust.index import Index
from zoo_core.trust.keys import KeyList, PublicKey
from zoo_core.trust.manifest import digests_of

__all__ = ["READERS"]

# A signature by a key that was thrown away, so that input i of a seed is always the same.
_PEM = (
    "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAExE1spHOZ6UnAXrYDYcX9QQqf1wIl\n"
    "rDeB4hiYiLSE8HI9HbTJlNiKk14Edk32lZv15/epIWachTDhLlARIxFogg==\n-----END PUBLIC KEY-----\n"
)
_PAYLOAD = (
    "eyJfdHlwZSI6ICJodHRwczovL2luLXRvdG8uaW8vU3RhdGVtZW50L3YxIiwgInByZWRpY2F0ZSI6IHsicmVzb3VyY2VzIjogW3si"
    "YWxnb3JpdGhtIjogInNoYTI1NiIsICJkaWdlc3QiOiAiYWJhYmFiYWJhYmFiYWJhYmFiYWJhYmFiYWJhYmFiYWJhYmFiYWJhYmFi"
    "YWJhYmFiYWJhYmFiYWJhYmFiYWJhYiIsICJuYW1lIjogImNvbmZpZy5qc29uIn0sIHsiYWxnb3JpdGhtIjogInNoYTI1NiIsICJk"
    "aWdlc3QiOiAiY2RjZGNkY2RjZGNkY2RjZGNkY2RjZGNkY2RjZGNkY2RjZGNkY2RjZGNkY2RjZGNkY2RjZGNkY2RjZGNkY2RjZCIs"
    "ICJuYW1lIjogIm1vZGVsLnNhZmV0ZW5zb3JzIn1dLCAic2VyaWFsaXphdGlvbiI6IHsiYWxsb3dfc3ltbGlua3MiOiBmYWxzZSwg"
    "Imhhc2hfdHlwZSI6ICJzaGEyNTYiLCAiaWdub3JlX3BhdGhzIjogWyJtb2RlbC5zaWciLCAiaW5kZXguc2lnIiwgImtleXMuc2ln"
    "IiwgIi5jYWNoZSIsICIuZ2l0IiwgIi5naXRhdHRyaWJ1dGVzIiwgIi5naXRodWIiLCAiLmdpdGlnbm9yZSJdLCAibWV0aG9kIjog"
    "ImZpbGVzIn19LCAicHJlZGljYXRlVHlwZSI6ICJodHRwczovL21vZGVsX3NpZ25pbmcvc2lnbmF0dXJlL3YxLjAiLCAic3ViamVj"
    "dCI6IFt7ImRpZ2VzdCI6IHsic2hhMjU2IjogImE2YTk2Y2NiNTIzM2YwNjhiZjQxMzQzZmZkNTk4NGJmOGQ0ZDdlNTkxZjFlNGJk"
    "YjEyYmRhMjk2NTM0NDA5YjgifSwgIm5hbWUiOiAiY2F0In1dfQ=="
)
_SIGNATURE = "MEUCIDr6Wgt3ttqiQ5gpSHTuccXVLOI8kl69iDyV/thSwgA8AiEAzoWNY5t4snlswtQqRvu59M2sgmVP6zfRMB1gMW2mJUo="
_KEY = PublicKey(_PEM)
_BUNDLE = {
    "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
    "verificationMaterial": {"publicKey": {"hint": _KEY.id}, "tlogEntries": []},
    "dsseEnvelope": {"payload": _PAYLOAD, "payloadType": "application/vnd.in-toto+json", "signatures": [{"sig": _SIGNATURE, "keyid": ""}]},
}
_DATE = "2030-01-01T00:00:00Z"
_STATEMENT = "https://in-toto.io/Statement/v1"


def _signature(data: bytes) -> object:
    """A signature file; raises AssertionError if it is accepted, and says anything else than the signed one."""
    statement = verify(data, (_KEY,), "model.sig", owner="the fuzzer")
    if json.dumps(statement.to_dict(), sort_keys=True).encode() != base64.b64decode(_PAYLOAD):
        raise AssertionError("another statement than the signed one was accepted")
    return digests_of(statement, "model.sig")


def _statement(data: bytes) -> object:
    """What a signature file says, by whichever key: a list of files, an index, or a list of keys."""
    envelope = {**_BUNDLE["dsseEnvelope"], "payload": base64.b64encode(data).decode()}  # type: ignore[dict-item]
    statement = read(json.dumps({**_BUNDLE, "dsseEnvelope": envelope}).encode(), "x.sig")
    readers: tuple[Callable[..., object], ...] = (digests_of, Index.parse, KeyList.parse)
    for reader in readers:
        try:
            found = reader(statement, "x.sig")
        except TrustError as error:
            last = error
            continue
        _check(found)
        return found
    raise last


def _check(found: object) -> None:
    """Raises AssertionError if a statement was accepted with a number, a date, a digest or a name of another form."""
    if isinstance(found, dict):
        sound = all(isinstance(name, str) and re.fullmatch("[0-9a-f]{64}", digest) for name, digest in found.items())
    elif isinstance(found, Index):
        sound = type(found.serial) is int and found.serial > 0 and found.expires.tzinfo is not None and len(found.signature) == 64
    else:
        assert isinstance(found, KeyList)
        sound = type(found.version) is int and found.version > 0 and found.expires.tzinfo is not None
        sound = sound and all(repo.count("/") == 1 and not {"?", "["} & set(repo) for repo in found.repositories)
    if not sound:
        raise AssertionError(f"accepted: {found!r:.200}")


def _plain(kind: str, subject: str, digest: str, **predicate: object) -> bytes:
    subjects = [{"name": subject, "digest": {"sha256": digest}}]
    return json.dumps({"_type": _STATEMENT, "subject": subjects, "predicateType": kind, "predicate": predicate}).encode()


READERS: dict[str, tuple[Callable[[bytes], object], bytes]] = {
    "signature": (_signature, json.dumps(_BUNDLE).encode()),
    "signed": (_statement, base64.b64decode(_PAYLOAD)),
    "index": (_statement, _plain("urn:zoo-core:index:1", "model.sig", "ab" * 32, repository="zoo/cats", serial=3, expires=_DATE)),
    "keys": (_statement, _plain("urn:zoo-core:keys:1", "k", _KEY.id, version=1, expires=_DATE, keys=[_PEM], repositories=["zoo/*"])),
}
"""Readers and a valid file for each, by name."""
