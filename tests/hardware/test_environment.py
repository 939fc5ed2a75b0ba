"""The commits of source trees, as records name them."""

import shutil
import subprocess
from pathlib import Path

import pytest

from zoo_core import cards
from zoo_core.hardware.environment import plugin_commits, source_commit
from zoo_core.registry import resolve
from zoo_core.testing import fake_zoo, installed, write_plugin
from zoo_core.testing.fake_config import FakeConfig

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
SOURCE = """
from dataclasses import dataclass
from zoo_core.hookspecs import hookimpl
from zoo_core.interfaces import DatasetConfig
from zoo_core.specs import DatasetSpec

@dataclass(frozen=True, kw_only=True, slots=True)
class MineConfig(DatasetConfig):
    count: int = 1

@hookimpl
def zoo_specs():
    return [DatasetSpec(name='mine', target='zoo_mine:load', config='zoo_mine:MineConfig')]
"""


def git(folder: Path, *words: str) -> str:
    who = ("-c", "user.name=a", "-c", "user.email=a@b")
    return subprocess.run(["git", *who, *words], cwd=folder, capture_output=True, text=True, check=True).stdout.strip()


def committed(folder: Path) -> str:
    """The commit of a new repository with all files of a folder."""
    git(folder, "init", "-q")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "first")
    return git(folder, "rev-parse", "HEAD")


def test_the_commit_of_a_plugin_is_that_of_its_own_repository(tmp_path: Path) -> None:
    commit = committed(write_plugin(tmp_path, "zoo-mine", SOURCE))
    with installed(tmp_path, names=["zoo-mine"]):
        data = resolve("zoo_mine:MineConfig")()
        assert plugin_commits({"dataset": data}) == {"zoo-mine": commit}
        (tmp_path / "zoo_mine.py").write_text(SOURCE + "\n")
        assert plugin_commits({"dataset": data}) == {"zoo-mine": f"{commit}+changes"}


def test_a_plugin_of_no_repository_or_that_another_one_ignores_has_no_commit(tmp_path: Path) -> None:
    write_plugin(tmp_path / "ignored", "zoo-mine", SOURCE)
    assert source_commit(tmp_path / "ignored") == ""
    (tmp_path / ".gitignore").write_text("ignored\n")
    committed(tmp_path)
    with installed(tmp_path / "ignored", names=["zoo-mine"]):
        assert plugin_commits({"dataset": resolve("zoo_mine:MineConfig")()}) == {}


def test_parts_of_zoo_core_have_its_commit_alone() -> None:
    with fake_zoo():
        assert plugin_commits({"family": FakeConfig()}) == {}


def test_without_git_there_are_no_commits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert source_commit() == ""


def test_a_card_names_the_package_of_each_commit() -> None:
    config = {"model": {"name": "fake"}, "sampler": None}
    text = cards.draft("mine", config, {"commit": "c0ffee", "commits": {"zoo-mine": "beef", "odd": 3}, "steps": 1})
    assert "zoo-core commit: `c0ffee`. zoo-mine commit: `beef`." in text
    assert "odd" not in text
