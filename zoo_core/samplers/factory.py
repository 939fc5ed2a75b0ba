"""Choice of a sampler or scheduler by its name or plain values, with hints for the names of other libraries."""

import json
import re
from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any

from zoo_core.config import decode, encode
from zoo_core.errors import ConfigError, ZooError
from zoo_core.interfaces import Sampler, SamplerLike, Scheduler, SchedulerLike
from zoo_core.registry import registry, resolve
from zoo_core.specs import SamplerSpec, SchedulerSpec
from zoo_core.suggestions import ALIASES

__all__ = ["as_sampler", "as_scheduler", "rules", "scheduler_with_option", "with_current_defaults"]


def as_sampler(choice: SamplerLike, default: Sampler | None = None, *, prefer: str = "") -> Sampler:
    """Returns a sampler from its name, with the defaults of that name, or from plain values.

    >>> as_sampler({"name": "ddim", "steps": 25}).eta
    0.0

    Args:
        choice: a sampler, its name, or its options as plain values.
        default: sampler whose options change where plain values have no ``name``.
        prefer: distribution whose claim counts where several plugins claim a name.

    Raises:
        ConfigError: if there is no such sampler, or an option is wrong.
    """
    if isinstance(choice, Sampler):
        return choice
    values = _choice("sampler", choice)
    if "name" not in values and default is not None:
        values = {**encode(default), **values}
    _check_options(values)
    return decode(Sampler, values, "sampler", prefer=prefer)  # type: ignore[type-abstract]  # decode finds the class by the name


def _check_options(values: Mapping[str, Any]) -> None:
    """Raises ConfigError for options of a recipe's part or of schedulers, and for steps of a one-pass sampler."""
    nested = values.get("sampler")
    if isinstance(nested, Mapping):
        shown = " ".join(f"{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in nested.items())
        key = next(iter(nested), "")
        raise ConfigError(f"sampler: unknown key 'sampler.{key}'", f"it is an option of the sampler itself: write {shown}")
    claim = registry().claim_or_none(SamplerSpec, str(values.get("name")).rpartition(":")[2])
    if not claim or not isinstance(claim.spec, SamplerSpec):
        return
    known = [item.name for item in fields(resolve(claim.spec.target))]
    if "steps" in values and "steps" not in known and claim.spec.requires == "decode":
        hint = f"leave --steps out; its options: {', '.join(known)}"
        raise ConfigError(f"sampler: {claim.spec.name} draws in one pass and has no steps", hint)
    for key, value in values.items():
        if key not in ("name", *known) and (owner := scheduler_with_option(key)):
            there = f'-o scheduler.{key}={value} with --scheduler {owner}, or scheduler={{"name": "{owner}", "{key}": {value}}}'
            raise ConfigError(f"sampler: unknown key {key!r}", f"it is an option of schedulers: {there}")


def scheduler_with_option(key: str) -> str:
    """Returns the name of the last registered scheduler with the option ``key``; empty if there is none."""
    specs = [claim.spec for claims in registry().claims(SchedulerSpec).values() for claim in claims[:1]]
    having = [
        spec.name for spec in specs if isinstance(spec, SchedulerSpec) and key in {item.name for item in fields(resolve(spec.target))}
    ]
    return having[-1] if having else ""


def as_scheduler(choice: SchedulerLike) -> Scheduler:
    """Returns a scheduler from its name, or from plain values with a ``name``.

    >>> as_scheduler({"name": "karras", "sigma_max": 80}).sigma_max
    80.0

    Raises:
        ConfigError: if there is no such scheduler, or an option is wrong.
    """
    if isinstance(choice, Scheduler):
        return choice
    return decode(Scheduler, _choice("scheduler", choice), "scheduler")  # type: ignore[type-abstract]  # decode finds the class by the name


def rules() -> tuple[str, ...]:
    """Returns the names of the registered schedulers that need no options: those that place levels by a rule.

    >>> "karras" in rules(), "levels" in rules()
    (True, False)
    """
    return tuple(name for name, claims in registry().claims(SchedulerSpec).items() if not _required(claims[0].spec))


def _required(spec: Any) -> list[str]:
    needed = (item.name for item in fields(resolve(spec.target)) if item.default is MISSING and item.default_factory is MISSING)
    return [name for name in needed if name not in spec.defaults]


def with_current_defaults(part: object, kind: str = Sampler.kind) -> object:
    """Returns the plain values of a recorded sampler or scheduler, with the defaults of options that are newer than the record.

    Values that cannot be read, as without their plugin, stay unchanged.

    Args:
        part: plain values of a record or a config.
        kind: ``sampler`` or ``scheduler``.
    """
    if not isinstance(part, Mapping):
        return part
    try:
        return encode(as_scheduler(part) if kind == Scheduler.kind else as_sampler(part))
    except ZooError:
        return part


def _choice(kind: str, choice: object) -> dict[str, Any]:
    if not isinstance(choice, str | Mapping):
        raise ConfigError(f"{kind} must be a name or a mapping of options, not {type(choice).__name__}", f"`zoo list {kind}s` shows names")
    values = {"name": choice} if isinstance(choice, str) else dict(choice)
    name = values.get("name")
    if isinstance(name, str) and not registry().offers(kind, name) and (meant := _meant(kind, name)):
        raise ConfigError(f"{kind}: unknown {kind} {name[:60]!r}", f"did you mean {meant}?")
    return values


def _meant(kind: str, name: str) -> str:
    """Returns the registered name for another library's name, another spelling, or the name of a class; empty if there is none."""
    plain = re.sub(r"[^a-z0-9]", "", name.lower().replace("++", "pp"))
    plain = plain if plain in ALIASES else plain.removesuffix("scheduler").removesuffix("sampler")
    specs = [claim.spec for claims in registry().claims(kind).values() for claim in claims]
    spelt = [spec.name for spec in specs if re.sub(r"[^a-z0-9]", "", spec.name) == plain]
    classes = sorted(
        (len(getattr(spec, "defaults", ())), spec.name) for spec in specs if getattr(spec, "target", "").rpartition(":")[2].lower() == plain
    )
    alias = ALIASES.get(plain, "")
    return next(iter(spelt), "") or (classes[0][1] if classes else "") or (alias if registry().offers(kind, alias) else "")
