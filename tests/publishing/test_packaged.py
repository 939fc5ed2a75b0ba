"""A checkpoint in a plugin's package is published byte for byte, and its place is pinned."""

import errno
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import zoo_core
from zoo_core import cards
from zoo_core.cli.pin import PINS
from zoo_core.config import dump_json, load_json
from zoo_core.errors import (
    CardError,
    ConfigError,
    IntegrityError,
    ResourceError,
    UsageError,
)
from zoo_core.publishing import bundle as bundles
from zoo_core.publishing import prepare, publish
from zoo_core.testing import installed, pins_of, write_checkpoint_plugin, write_fake_plugin
from zoo_core.testing.fake import Fake
from zoo_core.testing.hub import LoopbackHub

from .helpers import CAT, IMAGES, files_of, put, rewrite

pytest_plugins = ["zoo_core.testing.hub"]
pytestmark = pytest.mark.usefixtures("fakes")


@pytest.fixture
def carried(tmp_path: Path, hub: LoopbackHub) -> Iterator[Path]:
    """The checkpoints.json of zoo-blobs, which carries ``blobs`` with a complete card."""
    folder = write_checkpoint_plugin(tmp_path / "blobs", "blobs", Fake(IMAGES), IMAGES)
    words = cards.Words(summary="Blobs.", license="mit")
    (folder / "README.md").write_text(str(cards.render("blobs", load_json(folder / "config.json"), {}, words, plugin="zoo-fake")))
    path = tmp_path / "blobs" / "checkpoints.json"
    path.write_text(dump_json({"blobs": pins_of(folder), "other": pins_of(folder)}))
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
def test_a_pin_that_cannot_be_written_is_an_error_before_or_with_the_commit(
    failing: str, carried: Path, hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object, **options: object) -> None:
        error = OSError(errno.ENOSPC, "No space left on device")
        raise error if failing == "TemporaryFile" else ResourceError("cannot write it")

    monkeypatch.setattr(bundles, failing, full)
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
        bundle = prepare("ddpm-afhq-cat", CAT)
    assert {name: {"sha256": pin.sha256, "size": pin.size} for name, pin in bundle.pins.items()} == load_json(package / PINS)[
        "ddpm-afhq-cat"
    ]["files"]
