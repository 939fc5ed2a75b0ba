"""Signature files are those of OpenSSF Model Signing: its own library reads ours, and we read what it writes."""

import base64
import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from zoo_core.errors import IntegrityError, TrustError
from zoo_core.hub.fetch import fetch
from zoo_core.hub.signed import check_by_key
from zoo_core.trust.envelope import MAX_BYTES, Statement, sign, verify
from zoo_core.trust.keys import PrivateKey, PublicKey
from zoo_core.trust.manifest import digests_of, statement_of

from .helpers import Author, edited

pytest.importorskip("cryptography")

DIGEST = "ab" * 32


def check(folder: Path, key: Path) -> None:
    check_by_key(fetch(f"local:{folder}"), PublicKey.load_all(key), str(key))


@pytest.fixture
def signed(tmp_path: Path, author: Author) -> Path:
    """A signed folder, with a file of git."""
    folder = tmp_path / "copy"
    folder.mkdir()
    for name, data in {**author.sign(1), ".gitattributes": b""}.items():
        (folder / name).write_bytes(data)
    return folder


def test_model_signing_accepts_our_signature_and_names_a_changed_file(signed: Path, author: Author) -> None:
    verifying = pytest.importorskip("model_signing.verifying")

    def check() -> None:
        verifier = verifying.Config().use_elliptic_key_verifier(public_key=author.make("release").with_name("release.pem.pub"))
        verifier.verify(signed, signed / "model.sig")

    check()
    (signed / "config.json").write_bytes((signed / "config.json").read_bytes() + b" ")
    with pytest.raises(ValueError, match=r"Hash mismatch for 'config\.json'"):
        check()
    author.make("thief")
    other = verifying.Config().use_elliptic_key_verifier(public_key=author.folder / "thief.pem.pub")
    with pytest.raises(ValueError, match="Key mismatch"):
        other.verify(signed, signed / "model.sig")


def test_what_model_signing_signs_is_accepted_and_a_changed_file_is_named(signed: Path, author: Author) -> None:
    signing = pytest.importorskip("model_signing.signing")
    for path in [*signed.glob("*.sig"), signed / ".gitattributes"]:
        path.unlink()
    signing.Config().use_elliptic_key_signer(private_key=author.make("release")).sign(signed, signed / "model.sig")
    key = author.folder / "release.pem.pub"
    check(signed, key)
    (signed / "training.json").write_text("{}")
    with pytest.raises(IntegrityError, match=r"training\.json of local:.* is not the one that was signed"):
        check(signed, key)
    (signed / "training.json").unlink()
    with pytest.raises(IntegrityError, match=r"training\.json"):
        check(signed, key)
    author.make("thief")
    with pytest.raises(TrustError, match="is signed by key"):
        check(signed, author.folder / "thief.pem.pub")


def test_a_file_that_is_not_signed_is_named(signed: Path, author: Author) -> None:
    shutil.copy(signed / "config.json", signed / "more.json")
    with pytest.raises(IntegrityError, match=r"more\.json of local:.* is not signed"):
        check(signed, author.folder / "release.pem.pub")


def test_the_signed_bytes_are_those_of_dsse_and_the_root_that_of_the_digests(author: Author) -> None:
    """By hand, from the specifications: PAE = "DSSEv1" SP LEN(type) SP type SP LEN(body) SP body."""
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    bundle = json.loads(sign(statement_of("cat", {"b": "02" * 32, "a": "01" * 32}), PrivateKey.load(author.make("release"))))
    body = base64.b64decode(bundle["dsseEnvelope"]["payload"])
    signed = b"DSSEv1 28 application/vnd.in-toto+json " + str(len(body)).encode() + b" " + body
    key = serialization.load_pem_public_key(author.public("release").pem.encode())
    assert isinstance(key, ec.EllipticCurvePublicKey)
    key.verify(base64.b64decode(bundle["dsseEnvelope"]["signatures"][0]["sig"]), signed, ec.ECDSA(hashes.SHA256()))
    statement = json.loads(body)
    assert statement["subject"] == [{"name": "cat", "digest": {"sha256": hashlib.sha256(b"\1" * 32 + b"\2" * 32).hexdigest()}}]
    assert bundle["verificationMaterial"]["publicKey"]["hint"] == hashlib.sha256(author.public("release").pem.encode()).hexdigest()


def change_payload(bundle: dict[str, Any]) -> None:
    payload = bytearray(base64.b64decode(bundle["dsseEnvelope"]["payload"]))
    payload[payload.index(DIGEST.encode())] ^= 1
    bundle["dsseEnvelope"]["payload"] = base64.b64encode(payload).decode()


CHANGES = {
    "what it signs was changed": change_payload,
    "is no application/vnd.dev.sigstore": lambda bundle: bundle.update(mediaType="text/plain"),
    "is no application/vnd.dev.sigstore.bundle": lambda bundle: bundle["dsseEnvelope"].update(payloadType="text/plain"),
    "is not a signature file: it has 2 signatures, and must have one": lambda bundle: bundle["dsseEnvelope"]["signatures"].append(
        {"sig": "", "keyid": ""}
    ),
    "with a certificate, and the zoo checks keys": lambda bundle: bundle.update(verificationMaterial={"x509CertificateChain": {}}),
    "not base64": lambda bundle: bundle["dsseEnvelope"].update(payload="!"),
}


@pytest.mark.parametrize("told", CHANGES)
def test_a_changed_envelope_is_refused(author: Author, told: str) -> None:
    statement = Statement(kind="urn:x", subjects={"x": DIGEST}, predicate={})
    data = sign(statement, PrivateKey.load(author.make("release")))
    keys = (author.public("release"),)
    assert verify(data, keys, "x", owner="us") == statement
    with pytest.raises(TrustError, match=told):
        verify(edited(data, CHANGES[told]), keys, "x", owner="us")


def test_a_file_that_is_too_large_to_be_a_signature_is_not_parsed(author: Author) -> None:
    with pytest.raises(TrustError, match="x is not a signature file: it is larger than 1 MiB"):
        verify(b"[" * (MAX_BYTES + 1), (author.public("release"),), "x", owner="us")


def test_a_list_of_files_that_is_not_that_of_its_subject_is_refused() -> None:
    whole = statement_of("cat", {"a": DIGEST, "b": DIGEST})
    part = Statement(kind=whole.kind, subjects=whole.subjects, predicate={**whole.predicate, "resources": whole.predicate["resources"][:1]})
    assert digests_of(whole, "x") == {"a": DIGEST, "b": DIGEST}
    with pytest.raises(TrustError, match="its list of files is not the one that its subject names"):
        digests_of(part, "x")


@pytest.mark.parametrize("hashing", ["blake3", "shards"])
def test_other_ways_of_hashing_are_named_and_refused(signed: Path, author: Author, hashing: str) -> None:
    signing = pytest.importorskip("model_signing.signing")
    config = pytest.importorskip("model_signing.hashing").Config()
    config = config.use_shard_serialization() if hashing == "shards" else config.use_file_serialization(hashing_algorithm="blake3")
    for path in signed.glob("*.sig"):
        path.unlink()
    signer = signing.Config().use_elliptic_key_signer(private_key=author.make("release")).set_hashing_config(config)
    signer.sign(signed, signed / "model.sig")
    with pytest.raises(TrustError, match="digests of parts of files, or others than SHA-256"):
        check(signed, author.folder / "release.pem.pub")


def test_keys_of_openssl_and_of_every_curve_sign(tmp_path: Path) -> None:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    statement = Statement(kind="urn:x", subjects={"x": DIGEST}, predicate={})
    for curve in (ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()):
        old = serialization.PrivateFormat.TraditionalOpenSSL  # as `openssl ecparam -genkey` writes it
        pem = ec.generate_private_key(curve).private_bytes(serialization.Encoding.PEM, old, serialization.NoEncryption())
        (tmp_path / "key.pem").write_bytes(pem)
        key = PrivateKey.load(tmp_path / "key.pem")
        assert verify(sign(statement, key), (key.public,), "x", owner="us") == statement
