"""References in commands: an existing folder means that folder; a line mentions the Hub where the folder holds no checkpoint."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import zoo_core
from zoo_core.errors import ResourceError
from zoo_core.testing import fake_zoo, write_checkpoint
from zoo_core.testing.fake import Fake
from zoo_core.testing.fake_config import FakeConfig


@pytest.fixture(autouse=True)
def fakes() -> Iterator[None]:
    with fake_zoo():
        yield


@pytest.fixture
def run(tmp_path: Path, zoo: Callable[..., Any]) -> str:
    """A run folder below the working directory."""
    write_checkpoint(tmp_path / "runs" / "mine" / "export", Fake(FakeConfig()), FakeConfig())
    (tmp_path / "runs" / "mine" / "recipe.json").write_text("{}")
    return "runs/mine"


@pytest.mark.parametrize("command", [("show",), ("sample", "-n", "2"), ("pull",), ("compare",)])
def test_a_folder_that_holds_a_run_or_a_checkpoint_is_taken_without_a_word(
    command: tuple[str, ...], run: str, zoo: Callable[..., Any]
) -> None:
    name, *options = command
    for reference in (run, f"{run}/export", f"./{run}", f"local:{run}"):
        result = zoo(name, reference, *options)
        assert result.code == 0, result.err
        assert "is the folder" not in result.err


def test_a_folder_without_a_checkpoint_is_refused_with_a_word_of_the_hub(tmp_path: Path, zoo: Callable[..., Any]) -> None:
    (tmp_path / "runs" / "mine").mkdir(parents=True)
    result = zoo("show", "runs/mine")
    assert result.code == 4
    assert result.err.count("zoo: runs/mine is the folder of that name here; runs/mine@main is the repository on the Hub\n") == 1
    assert "is the folder" not in zoo("show", "./runs/mine").err + zoo("show", "local:runs/mine").err


def test_a_folder_is_refused_by_what_needs_pins_and_not_asked_of_the_hub(run: str, zoo: Callable[..., Any]) -> None:
    assert "nothing pins local:runs/mine -- `zoo pull PATH` reads the files of a folder" in zoo("verify", run).err
    assert "runs/mine has no numbers of its samples" in zoo("figure", run, "quality").err.replace("local:", "")


def test_a_folder_that_may_not_be_read_is_no_wrong_path(run: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, *args: object, **options: object) -> bool:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "is_file", refuse)
    with pytest.raises(ResourceError, match=f"cannot read {run}: Permission denied -- permission is missing there"):
        zoo_core.load(f"local:{run}")
