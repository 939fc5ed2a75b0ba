"""References to checkpoints: ``NAME``, ``DIST:NAME``, ``ORG/REPO[@REVISION]`` or a folder; ``LAYOUT:`` before the last two."""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal, cast

from zoo_core.errors import UsageError
from zoo_core.registry.discovery import registry
from zoo_core.registry.plugin import NAME
from zoo_core.specs import CheckpointSpec, LayoutSpec

__all__ = ["REPO", "Reference", "other_meaning", "parse_reference", "stages_of"]

# As on the Hub: no `--`, `..` or `.git`, which would make two repositories one folder of its cache; a revision is a safe path below `refs`.
REPO = r"(?![^@]*(?:--|\.\.))[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,94}[A-Za-z0-9_])?/[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,94}[A-Za-z0-9_])?(?<!\.git)"
_REVISION = r"(?=.{1,200}\Z)(?!.*\.\.)[A-Za-z0-9_][A-Za-z0-9_.-]*(?:/[A-Za-z0-9_][A-Za-z0-9_.-]*)*"
_REPO = rf"(?P<repo>{REPO})(?:@(?P<revision>{_REVISION}))?"  # compiled when it is first used


@dataclass(frozen=True, kw_only=True, slots=True)
class Reference:
    """A checkpoint as a user writes it: ``NAME``, ``DIST:NAME``, ``ORG/REPO[@REVISION]`` or ``local:PATH``.

    The last two may have the layout of another library, by its name: ``LAYOUT:ORG/REPO[@REVISION]`` or ``LAYOUT:local:PATH``.

    >>> reference = parse_reference("my-org/my-vae@main")
    >>> reference.kind, reference.name, reference.revision
    ('hub', 'my-org/my-vae', 'main')

    Args:
        kind: ``name``, ``hub`` or ``local``.
        name: the name, repository or path.
        revision: branch, tag or commit of a repository.
        layout: name of the layout of its files; empty for that of the zoo.
    """

    kind: Literal["name", "hub", "local"]
    name: str
    revision: str | None = None
    layout: str = ""

    def __str__(self) -> str:
        layout = f"{self.layout}:" if self.layout else ""
        return layout + (f"local:{self.name}" if self.kind == "local" else self.name + (f"@{self.revision}" if self.revision else ""))

    def spec(self) -> CheckpointSpec:
        """Returns the registered checkpoint of a ``name`` reference; raises as :meth:`Registry.claim` does."""
        return registry().spec(CheckpointSpec, self.name)

    @property
    def path(self) -> Path:
        """The checkpoint folder of a ``local`` reference: PATH itself, or its ``export`` if PATH is a run folder."""
        try:
            root = Path(self.name).expanduser()
            return root / "export" if (root / "recipe.json").is_file() else root
        except PermissionError as error:
            from zoo_core.atomic import disk_error

            raise disk_error(f"cannot read {self.name}", error, "name another folder") from error
        except (OSError, RuntimeError, ValueError) as error:
            raise UsageError(f"{self.name!r} is not a path: {error}", "write the path of a folder") from error


def parse_reference(text: "str | os.PathLike[str]") -> Reference:
    """Parses a reference. An existing folder takes precedence over a repository on the Hub, but not over a registered checkpoint.

    ``ORG/REPO@main`` always means the Hub. A name without a slash means a folder only if that contains a checkpoint or a run.

    Args:
        text: one of the forms of :class:`Reference`; a path object always means a folder.

    Raises:
        UsageError: if ``text`` has none of the forms.
    """
    if isinstance(text, os.PathLike):
        text = f"local:{os.fspath(text)}"
    if not isinstance(cast(object, text), str):
        raise UsageError(f"{text!r:.60} is not a checkpoint reference", "pass a name, or the path of a folder")
    layout, colon, rest = text.partition(":")
    if colon and layout in registry().claims(LayoutSpec):
        return _laid_out(layout, rest)
    return _plain(text)


def _laid_out(layout: str, text: str) -> Reference:
    """A reference to files of another library's layout: a folder that exists, or a repository."""
    reference = Reference(kind="local", name=text) if text and "\0" not in text and os.path.isdir(text) else _plain(text)
    if reference.kind == "name":
        hint = f"write {layout}:ORG/REPO[@REVISION] or {layout}:local:PATH"
        raise UsageError(f"{layout}:{text[:200]!r} is not a checkpoint reference", hint)
    return replace(reference, layout=layout)


def _plain(text: str) -> Reference:
    """A reference without a layout."""
    if text.startswith("local:") and len(text) > len("local:") and "\0" not in text:
        return Reference(kind="local", name=text.removeprefix("local:"))
    is_path = text.startswith(("./", "../", "~", "/")) or text in (".", "..") or ("/" in text and os.path.isdir(text))
    if is_path and "\0" not in text:
        return Reference(kind="local", name=text)
    if match := re.fullmatch(_REPO, text):
        return Reference(kind="hub", name=match["repo"], revision=match["revision"])
    known = registry().claims(CheckpointSpec)
    if text not in known and ":" not in text and _is_checkpoint(text):
        return Reference(kind="local", name=text)
    if NAME.fullmatch(text.rpartition(":")[2]) and (":" not in text or NAME.fullmatch(text.rpartition(":")[0].lower())):
        return Reference(kind="name", name=text)
    raise UsageError(f"{text[:200]!r} is not a checkpoint reference", _reference_hint(text, known))


def stages_of(reference: "str | os.PathLike[str]") -> "tuple[str | os.PathLike[str], ...]":
    """Returns the references of the stages of a cascade ``A+B``, of which each draws the conditions of the next; or the reference alone.

    >>> stages_of("ddpm-afhq-cat+upsampler"), stages_of("ddpm-afhq-cat")
    (('ddpm-afhq-cat', 'upsampler'), ('ddpm-afhq-cat',))

    An existing folder whose name has a ``+`` is that folder.

    Raises:
        UsageError: if there is nothing before or behind a ``+``.
    """
    if not isinstance(reference, str) or "+" not in reference or os.path.isdir(reference.removeprefix("local:")):
        return (reference,)
    stages = tuple(reference.split("+"))
    if not all(stages):
        raise UsageError(f"{reference[:200]!r} is not a cascade", "write REFERENCE+REFERENCE, the first stage first")
    return stages


def _reference_hint(text: str, known: Iterable[str]) -> str:
    if set(text) & set("*?[") and len(text) <= 200:  # a longer pattern may take minutes
        matching = [name for name in known if fnmatchcase(name, text)]
        return f"a pattern that matches {', '.join(matching[:6]) or 'no checkpoint'}; write one name"
    if text.lower() in known:
        return f"did you mean {text.lower()}?"
    if "+" in text.strip("+"):
        return "load, `zoo sample`, `zoo evaluate` and `zoo figure` take a cascade A+B; the others take one checkpoint"
    if "/" in text and ":" not in text:
        return f"there is no folder {text[:60]} here"
    layout, _, rest = text.partition(":")
    if NAME.fullmatch(layout) and (rest.startswith("local:") or re.fullmatch(_REPO, rest)):
        return f"no installed plugin reads the layout {layout}: pip install zoo-{layout}, if there is such a package"
    return "write NAME, DIST:NAME, ORG/REPO[@REVISION] or the path of a folder"


def _is_checkpoint(folder: str) -> bool:
    """Whether a folder contains a checkpoint or a run."""
    return any(os.path.isfile(os.path.join(folder, name)) for name in ("config.json", "recipe.json"))


def other_meaning(text: str) -> str:
    """Returns a sentence on the other meaning of a reference that means a folder; empty if there is no other meaning."""
    if text.startswith("local:") or parse_reference(text).kind != "local":
        return ""
    if re.fullmatch(_REPO, text):
        return f"{text} is the folder of that name here; {text}@main is the repository on the Hub"
    return f"{text} is the folder of that name here" if NAME.fullmatch(text) else ""
