"""Another machine: a new virtual environment with the wheel of zoo-core, a cache of its own, and a lock file from the first one."""

import json
import os
import subprocess
import sys
import venv
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from sysconfig import get_path
from typing import Any

import pytest

from zoo_core.testing import environment, fake_zoo, write_checkpoint, write_fake_plugin
from zoo_core.testing.fake import Fake
from zoo_core.testing.fake_config import FakeConfig
from zoo_core.testing.hub import LoopbackHub

pytest_plugins = ["zoo_core.testing.hub"]
ROOT = Path(__file__).parents[1]
CATS = "zoo/cats"


@dataclass(frozen=True)
class Machine:
    """A Python with a folder to work in and an environment."""

    python: Path
    folder: Path
    variables: dict[str, str]

    def zoo(self, *words: str) -> "subprocess.CompletedProcess[str]":
        command = [str(self.python), "-m", "zoo_core.cli", *words]
        return subprocess.run(command, cwd=self.folder, env=self.variables, capture_output=True, text=True, check=False, timeout=120)

    def refused(self, *words: str) -> tuple[int, str]:
        """The exit code and the one line of a command that fails."""
        done = self.zoo(*words)
        [line] = [line for line in done.stderr.splitlines() if line.startswith("zoo: error: ")]
        assert done.stdout == ""
        return done.returncode, line


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with zoo-core as its wheel installs it, and with the distribution zoo-fake."""
    site = tmp_path_factory.mktemp("wheel")
    words = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-build-isolation", "--target", site, ROOT]
    subprocess.run([str(word) for word in words], cwd=ROOT, check=True, timeout=120)
    return write_fake_plugin(site)


@pytest.fixture
def cats(hub: LoopbackHub, tmp_path: Path) -> str:
    """The commit of a checkpoint on the Hub."""
    with fake_zoo():
        folder = write_checkpoint(tmp_path / "cats", Fake(FakeConfig()), FakeConfig())
    return hub.add_repo(CATS, {path.name: path.read_bytes() for path in folder.iterdir()})


@pytest.fixture
def here(cats: str, tmp_path: Path) -> Machine:
    """This machine, with a lock file and samples."""
    folder = tmp_path / "here"
    folder.mkdir()
    machine = Machine(
        Path(sys.executable), folder, {**environment(write_fake_plugin(tmp_path / "site")), "ZOO_PLUGINS": "zoo-fake", "NO_COLOR": "1"}
    )
    for words in (("lock", CATS), ("sample", CATS, "-n", "5", "--seed", "3", "--out", "x.npz")):
        done = machine.zoo(*words)
        assert done.returncode == 0, done.stderr
    return machine


@pytest.fixture
def elsewhere(here: Machine, wheel: Path, tmp_path: Path) -> Machine:
    """A machine with nothing but the lock file, on which the Hub has a newer commit as ``main``."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    venv.create(tmp_path / "venv", with_pip=False)
    [site] = (tmp_path / "venv" / "lib").glob("python*/site-packages")
    for path in wheel.iterdir():
        (site / path.name).symlink_to(path)
    (site / "torch.pth").write_text(get_path("purelib"))  # torch and numpy of this machine, and none of its .pth files
    kept = {name: value for name, value in here.variables.items() if name not in ("PYTHONPATH", "HF_HOME", "VIRTUAL_ENV")}
    (folder / "zoo.lock").write_bytes((here.folder / "zoo.lock").read_bytes())
    return Machine(tmp_path / "venv" / "bin" / "python", folder, {**kept, "HF_HOME": str(tmp_path / "empty")})


def edited(machine: Machine, change: Callable[[dict[str, Any]], object]) -> None:
    path = machine.folder / "zoo.lock"
    data = json.loads(path.read_text())
    change(data["checkpoints"][CATS])
    path.write_text(json.dumps(data))


@pytest.mark.slow
def test_frozen_samples_are_bit_identical_and_each_difference_is_named(
    hub: LoopbackHub, cats: str, here: Machine, elsewhere: Machine
) -> None:
    hub.commit(CATS, {"README.md": b"---\nlicense: mit\n---\n\n# newer\n\nA newer card.\n"})
    sample = ("--frozen", "sample", CATS, "-n", "5", "--seed", "3", "--out", "x.npz")
    with hub.fault("/config.json$", flip=100):
        code, line = elsewhere.refused(*sample)
    assert (code, "config.json of zoo/cats" in line) == (5, True), line
    done = elsewhere.zoo(*sample)
    assert done.returncode == 0, done.stderr
    assert (elsewhere.folder / "x.npz").read_bytes() == (here.folder / "x.npz").read_bytes()
    where = elsewhere.python, "-c", "import zoo_core; print(zoo_core.__file__)"
    used = subprocess.run(where, env=elsewhere.variables, cwd=elsewhere.folder, capture_output=True, text=True, check=True).stdout
    assert Path(used.strip()).is_relative_to(elsewhere.python.parents[1])
    assert os.listdir(Path(elsewhere.variables["HF_HOME"]) / "hub" / "models--zoo--cats" / "snapshots") == [cats]
    lock = (elsewhere.folder / "zoo.lock").read_bytes()
    for change, code, told in (
        (lambda entry: entry["hub"].update(commit="1" * 40), 4, f"has no {CATS}@{'1' * 40}: no such revision"),
        (lambda entry: entry["distributions"].update({"zoo-fake": "0.0.9"}), 6, "is locked with zoo-fake 0.0.9 in zoo.lock, and zoo-fake "),
        (lambda entry: entry["files"]["model.safetensors"].update(sha256="0" * 64), 5, "model.safetensors"),
    ):
        (elsewhere.folder / "zoo.lock").write_bytes(lock)
        edited(elsewhere, change)
        was, line = elsewhere.refused(*sample)
        assert (was, told in line) == (code, True), line
    assert replace(elsewhere, variables={**elsewhere.variables, "ZOO_FROZEN": "1"}).refused("pull", f"{CATS}@main")[0] == 6
