"""What plugins return from the ``zoo_specs`` hook: small frozen records that name code as ``"package.module:Name"`` strings.

Nothing here imports what it names, so that ``zoo list`` costs no torch. Every field but the name has a default, and all are keyword-only:
a field that a later zoo-core adds never breaks an older plugin.
"""

import json
import os
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, cast

from zoo_core.errors import PluginLoadError

__all__ = [
    "KINDS",
    "CheckpointSpec",
    "CommandSpec",
    "DatasetSpec",
    "Hub",
    "MetricSpec",
    "ModelSpec",
    "Pin",
    "RecipeSpec",
    "SamplerSpec",
    "SchedulerSpec",
    "Spec",
    "TrainerSpec",
    "checkpoints",
]


@dataclass(frozen=True, kw_only=True, slots=True)
class Spec:
    """A named thing that a plugin offers."""

    kind: ClassVar[str] = "spec"

    name: str
    summary: str = ""

    @property
    def key(self) -> str:
        """The name under which the registry files it, unique within its kind."""
        return self.name


def _check_defaults(name: str, defaults: object) -> None:
    if not isinstance(defaults, Mapping) or not all(isinstance(key, str) for key in defaults):
        raise TypeError(f"{name}: defaults must be a mapping of names to values, not {defaults!r}")
    try:
        json.dumps(dict(defaults), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name}: defaults must be JSON values: {error}") from error


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelSpec(Spec):
    """A family: an ``nn.Module`` built as ``target(config)``.

    ``capabilities`` is the most that the family can do; an instance may do less, by its config. ``trainer`` names the default TrainerSpec.
    """

    kind: ClassVar[str] = "family"

    target: str = ""
    config: str = ""
    trainer: str = ""
    capabilities: frozenset[str] = frozenset()
    sampler: str = ""
    paper: str = ""

    def __post_init__(self) -> None:
        given = cast(object, self.capabilities)
        if not isinstance(given, Collection) or isinstance(given, str) or not all(isinstance(name, str) for name in given):
            raise TypeError(f"{self.name}: capabilities must be a set of names, not {given!r}")
        object.__setattr__(self, "capabilities", frozenset(self.capabilities))


@dataclass(frozen=True, kw_only=True, slots=True)
class SamplerSpec(Spec):
    """A Sampler class, a frozen dataclass whose fields are its options; ``defaults`` lets one class have several names."""

    kind: ClassVar[str] = "sampler"

    target: str = ""
    requires: str = ""
    defaults: Mapping[str, Any] = field(default_factory=dict, hash=False)
    paper: str = ""

    def __post_init__(self) -> None:
        _check_defaults(self.name, self.defaults)


@dataclass(frozen=True, kw_only=True, slots=True)
class SchedulerSpec(Spec):
    """A Scheduler class: a frozen dataclass that gives noise levels."""

    kind: ClassVar[str] = "scheduler"

    target: str = ""
    defaults: Mapping[str, Any] = field(default_factory=dict, hash=False)
    paper: str = ""

    def __post_init__(self) -> None:
        _check_defaults(self.name, self.defaults)


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainerSpec(Spec):
    """A Trainer, built as ``target(model, config)``."""

    kind: ClassVar[str] = "trainer"

    target: str = ""
    config: str = ""
    paper: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class RecipeSpec(Spec):
    """A preset: ``target`` is a :class:`zoo_core.recipes.Recipe` in a light module; ``name`` is unique within its ``family``."""

    kind: ClassVar[str] = "recipe"

    family: str = ""
    target: str = ""

    @property
    def key(self) -> str:
        return f"{self.family}/{self.name}"


@dataclass(frozen=True, kw_only=True, slots=True)
class DatasetSpec(Spec):
    """A data set: ``config`` is its frozen dataclass, ``target(config)`` loads it as a :class:`zoo_core.data.dataset.Data`."""

    kind: ClassVar[str] = "dataset"

    target: str = ""
    config: str = ""
    license: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class MetricSpec(Spec):
    """A metric on samples or on a model.

    ``better`` is ``lower``, ``higher``, ``near 1`` or ``near real``, as in its class, so that tables mark the best without importing it.
    """

    kind: ClassVar[str] = "metric"

    target: str = ""
    requires: str = ""
    paper: str = ""
    better: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class CommandSpec(Spec):
    """A click command for ``zoo``; ``summary`` is its line in ``zoo --help``, shown without an import."""

    kind: ClassVar[str] = "command"

    target: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pin:
    """What a file must be: its sha256 in hex, and its size in bytes."""

    sha256: str
    size: int

    def __post_init__(self) -> None:
        if not isinstance(cast(object, self.sha256), str):
            raise TypeError(f"the sha256 of a pin must be a string, not {self.sha256!r}")
        if type(self.size) is not int or self.size < 0:
            raise TypeError(f"the size of a pin must be a whole number, not {self.size!r}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Hub:
    """Where a checkpoint is published: ``ORG/NAME`` at a 40-hex commit. Only ``zoo publish --pin`` writes one."""

    repo: str
    commit: str


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckpointSpec(Spec):
    """Trained weights with their config and card: files in ``folder``, each of them pinned, by a Pin or ``(sha256, size)``."""

    kind: ClassVar[str] = "checkpoint"

    family: str = ""
    folder: Path | None = None
    files: Mapping[str, Pin] = field(default_factory=dict, hash=False)
    hub: Hub | None = None
    license: str = ""
    dataset: str = ""

    def __post_init__(self) -> None:
        if self.folder is not None:
            if not isinstance(self.folder, str | os.PathLike):
                raise TypeError(f"{self.name}: folder must be a path, not {self.folder!r}")
            object.__setattr__(self, "folder", Path(self.folder))
        if self.hub is not None and not isinstance(cast(object, self.hub), Hub):
            raise TypeError(f"{self.name}: hub must be a Hub, not {self.hub!r}")
        given = cast(object, self.files)
        if not isinstance(given, Mapping) or not all(isinstance(name, str) for name in given):
            raise TypeError(f"{self.name}: files must be a mapping of names to pins, not {given!r}")
        object.__setattr__(self, "files", {name: _pin(name, pin) for name, pin in given.items()})


def _pin(name: str, given: object) -> Pin:
    if isinstance(given, Pin):
        return given
    if not isinstance(given, tuple) or len(given) != 2:
        raise TypeError(f"files: the pin of {name!r} must be a Pin or (sha256, size), not {given!r}")
    return Pin(sha256=given[0], size=given[1])


KINDS: Mapping[str, type[Spec]] = MappingProxyType(
    {
        cls.kind: cls
        for cls in (ModelSpec, TrainerSpec, SamplerSpec, SchedulerSpec, RecipeSpec, DatasetSpec, MetricSpec, CheckpointSpec, CommandSpec)
    }
)


def checkpoints(package: str) -> tuple[CheckpointSpec, ...]:
    """The checkpoints pinned in ``checkpoints.json`` of an imported package, their files in its ``model_cards/NAME``.

    Raises:
        PluginLoadError: the file is missing or is not what ``zoo`` writes.
    """
    module = sys.modules.get(package)
    if module is None or not module.__file__:
        raise PluginLoadError(f"checkpoints({package!r}): that package is not imported", "pass the name of the plugin's own package")
    root = Path(module.__file__).parent
    path = root / "checkpoints.json"
    try:
        pins = json.loads(path.read_bytes())
        return tuple(_checkpoint(name, root / "model_cards" / name, entry) for name, entry in pins.items())
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise PluginLoadError(f"{path} is not a valid list of pins: {error!r}", "write it with `zoo pin`") from error


def _checkpoint(name: str, folder: Path, entry: Mapping[str, Any]) -> CheckpointSpec:
    hub = entry.get("hub")
    return CheckpointSpec(
        name=name,
        family=entry["family"],
        summary=entry.get("summary", ""),
        folder=folder,
        files={path: Pin(sha256=pin["sha256"], size=pin["size"]) for path, pin in entry["files"].items()},
        hub=Hub(**hub) if hub else None,
        license=entry.get("license", ""),
        dataset=entry.get("dataset", ""),
    )
