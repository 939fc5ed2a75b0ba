"""Checkpoints in the layout of another library: fetched, verified, cached, locked and loaded as those of the zoo are."""

import json
import logging
import types
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save

import zoo_core
from zoo_core.checkpoint.files import Files
from zoo_core.checkpoint.layouts import Converted, Layout, Part
from zoo_core.errors import IntegrityError, NotFoundError, OfflineError, TrustError, UnsafeContentError, UsageError
from zoo_core.hub.cache import cache_folder
from zoo_core.hub.fetch import fetch, pull
from zoo_core.hub.verify import verify
from zoo_core.registry import Plugin, Registry, parse_reference, using
from zoo_core.specs import LayoutSpec
from zoo_core.testing.hub import LoopbackHub

from .helpers import Contents, asked, blobs, home

pytest_plugins = ["zoo_core.testing.hub"]
REPO = "else/where"
REFERENCE = f"other:{REPO}"
SHIFT, REST = "net/shift.safetensors", "net/rest.safetensors"


class Other(Layout):
    """net/options.json and two files of weights, of which the fake flow is made."""

    def is_wanted(self, name: str) -> bool:
        return name in ("README.md", "net/options.json", SHIFT, REST)

    def check(self, reference: str, names: Collection[str]) -> None:
        if not {"net/options.json", SHIFT, REST} <= set(names):
            raise TrustError(f"{reference} is in no such layout", "name another")

    def convert(self, files: Files) -> Converted:
        options = files.json("net/options.json")
        if "code" in options:
            raise TrustError(f"{files.reference} names code of its own", "do not use it")
        config = {"format": 1, "weights_version": 1, "model": {"name": "fake", **options}}
        return Converted(
            config=config, parts=(Part(file=SHIFT, rename=str), Part(file=REST, rename=lambda name: None if name == "junk" else name[2:]))
        )


@pytest.fixture
def other(plugins: Registry, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A plugin with that layout, beside the fake families."""
    module: Any = types.ModuleType("zoo_other")
    module.Other = Other
    monkeypatch.setitem(__import__("sys").modules, "zoo_other", module)
    spec = LayoutSpec(name="other", target="zoo_other:Other")
    with using(Registry((*plugins.plugins, Plugin(name="other", module="zoo_other", dist="zoo-other", version="1.0", specs=(spec,))))):
        yield


@pytest.fixture
def contents(cats: Contents, tmp_path: Path, other: None) -> Contents:
    """The checkpoint ``cats`` in that layout, with a tensor and files that nobody reads."""
    state = load_file(tmp_path / "cats" / "model.safetensors")
    shift, rest = {"shift": state.pop("shift")}, {f"x.{name}": value for name, value in state.items()}
    return {
        "README.md": b"---\nlicense: mit\ndatasets: [zoo/cats]\n---\n\nCats of another library.\n",
        "net/options.json": json.dumps(json.loads(cats["config.json"])["model"] | {"name": None}).replace('"name": null, ', "").encode(),
        SHIFT: save(shift),
        REST: save({**rest, "junk": torch.zeros(3)}),
        "net/weights.bin": b"a pickle",
        "run.py": b"print('run')",
    }


@pytest.fixture
def there(hub: LoopbackHub, contents: Contents) -> str:
    return hub.add_repo(REPO, contents)


@pytest.fixture
def here(contents: Contents, tmp_path: Path) -> Path:
    for name, data in contents.items():
        (tmp_path / "here" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "here" / name).write_bytes(data)
    return tmp_path / "here"


def original(tmp_path: Path) -> torch.Tensor:
    return zoo_core.load(tmp_path / "cats").sample(3, seed=1)


def test_a_reference_names_the_layout_before_a_repository_or_folder(here: Path) -> None:
    for text, kind in ((REFERENCE, "hub"), (f"{REFERENCE}@v1", "hub"), (f"other:local:{here}", "local"), (f"other:{here}", "local")):
        reference = parse_reference(text)
        assert (reference.kind, reference.layout) == (kind, "other")
        assert parse_reference(str(reference)) == reference
    for text in ("other:", "other:cats", "other:other:a/b", "none:a/b", "other:a/b/c", "other:*"):
        with pytest.raises(UsageError, match="is not a checkpoint reference"):
            parse_reference(text)
    with pytest.raises(UsageError, match="no installed plugin reads the layout none: pip install zoo-none"):
        parse_reference("none:a/b")
    assert parse_reference("zoo-other:cats").kind == "name"


def test_a_folder_is_read_as_it_is(here: Path, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in here.rglob("*") if path.is_file()}
    model = zoo_core.load(f"other:{here}")
    assert torch.equal(model.sample(3, seed=1), original(tmp_path))
    assert model.name == "here"
    facts = zoo_core.info(f"other:local:{here}")
    assert (facts["family"], facts["license"], facts["datasets"], facts["pinned"]) == ("fake", "mit", ["zoo/cats"], False)
    assert facts["parameters"] == sum(value.numel() for value in load_file(tmp_path / "cats" / "model.safetensors").values())
    assert {path: path.read_bytes() for path in here.rglob("*") if path.is_file()} == before


def test_only_what_is_wanted_is_fetched_and_a_second_load_needs_no_network(
    hub: LoopbackHub, there: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert torch.equal(zoo_core.load(REFERENCE).sample(3, seed=1), original(tmp_path))
    bodies = [line.rpartition("/resolve/")[2][41:] for line in asked(hub) if "/resolve/" in line]
    assert sorted(bodies[:2]) == ["README.md", "net/options.json"]
    assert sorted(bodies[2:]) == [REST, SHIFT]
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    before = len(hub.requests)
    with caplog.at_level(logging.WARNING):
        assert torch.equal(zoo_core.load(f"{REFERENCE}@{there}").sample(3, seed=1), original(tmp_path))
        assert zoo_core.load(REFERENCE).files.source.startswith("the cache, else/where at ")
    assert len(hub.requests) == before
    with pytest.raises(OfflineError):
        zoo_core.load(f"{REFERENCE}@v9")


def test_what_the_hubs_own_client_cached_is_used(hub: LoopbackHub, there: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import snapshot_download

    snapshot_download(REPO)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert torch.equal(zoo_core.load(REFERENCE).sample(3, seed=1), original(tmp_path))


def test_a_damaged_file_of_the_cache_is_fetched_again_and_a_wrong_one_is_refused(hub: LoopbackHub, there: str, tmp_path: Path) -> None:
    expected = original(tmp_path)
    pull(REFERENCE)
    for wrong in (SHIFT, "net/options.json"):
        path = (cache_folder() / "models--else--where" / "snapshots" / there / wrong).resolve()
        path.write_bytes(path.read_bytes().swapcase() + b" ")
        assert {verdict.file for verdict in verify(REFERENCE) if verdict.state != "ok"} == {wrong}
        assert torch.equal(zoo_core.load(REFERENCE).sample(3, seed=1), expected)
    assert {verdict.state for verdict in verify(REFERENCE)} == {"ok"}


def test_what_is_refused_is_refused_before_its_weights_are_fetched(hub: LoopbackHub, contents: Contents) -> None:
    hub.add_repo("else/code", {**contents, "net/options.json": b'{"code": "mine.py"}'})
    with pytest.raises(TrustError, match="other:else/code names code of its own"):
        pull("other:else/code")
    assert not any("safetensors" in line for line in asked(hub))
    hub.add_repo("else/pickle", {name: data for name, data in contents.items() if name != REST})
    with pytest.raises(TrustError, match="other:else/pickle is in no such layout"):
        fetch("other:else/pickle")
    assert not any("else/pickle/resolve" in line for line in asked(hub))
    assert all(b"pickle" not in blob.read_bytes() for blob in blobs(home()))


def test_a_lock_file_has_the_files_as_they_are(
    hub: LoopbackHub, there: str, here: Path, tmp_path: Path, zoo: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    local = f"other:local:{here}"
    assert zoo("lock", REFERENCE, local).code == 0
    entries = json.loads(Path("zoo.lock").read_text())["checkpoints"]
    assert set(entries[REFERENCE]["files"]) == set(entries[local]["files"]) == {"README.md", "net/options.json", SHIFT, REST}
    for reference in (REFERENCE, local):
        assert torch.equal(zoo_core.load(reference, lock="zoo.lock").sample(3, seed=1), original(tmp_path))
    (here / SHIFT).write_bytes((here / REST).read_bytes())
    with pytest.raises(IntegrityError, match=SHIFT):
        zoo_core.load(local, lock="zoo.lock")


def test_pull_and_show_and_sample_take_it(there: str, here: Path, zoo: Callable[..., Any]) -> None:
    pulled = zoo("pull", REFERENCE)
    assert (pulled.code, "4 files" in pulled.err) == (0, True), pulled.err
    assert "no installed plugin" not in pulled.err
    assert "fake" in zoo("show", REFERENCE).out
    drawn = zoo("sample", f"other:{here}", "-n", "2", "--out", "two.npz")
    assert drawn.code == 0, drawn.err
    assert Path("two.npz").is_file()


def test_bad_files_are_refused_as_those_of_the_zoo_are(here: Path) -> None:
    weights = (here / REST).read_bytes()
    (here / REST).write_bytes(save({"x.shift": torch.zeros(2)}))
    with pytest.raises(UnsafeContentError, match=r"net/rest\.safetensors holds the tensor 'shift', as another file does"):
        zoo_core.load(f"other:{here}")
    (here / REST).write_bytes(weights[:-1])
    with pytest.raises(UnsafeContentError, match=r"net/rest\.safetensors ends at byte"):
        zoo_core.load(f"other:{here}")
    (here / REST).unlink()
    (here / REST).symlink_to("/etc/hostname")
    with pytest.raises(UnsafeContentError, match="is a link out of its folder"):
        zoo_core.load(f"other:{here}")
    with pytest.raises(NotFoundError, match="there is no folder"):
        zoo_core.load("other:./nowhere")


def test_it_is_not_published_as_it_is(here: Path, zoo: Callable[..., Any]) -> None:
    refused = zoo("publish", f"other:{here}", "--repo", "zoo/here", "--dry-run")
    assert refused.code == 2
    assert "is not a checkpoint in the layout of the zoo -- `zoo export other:local:" in refused.err
