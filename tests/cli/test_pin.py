"""``zoo pin`` writes the pins and cards of a plugin, and refuses what must not be published."""

import json
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from zoo_core.cards.render import DRAFT_LIMIT, Words
from zoo_core.cli.pin import write_pins
from zoo_core.errors import (
    CardError,
    ConfigError,
    UnsafeContentError,
)
from zoo_core.testing import fake_zoo, write_checkpoint
from zoo_core.testing.fake import Fake
from zoo_core.testing.fake_config import FakeConfig


@pytest.fixture
def local(tmp_path: Path) -> Iterator[Path]:
    """A checkpoint folder that nothing pins."""
    with fake_zoo():
        yield write_checkpoint(tmp_path / "mine", Fake(FakeConfig()), FakeConfig())


@pytest.fixture
def package(local: Path, tmp_path: Path) -> Path:
    """The package of a plugin with one checkpoint to pin."""
    root = tmp_path / "zoo_x"
    (root / "model_cards").mkdir(parents=True)
    (root / "plugin.py").write_text("")
    local.rename(root / "model_cards" / "fake-x")
    return root


def test_pins_say_what_card_config_and_files_say(package: Path, zoo: Callable[..., Any]) -> None:
    assert zoo("pin", str(package.parent)) == (0, f"{package / 'checkpoints.json'}: fake-x changed\n", "")
    entry = json.loads((package / "checkpoints.json").read_text())["fake-x"]
    assert (entry["family"], entry["license"], entry["summary"], entry["hub"]) == ("fake", "unknown", "A fake model.", None)
    assert set(entry["files"]) == {"README.md", "config.json", "model.safetensors"}
    assert write_pins(package) == []


def test_the_place_on_the_hub_is_kept_until_a_file_changes(package: Path) -> None:
    write_pins(package)
    path = package / "checkpoints.json"
    entry = json.loads(path.read_text())
    entry["fake-x"]["hub"] = {"repo": "ORG/x", "commit": "c" * 40}
    path.write_text(json.dumps(entry))
    assert write_pins(package) == []
    assert json.loads(path.read_text()) == entry
    (package / "model_cards" / "fake-x" / "LICENSE").write_text("text")
    assert write_pins(package) == ["fake-x"]
    assert json.loads(path.read_text())["fake-x"]["hub"] is None


def test_what_a_card_leaves_open_stays_as_a_person_wrote_it_and_what_it_says_counts(package: Path) -> None:
    write_pins(package)
    path, card = package / "checkpoints.json", package / "model_cards" / "fake-x" / "README.md"
    told = {"summary": "blobs", "license": "mit", "dataset": "blobs of our own"}
    entry = json.loads(path.read_text())["fake-x"]
    path.write_text(json.dumps({"fake-x": {**entry, **told}}))
    assert write_pins(package) == []
    text = card.read_text().replace("license: unknown", "license: cc0-1.0\ndatasets: [blobs]")
    card.write_text(text.replace(f"- {DRAFT_LIMIT}\n", "- It is small.\n"))
    assert write_pins(package) == ["fake-x"]
    entry = json.loads(path.read_text())["fake-x"]
    assert (entry["summary"], entry["license"], entry["dataset"]) == ("A fake model.", "cc0-1.0", "blobs")


def test_the_help_of_pin_names_each_field_of_a_card(zoo: Callable[..., Any]) -> None:
    text = zoo("pin", "--help").out
    assert text.startswith("Usage: zoo pin [OPTIONS] PLUGIN...")
    assert all(field.name in text for field in fields(Words))


@pytest.mark.parametrize("name", ["run.py", "weights.pkl", "model.bin", "model.pt", ".env", "a b.txt"])
def test_what_does_not_belong_into_a_checkpoint_is_not_pinned(name: str, package: Path) -> None:
    (package / "model_cards" / "fake-x" / name).write_text("x")
    with pytest.raises(UnsafeContentError):
        write_pins(package)
    assert not (package / "checkpoints.json").exists()


def test_a_checkpoint_without_a_valid_card_is_not_pinned(package: Path, zoo: Callable[..., Any]) -> None:
    (package / "model_cards" / "fake-x" / "README.md").write_text("# no front matter")
    with pytest.raises(CardError):
        write_pins(package)
    refused = zoo("pin", str(package))
    assert refused.code == 3
    assert refused.err.startswith("zoo: error: model card: ")


@pytest.mark.parametrize("name", ["training.json", "metrics.json"])
def test_json_that_cannot_be_read_is_not_pinned(name: str, package: Path) -> None:
    (package / "model_cards" / "fake-x" / name).write_text("[]")
    with pytest.raises(ConfigError, match=name):
        write_pins(package)


def test_pinning_where_there_is_no_plugin_is_a_usage_error(tmp_path: Path, zoo: Callable[..., Any]) -> None:
    for words in ([str(tmp_path)], []):
        refused = zoo("pin", *words)
        assert (refused.code, refused.out) == (2, "")
