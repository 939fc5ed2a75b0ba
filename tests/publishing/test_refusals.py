"""Nothing is sent if anything is wrong with a folder, a reference, a repository or a tag."""

import json
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load, save

from zoo_core.cli import console
from zoo_core.config import dump_json
from zoo_core.errors import (
    CardError,
    ConfigError,
    IncompatibleCheckpoint,
    NotFoundError,
    TrustError,
    UnknownNameError,
    UnsafeContentError,
    UsageError,
    ZooError,
)
from zoo_core.images import png
from zoo_core.publishing import prepare, publish
from zoo_core.testing.hub import LoopbackHub

from .helpers import CAT, METRICS, put, rewrite, weights

pytest_plugins = ["zoo_core.testing.hub"]
pytestmark = pytest.mark.usefixtures("fakes")


LEAKING = png(torch.zeros(3, 4, 4, dtype=torch.uint8), {"note": "AKIA" + "ABCDEFGH23456789"})


def text(name: str, content: str) -> Callable[[Path], object]:
    def written(folder: Path) -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)

    return written


def card(old: str, new: str) -> Callable[[Path], object]:
    return lambda folder: rewrite(folder / "README.md", old, new)


def config(old: str, new: str) -> Callable[[Path], object]:
    return lambda folder: rewrite(folder / "config.json", old, new)


LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
SECRETS = {
    "hugging face": "hf_" + LETTERS[:34],
    "github": "ghp_" + LETTERS,
    "github, fine-grained": "github_pat_" + LETTERS,
    "openai": "sk-" + LETTERS,
    "anthropic": "sk-ant-api03-" + LETTERS,
    "aws": "AKIA" + "ABCDEFGHIJKLMNOP",
    "private key": "-----BEGIN OPENSSH PRIVATE KEY-----",
    "your own": "hf_loopback",
}
WRONG: dict[str, tuple[Callable[[Path], object], type[ZooError]]] = {
    "a card without front matter": (text("README.md", "# cat\n"), CardError),
    "a card of another library": (card("library_name: zoo-core", "library_name: diffusers"), CardError),
    "a card whose data set is no name": (card("tags:", "datasets:\n- no spaces\ntags:"), CardError),
    "no card": (lambda folder: (folder / "README.md").unlink(), NotFoundError),
    "no weights": (lambda folder: (folder / "model.safetensors").unlink(), NotFoundError),
    "an unknown key": (config('"classes"', '"clases"'), ConfigError),
    "a family that is not installed": (config('"fake"', '"os.system"'), UnknownNameError),
    "training.json that is no JSON": (text("training.json", "{"), ConfigError),
    "weights cut short": (
        lambda folder: (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:-1]),
        UnsafeContentError,
    ),
    "golden samples cut short": (text("golden.safetensors", "x"), UnsafeContentError),
    "weights that are NaN": (weights(lambda state: state["shift"].fill_(torch.nan)), UnsafeContentError),
    "a missing tensor": (weights(lambda state: state.pop("shift")), IncompatibleCheckpoint),
    "an extra tensor": (weights(lambda state: state.update(more=torch.ones(1))), IncompatibleCheckpoint),
    "a reshaped tensor": (weights(lambda state: state.update(shift=torch.ones(3, 8, 9))), IncompatibleCheckpoint),
    "a link to a file": (lambda folder: (folder / "LICENSE").symlink_to(folder / "config.json"), UnsafeContentError),
    "a link to a folder": (lambda folder: (folder / "more").symlink_to(folder.parent), UnsafeContentError),
    "a dead link": (lambda folder: (folder / "notes").symlink_to("nowhere"), UnsafeContentError),
    "a pipe": (lambda folder: os.mkfifo(folder / "pipe"), UnsafeContentError),
    "metrics that are no list": (text("metrics.json", '{"metrics": {}}'), ConfigError),
    "a metric that is no number": (text("metrics.json", '{"metrics": [{"metric": "fd", "dataset": "a", "value": NaN}]}'), ConfigError),
    "numbers that differ": (
        lambda folder: (
            text("metrics.json", dump_json(METRICS))(folder),
            card("tags:", "model-index:\n- name: cat\n  results: []\ntags:")(folder),
        ),
        CardError,
    ),
    **{
        f"{name} in the folder": (text(name, "x"), UnsafeContentError)
        for name in (".env", ".env.local", "prod.env", "a/b/.netrc", "id_ed25519", "server.key", "token", "credentials.json", ".ssh/config")
    },
    **{
        f"{name} in the folder": (text(name, "x"), UnsafeContentError)
        for name in ("run.py", "a/run.SH", "old.pkl", "old.bin", "old.pt", "old.ckpt", "look.ipynb", "a/b/c.npz")
    },
    **{f"a secret: {name}": (text("LICENSE", f"You may.\n{secret}\n"), UnsafeContentError) for name, secret in SECRETS.items()},
    "a secret in the card": (card("A fake model.", f"A {SECRETS['github']} model."), UnsafeContentError),
    "a secret in training.json": (
        text("training.json", json.dumps({"command": f"HF_TOKEN={SECRETS['hugging face']} zoo train"})),
        UnsafeContentError,
    ),
    "a secret in a picture": (lambda folder: (folder / "samples.png").write_bytes(LEAKING), UnsafeContentError),
    "a secret in the weights' notes": (
        lambda folder: (folder / "model.safetensors").write_bytes(
            save(load((folder / "model.safetensors").read_bytes()), metadata={"by": SECRETS["openai"]})
        ),
        UnsafeContentError,
    ),
    "a licence that is not UTF-8": (
        lambda folder: (folder / "LICENSE").write_bytes(SECRETS["github"].encode("utf-16")),
        UnsafeContentError,
    ),
    "a licence that holds zero bytes": (
        lambda folder: (folder / "LICENSE").write_bytes(SECRETS["github"].encode("utf-16-le")),
        UnsafeContentError,
    ),
    "training.json in UTF-16": (
        lambda folder: (folder / "training.json").write_bytes(f'{{"by": "{SECRETS["github"]}"}}'.encode("utf-16")),
        UnsafeContentError,
    ),
    "a card of another family": (card("tags:", "zoo: {family: ddpm}\ntags:"), CardError),
    "a card whose family is no name": (card("tags:", "zoo: ddpm\ntags:"), CardError),
    "a secret as a name": (text(f"a/{SECRETS['github']}.txt", "x"), UnsafeContentError),
}


@pytest.mark.parametrize("case", WRONG)
def test_nothing_is_sent_when_anything_is_wrong(case: str, folder: Path, run: str, hub: LoopbackHub) -> None:
    spoil, error = WRONG[case]
    spoil(folder)
    with pytest.raises(error) as raised:
        put(run)
    assert type(raised.value) is error
    assert hub.requests == ()
    assert not any(secret in str(raised.value) for secret in SECRETS.values())


def test_the_login_that_is_stored_is_a_secret_too(
    folder: Path, run: str, hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("HF_TOKEN")
    Path(os.environ["HF_HOME"], "token").write_text("my-own-login\n")
    (folder / "LICENSE").write_text("You may, with my-own-login.\n")
    with pytest.raises(UnsafeContentError, match="your access token") as raised:
        put(run)
    assert "my-own-login" not in str(raised.value)
    assert console.redact("sent my-own-login twice") == "sent *** twice"
    monkeypatch.delitem(sys.modules, "huggingface_hub.constants")
    assert console.redact("sent my-own-login twice") == "sent *** twice"
    assert hub.requests == ()


@pytest.mark.parametrize(
    "text", ["hf_hub_download and hf_transfer", "risk-" + LETTERS, "sk-learn", "AKIA", "a disk-based-and-very-long-word"]
)
def test_what_only_resembles_a_secret_passes(text: str, folder: Path, run: str) -> None:
    (folder / "LICENSE").write_text(text)
    (folder / "tokenizer.json").write_text("{}")
    assert "LICENSE" in prepare(run, CAT, license="mit").files


@pytest.mark.parametrize("reference", ["zoo/cat", "nothing-like-it", "local:nowhere", "./nowhere", ""])
@pytest.mark.parametrize("repo", [CAT, "cat", "zoo/cat@main", "local:cat", "../cat", ""])
def test_what_is_not_here_is_not_published(reference: str, repo: str, hub: LoopbackHub) -> None:
    with pytest.raises((UsageError, UnknownNameError, NotFoundError)):
        publish(reference, repo, license="mit")
    assert hub.requests == ()


def test_a_run_in_this_folder_is_published_by_its_name(run: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(run).parent)
    assert prepare("cat", CAT, license="mit").name == prepare("./cat", CAT, license="mit").name == "cat"


def test_a_folder_with_the_name_of_the_repository_is_in_nobodys_way(run: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path(CAT).mkdir(parents=True)
    assert prepare(run, CAT, license="mit").repo == CAT


@pytest.mark.parametrize("reference", ["~nosuch/x", "local:~nosuch/x", "x/" + "y" * 5000, "a/\0"])
def test_text_that_is_not_a_path_is_a_usage_error(reference: str, hub: LoopbackHub) -> None:
    with pytest.raises(UsageError, match=r"not a path|not a checkpoint reference"):
        put(reference)
    assert hub.requests == ()


def test_a_run_without_an_export_is_named(run: str, folder: Path) -> None:
    folder.rename(folder.parent / "elsewhere")
    with pytest.raises(NotFoundError, match="export"):
        put(run)


@pytest.mark.parametrize("repo", ["cat", "zoo/cat@main", "local:cat", "../cat", "", "zoo/cat/more"])
def test_a_repository_is_an_organisation_and_a_name(repo: str, run: str) -> None:
    with pytest.raises(UsageError, match="repository"):
        prepare(run, repo, license="mit")


@pytest.mark.parametrize("tag", ["", "main", "a b", "../v1", "v1..2", "-v1", "v1/x"])
def test_a_tag_is_a_plain_name(tag: str, run: str, hub: LoopbackHub) -> None:
    with pytest.raises(UsageError, match="tag"):
        put(run, tag=tag)
    assert hub.requests == ()


def test_a_dry_run_refuses_what_would_be_refused(run: str, hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
    for tag in ("main", "../x"):
        with pytest.raises(UsageError, match="tag"):
            put(run, tag=tag, dry_run=True)
    done = put(run, tag="v1", dry_run=True)
    assert (done.commit, done.url) == ("", f"{hub.endpoint}/{CAT}")
    assert set((done.changes or {}).values()) == {"add"}
    asked = len(hub.requests)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert put(run, dry_run=True) == replace(done, changes=None, url="")
    monkeypatch.setenv("HF_ENDPOINT", "http://hub.example.org")
    with pytest.raises(TrustError):
        put(run, dry_run=True)
    assert len(hub.requests) == asked
