"""Options that several commands have."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from zoo_core.atomic import check_folder
from zoo_core.cli.console import inert, say
from zoo_core.config import apply_overrides, decode
from zoo_core.errors import ConfigError, UsageError
from zoo_core.hub.fetch import fetch
from zoo_core.interfaces import DatasetConfig, Scheduler
from zoo_core.registry import other_meaning, parse_reference, registry
from zoo_core.samplers.choice import as_scheduler
from zoo_core.specs import CheckpointSpec, DatasetSpec

__all__ = ["OF_SCHEDULER", "REFERENCE", "data_name", "data_option", "refuse_name", "scheduler_option", "writable"]

OF_SCHEDULER = "scheduler."


class _ReferenceType(click.ParamType[str]):
    """A checkpoint; what means a folder comes as ``local:PATH``, and a line says so where it could mean something else."""

    name = "reference"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        reference = parse_reference(value)
        if note := other_meaning(value):
            say(inert(f"zoo: {note}"))
        return str(reference) if reference.kind == "local" else value

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        names = [name for name in registry().claims(CheckpointSpec) if name.startswith(incomplete)]
        return [CompletionItem(name) for name in names] or [CompletionItem(incomplete, type="dir")]


REFERENCE = _ReferenceType()


def writable(path: Path) -> Path:
    """``path``, if it can be written to; says so where something is there that will be replaced.

    Raises:
        UsageError, ResourceError: as :func:`zoo_core.atomic.check_folder` does.
    """
    check_folder(path)
    if path.is_file():
        say(inert(f"zoo: {path} is there already, and will be replaced"))
    elif path.is_dir() and any(path.iterdir()):
        say(inert(f"zoo: {path} holds files already; those of the same names will be replaced"))
    return path


def scheduler_option(name: str | None, options: Sequence[str]) -> Scheduler | None:
    """What ``--scheduler NAME`` and ``-o scheduler.KEY=VALUE`` say; None where they say nothing.

    Raises:
        UsageError: there are options without a name.
        ConfigError: there is no such scheduler, or an option is wrong.
    """
    own = [text.strip().removeprefix(OF_SCHEDULER) for text in options if text.strip().startswith(OF_SCHEDULER)]
    if not name:
        if own:
            raise UsageError(f"-o {OF_SCHEDULER}{own[0]} needs a --scheduler", "`zoo list schedulers` shows what there is")
        return None
    refuse_name(own, "--scheduler")
    return as_scheduler(apply_overrides({"name": name}, own))


def refuse_name(options: Sequence[str], option: str) -> None:
    """Refuses a ``name=...`` among ``options``: that is what ``option`` is for."""
    for text in options:
        if text.partition("=")[0].strip() == "name":
            raise UsageError(f"-o {text!r} is no option", f"use {option} NAME")


def data_name(text: str) -> tuple[str, str]:
    """The name and the path of ``--data [DIST:]NAME[:PATH]``; the path is empty where there is none.

    What begins with the unambiguous name of a data set goes on with its path, and so ``folder:mnist`` is a folder.

    Raises:
        UsageError: it begins with no name.
        ConfigError: it is the path of a folder.
    """
    first, _, rest = text.partition(":")
    if not first:
        raise UsageError(f"--data {text!r} names no data set", "write it as --data NAME or --data folder:PATH")
    second, _, path = rest.partition(":")
    found = registry()
    if not found.offers(DatasetSpec, first) and not rest and ("/" in text or Path(text).is_dir()):
        raise ConfigError(f"unknown dataset {text!r}", f"of a folder of images, write --data folder:{text}")
    if found.claim_or_none(DatasetSpec, first) is None and second and found.offers(DatasetSpec, f"{first}:{second}"):
        return f"{first}:{second}", path
    return first, rest


def data_option(reference: str, text: str | None, root: str | None, options: Sequence[str]) -> DatasetConfig | None:
    """What ``--data [DIST:]NAME[:PATH]``, ``--data-root DIR`` and ``-o data.KEY=VALUE`` say; None where they say nothing.

    Without the first, the last changes the checkpoint's own data.
    """
    changes = [option.removeprefix("data.") for option in options if option.startswith("data.")]
    if root is not None:
        changes = [f"root={root}", *changes]
    if text is None and not changes:
        return None
    if text is None:
        from zoo_core.evaluation.choice import training_data_config

        return training_data_config(fetch(reference), changes)
    name, path = data_name(text)
    config: DatasetConfig = decode(DatasetConfig, apply_overrides({"name": name, **({"path": path} if path else {})}, changes), "data")
    return config
