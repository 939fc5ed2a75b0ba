"""Checks of a model's capabilities, member by member."""

import inspect
from collections.abc import Container, Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from zoo_core.errors import CapabilityError
from zoo_core.interfaces import CAPABILITIES, ModelConfig, TrainerConfig
from zoo_core.registry import registry
from zoo_core.registry.faults import fault
from zoo_core.specs import ModelSpec, TrainerSpec

__all__ = ["capability_error", "check_capabilities", "check_partial", "check_trainer", "lack_of", "lacking", "supports"]


def _members(capability: str) -> Mapping[str, Any]:
    return {name: value for name, value in vars(CAPABILITIES[capability]).items() if not name.startswith("_")}


_SHARED = {name for own in CAPABILITIES for name in _members(own) if sum(name in _members(other) for other in CAPABILITIES) > 1}

_NOUNS = frozenset({"density", "features", "labels"})


def lacking(model: object, capability: str) -> str:
    """Returns the first flaw of a model's capability, as the end of a sentence that begins with its class; empty if there is none.

    A flaw is a missing member, named with one of similar spelling, or a method with other arguments than those of the protocol.
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
        return hasattr(model, name)  # torch registers submodules and buffers elsewhere
    return True


def _refused(model: object, name: str, wanted: Any) -> str:
    """Returns the difference between a method's signature and that of the protocol; empty if a call of the protocol works."""
    method = getattr(model, name)
    try:
        own = inspect.signature(method)
    except (TypeError, ValueError):  # no readable signature
        return ""
    parameters = [parameter for parameter in inspect.signature(wanted).parameters.values() if parameter.name != "self"]
    by_place = [parameter.name for parameter in parameters if parameter.kind is parameter.POSITIONAL_OR_KEYWORD]
    by_name = [parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY]
    try:
        own.bind(*by_place, **{name: name for name in by_name})
    except TypeError:
        defaults = {parameter.name: parameter for parameter in parameters}
        shown = [f"{key}=None" if defaults[key].default is None else key for key in by_place]
        shown += ["*", *(f"{key}={defaults[key].default}" for key in by_name)] if by_name else []
        return f"has {name}({', '.join(own.parameters)}), which must be {name}({', '.join(shown)})"
    return ""


def check_partial(model: object, family: ModelSpec) -> None:
    """Checks that a model has all or none of the members of every capability that its family declares.

    Raises:
        PluginError: if it has only some of them; names a missing member and the place of the model's class.
    """
    for capability in sorted(family.capabilities & CAPABILITIES.keys()):
        if any(_has(model, name) for name in _members(capability).keys() - _SHARED):
            _demand(model, family, capability)


def check_capabilities(model: object, family: ModelSpec, needed: Iterable[str] = ()) -> None:
    """Checks, before training, that a model has the capabilities that its family declares.

    A family declares an upper bound: depending on its config, a model may have none of the members of a capability.

    Args:
        model: the model.
        family: its family.
        needed: capabilities that it must have, such as for its sampler.

    Raises:
        PluginError: as :func:`check_partial` does; or if it lacks a needed capability, or all declared ones.
    """
    check_partial(model, family)
    for capability in needed:
        if capability in family.capabilities & CAPABILITIES.keys():
            _demand(model, family, capability)
    able = [name for name in family.capabilities & CAPABILITIES.keys() if not lacking(model, name)]
    if family.capabilities and not able:
        _demand(model, family, min(family.capabilities))


def supports(capabilities: Container[str], requires: str) -> bool:
    """Whether a sampler that ``requires`` a capability can sample a model: one of denoisers also samples a model with denoised latents.

    >>> supports({"latent", "encode"}, "denoise"), supports({"decode"}, "denoise")
    (True, False)
    """
    return requires in capabilities or (requires == "denoise" and "latent" in capabilities)


def _demand(model: object, family: ModelSpec, capability: str) -> None:
    lacks = lacking(model, capability)
    if lacks:
        raise fault(type(model), f"{family.name} declares {capability}, but {type(model).__qualname__} {lacks}")


def check_trainer(model: ModelConfig, trainer: TrainerConfig) -> None:
    """Checks that a trainer fits a family, by their specs alone.

    Raises:
        CapabilityError: if the trainer requires a capability that the family lacks, or requires none and is that of other families.
    """
    own = registry().claim(ModelSpec, registry().name_of("family", type(model)))
    other = registry().claim(TrainerSpec, registry().name_of("trainer", type(trainer)))
    family, spec = own.spec, other.spec
    if not isinstance(family, ModelSpec) or not isinstance(spec, TrainerSpec):
        return
    if spec.requires and spec.requires not in family.capabilities:
        raise capability_error(f"the trainer {spec.name} cannot train {family.name}: the family {lack_of(spec.requires)}", spec.requires)
    if not spec.requires and family.trainer != spec.name and own.plugin.dist != other.plugin.dist:
        raise CapabilityError(f"the trainer {spec.name} cannot train {family.name}: it is made for its own families", _fitting(family))


def _fitting(family: ModelSpec) -> str:
    """The hint with the trainers that fit a family."""
    specs = [claim.spec for claims in registry().claims(TrainerSpec).values() for claim in claims]
    names = [spec.name for spec in specs if isinstance(spec, TrainerSpec) and spec.requires in family.capabilities]
    return f"trainers that can: {', '.join(dict.fromkeys([family.trainer, *names]))}"


def lack_of(capability: str) -> str:
    """Returns the words by which an error says that a model lacks a capability.

    >>> lack_of("decode"), lack_of("features"), lack_of("condition")
    ('cannot decode', 'has no features', 'takes no conditions')
    """
    if capability == "condition":
        return "takes no conditions"
    return f"has no {capability}" if capability in _NOUNS else f"cannot {capability}"


def capability_error(what: str, capability: str, hint: str = "") -> CapabilityError:
    """Returns the error for a model that lacks a capability.

    Args:
        what: the message.
        capability: the missing capability, or several with spaces between, of which one would do.
        hint: the next step; if empty, the names of the families that have such a capability.
    """
    specs = {spec.name: spec for claims in registry().claims(ModelSpec).values() for spec in (claim.spec for claim in claims)}
    able = [name for name, spec in specs.items() if isinstance(spec, ModelSpec) and spec.capabilities & {*capability.split()}]
    return CapabilityError(what, hint or (f"families that can: {', '.join(able)}" if able else "no installed family can"))
