"""The first ten minutes of an author of a plugin, timed: from ``zoo new-plugin`` to a plugin that is trained, sampled, drawn and checked.

``make ten-minutes`` runs it in an environment of its own. The set-up of that environment does not count.
"""

import os
import resource
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from zoo_core.hardware.environment import processor

__all__ = ["NAME", "STEPS", "main"]

ROOT = Path(__file__).parents[1]
NAME = "first"
ZOO = ("-c", "from zoo_core.cli import main; main()")
# The arguments of the environment's python for each step; PIP stands for the options of pip.
STEPS: Mapping[str, Sequence[str]] = {
    "new-plugin": (*ZOO, "new-plugin", NAME),
    "check in place": (*ZOO, "plugins", "--check", f"zoo-{NAME}/"),
    "install": ("-m", "pip", "install", "--quiet", "PIP", "--editable", f"./zoo-{NAME}"),
    "list": (*ZOO, "list", "families", NAME),
    "train": (*ZOO, "train", NAME, "--out", f"runs/{NAME}"),
    "sample": (*ZOO, "sample", f"local:runs/{NAME}", "-n", "500", "--labels", "inner", "--out", "inner.png"),
    "figure": (*ZOO, "figure", f"local:runs/{NAME}", "samples", "--out", "samples.png"),
    "check": (*ZOO, "plugins", "--check", NAME),
    "test": ("-m", "pytest", "-q", "-p", "no:cacheprovider", f"zoo-{NAME}"),
}
PICTURES = ("inner.png", "samples.png")


def run(command: Sequence[str | Path], folder: Path) -> str:
    """Returns the output of a command; ends with its last lines if it fails."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("ZOO_")} | {"MPLBACKEND": "agg"}
    done = subprocess.run([str(word) for word in command], cwd=folder, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = f"{done.stdout}\n{done.stderr}".strip()[-4000:]
        raise click.ClickException(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{lines}")
    return done.stdout + done.stderr


def set_up(folder: Path, shared: bool) -> Path:
    """Returns the python of a new environment with zoo-core.

    Args:
        folder: folder to write it to.
        shared: whether it sees the packages of this environment, instead of installing its own.
    """
    run([sys.executable, "-m", "venv", folder], ROOT)
    python = folder / "bin/python"
    if shared:
        own = run([python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], ROOT).strip()
        # site reads the .pth files of a folder that is added this way, so that editable installs are there too.
        line = f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n"
        (Path(own) / "shared.pth").write_text(line)
    else:
        run([python, "-m", "pip", "install", "--quiet", "-c", ROOT / "constraints.txt", f"{ROOT}[train,plot]", "pytest"], ROOT)
    return python


def cpu_seconds() -> float:
    """The time of the CPU that all ended child processes took."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def words_of(step: str, python: Path, shared: bool) -> list[str | Path]:
    """The command of a step."""
    options = ["--no-index", "--no-deps", "--no-build-isolation"] if shared else []
    words = [option for word in STEPS[step] for option in (options if word == "PIP" else [word])]
    return [python, *words]


@click.command()
@click.option("--shared", is_flag=True, help="Use the packages of this environment, which is quicker and needs no network.")
def main(shared: bool) -> None:
    """Take the steps of a new author in an empty folder, and print the seconds of each."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        begin = time.perf_counter()
        python = set_up(folder / "environment", shared)
        click.echo(f"{'set-up':16}{time.perf_counter() - begin:9.1f}, which does not count")
        click.echo(f"{'step':16}{'seconds':>9}{'of the CPU':>12}")
        import torch

        total = 0.0
        effort = 0.0
        for step in STEPS:
            begin = time.perf_counter()
            before = cpu_seconds()
            output = run(words_of(step, python, shared), folder)
            seconds = time.perf_counter() - begin
            work = cpu_seconds() - before
            total += seconds
            effort += work
            click.echo(f"{step:16}{seconds:9.1f}{work:12.1f}")
            if step == "list" and f"\n{NAME} " not in output:
                raise click.ClickException(f"the family {NAME} is not in the list:\n{output}")
        for picture in PICTURES:
            if not (folder / picture).read_bytes().startswith(b"\x89PNG"):
                raise click.ClickException(f"{picture} is not a PNG")
        files = [path for path in (folder / f"zoo-{NAME}").rglob("*.py") if "tests" not in path.parts]
        lines = sum(len(path.read_text().splitlines()) for path in files)
        click.echo(f"{'together':16}{total:9.1f}{effort:12.1f}")
        click.echo(f"on {processor(torch.device('cpu'))}; the package has {lines} lines of Python")


if __name__ == "__main__":
    main()
