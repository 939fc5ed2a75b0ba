"""The subject of conformance checks of parts and commands, and the checks of data sets and of all options.

The checks of samplers and of metrics are in :mod:`zoo_core.testing.sampler_checks` and :mod:`zoo_core.testing.metric_checks`.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, is_dataclass
from typing import Any, TypeVar, cast

import click
import torch

from zoo_core.config import decode, encode
from zoo_core.data.dataset import Data
from zoo_core.errors import UnknownNameError, UsageError
from zoo_core.evaluation.metrics import DataMetric, Metric
from zoo_core.images import is_image
from zoo_core.interfaces import DatasetConfig, Sampler, Scheduler
from zoo_core.registry import Plugin, registry, resolve
from zoo_core.rng import Stream, isolated
from zoo_core.specs import CommandSpec, DatasetSpec, Spec
from zoo_core.testing.tested_family import assert_strict, global_state

__all__ = [
    "CLASSES",
    "SHAPE",
    "Part",
    "alone",
    "check_it_is_the_same_every_time",
    "check_labels_fit_their_classes",
    "check_options_are_strict",
    "check_options_come_back",
    "check_samples_are_well_formed",
    "part",
]

SHAPE = (1, 4, 4)  # of stand-ins
CLASSES = 3
_BASES: Mapping[str, type] = {"sampler": Sampler, "scheduler": Scheduler, "dataset": DatasetConfig}

R = TypeVar("R")


@dataclass(frozen=True, kw_only=True)
class Part:
    """An instance of a sampler, a scheduler, a metric or a data set's config, or a command, with its spec and plugin.

    >>> from zoo_core.samplers import Heun
    >>> part(Heun(steps=4)).spec.name
    'heun'

    Args:
        value: sampler, scheduler, metric, config or command.
        spec: spec under which it is registered.
        plugin: plugin that offers it.
    """

    value: Any
    spec: Spec
    plugin: Plugin


def part(value: Sampler | Scheduler | Metric | DataMetric | DatasetConfig | click.Command) -> Part:
    """The subject of the checks of an instance or a command.

    Raises:
        UnknownNameError: if no installed plugin offers it.
        UsageError: if it is a sampler, and there is no stand-in for the capability that it requires.
    """
    if isinstance(value, click.Command):
        return _command(value)
    kind = "metric" if isinstance(value, Metric | DataMetric) else value.kind
    claim = registry().claim_of(kind, type(value))
    if isinstance(value, Sampler) and value.requires not in ("denoise", "decode", "unmask"):
        raise UsageError(f"there is no stand-in for samplers that require {value.requires!r}", "denoise, decode and unmask have one")
    return Part(value=value, spec=claim.spec, plugin=claim.plugin)


def _command(value: click.Command) -> Part:
    for claims in registry().claims(CommandSpec).values():
        for claim in claims:
            if resolve(cast(CommandSpec, claim.spec).target) is value:
                return Part(value=value, spec=claim.spec, plugin=claim.plugin)
    raise UnknownNameError(f"no installed plugin offers the command {value.name}", "return a CommandSpec for it from the zoo_specs hook")


def alone(compute: Callable[[], R]) -> tuple[R, R]:
    """The results of ``compute`` for two states of the global generators, which it must not move."""
    results = []
    for seed in (1, 2):
        with isolated(seed, stream=Stream.STEP), torch.no_grad():
            before = global_state()
            results.append(compute())
            assert global_state() == before, "a global random generator was moved: draw from the rng argument"
    return results[0], results[1]


# Options


def check_options_come_back(part: Part) -> None:
    """It is a frozen dataclass, and its options come back from JSON unchanged."""
    value, cls = part.value, type(part.value)
    assert is_dataclass(value), f"{cls.__name__} is not a dataclass"
    assert cast(Any, cls).__dataclass_params__.frozen, f"{cls.__name__} is not frozen: options never change"
    plain = json.loads(json.dumps(encode(value), allow_nan=False))
    again: object = decode(_BASES.get(part.spec.kind, cls), plain)
    assert type(again) is cls, f"{value} comes back from JSON as {type(again).__name__}"
    assert again == value, f"{value} comes back from JSON as {again}"


def check_options_are_strict(part: Part) -> None:
    """An unknown key, and a text, true or NaN for a number, are refused with the name of the field."""
    assert_strict(part.value, _BASES.get(part.spec.kind, type(part.value)))


# Data sets


def _data(part: Part) -> Data:
    data = resolve(cast(DatasetSpec, part.spec).target)(part.value)
    assert isinstance(data, Data), f"{cast(DatasetSpec, part.spec).target} gives a {type(data).__name__}, not a Data"
    return data


def check_samples_are_well_formed(part: Part) -> None:
    """The samples are 8-bit images (N, 1 or 3, h, w), finite float32 (N, ...), within [-1, 1] for images, or categories."""
    x = _data(part).x
    if x.dtype == torch.uint8:
        assert is_image(x.shape[1:]), f"uint8 samples are images (N, 1 or 3, h, w), not {tuple(x.shape)}"
        return
    if x.dtype == torch.int64:  # Data itself checks categories
        return
    assert bool(x.isfinite().all()), "samples are not finite"
    most = x.abs().max().item()
    assert not is_image(x.shape[1:]) or most <= 1, f"images lie within [-1, 1], and these reach {most:.3g}: keep them as uint8"


def check_labels_fit_their_classes(part: Part) -> None:
    """Labels are below the number of ``classes``, which name them; Data itself checks their type and shape."""
    data = _data(part)
    if data.labels is None:
        assert not data.classes, f"there are the classes {', '.join(data.classes)}, and no labels"
        return
    highest = int(data.labels.max())
    assert highest < len(data.classes), f"labels go to {highest}, and there are {len(data.classes)} classes"


def check_it_is_the_same_every_time(part: Part) -> None:
    """Loaded again, it has the same digest for any state of the global generators, and does not move these."""
    first, second = alone(lambda: _data(part).digest)
    assert first == second, "its digest differs from load to load: draw with zoo_core.rng.generator(config.seed, 0, Stream.DATA)"
