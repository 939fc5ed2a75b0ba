"""Round trip by the command line: from a run to the Hub and back; the result is an ordinary repository."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from zoo_core.testing import environment, fake_zoo, write_fake_plugin
from zoo_core.testing.fake_config import IMAGES
from zoo_core.testing.hub import LoopbackHub, hub  # noqa: F401  # the fixture
from zoo_core.training.fit import fit

REPO = "zoo/blobs"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A finished run."""
    with fake_zoo():
        fit(replace(IMAGES, fit=replace(IMAGES.fit, steps=4)), tmp_path / "blobs")
    return tmp_path / "blobs"


def more(run: Path, steps: int) -> None:
    with fake_zoo():
        fit(replace(IMAGES, fit=replace(IMAGES.fit, steps=steps)), run)


class Zoo:
    """The command line with the fake families, a token, and a cache of its own."""

    def __init__(self, folder: Path, hub: LoopbackHub) -> None:  # noqa: F811  # an argument
        site = write_fake_plugin(folder / "site")
        self.folder, self.token = folder, hub.token
        self.env: Mapping[str, str] = {**environment(site), **hub.environment(folder / "home"), "ZOO_PLUGINS": "zoo-fake"}
        self.told = ""

    def __call__(self, *words: str, code: int = 0, **env: str) -> str:
        command = [sys.executable, "-m", "zoo_core.cli", *words]
        done = subprocess.run(command, env={**self.env, **env}, cwd=self.folder, capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == code, done.stderr
        self.told += done.stdout + done.stderr + " ".join(command)
        return done.stdout


def images(path: Path) -> "np.ndarray[tuple[int, ...], np.dtype[np.float32]]":
    with np.load(path) as file:
        return np.asarray(file["samples"])


@pytest.mark.slow
def test_what_was_published_comes_back_the_same_and_older_versions_stay(
    run: Path,
    tmp_path: Path,
    hub: LoopbackHub,  # noqa: F811  # the fixture
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    zoo = Zoo(tmp_path, hub)
    zoo("sample", f"local:{run}", "-n", "5", "--out", "before.npz")
    first = json.loads(zoo("publish", str(run), "--repo", REPO, "--license", "mit", "--tag", "v1"))
    more(run, 8)
    zoo("sample", f"local:{run}", "-n", "5", "--out", "after.npz")
    second = json.loads(zoo("publish", str(run), "--repo", REPO, "--license", "mit"))
    assert first["commit"] != second["commit"]

    [listed] = json.loads(zoo("list", "--remote", "--json"))
    assert (listed["repo"], listed["family"], listed["state"]) == (REPO, "fake", "pullable")
    zoo("pull", REPO)  # into an empty cache
    assert json.loads(zoo("list", "--remote", "--json"))[0]["state"] == "here"
    zoo("sample", REPO, "-n", "5", "--out", "new.npz")
    zoo("sample", f"{REPO}@v1", "-n", "5", "--out", "tag.npz")
    zoo("sample", f"{REPO}@{first['commit']}", "-n", "5", "--out", "commit.npz", HF_HUB_OFFLINE="1")
    drawn = {name: images(tmp_path / f"{name}.npz") for name in ("before", "after", "new", "tag", "commit")}
    assert np.array_equal(drawn["new"], drawn["after"])
    assert np.array_equal(drawn["tag"], drawn["before"])
    assert np.array_equal(drawn["commit"], drawn["before"])
    assert not np.array_equal(drawn["before"], drawn["after"])

    # By the Hub's own tools.
    from huggingface_hub import ModelCard, model_info, snapshot_download
    from safetensors import safe_open

    folder = Path(snapshot_download(REPO, revision="v1"))
    card = ModelCard.load(folder / "README.md")
    card.validate()
    assert (card.data.library_name, card.data.license) == ("zoo-core", "mit")
    assert {"zoo-core", "fake"} <= set(model_info(REPO).tags or [])
    with safe_open(folder / "model.safetensors", "pt") as file:
        assert set(file.keys()) == {"shift", "log_scale", "means"}
        assert file.metadata() == {"format": "pt"}

    # The token went to the Hub, and nowhere else.
    assert any(request.authorized for request in hub.requests)
    assert hub.token not in zoo.told
    for repo in (REPO,):
        for commit in hub.commits(repo):
            for name in commit.files:
                assert hub.token.encode() not in hub.read(repo, name, commit.id)
    kept = [path for path in tmp_path.rglob("*") if path.is_file() and not path.is_symlink()]
    assert kept
    assert [path for path in kept if hub.token.encode() in path.read_bytes()] == []


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="needs a process list as Linux has it")
def test_the_token_is_in_no_process_list(run: Path, tmp_path: Path, hub: LoopbackHub) -> None:  # noqa: F811  # the fixture
    seen: list[bytes] = []

    def look(*_: object) -> None:
        for process in Path("/proc").glob("[0-9]*"):
            try:
                words = (process / "cmdline").read_bytes()
            except OSError:
                continue
            if b"zoo_core.cli" in words:
                seen.append(words)

    zoo = Zoo(tmp_path, hub)
    with hub.fault(".*", on_request=look):
        zoo("publish", str(run), "--repo", REPO, "--license", "mit")
        zoo("pull", REPO)
    assert len(seen) > 5
    assert not any(hub.token.encode() in words for words in seen)
    assert os.environ["HF_TOKEN"] == hub.token
