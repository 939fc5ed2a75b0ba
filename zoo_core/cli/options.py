"""Arguments and options that several commands have: references, data sets, samplers, noise levels, places to write."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from zoo_core.atomic import check_folder
from zoo_core.cli.completers import SHELL_COMPLETE, names_of
from zoo_core.cli.console import inert, say
from zoo_core.config import apply_overrides
from zoo_core.data.factory import as_dataset, dataset_values
from zoo_core.errors import UsageError
from zoo_core.hub.fetch import fetch
from zoo_core.interfaces import DatasetConfig, Scheduler
from zoo_core.registry import other_meaning, parse_reference
from zoo_core.registry.reference import stages_of
from zoo_core.samplers.factory import as_scheduler

__all__ = [
    "OF_SCHEDULER",
    "PATTERN",
    "REFERENCE",
    "SEED",
    "STAGES",
    "OutPath",
    "data_option",
    "option",
    "refuse_name",
    "scheduler_option",
    "writable",
]

OF_SCHEDULER = "scheduler."
SEED = click.IntRange(0, 2**64 - 1)
_SUFFIXES = (".png", ".npz")

F = TypeVar("F", bound=Callable[..., object])


class _ReferenceType(click.ParamType[str]):
    """A reference to a checkpoint. One that means a folder becomes ``local:PATH``."""

    name = "reference"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        reference = parse_reference(value)
        if reference.kind != "local":
            return str(value)
        if not _holds_model(reference.name) and (note := other_meaning(value)):
            say(inert(f"zoo: {note}"))
        return str(reference)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return names_of("checkpoints")(ctx, param, incomplete) or [CompletionItem(incomplete, type="dir")]


def _holds_model(folder: str) -> bool:
    """Whether a folder holds a checkpoint or a run, so that a command that names it means the folder and not the Hub."""
    path = os.path.expanduser(folder)
    return any(os.path.isfile(os.path.join(path, name)) for name in ("config.json", "recipe.json", "metrics.jsonl"))


class _StagesType(_ReferenceType):
    """A reference, or a cascade of several with ``+`` between them."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return "+".join(super(_StagesType, self).convert(stage, param, ctx) for stage in stages_of(value))


class _PatternType(_ReferenceType):
    """A reference, or a pattern with ``*``, ``?`` or ``[...]``, which stays as it is."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if set(value) & set("*?[") and not str(value).startswith("local:") and not os.path.exists(value):
            return str(value)
        return super().convert(value, param, ctx)


class OutPath(click.Path):
    """The path of a file or folder to write; a suffix alone is refused.

    >>> OutPath().convert("cats.png", None, None).name
    'cats.png'
    """

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if str(value) in ("", *_SUFFIXES):
            raise UsageError(f"--out {str(value)!r} has no name", "write it as --out NAME.png")
        return super().convert(value, param, ctx)


REFERENCE = _ReferenceType()
STAGES = _StagesType()
PATTERN = _PatternType()

_OPTIONS: Mapping[str, tuple[tuple[str, ...], Mapping[str, Any]]] = MappingProxyType(
    {
        "batch_size": (("--batch-size",), {"metavar": "N", "default": 64, "show_default": True, "help": "Samples in a batch."}),
        "data": (("--data",), {"metavar": "[DIST:]NAME[:PATH]", "help": "The real samples.  [default: the training data]"}),
        "data_root": (
            ("--data-root",),
            {"metavar": "DIR", "help": "Folder that holds the files of mnist, cifar10, ...  [default: $ZOO_DATA]"},
        ),
        "device": (("--device",), {"metavar": "NAME", "help": "cpu, cuda, ...  [default: the first accelerator, or the CPU]"}),
        "features": (
            ("--features",),
            {"metavar": "NAME", "help": "A checkpoint with features, inception, or timm:NAME.  [default: by the data]"},
        ),
        "metrics": (
            ("--metrics",),
            {"metavar": "NAME,...", "default": "fd", "show_default": True, "help": "Metrics to measure; see `zoo list metrics`."},
        ),
        "n": (("-n", "--number", "n"), {"metavar": "N"}),
        "options": (
            ("-o", "--option", "options"),
            {"multiple": True, "metavar": "KEY=VALUE", "help": "Changes an option of the sampler; repeatable."},
        ),
        "sampler": (("--sampler",), {"metavar": "NAME", "help": "See `zoo list samplers`.  [default: the checkpoint's]"}),
        "scheduler": (("--scheduler",), {"metavar": "NAME", "help": "See `zoo list schedulers`.  [default: the checkpoint's]"}),
        "seed": (("--seed",), {"metavar": "N", "type": SEED, "default": 0, "show_default": True, "help": "Seed of the samples."}),
        "steps": (("--steps",), {"metavar": "N", "type": click.IntRange(min=1), "help": "Steps of the sampler."}),
    }
)


def option(name: str, **changes: Any) -> Callable[[F], F]:
    """A decorator: the option ``name`` that several commands share, with attributes of ``click.option`` changed for one of them."""
    declarations, attributes = _OPTIONS[name]
    return click.option(*declarations, **{"shell_complete": SHELL_COMPLETE.get(name), **attributes, **changes})


def writable(path: Path) -> Path:
    """Checks that ``path`` can be written to, and says on stderr if that replaces files.

    Raises:
        UsageError, ResourceError: as :func:`zoo_core.atomic.check_folder` raises.
    """
    check_folder(path)
    if path.is_file():
        say(inert(f"zoo: {path} is there already, and will be replaced"))
    elif path.is_dir() and any(path.iterdir()):
        say(inert(f"zoo: {path} holds files already; others of the same names will be replaced"))
    return path


def scheduler_option(name: str | None, options: Sequence[str]) -> Scheduler | None:
    """The scheduler of ``--scheduler NAME`` and ``-o scheduler.KEY=VALUE``; None without them.

    Raises:
        UsageError: if there are options without a name.
        ConfigError: if there is no scheduler of that name, or an option is not valid.
    """
    own = [text.strip().removeprefix(OF_SCHEDULER) for text in options if text.strip().startswith(OF_SCHEDULER)]
    if not name:
        if own:
            raise UsageError(f"-o {OF_SCHEDULER}{own[0]} needs a --scheduler", "`zoo list schedulers` shows them")
        return None
    refuse_name(own, "--scheduler")
    return as_scheduler(apply_overrides({"name": name}, own))


def refuse_name(options: Sequence[str], option: str) -> None:
    """Refuses ``-o name=...``, which ``option`` is for.

    Raises:
        UsageError: if it is among the options.
    """
    for text in options:
        if text.partition("=")[0].strip() == "name":
            raise UsageError(f"-o {text!r} is not an option", f"use {option} NAME")


def data_option(reference: str, text: str | None, root: str | None, options: Sequence[str]) -> DatasetConfig | None:
    """The config of ``--data [DIST:]NAME[:PATH]``, ``--data-root DIR`` and ``-o data.KEY=VALUE``; None without them.

    Without ``--data``, the others change the data that the checkpoint was trained on.

    Raises:
        UsageError, ConfigError: if there is no data set of that name, or an option is not valid.
    """
    changes = [option.removeprefix("data.") for option in options if option.startswith("data.")]
    if root is not None:
        changes = [f"root={root}", *changes]
    if text is None and not changes:
        return None
    if text is None:
        from zoo_core.evaluation.factory import training_data_config

        return training_data_config(fetch(reference), changes)
    return as_dataset(apply_overrides(dataset_values(text), changes))
