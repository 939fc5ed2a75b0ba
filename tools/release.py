"""A release: source distributions and wheels of zoo-core and every plugin, checked, installed into an environment of their own, and used.

``make release`` runs it. Nothing is uploaded: the last line says how.
"""

import email
import hashlib
import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from email.message import Message
from pathlib import Path, PurePosixPath

import click

__all__ = ["faults_of_sdist", "faults_of_wheel", "main", "projects"]

ROOT = Path(__file__).parents[1]
# Tests that the clean environment runs: those of a small plugin, from its source distribution.
TESTED = "zoo-vae"
TEST_TOOLS = ("hypothesis", "pytest")
# Names that belong to a working tree alone.
UNWANTED = re.compile(r"(?:^|/)(?:__pycache__|\.git|\.venv|runs|\.pytest_cache|\.hypothesis)(?:/|$)|\.pyc$")


def projects() -> list[Path]:
    """The folders of zoo-core and of every plugin."""
    return [ROOT, *sorted(path.parent for path in ROOT.glob("plugins/*/pyproject.toml"))]


def run(*command: str | Path, cwd: Path, env: dict[str, str] | None = None) -> str:
    """Returns the output of a command; ends the release with its last lines if it fails."""
    done = subprocess.run([str(part) for part in command], cwd=cwd, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = f"{done.stdout}\n{done.stderr}".strip()[-4000:]
        raise click.ClickException(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{lines}")
    return done.stdout


def build(dist: Path) -> None:
    """Builds a source distribution of each project, and its wheel from that."""
    for project in projects():
        click.echo(f"build    {project.name if project != ROOT else 'zoo-core'}")
        run(sys.executable, "-m", "build", "--no-isolation", "--outdir", dist, project, cwd=project)


def faults_of_wheel(wheel: Path) -> list[str]:
    """The faults of a wheel: a file that it lacks, differs from its pin, or should not hold; metadata that do not fit."""
    with zipfile.ZipFile(wheel) as archive:
        files = {name: archive.read(name) for name in archive.namelist() if not name.endswith("/")}
    package = wheel.name.partition("-")[0]
    info = f"{'-'.join(wheel.name.split('-')[:2])}.dist-info"
    needed = [f"{package}/__init__.py", f"{package}/py.typed", f"{info}/METADATA", f"{info}/licenses/LICENSE"]
    faults = [f"lacks {name}" for name in needed if name not in files]
    faults += [f"holds {name}" for name in files if UNWANTED.search(name) or not name.startswith((f"{package}/", f"{info}/"))]
    if f"{info}/METADATA" in files:
        faults += _faults_of_metadata(email.message_from_bytes(files[f"{info}/METADATA"]), package)
    return faults + list(_faults_of_checkpoints(files, package, info))


def _faults_of_metadata(metadata: Message, package: str) -> Iterator[str]:
    wanted = ["Summary", "License-Expression", "Requires-Python", "Description-Content-Type"]
    yield from (f"metadata lack {key}" for key in wanted if not metadata[key])
    needs = [str(text) for text in metadata.get_all("Requires-Dist") or []]
    if package != "zoo_core" and not any(text.startswith("zoo-core>=") for text in needs):
        yield "metadata do not say which zoo-core the plugin needs"
    if not str(metadata.get_payload()).strip():
        yield "metadata have no description"


def _faults_of_checkpoints(files: dict[str, bytes], package: str, info: str) -> Iterator[str]:
    """Compares cards, weights and all other files of checkpoints with the pins of the package."""
    pins = json.loads(files.get(f"{package}/checkpoints.json", b"{}"))
    for checkpoint, entry in pins.items():
        for name, pin in entry["files"].items():
            path = f"{package}/model_cards/{checkpoint}/{name}"
            if path not in files:
                yield f"lacks {path}"
            elif hashlib.sha256(files[path]).hexdigest() != pin["sha256"]:
                yield f"{path} differs from its pin"
        licence = f"{info}/licenses/{package}/model_cards/{checkpoint}/LICENSE"
        if licence not in files:
            yield f"lacks {licence}"


def faults_of_sdist(sdist: Path) -> list[str]:
    """The faults of a source distribution: files that it lacks or should not hold, links, and paths out of its folder."""
    with tarfile.open(sdist) as archive:
        members = archive.getmembers()
    folder = sdist.name.removesuffix(".tar.gz")
    names = {member.name.removeprefix(f"{folder}/") for member in members}
    package = folder.partition("-")[0]
    needed = ["LICENSE", "PKG-INFO", "README.md", "pyproject.toml", f"{package}/__init__.py", f"{package}/py.typed"]
    faults = [f"lacks {name}" for name in needed if name not in names]
    if package != "zoo_core" and not any(name.startswith("tests/test_") for name in names):
        faults.append("lacks its tests")
    for member in members:
        parts = PurePosixPath(member.name).parts
        if member.issym() or member.islnk() or parts[0] != folder or ".." in parts or UNWANTED.search(member.name):
            faults.append(f"holds {member.name}")
    return faults


def check(dist: Path) -> list[Path]:
    """Checks every file of ``dist`` with twine and by its contents, and returns the wheels."""
    files = sorted(dist.iterdir())
    wheels = [path for path in files if path.suffix == ".whl"]
    sdists = [path for path in files if path.name.endswith(".tar.gz")]
    if not len(wheels) == len(sdists) == len(projects()) == len(files) / 2:
        raise click.ClickException(
            f"{dist} holds {len(wheels)} wheels and {len(sdists)} source distributions of {len(projects())} projects"
        )
    run(sys.executable, "-m", "twine", "check", "--strict", *files, cwd=dist)
    found = {path: faults_of_wheel(path) if path in wheels else faults_of_sdist(path) for path in files}
    faults = [f"{path.name}: {fault}" for path, each in found.items() for fault in each]
    faults += [f"CHANGELOG.md has no section of {version}" for version in _versions(wheels) if not _is_in_changelog(version)]
    if faults:
        raise click.ClickException("\n".join(faults))
    click.echo(f"check    {len(files)} files: twine, contents, licences, types, cards and weights against their pins")
    return wheels


def _versions(wheels: Sequence[Path]) -> set[str]:
    return {path.name.split("-")[1] for path in wheels if path.name.startswith("zoo_core-")}


def _is_in_changelog(version: str) -> bool:
    return re.search(rf"^## {re.escape(version)}(?: |$)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE) is not None


def install(wheels: Sequence[Path], folder: Path, shared: bool) -> Path:
    """Makes an environment with the wheels, and returns its interpreter.

    Args:
        wheels: wheels of all projects.
        folder: folder of the environment.
        shared: whether the environment sees the third-party packages of this one, instead of installing its own.
    """
    click.echo(f"install  {'with the third-party packages of this environment' if shared else 'everything, from the registry'}")
    run(sys.executable, "-m", "venv", folder, cwd=folder.parent)
    python = folder / "bin" / "python"
    pip = (python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet")
    if shared:
        own = next(folder.glob("lib/python*/site-packages"))
        here = next(Path(sys.prefix).glob("lib/python*/site-packages"))
        run(*pip, "--no-index", "--no-deps", *wheels, cwd=folder)
        (own / "shared.pth").write_text(f"{here}\n")  # after the wheels, so that these come first; its own .pth files are not read
    else:
        links = ("--find-links", wheels[0].parent, "--constraint", ROOT / "constraints.txt")
        core = next(path for path in wheels if path.name.startswith("zoo_core-"))
        run(*pip, *links, f"zoo-core[all] @ {core.as_uri()}", *TEST_TOOLS, cwd=folder)
    return python


def use(python: Path, dist: Path, folder: Path) -> None:
    """Lists, samples, trains three steps and runs the tests of a plugin, as somebody who has only the packages."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "ZOO_", "HF_"))}
    env = {**kept, "HF_HUB_OFFLINE": "1", "HF_HOME": str(folder / "hub"), "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}
    zoo = python.parent / "zoo"
    where = run(python, "-c", "import zoo_core; print(zoo_core.__file__)", cwd=folder, env=env).strip()
    if not Path(where).is_relative_to(python.parents[1]):
        raise click.ClickException(f"the environment imports {where}, which is not its own")
    listed = {each["name"]: each["folder"] for each in json.loads(run(zoo, "list", "--json", cwd=folder, env=env))}
    names = sorted(path.parent.name for path in ROOT.glob("model_cards/*/model.safetensors"))
    if missing := [name for name in names if not (listed.get(name) or "").startswith(str(python.parents[1]))]:
        raise click.ClickException(f"zoo list has no files of the environment for {', '.join(missing)}")
    click.echo(f"list     {len(names)} checkpoints")
    run(zoo, "plugins", "--check", cwd=folder, env=env)
    run(zoo, "verify", cwd=folder, env=env)
    run(zoo, "sample", "ddpm-afhq-cat", "-n", "2", "--steps", "3", "--out", "cats.png", cwd=folder, env=env)
    run(zoo, "train", "realnvp", "--recipe", "2d", "--steps", "3", "--out", "run", cwd=folder, env=env)
    run(zoo, "sample", "run", "-n", "16", "--out", "points.npz", cwd=folder, env=env)
    click.echo("use      plugins --check, verify, sample, train 3 steps, sample of the run")
    [sdist] = dist.glob(f"{TESTED.replace('-', '_')}-*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    tests = folder / sdist.name.removesuffix(".tar.gz")
    output = run(python, "-m", "pytest", "-q", "--import-mode=importlib", "-p", "no:cacheprovider", "tests", cwd=tests, env=env)
    click.echo(f"tests    {TESTED}: {output.strip().splitlines()[-1].strip('= ')}")


@click.command()
@click.option("--out", type=click.Path(path_type=Path), default=ROOT / "dist", help="Folder for the files; it must be empty or missing.")
@click.option("--shared", is_flag=True, help="Use the third-party packages of this environment, which is quicker and needs no network.")
def main(out: Path, shared: bool) -> None:
    """Build, check, install and use the packages of this repository."""
    out = out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    if any(out.iterdir()):
        raise click.ClickException(f"{out} is not empty: remove it first")
    build(out)
    wheels = check(out)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        python = install(wheels, folder / "environment", shared)
        (folder / "empty").mkdir()
        use(python, out, folder / "empty")
    for path in sorted(out.iterdir()):
        click.echo(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.stat().st_size:>10,}  {path.name}")
    click.echo(f"ready: {sys.executable} -m twine upload {out}/*")


if __name__ == "__main__":
    main()
