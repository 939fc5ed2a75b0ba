"""Nothing is published that holds a secret, names a folder of this machine, or belongs to other weights."""

import io
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, PngImagePlugin
from safetensors.torch import load_file, save_file

from zoo_core import cards
from zoo_core.config import dump_json, load_json
from zoo_core.errors import IntegrityError, UnsafeContentError
from zoo_core.evaluation.golden import write_golden
from zoo_core.publishing import prepare
from zoo_core.publishing.images import check_png
from zoo_core.publishing.secrets import check_text
from zoo_core.testing import fake_zoo, write_checkpoint
from zoo_core.testing.fake import Fake
from zoo_core.testing.fake_config import FakeConfig

LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
JWT = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIn0.SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c"
SECRETS = {
    "GitLab": "glpat-" + LETTERS[:20],
    "npm": "npm_" + LETTERS[:36],
    "npmrc": "//registry.npmjs.org/:_authToken=npm_" + LETTERS[:36],
    "PyPI": "pypi-AgEIcHlwaS5vcmc" + LETTERS * 2,
    "Stripe": "sk_live_" + LETTERS[:24],
    "Google": "AIza" + LETTERS[:35],
    "Azure": "AccountKey=" + "A" * 86 + "==",
    "AWS": "AKIAABCDEFGHIJKLMNOP",
    "AWS, the secret half": "aws_secret_access_key = " + LETTERS[:40],
    "JWT": JWT,
    "an address with a password": "https://me:hunter2isnot@example.org/x",
    "a variable": "WANDB_API_KEY=0123456789abcdef0123",
    "an exported variable": "export GITHUB_TOKEN='abc123def456'",
    "a variable in JSON": '{"OPENAI_API_KEY": "abcd1234efgh5678"}',
}
INNOCENT = (
    'the tokenizer has a "token_type", and a token is a word',
    "set WANDB_API_KEY=$KEY, or WANDB_API_KEY=<yours>, WANDB_API_KEY=... and WANDB_API_KEY=xxxxxxxxxx",
    "password-protected folders, secrets of training GANs, an API key of your own",
    "https://example.org/a:b@c, user@example.org",
)


@pytest.mark.parametrize("kind", SECRETS)
@pytest.mark.parametrize("name", ["README.md", "training.json"])
def test_secrets_of_many_kinds_are_found(kind: str, name: str) -> None:
    text = SECRETS[kind] if name == "README.md" else dump_json({"note": SECRETS[kind]})
    with pytest.raises(UnsafeContentError, match=rf"{name} holds what looks like .*revoke it"):
        check_text(name, f"# A card\n\n{text}\n".encode() if name == "README.md" else text.encode())


@pytest.mark.parametrize("text", INNOCENT)
def test_what_only_speaks_of_secrets_is_none(text: str) -> None:
    check_text("README.md", text.encode())


@pytest.mark.parametrize(
    "value", ["/data/sets", "folder:/mnt/photos/cats", "zoo train x --data folder:/srv/a/b --steps 3", "~/photos", r"C:\data\x"]
)
def test_json_that_names_a_folder_of_this_machine_is_refused(value: str) -> None:
    with pytest.raises(UnsafeContentError, match="names a folder of this machine"):
        check_text("metrics.json", dump_json({"metrics": [{"data": {"root": value}}]}).encode())


@pytest.mark.parametrize(
    "value", ["$ZOO_DATA", "$AFHQ/train", "runs/cat", "https://example.org/a/b", "and/or", "arXiv:2006.11239", "n/a", "/"]
)
def test_what_is_no_absolute_path_passes(value: str) -> None:
    check_text("metrics.json", dump_json({"note": value}).encode())


@pytest.mark.parametrize("home", ["/home/ada/runs/cat", "/Users/ada/cats", "/root/cats"])
def test_a_card_that_names_somebodys_home_is_refused(home: str) -> None:
    with pytest.raises(UnsafeContentError, match="names a folder of this machine"):
        check_text("README.md", f"# Cats\n\nTrained in `{home}`.\n".encode())


def png(**text: str) -> bytes:
    info = PngImagePlugin.PngInfo()
    for key, value in text.items():
        info.add_text(key, value, zip=key == "packed")
    out = io.BytesIO()
    Image.new("RGB", (4, 4)).save(out, "PNG", pnginfo=info)
    return out.getvalue()


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


BOMB = chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(64 << 20)))
BEFORE_END = -12  # IEND is the last chunk, of 12 bytes
PICTURES: dict[str, tuple[Callable[[], bytes], str]] = {
    "a zip behind the picture": (lambda: png() + b"PK\3\4" + bytes(40), "44 bytes behind its end"),
    "a page": (lambda: b"<html><script>alert(1)</script></html>", "is not a PNG"),
    "a JPEG": (lambda: b"\xff\xd8\xff\xe0" + bytes(40), "is not a PNG"),
    "half a picture": (lambda: png()[:-8], "cut short"),
    "a flipped bit": (lambda: png()[:45] + bytes([png()[45] ^ 1]) + png()[46:], "damaged|cut short|chunk"),
    "a chunk of its own": (lambda: png()[:BEFORE_END] + chunk(b"zIPp", b"PK") + png()[BEFORE_END:], "chunk b'zIPp'"),
    "a bomb of text": (
        lambda: png()[:BEFORE_END] + chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(64 << 20))) + png()[BEFORE_END:],
        "1 MiB",
    ),
    "a secret in compressed text": (lambda: png(packed="my key is " + SECRETS["GitLab"]), "GitLab"),
    "a secret in plain text": (lambda: png(plain="WANDB_API_KEY=0123456789abcdef"), "a secret"),
    "a home in its metadata": (lambda: png(reference="/home/ada/runs/cat"), "folder of this machine"),
}


def test_text_of_many_chunks_together_is_limited() -> None:
    body = b"key\0\0" + zlib.compress(bytes(1 << 19))
    data = png()
    with pytest.raises(UnsafeContentError, match="more than 1 MiB of text"):
        check_text("samples.png", data[:-12] + chunk(b"zTXt", body) * 10_000 + data[-12:])


@pytest.mark.parametrize("case", PICTURES)
def test_a_picture_is_a_picture_alone(case: str) -> None:
    make, why = PICTURES[case]
    with pytest.raises(UnsafeContentError, match=why):
        check_text("samples.png", make())


def test_a_picture_with_metadata_of_the_zoo_passes() -> None:
    check_text("samples.png", png(packed="ancestral, 50 steps", reference="ddpm-afhq-cat"))
    assert b"50 steps" in check_png("samples.png", png(packed="ancestral, 50 steps"))


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A checkpoint of the fake family, with its golden samples and a number."""
    with fake_zoo():
        export = write_checkpoint(tmp_path / "cat", Fake(FakeConfig()), FakeConfig())
        (export / "training.json").write_text(dump_json({"steps": 10, "versions": {"torch": "2.15.0"}}))
        (export / "README.md").write_text(
            cards.draft("cat", load_json(export / "config.json"), {"steps": 10, "versions": {"torch": "2.15.0"}})
        )
        write_golden(export)
        yield export


def change_weights(folder: Path) -> None:
    save_file({name: value + 1 for name, value in load_file(folder / "model.safetensors").items()}, folder / "model.safetensors")


def test_golden_samples_of_other_weights_are_refused(folder: Path) -> None:
    prepare(folder, "zoo/cat", license="mit")
    change_weights(folder)
    with pytest.raises(IntegrityError, match=r"golden\.safetensors of cat differs from the samples that these weights draw"):
        prepare(folder, "zoo/cat", license="mit")


@pytest.mark.parametrize("weights", ["0" * 64, 5, None])
def test_numbers_of_other_weights_are_refused(folder: Path, weights: Any) -> None:
    record = {"metric": "fd", "value": 1.0, "dataset": "moons", "split": "train", "weights": weights}
    (folder / "metrics.json").write_text(dump_json({"metrics": [record]}))
    with pytest.raises(IntegrityError, match=r"metrics\.json holds fd of other weights"):
        prepare(folder, "zoo/cat", license="mit")
