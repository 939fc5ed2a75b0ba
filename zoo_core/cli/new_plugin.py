"""``zoo new-plugin``: writes a package that works at once, for its author to change."""

import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from string import Template

import click

from zoo_core.atomic import write_file
from zoo_core.cli.console import inert, say
from zoo_core.errors import UsageError
from zoo_core.registry import registry

__all__ = ["KINDS", "new_plugin", "rendered"]

_TEMPLATES = Path(__file__).parent / "templates"
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")

# The summary of each kind's example, and the commands that try it.
KINDS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "family": (
        "a denoiser of points in the plane",
        ("zoo train {name} --out runs/{name}", "zoo figure local:runs/{name} samples", "zoo sample local:runs/{name} -n 2000"),
    ),
    "sampler": ("Euler's method on the probability-flow ODE", ("zoo sample ddpm-afhq-cat --sampler {name} --steps 30",)),
    "scheduler": ("levels even in sigma / (1 + sigma)", ("zoo sample ddpm-afhq-cat --sampler heun --scheduler {name}",)),
    "metric": ("energy distance between features", ("zoo evaluate ddpm-afhq-cat --metrics {name}",)),
    "dataset": ("points on circles around one centre", ("zoo train realnvp --recipe 2d --data {name} --out runs/{name}",)),
}
"""The kinds of parts for which there is a template: one line about the example, and commands that try it."""


@click.command("new-plugin")
@click.argument("name")
@click.option("--kind", type=click.Choice(list(KINDS)), default="family", show_default=True, help="The part that the plugin offers.")
@click.option("--out", type=click.Path(path_type=Path), help="The folder to write.  [default: zoo-NAME]")
def new_plugin(name: str, kind: str, out: Path | None) -> None:
    """Write a plugin that offers NAME, in a folder that is new or empty.

    The package zoo-NAME installs, passes the conformance checks and has tests, a licence and a workflow of GitHub Actions. Its example
    is small: replace it by your own.

    \b
    Examples:
      zoo new-plugin my-diffusion
      zoo new-plugin my-solver --kind sampler
    """
    name = _checked(name, kind)
    out = out or Path(f"zoo-{name}")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} exists already", "choose another NAME, or another folder with --out")
    files = rendered(name, kind)
    for path, text in files.items():
        (out / path).parent.mkdir(parents=True, exist_ok=True)
        write_file(out / path, text.encode())
    say(inert(f"wrote {len(files)} files to {out}; next:"))
    where = shlex.quote(str(out))
    for line in (f"zoo plugins --check {where}/", f"pip install -e '{out}[test]'", *KINDS[kind][1], f"pytest {where}"):
        say("  " + inert(line.format(name=name)))


def _checked(name: str, kind: str) -> str:
    """The bare name of the part.

    Raises:
        UsageError: if it is not a name, or an installed plugin offers a part of that name.
    """
    bare = name.removeprefix("zoo-")
    if not _NAME.fullmatch(bare) or len(bare) > 60:
        near = re.sub(r"[^a-z0-9]+", "-", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", bare).lower()).strip("-")
        hint = f"try {near}" if _NAME.fullmatch(near) and len(near) <= 60 else "such as my-diffusion"
        raise UsageError(f"NAME must be lower-case words joined by '-', not {bare[:60]!r}", hint)
    taken = registry().claims(kind).get(bare, ())
    if taken:
        raise UsageError(f"{taken[0].plugin.dist} offers a {kind} {bare} already", "choose another NAME")
    return bare


def _package(name: str) -> str:
    return f"zoo_{name.replace('-', '_')}"


def rendered(name: str, kind: str) -> Mapping[str, str]:
    """The files of a new plugin by their path: their text.

    Args:
        name: bare name of the part, as ``my-diffusion``.
        kind: kind of the part, one of :data:`KINDS`.

    Raises:
        UsageError: if the class of that name would be one that the files import.
    """
    module, words = name.replace("-", "_"), name.split("-")
    cls = "".join(word.capitalize() for word in words)
    summary = KINDS[kind][0]
    names = {"name": name, "dist": f"zoo-{name}", "package": _package(name), "module": module, "Class": cls}
    names |= {"summary": summary, "Summary": summary[0].upper() + summary[1:]}
    files: dict[str, str] = {}
    for root in (_TEMPLATES / "common", _TEMPLATES / kind):
        for source in sorted(root.rglob("*.tmpl")):
            path = source.relative_to(root).as_posix().removesuffix(".tmpl")
            text = source.read_text(encoding="utf-8")
            if path.endswith(".py") and re.search(rf"\b{cls}\b", text):
                raise UsageError(f"the class {cls} would hide one that the plugin imports", "choose another NAME")
            files[path.replace("PACKAGE", names["package"]).replace("MODULE", module)] = Template(text).substitute(names)
    return files
