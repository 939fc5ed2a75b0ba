"""Theorems about what pip installs: wheels that carry their weights, and plugins from anywhere."""

import os
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from tools.release import faults_of_sdist, faults_of_wheel

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


def without(dist: Path, folder: Path, name: str) -> Path:
    """A copy of the wheel of zoo-ddpm without one of its files."""
    [wheel] = dist.glob("zoo_ddpm-*.whl")
    copy = folder / wheel.name
    with zipfile.ZipFile(wheel) as whole, zipfile.ZipFile(copy, "w", zipfile.ZIP_STORED) as archive:
        for member in whole.namelist():
            if member != name:
                archive.writestr(member, whole.read(member))
    return copy


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the source distributions of zoo-core and zoo-ddpm, and the wheels that were built from these."""
    folder = tmp_path_factory.mktemp("dist")
    for project in (ROOT, ROOT / "plugins" / "ddpm"):
        run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, project, cwd=folder)
    return folder


@pytest.fixture(scope="module")
def wheels(dist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with zoo-core and zoo-ddpm, installed from their wheels."""
    folder = tmp_path_factory.mktemp("wheels")
    built = sorted(dist.glob("*.whl"))
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
def test_a_release_finds_no_fault_in_what_was_built(dist: Path) -> None:
    assert {path.name: faults_of_wheel(path) for path in dist.glob("*.whl")} == {
        "zoo_core-0.1.0-py3-none-any.whl": [],
        "zoo_ddpm-0.1.0-py3-none-any.whl": [],
    }
    assert [faults_of_sdist(path) for path in dist.glob("*.tar.gz")] == [[], []]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("zoo_ddpm/py.typed", "lacks zoo_ddpm/py.typed"),
        ("zoo_ddpm-0.1.0.dist-info/licenses/LICENSE", "lacks zoo_ddpm-0.1.0.dist-info/licenses/LICENSE"),
        ("zoo_ddpm/model_cards/ddpm-afhq-cat/README.md", "lacks zoo_ddpm/model_cards/ddpm-afhq-cat/README.md"),
        ("zoo_ddpm/model_cards/ddpm-afhq-cat/model.safetensors", "lacks zoo_ddpm/model_cards/ddpm-afhq-cat/model.safetensors"),
    ],
)
def test_a_release_names_the_file_that_a_wheel_lacks(dist: Path, tmp_path: Path, name: str, fault: str) -> None:
    assert fault in faults_of_wheel(without(dist, tmp_path, name))


@pytest.mark.slow
def test_a_release_sees_other_weights_and_files_of_a_working_tree(dist: Path, tmp_path: Path) -> None:
    weights = "zoo_ddpm/model_cards/ddpm-afhq-cat/model.safetensors"
    changed = without(dist, tmp_path, weights)
    with zipfile.ZipFile(changed, "a") as archive:
        archive.writestr(weights, b"others")
        archive.writestr("zoo_ddpm/__pycache__/model.cpython-311.pyc", b"")
        archive.writestr("tests/test_ddpm.py", b"")
    assert set(faults_of_wheel(changed)) == {
        f"{weights} differs from its pin",
        "holds zoo_ddpm/__pycache__/model.cpython-311.pyc",
        "holds tests/test_ddpm.py",
    }


def test_a_release_sees_links_and_missing_tests_in_a_source_distribution(tmp_path: Path) -> None:
    path = tmp_path / "zoo_dots-0.1.0.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        link = tarfile.TarInfo("zoo_dots-0.1.0/weights")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    faults = faults_of_sdist(path)
    assert {"lacks its tests", "lacks LICENSE", "holds zoo_dots-0.1.0/weights"} <= set(faults)


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


def test_the_pinned_versions_fit_each_other() -> None:
    from importlib.metadata import distributions

    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    lines = [line.partition("#")[0].strip() for line in (ROOT / "constraints.txt").read_text().splitlines()]
    pins = {canonicalize_name(name): version for name, _, version in (line.partition("==") for line in lines if line)}
    unfit = []
    for distribution in distributions():
        name = canonicalize_name(distribution.name)
        for requirement in map(Requirement, distribution.requires or () if pins.get(name) == distribution.version else ()):
            pin = pins.get(canonicalize_name(requirement.name))
            applies = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
            if applies and pin and not requirement.specifier.contains(pin, prereleases=True):
                unfit.append(f"{name} needs {requirement}, and {pin} is pinned")
    assert len(pins) > 20
    assert unfit == []
