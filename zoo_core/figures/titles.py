"""The title line of a figure: the checkpoint, the sampler, its steps and the seed."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from zoo_core.config import encode
from zoo_core.errors import ZooError
from zoo_core.interfaces import Sampler, Scheduler
from zoo_core.registry import registry
from zoo_core.samplers.choice import as_sampler, as_scheduler
from zoo_core.specs import SamplerSpec

__all__ = ["SIGMA", "joined", "known_as", "number", "sigma_text", "title_line", "walk_text"]

SIGMA = "\N{GREEK SMALL LETTER SIGMA}"
_DOT = " · "
_COUNTS = ("name", "steps", "steps_per_level")


def known_as(values: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The name under which people know a sampler or scheduler, and its options that are not the defaults of that name.

    Several names may stand for one class with other defaults: ``ancestral`` with eta = 0 is ``ddim``. Of those, the one with the fewest
    options to name, ``values["name"]`` where they are as many. A name that is not installed keeps all its options.

    >>> known_as({"name": "ancestral", "steps": 20, "eta": 0.0, "clip": True})
    ('ddim', {})
    """
    own = str(values.get("name", ""))
    options = {key: value for key, value in values.items() if key not in _COUNTS and value is not None}
    found = {}
    for name in _same_class(own):
        try:
            make = as_sampler if registry().claim_or_none(SamplerSpec, own) else as_scheduler
            defaults = encode(make(name))
        except ZooError:
            continue
        found[name] = {key: value for key, value in options.items() if defaults.get(key) != value}
    return min(found.items(), key=lambda each: (len(each[1]), each[0] != own), default=(own, options))


def _same_class(name: str) -> list[str]:
    """The names of samplers of one class, ``name`` among them; it alone where it is no sampler."""
    claim = registry().claim_or_none(SamplerSpec, name)
    if claim is None or not isinstance(claim.spec, SamplerSpec):
        return [name]
    every = registry().claims(SamplerSpec)
    return [
        other
        for other, claims in every.items()
        if any(isinstance(each.spec, SamplerSpec) and each.spec.target == claim.spec.target for each in claims)
    ]


def walk_text(sampler: Sampler | Mapping[str, Any], scheduler: Scheduler | Mapping[str, Any] | None = None) -> str:
    """A sampler in words: ``ddim, 20 steps``, ``langevin, 20 levels of 50 steps``, ``dpmpp-2m, 10 steps on karras (sigma_max 80)``."""
    values = encode(sampler) if isinstance(sampler, Sampler) else dict(sampler)
    name, changed = known_as(values)
    steps, each = values.get("steps"), values.get("steps_per_level")
    told = name
    if isinstance(steps, int):
        unit = "step" if steps == 1 else "steps"
        told += f", {steps:,} levels of {each:,} steps" if isinstance(each, int) else f", {steps:,} {unit}"
    told += _options(changed)
    if scheduler:
        plain = scheduler if isinstance(scheduler, Mapping) else encode(scheduler)
        levels, differs = known_as(plain)
        told += f" on {levels}{_options(differs)}"
    return told


def _options(changed: Mapping[str, Any]) -> str:
    told = ", ".join(f"{key} {_plain(value)}" for key, value in changed.items() if not isinstance(value, Mapping))
    return f" ({told})" if told else ""


def _plain(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else value if isinstance(value, str) else json.dumps(value)


def title_line(name: str, *facts: str) -> str:
    """``name · fact · fact``, without the empty ones."""
    return _DOT.join(filter(None, [name, *facts]))


def sigma_text(sigma: float) -> str:
    """A noise level in three digits."""
    return f"{SIGMA} = {number(sigma)}"


def number(value: float, digits: int = 3) -> str:
    """A number to so many digits, whole ones in full with commas, and a real minus."""
    return f"{float(f'{value:.{digits}g}'):,.12g}".replace("-", "\N{MINUS SIGN}")


def joined(texts: Iterable[str]) -> str:
    """The captions of columns in one line, the further lines of each in brackets."""
    lines = [text.split("\n") for text in texts]
    return ", ".join(first + (f" ({', '.join(rest)})" if rest else "") for first, *rest in lines)
