"""Publishing: everything is checked before anything is sent, and the repository is the old version or the complete new one."""

import errno
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from threading import Barrier, Event
from typing import Any, NamedTuple

import pytest
import torch
from safetensors.torch import load, save

import zoo_core
from zoo_core import cards
from zoo_core.cli import console, main
from zoo_core.cli.pin import PINS
from zoo_core.config import dump_json, load_json
from zoo_core.errors import (
    CardError,
    ConfigError,
    HubError,
    IncompatibleCheckpoint,
    IntegrityError,
    NotFoundError,
    OfflineError,
    ResourceError,
    TrustError,
    UnknownNameError,
    UnsafeContentError,
    UsageError,
    ZooError,
)
from zoo_core.images import png
from zoo_core.publishing import Published, prepare, publish
from zoo_core.publishing import bundle as parcels
from zoo_core.publishing import upload as sending
from zoo_core.publishing.upload import send
from zoo_core.testing import environment, fake_zoo, installed, pins_of, write_checkpoint, write_checkpoint_plugin, write_fake_plugin
from zoo_core.testing.fake import Fake
from zoo_core.testing.fake_config import FakeConfig
from zoo_core.testing.hub import LoopbackHub, Request
from zoo_core.testing.hub.faults import Match

pytest_plugins = ["zoo_core.testing.hub"]

CAT = "zoo/cat"
OURS = "cat, by zoo-core 0.1.0"  # the title of an older version
IMAGES = FakeConfig(shape=(3, 8, 8), bounded=True)
PNG = png(torch.zeros(3, 4, 4, dtype=torch.uint8))
LEAKING = png(torch.zeros(3, 4, 4, dtype=torch.uint8), {"note": "AKIA" + "ABCDEFGH23456789"})
METRICS: dict[str, Any] = {
    "metrics": [
        {"metric": "fd", "value": 12.3, "stderr": 0.4, "unit": "", "dataset": "afhq", "split": "val", "n": 500},
        {"metric": "precision", "value": 1, "dataset": "afhq", "split": "val"},
        {"metric": "nll", "value": 1e-5, "unit": "bits/dim", "dataset": "mnist"},
    ]
}


@pytest.fixture(autouse=True)
def fakes(hub: LoopbackHub) -> Iterator[None]:
    """Signal handlers are put back; the fake families are installed."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    with fake_zoo():
        yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The checkpoint of a finished run, with a draft card."""
    run = tmp_path / "runs" / "cat"
    made = write_checkpoint(run / "export", Fake(IMAGES), IMAGES)
    (run / "recipe.json").write_text("{}")
    training = {"steps": 10, "versions": {"torch": "2.15.0"}}
    (made / "training.json").write_text(dump_json(training))
    (made / "README.md").write_text(cards.draft("cat", load_json(made / "config.json"), training))
    (made / "samples.png").write_bytes(PNG)
    return made


@pytest.fixture
def run(folder: Path) -> str:
    """The run folder, as people write it."""
    return str(folder.parent)


def put(run: str, license: str | None = "mit", **options: Any) -> Published:
    return publish(run, CAT, license=license, **options)


def files_of(hub: LoopbackHub, repo: str = CAT) -> dict[str, bytes]:
    return {name: blob.data for name, blob in hub.repos[repo].head.files.items() if name != ".gitattributes"}


def rewrite(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


# Nothing is sent when anything is wrong


def weights(change: Callable[[dict[str, torch.Tensor]], object]) -> Callable[[Path], None]:
    def changed(folder: Path) -> None:
        state = load((folder / "model.safetensors").read_bytes())
        change(state)
        (folder / "model.safetensors").write_bytes(save(state))

    return changed


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
def test_what_is_no_path_is_no_folder(reference: str, hub: LoopbackHub) -> None:
    with pytest.raises(UsageError, match=r"not a path|not a checkpoint reference"):
        put(reference)
    assert hub.requests == ()


def test_a_run_without_an_export_is_said_to_lack_it(run: str, folder: Path) -> None:
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


# Licences


@pytest.mark.parametrize(
    ("stated", "given", "then"),
    [
        ("unknown", "mit", "mit"),
        ("mit", None, "mit"),
        ("mit", "mit", "mit"),
        ("unknown", None, UsageError),
        ("unknown", "unknown", UsageError),
        (None, None, UsageError),
        (None, "mit", "mit"),
        ("mit", "apache-2.0", CardError),
        ("unknown", "My Licence!", UsageError),
        ("unknown", "MIT", UsageError),
        ("mit", "MIT", UsageError),
        ("unknown", "other", CardError),
        ("[mit]", None, CardError),
    ],
)
def test_a_licence_is_stated_once_and_never_invented(
    stated: str | None, given: str | None, then: str | type[ZooError], folder: Path, run: str
) -> None:
    rewrite(folder / "README.md", "license: unknown\n", f"license: {stated}\n" if stated else "")
    if isinstance(then, str):
        parcel = prepare(run, CAT, license=given)
        assert parcel.card.license == cards.parse(parcel.files["README.md"]).license == then
    else:
        with pytest.raises(then, match=r"licen[sc]e"):
            prepare(run, CAT, license=given)


def test_a_licence_in_capitals_is_the_option_s_fault(run: str) -> None:
    with pytest.raises(UsageError, match=r'license="MIT" .* -- .*small letters.* license="mit"'):
        put(run, license="MIT")


def test_a_licence_that_the_hub_does_not_know_makes_no_repository(folder: Path, run: str, hub: LoopbackHub) -> None:
    with pytest.raises(CardError, match="apache2"):
        put(run, license="apache2")
    assert CAT not in hub.repos
    assert [str(request) for request in hub.requests] == [f"GET /api/models/{CAT}", "POST /api/validate-yaml"]
    put(run, license="apache-2.0")
    rewrite(folder / "README.md", "license: unknown", "license: apache2")
    with pytest.raises(CardError, match="apache2"):
        put(run, license=None)


def test_another_licence_has_a_name(folder: Path, run: str) -> None:
    rewrite(folder / "README.md", "license: unknown\n", "license: unknown\nlicense_name: squares-1.0\n")
    assert prepare(run, CAT, license="other").card.metadata["license_name"] == "squares-1.0"


# The card


def test_the_draft_of_a_run_is_completed_on_the_way_and_the_folder_stays(folder: Path, run: str, hub: LoopbackHub) -> None:
    (folder / "metrics.json").write_text(dump_json(METRICS))
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    put(run)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    sent = cards.parse(files_of(hub)["README.md"])
    sent.validate()
    assert {name: sent.metadata[name] for name in ("license", "library_name", "pipeline_tag", "tags", "zoo")} == {
        "license": "mit",
        "library_name": "zoo-core",
        "pipeline_tag": "unconditional-image-generation",
        "tags": ["zoo-core", "fake"],
        "zoo": {"family": "fake", "plugin": "zoo-fake"},
    }
    for told in (f'zoo_core.load("{CAT}")', f"zoo pull {CAT}\n", f"zoo sample {CAT} ", "## Licence\n\nmit\n", "`zoo-fake`"):
        assert told in sent.body
    for draft in ("This card is a draft", 'load("cat")', "zoo pull cat\n", "unknown"):
        assert draft not in sent.body


def test_the_hub_reads_the_numbers_of_metrics_json_from_the_card(folder: Path, run: str, hub: LoopbackHub) -> None:
    from huggingface_hub import ModelCard

    (folder / "metrics.json").write_text(dump_json(METRICS))
    put(run)
    results = ModelCard(files_of(hub)["README.md"].decode()).data.eval_results
    assert results is not None
    assert [(each.metric_type, each.metric_value, each.dataset_name, each.dataset_split) for each in results] == [
        ("fd", 12.3, "afhq", "val"),
        ("precision", 1, "afhq", "val"),
        ("nll", 1e-5, "mnist", None),
    ]
    assert results[0].metric_args == {"stderr": 0.4, "unit": "", "n": 500}


def test_what_a_person_wrote_stays(folder: Path, run: str) -> None:
    mine = (
        "---\nlicense: mit\nlanguage: en\ntags: [cats]\nbase_model: ORG/dog\n---\n\n# My cat\n\nA cat of mine.\n\n"
        'Compare with `zoo_core.load("ddpm-afhq-cat")`.\n'
    )
    (folder / "README.md").write_text(mine)
    made = prepare(run, CAT).card
    assert made.metadata["tags"] == ["cats", "zoo-core", "fake"]
    assert (made.metadata["language"], made.metadata["base_model"]) == ("en", "ORG/dog")
    assert made.body.startswith(cards.parse(mine).body.rstrip())
    assert f'zoo_core.load("{CAT}")' in made.body
    (folder / "README.md").write_text(str(made))
    assert prepare(run, CAT).files["README.md"] == str(made).encode()


def test_what_the_card_says_of_its_plugin_stays(folder: Path, run: str) -> None:
    rewrite(folder / "README.md", "tags:", "zoo: {family: fake, plugin: zoo-mine, note: keep me}\ntags:")
    made = prepare(run, CAT, license="mit").card
    assert made.metadata["zoo"] == {"family": "fake", "plugin": "zoo-mine", "note": "keep me"}
    assert "`zoo-mine`" in made.body
    assert "`zoo-fake`" not in made.body


def test_a_copy_of_what_was_pulled_is_used_by_its_own_name(run: str, hub: LoopbackHub, tmp_path: Path) -> None:
    put(run)
    pulled = zoo_core.pull(CAT)[0].folder
    with pytest.raises(UnsafeContentError, match=r"link.* -- .*cp -rL"):
        publish(f"{pulled}", "zoo/fork")
    shutil.copytree(pulled, tmp_path / "fork")
    publish(f"{tmp_path}/fork", "zoo/fork")
    body = cards.parse(files_of(hub, "zoo/fork")["README.md"]).body
    assert body.count("## Use") == 1
    assert (body.count("zoo/fork"), body.count(CAT)) == (3, 0)
    rewrite(tmp_path / "fork" / "README.md", "samples = model.sample(16, seed=0)", "samples = model.sample(64, seed=1)  # mine")
    mine = prepare(f"{tmp_path}/fork", "zoo/fork").card.body
    assert (mine.count("# mine"), mine.count(CAT)) == (1, 3)


def test_what_draws_no_images_is_not_said_to(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "points", Fake(FakeConfig()), FakeConfig())
    assert "pipeline_tag" not in prepare(str(folder), CAT, license="mit").card.metadata


# What is sent


def test_a_checkpoint_is_published_in_one_commit(folder: Path, run: str, hub: LoopbackHub) -> None:
    done = put(run)
    assert set(files_of(hub)) == {"README.md", "config.json", "model.safetensors", "samples.png", "training.json"} == set(done.sent)
    assert all(files_of(hub)[name] == (folder / name).read_bytes() for name in done.files if name != "README.md")
    assert {name: (pin.sha256, pin.size) for name, pin in done.files.items()} == {
        name: (hashlib.sha256(data).hexdigest(), len(data)) for name, data in files_of(hub).items()
    }
    head, first = hub.commits(CAT)
    assert (head.id, head.parent) == (done.commit, first.id)
    assert not hub.repos[CAT].private
    assert done.url == f"{hub.endpoint}/{CAT}"


def test_what_was_published_is_loaded_by_its_repository(run: str, hub: LoopbackHub) -> None:
    put(run, tag="v1")
    images = zoo_core.load(f"local:{run}").sample(2, seed=0)
    assert torch.equal(zoo_core.load(CAT).sample(2, seed=0), images)
    assert torch.equal(zoo_core.load(f"{CAT}@v1").sample(2, seed=0), images)


def test_publishing_again_makes_no_commit_and_sends_no_file(run: str, hub: LoopbackHub) -> None:
    first, before, asked = put(run), hub.commits(CAT), len(hub.requests)
    again = put(run)
    assert (again.commit, again.sent, again.deleted, again.files) == (first.commit, (), (), first.files)
    assert hub.commits(CAT) == before
    assert {request.method for request in hub.requests[asked:]} == {"GET"}


def test_a_new_version_replaces_what_changed_deletes_what_is_gone_and_leaves_what_is_not_ours(
    folder: Path, run: str, hub: LoopbackHub
) -> None:
    put(run)
    hub.commit(CAT, {"LICENSE": b"old", "golden.safetensors": b"old"}, OURS)
    hub.commit(CAT, {"banner.png": b"theirs", "old.bin": b"theirs"})
    weights(lambda state: state["shift"].fill_(2.0))(folder)
    before = len(hub.commits(CAT))
    done = put(run)
    assert len(hub.commits(CAT)) == before + 1
    assert (done.sent, set(done.deleted), set(done.kept)) == (
        ("model.safetensors",),
        {"LICENSE", "golden.safetensors"},
        {"banner.png", "old.bin"},
    )
    assert set(files_of(hub)) == {*done.files, *done.kept}
    assert files_of(hub)["model.safetensors"] == (folder / "model.safetensors").read_bytes()


def test_unlisted_files_stay_at_home(folder: Path, run: str, hub: LoopbackHub) -> None:
    (folder / "notes.md").write_text("x")
    (folder / "logs").mkdir()
    (folder / "logs" / "log.txt").write_text("x")
    assert put(run).left_out == ("logs/log.txt", "notes.md")
    assert not {"notes.md", "logs/log.txt"} & set(files_of(hub))


def test_a_private_repository_is_private_or_nothing_is_sent(run: str, hub: LoopbackHub) -> None:
    put(run, private=True)
    assert hub.repos[CAT].private
    put(run)
    assert hub.repos[CAT].private
    hub.add_repo("zoo/public", {})
    with pytest.raises(UsageError, match="not private"):
        publish(run, "zoo/public", license="mit", private=True)
    assert files_of(hub, "zoo/public") == {}


def test_a_tag_names_the_version_and_stays_there(folder: Path, run: str, hub: LoopbackHub) -> None:
    first = put(run, tag="v1")
    assert hub.repos[CAT].refs == {"v1": first.commit}
    assert put(run, tag="v1").commit == first.commit
    weights(lambda state: state["shift"].fill_(2.0))(folder)
    with pytest.raises(HubError, match="tag v1 already"):
        put(run, tag="v1")
    assert hub.commits(CAT)[0].id == first.commit
    assert hub.repos[CAT].refs == {"v1": first.commit, "v2": put(run, tag="v2").commit}


# A checkpoint that a plugin carries


@pytest.fixture
def carried(tmp_path: Path, hub: LoopbackHub) -> Iterator[Path]:
    """The checkpoints.json of zoo-blobs, which carries ``blobs`` with a complete card."""
    made = write_checkpoint_plugin(tmp_path / "blobs", "blobs", Fake(IMAGES), IMAGES)
    words = cards.Words(summary="Blobs.", license="mit")
    (made / "README.md").write_text(str(cards.render("blobs", load_json(made / "config.json"), {}, words, plugin="zoo-fake")))
    path = tmp_path / "blobs" / "checkpoints.json"
    path.write_text(dump_json({"blobs": pins_of(made), "other": pins_of(made)}))
    with installed(write_fake_plugin(tmp_path / "fake"), tmp_path / "blobs", names=["zoo-fake", "zoo-blobs"]):
        yield path


def folder_of(carried: Path) -> Path:
    return carried.parent / "model_cards" / "blobs"


def test_what_a_plugin_carries_is_published_byte_for_byte_and_its_place_is_pinned(carried: Path, hub: LoopbackHub) -> None:
    before = load_json(carried)
    done = publish("blobs", CAT, pin=carried)
    assert files_of(hub) == {path.name: path.read_bytes() for path in folder_of(carried).iterdir()}
    after = load_json(carried)
    assert after.pop("other") == before.pop("other")
    assert after == {"blobs": {**before["blobs"], "hub": {"repo": CAT, "commit": done.commit}}}
    assert after["blobs"]["files"] == {name: {"sha256": pin.sha256, "size": pin.size} for name, pin in done.files.items()}
    assert not list(carried.parent.glob(".tmp*"))


def test_one_set_of_pins_verifies_the_package_and_the_hub(carried: Path, hub: LoopbackHub) -> None:
    images = zoo_core.load("blobs").sample(2, seed=0)
    publish("blobs", CAT, pin=carried)
    folder_of(carried).rename(carried.parents[1] / "gone")
    with installed(carried.parents[1] / "fake", carried.parent, names=["zoo-fake", "zoo-blobs"]):
        loaded = zoo_core.load("blobs")
    assert torch.equal(loaded.sample(2, seed=0), images)
    assert loaded.files.pins


def test_a_folder_behind_a_link_is_published(carried: Path, tmp_path: Path, hub: LoopbackHub) -> None:
    folder_of(carried).rename(tmp_path / "elsewhere")
    folder_of(carried).symlink_to(tmp_path / "elsewhere")
    publish("blobs", CAT)
    assert "model.safetensors" in files_of(hub)


@pytest.mark.parametrize(
    ("old", "new"),
    [("zoo:\n  family: fake\n  plugin: zoo-fake\n", ""), ("  plugin: zoo-fake\n", ""), ('load("blobs")', 'load("x")')],
)
def test_the_card_of_what_a_plugin_carries_has_to_be_complete(old: str, new: str, carried: Path, hub: LoopbackHub) -> None:
    rewrite(folder_of(carried) / "README.md", old, new)
    carried.write_text(dump_json({"blobs": pins_of(folder_of(carried))}))
    with (
        installed(carried.parents[1] / "fake", carried.parent, names=["zoo-fake", "zoo-blobs"]),
        pytest.raises(CardError, match=r"not complete.* -- `zoo pin`"),
    ):
        publish("blobs", CAT)
    assert hub.requests == ()


def test_what_is_not_what_is_pinned_is_not_published(carried: Path, hub: LoopbackHub) -> None:
    (folder_of(carried) / "config.json").write_bytes((folder_of(carried) / "config.json").read_bytes() + b"\n")
    with pytest.raises(IntegrityError):
        publish("blobs", CAT)
    assert hub.requests == ()


def test_a_pin_is_written_only_for_exactly_what_is_published(carried: Path, run: str, hub: LoopbackHub) -> None:
    before = carried.read_bytes()
    with pytest.raises(UsageError, match="no checkpoint cat"):
        put(run, pin=carried)
    with pytest.raises(IntegrityError, match=r"README\.md"):
        publish(f"local:{folder_of(carried)}", CAT, pin=carried)
    with pytest.raises(ConfigError):
        publish("blobs", CAT, pin=carried.parent / "nothing.json")
    assert (carried.read_bytes(), hub.requests) == (before, ())


@pytest.mark.parametrize("failing", ["TemporaryFile", "write_file"])
def test_a_pin_that_cannot_be_written_is_told_before_or_with_the_commit(
    failing: str, carried: Path, hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object, **options: object) -> None:
        error = OSError(errno.ENOSPC, "No space left on device")
        raise error if failing == "TemporaryFile" else ResourceError("cannot write it")

    monkeypatch.setattr(parcels, failing, full)
    with pytest.raises(ResourceError, match="cannot write") as raised:
        publish("blobs", CAT, pin=carried)
    if failing == "TemporaryFile":
        assert hub.requests == ()
    else:
        assert f"published as {hub.commits(CAT)[0].id}" in raised.value.what
        assert "another run" in raised.value.hint
    monkeypatch.undo()


def test_the_cats_of_this_repository_can_be_published_as_they_are(hub: LoopbackHub) -> None:
    from zoo_core.registry import discover, using

    package = Path(__file__).parents[2] / "plugins" / "ddpm" / "zoo_ddpm"
    if not load_json(package / PINS).get("ddpm-afhq-cat"):
        pytest.skip("there are none")
    with using(discover(["zoo-ddpm"])):
        parcel = prepare("ddpm-afhq-cat", CAT)
    assert {name: {"sha256": pin.sha256, "size": pin.size} for name, pin in parcel.pins.items()} == load_json(package / PINS)[
        "ddpm-afhq-cat"
    ]["files"]


# Others publish too


def test_of_two_versions_on_one_parent_one_is_refused_and_goes_through_later(folder: Path, run: str, hub: LoopbackHub) -> None:
    put(run)
    weights(lambda state: state["shift"].fill_(2.0))(folder)

    def theirs(request: Request) -> None:
        hub.commit(CAT, {"config.json": b"theirs"}, OURS)

    with hub.fault("POST .*/commit/", on_request=theirs, times=1), pytest.raises(HubError, match=r"meanwhile.*run it again"):
        put(run)
    assert files_of(hub)["config.json"] == b"theirs"
    assert files_of(hub)["model.safetensors"] != (folder / "model.safetensors").read_bytes()
    assert put(run).sent == ("config.json", "model.safetensors")


@pytest.mark.parametrize("alike", [True, False])
def test_of_two_publishers_at_once_one_wins(alike: bool, folder: Path, run: str, hub: LoopbackHub) -> None:
    put(run)
    parcels = []
    for value in (2.0, 2.0 if alike else 3.0):
        weights(lambda state, value=value: state["shift"].fill_(value))(folder)  # type: ignore[misc]
        parcels.append(prepare(run, CAT, license="mit"))
    both, before = Barrier(2), len(hub.commits(CAT))

    def outcome(parcel: Any) -> str:
        try:
            return "sent" if send(parcel).sent else "there"
        except HubError as error:
            return error.what

    with hub.fault("POST .*/commit/", on_request=lambda request: both.wait(20), times=2), ThreadPoolExecutor(2) as pool:
        found = sorted(pool.map(outcome, parcels))
    assert found[0] == "sent"
    assert "meanwhile" in found[1]
    assert len(hub.commits(CAT)) == before + 1
    assert files_of(hub)["model.safetensors"] in [parcel.files["model.safetensors"] for parcel in parcels]
    # Once more, one after the other: what is there makes no commit.
    again = [outcome(parcel) for parcel in parcels]
    assert again in ([["there", "there"]] if alike else [["there", "sent"], ["sent", "sent"]])


# The Hub fails


@pytest.mark.parametrize(
    ("match", "fault", "error", "words"),
    [
        (
            "GET /api/models",
            {"status": 401, "headers": {"X-Error-Message": "Invalid credentials in Authorization header"}},
            HubError,
            "token",
        ),
        ("GET /api/models", {"status": 418}, HubError, "418"),
        ("GET /api/models", {"status": 200, "body": b"[]"}, HubError, "get along"),
        ("GET /api/models", {"status": 200, "body": b"<html>"}, HubError, "not JSON"),
        ("GET /api/models", {"reset": True}, HubError, "connection"),
        ("GET /api/models", {"status": 403, "headers": {"X-Error-Code": "GatedRepo"}}, HubError, "gated"),
        ("POST /api/repos/create", {"status": 403}, HubError, "may not write"),
        ("POST /api/validate-yaml", {"status": 400, "body": b'{"errors": [{"message": "license"}]}'}, CardError, "card: .*license"),
        ("POST .*/preupload/", {"status": 507}, HubError, "507"),
        ("POST .*/objects/batch", {"status": 200, "body": b"{}"}, HubError, "get along"),
        ("PUT /lfs/", {"status": 400}, HubError, "400"),
        ("POST .*/commit/", {"status": 500}, HubError, "later"),
        ("POST .*/commit/", {"status": 413, "headers": {"X-Error-Message": "quota exceeded"}}, HubError, "quota"),
        ("POST .*/commit/", {"reset": True}, HubError, "connection"),
        ("POST .*/commit/", {"truncate": 0}, HubError, "connection"),
        (
            "POST .*/commit/",
            {"rewrite": lambda body: json.dumps({**json.loads(body), "commitOid": "../../main"}).encode()},
            UnsafeContentError,
            "commit",
        ),
        ("GET /api/models/zoo/cat/revision", {"rewrite": lambda body: body.replace(b'"lfs"', b'"x"')}, IntegrityError, "model.safetensors"),
        ("GET /api/models/zoo/cat$", {"rewrite": lambda body: body.replace(b'"sha": "', b'"sha": "../')}, UnsafeContentError, "commit"),
        ("GET .*/refs", {"status": 404}, NotFoundError, "finds no"),
        ("POST .*/tag/", {"status": 409}, HubError, "409"),
    ],
)
def test_what_the_hub_fails_at_is_an_error_of_ours_and_a_rerun_completes(
    match: str, fault: dict[str, Any], error: type[ZooError], words: str, run: str, hub: LoopbackHub
) -> None:
    with hub.fault(match, **fault) as struck, pytest.raises(error, match=words) as raised:
        put(run, tag="v1")
    assert struck.hits >= 1
    assert type(raised.value) is error or error is HubError
    assert raised.value.hint
    assert len(str(raised.value)) < 400
    done = put(run, tag="v1")
    assert set(done.files) == set(files_of(hub))
    assert hub.repos[CAT].refs == {"v1": hub.commits(CAT)[0].id}
    assert len(hub.commits(CAT)) == 2


@pytest.mark.parametrize(
    ("match", "fault", "error"),
    [
        ("POST .*/tag/", {"status": 500}, HubError),
        ("POST .*/tag/", {"status": 403}, HubError),
        ("GET /api/models/zoo/cat/revision", {"status": 500}, HubError),
        ("GET /api/models/zoo/cat/revision", {"status": 404, "headers": {"X-Error-Code": "RevisionNotFound"}}, NotFoundError),
    ],
)
def test_what_fails_after_the_commit_names_the_commit(
    match: str, fault: dict[str, Any], error: type[ZooError], run: str, hub: LoopbackHub
) -> None:
    with hub.fault(match, **fault), pytest.raises(error) as raised:
        put(run, tag="v1")
    assert type(raised.value) is error
    assert raised.value.what.startswith(f"published as {hub.commits(CAT)[0].id}; ")
    assert hub.token not in str(raised.value)
    assert len(hub.commits(CAT)) == 2


def test_a_silent_hub_is_not_waited_for_forever(run: str, hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "PATIENCE", 0.3)
    with hub.fault("POST .*/commit/", delay=Event(), status=500), pytest.raises(HubError, match="connection"):
        put(run)
    assert files_of(hub) == {}


def test_without_a_token_nothing_is_asked(run: str, hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(HubError, match="hf auth login"):
        put(run)
    assert hub.requests == ()


def test_who_may_not_write_is_told_so(run: str, hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.add_repo(CAT, {})
    for token, words in ((hub.visitor_token, "may not write"), ("hf_wrong", "does not know your token")):
        monkeypatch.setenv("HF_TOKEN", token)
        with pytest.raises(HubError, match=words) as raised:
            put(run)
        assert token not in str(raised.value)
    assert files_of(hub) == {}


def test_plain_http_to_another_machine_gets_no_token(run: str, hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://hub.example.org")
    with pytest.raises(TrustError):
        put("no such folder")
    assert hub.requests == ()


def test_offline_nothing_is_published(run: str, hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(OfflineError):
        put(run)
    assert hub.requests == ()


def test_a_server_without_xet_gets_the_files_by_lfs(run: str, hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("hf_xet")
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", False)
    put(run)
    assert [str(request) for request in hub.requests if "xet" in request.path] == [f"GET /api/models/{CAT}/xet-write-token/main"]
    assert len(hub.commits(CAT)) == 2
    assert [request.method for request in hub.requests if request.host == "content"] == ["PUT", "PUT"]


# The command


class Result(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def zoo(capfd: pytest.CaptureFixture[str], hub: LoopbackHub) -> Callable[..., Result]:
    """Runs ``zoo publish``; its output never holds the token."""

    def command(*args: object) -> Result:
        with pytest.raises(SystemExit) as ended:
            main(["publish", *map(str, args)])
        out, err = capfd.readouterr()
        assert hub.token not in out + err
        assert isinstance(ended.value.code, int)
        return Result(ended.value.code, out, err)

    return command


def test_the_command_prints_the_pin_and_nothing_else_on_stdout(zoo: Callable[..., Result], run: str, hub: LoopbackHub) -> None:
    done = zoo(run, "--repo", CAT, "--license", "mit", "--tag", "v1")
    assert done.code == 0, done.err
    told = json.loads(done.out)
    assert told["files"] == {
        name: {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)} for name, data in sorted(files_of(hub).items())
    }
    assert (told["repo"], told["commit"]) == (CAT, hub.commits(CAT)[0].id)
    assert done.err.splitlines() == [f"{hub.endpoint}/{CAT}: 5 of 5 files sent, {done.err.split(', ')[-1].strip()}"]
    again = zoo(run, "--repo", CAT, "--license", "mit")
    assert (again.code, again.out, again.err) == (0, done.out, f"{hub.endpoint}/{CAT}: already there\n")


def test_a_dry_run_checks_and_tells_everything_and_sends_nothing(
    zoo: Callable[..., Result], folder: Path, run: str, hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_TOKEN")
    (folder / "notes.md").write_text("x")
    done = zoo(run, "--repo", CAT, "--license", "mit", "--dry-run")
    parcel = prepare(run, CAT, license="mit")
    assert (done.code, done.err) == (0, "left out: notes.md\n")
    assert json.loads(done.out) == {
        "repo": CAT,
        "files": {name: {"sha256": pin.sha256, "size": pin.size} for name, pin in sorted(parcel.pins.items())},
        "changes": None,  # without a login the Hub does not say whether there is such a repository
        "card": dict(parcel.card.metadata),
    }
    (folder / "run.py").write_text("x")
    assert zoo(run, "--repo", CAT, "--license", "mit", "--dry-run").code == 7
    assert zoo(run, "--repo", CAT, "--license", "mit", "--dry-run", "--tag", "main").code == 2
    assert {request.method for request in hub.requests} == {"GET"}


@pytest.mark.parametrize("match", ["GET ", "POST .*/preupload/", "POST .*/commit/"])
def test_a_server_that_sends_the_token_back_does_not_get_it_printed(
    match: str, zoo: Callable[..., Result], run: str, hub: LoopbackHub
) -> None:
    body = json.dumps({"error": f"bad {hub.token}"}).encode()
    with hub.fault(match, status=418, body=body, headers={"X-Error-Message": f"bad {hub.token}"}):
        failed = zoo(run, "--repo", CAT, "--license", "mit", "--debug")
        assert failed.code == 4
        assert "***" in failed.err
        with pytest.raises(HubError) as raised:
            put(run)
    assert hub.token not in str(raised.value)


def test_there_are_progress_bars_only_where_they_are_wanted(
    run: str, hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(import_module("huggingface_hub.utils.tqdm"), "HF_HUB_DISABLE_PROGRESS_BARS", None)
    put(run)
    assert capfd.readouterr().err == ""
    for name in ("model.safetensors", "samples.png"):
        hub._store.objects.pop(hashlib.sha256(files_of(hub)[name]).hexdigest())  # so that they are uploaded again
    publish(run, "zoo/another", license="mit", progress=True)
    assert "Upload" in capfd.readouterr().err


def test_the_facade_keeps_the_function() -> None:
    assert zoo_core.publish is publish
    __import__("zoo_core.publishing.upload")
    assert zoo_core.publish is publish


# Killed


class Publisher:
    """A process that forks a publisher for each line of arguments, after a dry run of its own: so torch is imported once.

    A publisher is a process of its own, which is killed with SIGKILL.
    """

    SOURCE = """
import os, sys, json
import httpx2, huggingface_hub.hf_api, torch, yaml, zoo_core.pretrained, zoo_core.cli.publish
from zoo_core.cli import main
def publish(*args):
    try:
        main(["publish", *args])
    except SystemExit as ended:
        return ended.code
publish(*sys.argv[1:], "--dry-run")
for line in sys.stdin:
    child = os.fork()
    if not child:
        os._exit(publish(*json.loads(line)))
    print("forked", child, flush=True)
    print("ended", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""

    def __init__(self, environ: Mapping[str, str], *args: object) -> None:
        command = [sys.executable, "-c", self.SOURCE, *map(str, args)]
        self.process = subprocess.Popen(command, env=dict(environ), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.child = 0

    def run(self, *args: object) -> int:
        """Publishes; returns the exit code, or minus the signal that ended it."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps([*map(str, args)]) + "\n")
        self.process.stdin.flush()
        self.child = self._told("forked")
        return self._told("ended")

    def _told(self, what: str) -> int:
        """The number after a word in the output, beside what the publishers print there."""
        assert self.process.stdout is not None
        return next(int(line.split()[1]) for line in self.process.stdout if line.startswith(what))

    def kill(self, request: Request) -> None:
        """Ends the running publisher at once."""
        os.kill(self.child, signal.SIGKILL)

    def close(self) -> None:
        self.process.communicate(timeout=60)


@pytest.fixture
def publisher(hub: LoopbackHub, folder: Path, tmp_path: Path) -> Iterator[Publisher]:
    plugin = write_fake_plugin(tmp_path / "plugin")
    made = Publisher({**environment(plugin), **hub.environment(tmp_path / "home"), "ZOO_PLUGINS": "zoo-fake"}, folder, "--repo", CAT)
    yield made
    made.close()


def killed_at(match: Match, repo: str, after: bool, folder: Path, publisher: Publisher, hub: LoopbackHub) -> bool:
    """Kills a publisher at a request, before or after the Hub carries it out, and checks what is left; whether it came so far."""
    arguments = (folder, "--repo", repo, "--license", "mit", "--tag", "v1")
    there = repo in hub.repos
    old, commits = (files_of(hub, repo), len(hub.commits(repo))) if there else ({}, 1)
    new = prepare(str(folder), repo, license="mit").files
    with hub.fault(match, on_request=publisher.kill, reset=not after, times=1) as fault:
        assert publisher.run(*arguments) == (-signal.SIGKILL if fault.hits else 0)
    assert (files_of(hub, repo) if repo in hub.repos else {}) in (old, new)
    assert publisher.run(*arguments) == 0
    assert files_of(hub, repo) == new
    assert len(hub.commits(repo)) == commits + 1
    assert hub.repos[repo].refs == {"v1": hub.commits(repo)[0].id}
    return fault.hits > 0


def test_a_publisher_killed_at_its_commit_leaves_the_old_version_or_the_new(folder: Path, publisher: Publisher, hub: LoopbackHub) -> None:
    hub.add_repo(CAT, {})
    hub.commit(CAT, {"config.json": b"old", "LICENSE": b"old"}, OURS)
    assert killed_at("POST .*/commit/", CAT, False, folder, publisher, hub)
    assert killed_at("POST .*/commit/", "zoo/new", True, folder, publisher, hub)


@pytest.mark.slow
def test_a_publisher_killed_at_any_request_leaves_the_old_version_or_the_new(folder: Path, publisher: Publisher, hub: LoopbackHub) -> None:
    points = [(place, after, there) for place in range(17) for after in (False, True) for there in (False, True)]
    random.Random(0).shuffle(points)
    hits = 0
    for place, after, there in points:
        repo = f"zoo/cat-{place}-{after}-{there}"
        weights(lambda state, value=float(hits): state["shift"].fill_(value))(folder)  # type: ignore[misc]  # so that they are uploaded
        if there:
            hub.add_repo(repo, {})
            hub.commit(repo, {"config.json": b"old", "LICENSE": b"old"}, OURS)
        count = iter(range(100))
        hits += killed_at(lambda request, count=count, place=place: next(count) == place, repo, after, folder, publisher, hub)  # type: ignore[misc]
    assert hits >= 40
