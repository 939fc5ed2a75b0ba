"""Specs: frozen records that plugins return from the ``zoo_specs`` hook. They name code as ``"package.module:Name"`` strings.

No spec imports the code that it names, so that ``zoo list`` runs without torch. All fields are keyword-only, and all but the name have
defaults: a field that a later zoo-core adds never breaks an older plugin.
"""

import json
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, cast

__all__ = [
    "KINDS",
    "CheckpointSpec",
    "CommandSpec",
    "DatasetSpec",
    "FigureSpec",
    "Hub",
    "LayoutSpec",
    "MetricSpec",
    "ModelSpec",
    "Pin",
    "RecipeSpec",
    "SamplerSpec",
    "SchedulerSpec",
    "Spec",
    "TrainerSpec",
]


@dataclass(frozen=True, kw_only=True, slots=True)
class Spec:
    """Base class of all specs: the name and one-line summary of a part that a plugin offers.

    >>> SchedulerSpec(name="my-levels", summary="even in sigma").key
    'my-levels'
    """

    kind: ClassVar[str] = "spec"

    name: str
    summary: str = ""

    @property
    def key(self) -> str:
        """The key in the registry, unique within the kind."""
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
    """A family of models: an ``nn.Module`` built as ``target(config)``.

    ``capabilities`` is the upper bound for the family; a model may have fewer, depending on its config. ``trainer`` names the default
    TrainerSpec.

    >>> sorted(ModelSpec(name="my-vae", target="my_package.model:VAE", capabilities={"decode", "encode"}).capabilities)
    ['decode', 'encode']

    Raises:
        TypeError: if ``capabilities`` is not a collection of strings.
    """

    kind: ClassVar[str] = "family"

    target: str = ""
    config: str = ""
    trainer: str = ""
    capabilities: frozenset[str] = frozenset()
    sampler: str = ""
    paper: str = ""

    def __post_init__(self) -> None:
        names = cast(object, self.capabilities)
        if not isinstance(names, Collection) or isinstance(names, str) or not all(isinstance(name, str) for name in names):
            raise TypeError(f"{self.name}: capabilities must be a set of names, not {names!r}")
        object.__setattr__(self, "capabilities", frozenset(self.capabilities))


@dataclass(frozen=True, kw_only=True, slots=True)
class SamplerSpec(Spec):
    """A Sampler class: a frozen dataclass whose fields are its options. With other ``defaults``, one class can have several names.

    >>> SamplerSpec(name="ddim", target="zoo_core.samplers:Ancestral", requires="denoise", defaults={"eta": 0.0}).defaults
    {'eta': 0.0}

    Raises:
        TypeError: if ``defaults`` is not a mapping of names to JSON values.
    """

    kind: ClassVar[str] = "sampler"

    target: str = ""
    requires: str = ""
    defaults: Mapping[str, Any] = field(default_factory=dict, hash=False)
    paper: str = ""

    def __post_init__(self) -> None:
        _check_defaults(self.name, self.defaults)


@dataclass(frozen=True, kw_only=True, slots=True)
class SchedulerSpec(Spec):
    """A Scheduler class: a frozen dataclass that places noise levels.

    >>> SchedulerSpec(name="karras", target="zoo_core.schedulers:Karras", paper="arXiv:2206.00364").kind
    'scheduler'

    Raises:
        TypeError: if ``defaults`` is not a mapping of names to JSON values.
    """

    kind: ClassVar[str] = "scheduler"

    target: str = ""
    defaults: Mapping[str, Any] = field(default_factory=dict, hash=False)
    paper: str = ""

    def __post_init__(self) -> None:
        _check_defaults(self.name, self.defaults)


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainerSpec(Spec):
    """A Trainer, built as ``target(model, config)``.

    With ``requires``, the name of a capability, it trains every family that has the capability. Without, it trains the families that name
    it as their trainer, and those of its own plugin.

    >>> TrainerSpec(name="my-vae", target="my_package.trainer:VAETrainer", config="my_package.config:VAETrainerConfig").name
    'my-vae'
    """

    kind: ClassVar[str] = "trainer"
    target: str = ""
    config: str = ""
    paper: str = ""
    requires: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class RecipeSpec(Spec):
    """A preset: ``target`` is a :class:`zoo_core.recipes.Recipe` in a light module; ``name`` is unique within its ``family``.

    >>> RecipeSpec(name="mnist", family="my-vae", target="my_package.recipes:MNIST").key
    'my-vae/mnist'
    """

    kind: ClassVar[str] = "recipe"
    family: str = ""
    target: str = ""

    @property
    def key(self) -> str:
        return f"{self.family}/{self.name}"


@dataclass(frozen=True, kw_only=True, slots=True)
class DatasetSpec(Spec):
    """A data set: ``config`` is its frozen dataclass, ``target(config)`` loads it as a :class:`zoo_core.data.dataset.Data`.

    >>> DatasetSpec(name="rings", target="my_package.data:rings", config="my_package.config:RingsConfig", license="mit").license
    'mit'
    """

    kind: ClassVar[str] = "dataset"

    target: str = ""
    config: str = ""
    license: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class MetricSpec(Spec):
    """A metric of samples or of a model.

    ``better`` is ``lower``, ``higher``, ``near 1`` or ``near real``, as in the metric's class, so that tables mark the best value without
    importing that class.

    >>> MetricSpec(name="fd", target="zoo_core.evaluation.feature_metrics:FrechetDistance", requires="features", better="lower").better
    'lower'
    """

    kind: ClassVar[str] = "metric"

    target: str = ""
    requires: str = ""
    paper: str = ""
    better: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class CommandSpec(Spec):
    """A click command of ``zoo``; ``summary`` is its line in ``zoo --help``, shown without an import.

    >>> CommandSpec(name="tour", target="my_package.cli:tour", summary="Walk through all checkpoints.").kind
    'command'
    """

    kind: ClassVar[str] = "command"
    target: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class FigureSpec(Spec):
    """A kind of ``zoo figure``: ``target(model, *, n, seed)`` draws a loaded checkpoint and returns a matplotlib Figure.

    ``requires`` is a capability that the checkpoint must have, or several with spaces between, of which one suffices. ``n`` is the
    default number of samples or paths.

    >>> FigureSpec(name="paths", target="my_package.figures:paths", requires="denoise", n=100).kind
    'figure'
    """

    kind: ClassVar[str] = "figure"

    target: str = ""
    requires: str = ""
    n: int = 16


@dataclass(frozen=True, kw_only=True, slots=True)
class LayoutSpec(Spec):
    """A layout of the files of another library, which become a checkpoint of the zoo: references ``NAME:ORG/REPO`` and ``NAME:local:PATH``.

    >>> LayoutSpec(name="diffusers", target="zoo_diffusers.layout:Diffusers").kind
    'layout'

    Args:
        target: class derived from :class:`zoo_core.checkpoint.layouts.Layout`, in a light module; built without arguments.
    """

    kind: ClassVar[str] = "layout"

    target: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pin:
    """The required digest and size of a file.

    >>> Pin(sha256="ab" * 32, size=1024).size
    1024

    Args:
        sha256: digest in hex, 64 digits.
        size: number of bytes.

    Raises:
        TypeError: if ``sha256`` is not a string or ``size`` is not a non-negative int.
    """

    sha256: str
    size: int

    def __post_init__(self) -> None:
        if not isinstance(cast(object, self.sha256), str):
            raise TypeError(f"the sha256 of a pin must be a string, not {self.sha256!r}")
        if type(self.size) is not int or self.size < 0:
            raise TypeError(f"the size of a pin must be a whole number, not {self.size!r}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Hub:
    """The place where a checkpoint is published; only ``zoo publish --pin`` writes one.

    >>> Hub(repo="my-org/my-vae-mnist", commit="0" * 40).repo
    'my-org/my-vae-mnist'

    Args:
        repo: ``ORG/NAME``.
        commit: 40 hex digits.

    Raises:
        TypeError: if one of them is not a string.
    """

    repo: str
    commit: str

    def __post_init__(self) -> None:
        if not isinstance(cast(object, self.repo), str) or not isinstance(cast(object, self.commit), str):
            raise TypeError(f"repo and commit must be strings, not {self.repo!r} and {self.commit!r}")


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckpointSpec(Spec):
    """Trained weights with their config and card: pinned files in ``folder``.

    >>> spec = CheckpointSpec(name="my-vae-mnist", family="my-vae", files={"config.json": ("ab" * 32, 310)})
    >>> spec.files["config.json"].size
    310

    Args:
        name: name of the checkpoint.
        summary: its line in ``zoo list``.
        family: name of its family.
        folder: the folder that holds the files.
        files: a Pin, or ``(sha256, size)``, for each file.
        hub: the place where it is published.
        license: SPDX identifier of the licence, in lower case.
        dataset: name of the training data.

    Raises:
        TypeError: if ``folder``, ``files`` or ``hub`` has another type.
    """

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
        pins = cast(object, self.files)
        if not isinstance(pins, Mapping) or not all(isinstance(name, str) for name in pins):
            raise TypeError(f"{self.name}: files must be a mapping of names to pins, not {pins!r}")
        object.__setattr__(self, "files", {name: _pin(name, pin) for name, pin in pins.items()})


def _pin(name: str, pin: object) -> Pin:
    if isinstance(pin, Pin):
        return pin
    if not isinstance(pin, tuple) or len(pin) != 2:
        raise TypeError(f"files: the pin of {name!r} must be a Pin or (sha256, size), not {pin!r}")
    sha256, size = pin
    return Pin(sha256=sha256, size=size)


KINDS: Mapping[str, type[Spec]] = MappingProxyType(
    {
        cls.kind: cls
        for cls in (
            *(ModelSpec, TrainerSpec, SamplerSpec, SchedulerSpec, RecipeSpec),
            *(DatasetSpec, MetricSpec, CheckpointSpec, CommandSpec, FigureSpec, LayoutSpec),
        )
    }
)
