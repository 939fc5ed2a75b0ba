"""Static checks of a plugin: every target of its specs resolves to an object of the right kind, and its models can do what they declare."""

from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from inspect import isabstract, signature
from typing import Any, cast

import click

from zoo_core.capabilities import check_capabilities, supports
from zoo_core.config import Tagged, check_fields, decode, encode
from zoo_core.errors import PluginError, ZooError
from zoo_core.interfaces import CAPABILITIES, Sampler, Scheduler
from zoo_core.recipes import Recipe
from zoo_core.registry import Plugin, registry, resolve
from zoo_core.registry.faults import fault
from zoo_core.registry.isolation import error_line
from zoo_core.specs import (
    CheckpointSpec,
    CommandSpec,
    FigureSpec,
    LayoutSpec,
    MetricSpec,
    ModelSpec,
    RecipeSpec,
    SamplerSpec,
    SchedulerSpec,
    Spec,
    TrainerSpec,
)

__all__ = ["findings"]


def findings(plugin: Plugin) -> dict[str, str]:
    """The faults of a plugin, by target or by spec (``KIND NAME``); an empty text for those without a fault.

    Imports all targets, and torch with them.
    """
    faults: dict[str, str] = {}
    for spec in plugin.specs:
        label = f"{spec.kind} {spec.key}"
        targets = {item: getattr(spec, item) for item in ("target", "config") if hasattr(spec, item)}
        own = {target or label: _fault(_check_target, spec, item, target) for item, target in targets.items()}
        if not any(own.values()):  # the names would show the same fault once more
            own[label] = _fault(_check_names, spec, plugin)
        for name, text in own.items():
            faults[name] = faults.get(name) or text
    return faults


def _fault(check: Callable[..., None], *arguments: object) -> str:
    """The message of the error that a check raises; empty if it passes."""
    try:
        check(*arguments)
    except ZooError as error:
        return error.what
    except Exception as error:  # a plugin's own code
        return error_line(error)
    return ""


def _must(holds: object, what: str) -> None:
    if not holds:
        raise PluginError(what)


def _check_target(spec: Spec, item: str, target: str) -> None:
    """Checks that the ``target`` or ``config`` of a spec is of its kind.

    Raises:
        ZooError: if it is not.
    """
    _must(target, f"it has no {item}")
    value = resolve(target)
    if isinstance(spec, RecipeSpec):
        _must(isinstance(value, Recipe), f"it is {_shown(value)}, not a Recipe")
    elif isinstance(spec, CommandSpec):
        _must(isinstance(value, click.Command), f"it is {_shown(value)}, not a click command")
    elif item == "config":
        _check_config(spec.kind, target, value)
    elif bases := _bases(spec):
        names = " or ".join(base.__name__ for base in bases)
        _must(isinstance(value, type) and issubclass(value, bases), f"it is {_shown(value)}, not a class derived from {names}")
        if isabstract(value):
            raise fault(value, f"{value.__qualname__} lacks {', '.join(sorted(value.__abstractmethods__))}, which its base class asks for")
        if issubclass(value, Tagged):
            _check_config(spec.kind, target, value)
        elif isinstance(spec, MetricSpec):
            _check_dataclass(value)
    else:
        _must(callable(value), f"it is {_shown(value)}, which cannot be called")
        if isinstance(spec, FigureSpec):
            _check_figure(value)


def _check_figure(function: Callable[..., object]) -> None:
    """Checks that a function can be called as that of a figure is.

    Raises:
        PluginError: if it cannot.
    """
    try:
        signature(function).bind(object(), n=1, seed=0)
    except TypeError as error:
        name = getattr(function, "__name__", "it")
        raise fault(function, f"a figure is called as {name}(model, *, n, seed), and {name} refuses that: {error}") from error


def _bases(spec: Spec) -> tuple[type, ...]:
    """The base classes of which the target of a spec must be derived; none if it is a function."""
    from torch import nn

    from zoo_core.checkpoint.layouts import Layout
    from zoo_core.evaluation.metrics import DataMetric, Metric
    from zoo_core.training.trainer import Trainer

    bases: Mapping[type[Spec], tuple[type, ...]] = {
        ModelSpec: (nn.Module,),
        TrainerSpec: (Trainer,),
        SamplerSpec: (Sampler,),
        SchedulerSpec: (Scheduler,),
        MetricSpec: (Metric, DataMetric),
        LayoutSpec: (Layout,),
    }
    return bases.get(type(spec), ())


def _shown(value: object) -> str:
    return f"the class {value.__qualname__}" if isinstance(value, type) else f"a {type(value).__name__}"


def _check_dataclass(cls: Any) -> None:
    _must(isinstance(cls, type) and is_dataclass(cls), "it is not a dataclass")
    _must(cls.__dataclass_params__.frozen, "it is not frozen: a config never changes")
    check_fields(cls)


def _check_config(kind: str, target: str, cls: Any) -> None:
    """Checks that a config class can be written with its tag, and read again by it.

    Raises:
        ZooError: if it cannot.
    """
    _check_dataclass(cls)
    _must(getattr(cls, "kind", None) == kind, f"it is not a config of a {kind}: derive it from the base class in zoo_core.interfaces")
    _must("name" not in {item.name for item in fields(cls)}, "it has a field `name`, which its tag would hide")
    spec: Any = registry().claim(kind, registry().name_of(kind, cls)).spec
    _must((getattr(spec, "config", "") or spec.target) == target, f"it is written as {spec.name}, which is another")


def _check_names(spec: Spec, plugin: Plugin) -> None:
    """Checks the other names in a spec: capabilities, other specs, and fields in its defaults.

    Raises:
        ZooError: if one of them does not exist.
    """
    if isinstance(spec, ModelSpec):
        _check_capabilities(spec.capabilities)
        if spec.trainer:
            registry().claim(TrainerSpec, spec.trainer, plugin.dist)
        if spec.sampler:
            requires = cast(SamplerSpec, registry().claim(SamplerSpec, spec.sampler, plugin.dist).spec).requires
            _must(supports(spec.capabilities, requires), f"its sampler {spec.sampler} requires {requires}, which it does not have")
        _check_model(spec, plugin)
    elif isinstance(spec, SamplerSpec):
        _check_capabilities({spec.requires})
        own = getattr(resolve(spec.target), "requires", "")
        _must(own == spec.requires, f"it requires {spec.requires!r}, its class {own!r}")
        _check_defaults(Sampler, spec, plugin)
    elif isinstance(spec, SchedulerSpec):
        _check_defaults(Scheduler, spec, plugin)
    elif isinstance(spec, FigureSpec):
        _check_capabilities(spec.requires.split())
    elif isinstance(spec, MetricSpec):
        _check_capabilities(spec.requires.split())
        own = getattr(resolve(spec.target), "better", "")
        _must(spec.better in ("", own), f"{spec.better} is better by its spec, and {own} by its class")
    elif isinstance(spec, RecipeSpec):
        family = cast(ModelSpec, registry().claim(ModelSpec, spec.family, plugin.dist).spec)
        model = type(resolve(spec.target).model)
        same = f"{model.__module__}:{model.__qualname__}" == family.config
        _must(same, f"its model is {_shown(model)}, which is not that of {spec.family}")
        encode(resolve(spec.target))
    elif isinstance(spec, CheckpointSpec):
        registry().claim(ModelSpec, spec.family, plugin.dist)


def _check_model(spec: ModelSpec, plugin: Plugin) -> None:
    """Checks that a model by the family's first recipe, or by the defaults of its config, has the capabilities of the family.

    Raises:
        ZooError: if it has not.
    """
    from zoo_core.checkpoint.build import build_empty

    recipe = next((resolve(each.target) for each in plugin.specs if isinstance(each, RecipeSpec) and each.family == spec.name), None)
    if isinstance(recipe, Recipe):
        check_capabilities(build_empty(spec, recipe.model), spec, [recipe.sampler.requires] if recipe.sampler else ())
        return
    config = resolve(spec.config)
    if all(item.default is not MISSING or item.default_factory is not MISSING for item in fields(config)):
        check_capabilities(build_empty(spec, config()), spec)


def _check_capabilities(names: Any) -> None:
    unknown = sorted(set(names) - CAPABILITIES.keys())
    _must(not unknown, f"unknown capability: {', '.join(map(repr, unknown))}; there are {', '.join(CAPABILITIES)}")


def _check_defaults(base: type[Tagged], spec: SamplerSpec | SchedulerSpec, plugin: Plugin) -> None:
    required = {item.name: 0 for item in fields(resolve(spec.target)) if item.default is MISSING and item.default_factory is MISSING}
    if required.keys() <= spec.defaults.keys():
        decode(base, {"name": f"{plugin.dist}:{spec.name}"}, spec.name)
