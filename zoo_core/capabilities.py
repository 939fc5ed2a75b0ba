"""Capabilities of a model, member by member: what a model that declares one lacks of it."""

import inspect
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from zoo_core.errors import CapabilityError
from zoo_core.interfaces import CAPABILITIES
from zoo_core.registry import registry
from zoo_core.registry.faults import fault
from zoo_core.specs import ModelSpec

__all__ = ["capability_error", "check_capabilities", "check_partial", "lacking"]


def _members(capability: str) -> Mapping[str, Any]:
    return {name: value for name, value in vars(CAPABILITIES[capability]).items() if not name.startswith("_")}


_SHARED = {name for one in CAPABILITIES for name in _members(one) if sum(name in _members(other) for other in CAPABILITIES) > 1}


def lacking(model: object, capability: str) -> str:
    """What a model lacks of a capability, as the end of a sentence that begins with its class; empty where it has all of it.

    A member that is missing, with one that is spelt alike; or a method that does not take the arguments that the zoo gives it.
    """
    members = _members(capability)
    missing = [name for name in members if not _has(model, name)]
    if missing:
        known = {name for capability in CAPABILITIES for name in _members(capability)}
        own = [name for name in dir(model) if not name.startswith("_") and name not in known]
        near = get_close_matches(missing[0], own, n=1, cutoff=0.75)
        return f"has no {', '.join(missing)}" + (f" (but {near[0]})" if near else "")
    return next(filter(None, (_refused(model, name, member) for name, member in members.items() if inspect.isfunction(member))), "")


def _has(model: object, name: str) -> bool:
    try:
        inspect.getattr_static(model, name)
    except AttributeError:
        return hasattr(model, name)  # what torch registers, such as a submodule
    return True


def _refused(model: object, name: str, wanted: Any) -> str:
    """Why a model's method cannot be called as the capability has it; empty where it can."""
    method = getattr(model, name)
    try:
        own = inspect.signature(method)
    except (TypeError, ValueError):  # it has none that can be read
        return ""
    parameters = [parameter for parameter in inspect.signature(wanted).parameters.values() if parameter.name != "self"]
    by_place = [parameter.name for parameter in parameters if parameter.kind is parameter.POSITIONAL_OR_KEYWORD]
    by_name = [parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY]
    try:
        own.bind(*by_place, **{name: name for name in by_name})
    except TypeError:
        defaults = {parameter.name: parameter for parameter in parameters}
        shown = [f"{one}=None" if defaults[one].default is None else one for one in by_place]
        shown += ["*", *(f"{one}={defaults[one].default}" for one in by_name)] if by_name else []
        return f"has {name}({', '.join(own.parameters)}), which must be {name}({', '.join(shown)})"
    return ""


def check_partial(model: object, family: ModelSpec) -> None:
    """Checks that a model has all or nothing of every capability that its family declares.

    Raises:
        PluginError: it has a part of one; names the member and the place of the model's class.
    """
    for capability in sorted(family.capabilities & CAPABILITIES.keys()):
        if any(_has(model, name) for name in _members(capability).keys() - _SHARED):
            _demand(model, family, capability)


def check_capabilities(model: object, family: ModelSpec, needed: Iterable[str] = ()) -> None:
    """Checks, before it is trained, that a model can do what its family declares and what is ``needed`` of it, such as by its sampler.

    A family declares the most that its models can do, and a model may have nothing of some of that, by its config.

    Raises:
        PluginError: as :func:`check_partial` does; or it lacks what is needed, or has nothing of what is declared.
    """
    check_partial(model, family)
    for capability in needed:
        if capability in family.capabilities & CAPABILITIES.keys():
            _demand(model, family, capability)
    able = [name for name in family.capabilities & CAPABILITIES.keys() if not lacking(model, name)]
    if family.capabilities and not able:
        _demand(model, family, min(family.capabilities))


def _demand(model: object, family: ModelSpec, capability: str) -> None:
    lacks = lacking(model, capability)
    if lacks:
        raise fault(type(model), f"{family.name} declares {capability}, but {type(model).__qualname__} {lacks}")


def capability_error(what: str, capability: str, hint: str = "") -> CapabilityError:
    """The error for a model that lacks ``capability``, or all of several with spaces between; it names the families that have one."""
    specs = {spec.name: spec for claims in registry().claims(ModelSpec).values() for spec in (claim.spec for claim in claims)}
    able = [name for name, spec in specs.items() if isinstance(spec, ModelSpec) and spec.capabilities & {*capability.split()}]
    return CapabilityError(what, hint or (f"families that can: {', '.join(able)}" if able else "no installed family can"))
