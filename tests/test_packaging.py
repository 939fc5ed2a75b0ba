"""Theorems about what pip installs: wheels that carry their weights, and plugins from anywhere."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NO_NETWORK = """
import socket
def refuse(*args, **kwargs):
    raise RuntimeError("a socket was opened")
socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = socket.create_connection = refuse
"""
PLUGIN_PROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
[project]
name = "zoo-elsewhere"
version = "1.2.3"
[project.entry-points.zoo]
elsewhere = "zoo_elsewhere.plugin"
"""
PLUGIN = """
from zoo_core.hookspecs import hookimpl
from zoo_core.specs import SchedulerSpec

@hookimpl
def zoo_specs():
    return [SchedulerSpec(name="halving", target="zoo_elsewhere.scheduler:Halving", summary="each level half of the one before")]
"""
SCHEDULER = """
from dataclasses import dataclass
from zoo_core.interfaces import Scheduler

@dataclass(frozen=True, kw_only=True, slots=True)
class Halving(Scheduler):
    def sigmas(self, steps, lo, hi):
        return (*(max(hi / 2**i, lo) for i in range(steps)), 0.0)
"""


def run(*command: str | Path, cwd: Path, env: Mapping[str, str] | None = None) -> str:
    done = subprocess.run([str(part) for part in command], cwd=cwd, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def pip_install(*what: Path, into: Path) -> None:
    run(
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-index",
        "--no-deps",
        "--no-build-isolation",
        "--target",
        into,
        *what,
        cwd=ROOT,
    )


def offline(site: Path, folder: Path) -> dict[str, str]:
    """The environment of a process that finds packages in ``site`` first, and fails when it opens a socket."""
    (folder / "sitecustomize.py").write_text(NO_NETWORK)
    return {**os.environ, "PYTHONPATH": f"{site}{os.pathsep}{folder}", "HF_HUB_OFFLINE": ""}


def zoo(*arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-c", "from zoo_core.cli import main; main()", *arguments)


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with zoo-core and zoo-ddpm, installed from wheels that were built through source distributions."""
    folder = tmp_path_factory.mktemp("wheels")
    for project in (ROOT, ROOT / "plugins" / "ddpm"):
        run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder / "dist", project, cwd=folder)
    built = sorted((folder / "dist").glob("*.whl"))
    assert [wheel.name.split("-")[0] for wheel in built] == ["zoo_core", "zoo_ddpm"]
    pip_install(*built, into=folder / "site")
    return folder / "site"


@pytest.mark.slow
def test_installed_wheels_list_show_and_sample_without_a_network(wheels: Path, tmp_path: Path) -> None:
    env = offline(wheels, tmp_path)
    where = run(sys.executable, "-c", "import zoo_core, zoo_ddpm; print(zoo_core.__file__, zoo_ddpm.__file__)", cwd=tmp_path, env=env)
    assert where.split() == [str(wheels / "zoo_core" / "__init__.py"), str(wheels / "zoo_ddpm" / "__init__.py")]
    assert "ddpm-afhq-cat" in run(*zoo("list"), cwd=tmp_path, env=env)
    assert "cc-by-nc-4.0" in run(*zoo("show", "ddpm-afhq-cat"), cwd=tmp_path, env=env)
    run(*zoo("pull", "ddpm-afhq-cat"), cwd=tmp_path, env=env)
    run(*zoo("sample", "ddpm-afhq-cat", "-n", "2", "--steps", "3", "--out", "cats.png"), cwd=tmp_path, env=env)
    assert (tmp_path / "cats.png").stat().st_size > 1000


@pytest.mark.slow
def test_the_wheel_carries_every_pinned_file(wheels: Path) -> None:
    card = wheels / "zoo_ddpm" / "model_cards" / "ddpm-afhq-cat"
    assert {"README.md", "config.json", "model.safetensors", "training.json", "samples.png", "LICENSE"} <= {
        path.name for path in card.iterdir()
    }
    assert not any(path.is_symlink() for path in (card, *card.iterdir()))


@pytest.mark.slow
def test_a_plugin_from_a_folder_outside_the_repository_is_listed_and_used(tmp_path: Path) -> None:
    project = tmp_path / "project"
    package = project / "zoo_elsewhere"
    package.mkdir(parents=True)
    files = {"__init__.py": "", "plugin.py": PLUGIN, "scheduler.py": SCHEDULER, "../pyproject.toml": PLUGIN_PROJECT}
    for name, text in files.items():
        (package / name).write_text(text)
    pip_install(project, into=tmp_path / "site")
    env = offline(tmp_path / "site", tmp_path)
    assert "zoo-elsewhere" in run(*zoo("plugins"), cwd=tmp_path, env=env)
    assert "halving" in run(*zoo("list", "schedulers"), cwd=tmp_path, env=env)
    run(*zoo("sample", "ddpm-afhq-cat", "-n", "1", "--steps", "4", "--scheduler", "halving", "--out", "cat.png"), cwd=tmp_path, env=env)
    assert (tmp_path / "cat.png").exists()
