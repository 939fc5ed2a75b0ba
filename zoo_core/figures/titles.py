"""The title line of a figure: the checkpoint, the sampler, its steps and the seed."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from zoo_core.config import encode
from zoo_core.errors import ZooError
from zoo_core.interfaces import Sampler, Scheduler
from zoo_core.registry import registry
from zoo_core.samplers.factory import as_sampler, as_scheduler
from zoo_core.specs import SamplerSpec

__all__ = ["SIGMA", "joined", "known_as", "number", "sigma_text", "title_line", "walk_text"]

SIGMA = "\N{GREEK SMALL LETTER SIGMA}"
_DOT = " · "
_COUNTS = ("name", "steps", "steps_per_level")


def known_as(values: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The usual name of a sampler or scheduler, and its options that differ from the defaults of that name.

    Several names may stand for one class with other defaults: ``ancestral`` with eta = 0 is ``ddim``. The name with the fewest differing
    options is chosen, or ``values["name"]`` among equals. A name that is not installed keeps all its options.

    >>> known_as({"name": "ancestral", "steps": 20, "eta": 0.0, "clip": True})
    ('ddim', {})
    """
    own = str(values.get("name", ""))
    options = {key: value for key, value in values.items() if key not in _COUNTS and value is not None}
    differing = {}
    for name in _same_class(own):
        try:
            make = as_sampler if registry().claim_or_none(SamplerSpec, own) else as_scheduler
            defaults = encode(make(name))
        except ZooError:
            continue
        differing[name] = {key: value for key, value in options.items() if defaults.get(key) != value}
    return min(differing.items(), key=lambda each: (len(each[1]), each[0] != own), default=(own, options))


def _same_class(name: str) -> list[str]:
    """The names of all samplers of the same class as ``name``; ``name`` alone if it is not a sampler."""
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
    """A sampler in words.

    >>> walk_text({"name": "ddim", "steps": 20})
    'ddim, 20 steps'
    >>> walk_text({"name": "dpmpp-2m", "steps": 10}, {"name": "karras", "sigma_max": 80.0})
    'dpmpp-2m, 10 steps on karras (sigma_max 80)'
    """
    values = encode(sampler) if isinstance(sampler, Sampler) else dict(sampler)
    name, changed = known_as(values)
    steps = values.get("steps")
    each = values.get("steps_per_level")
    words = name
    if isinstance(steps, int):
        unit = "step" if steps == 1 else "steps"
        words += f", {steps:,} levels of {each:,} steps" if isinstance(each, int) else f", {steps:,} {unit}"
    words += _options(changed)
    if scheduler:
        plain = scheduler if isinstance(scheduler, Mapping) else encode(scheduler)
        levels, differs = known_as(plain)
        words += f" on {levels}{_options(differs)}"
    return words


def _options(changed: Mapping[str, Any]) -> str:
    words = ", ".join(f"{key} {_plain(value)}" for key, value in changed.items() if not isinstance(value, Mapping))
    return f" ({words})" if words else ""


def _plain(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else value if isinstance(value, str) else json.dumps(value)


def title_line(name: str, *facts: str) -> str:
    """The name and the facts in one line; empty facts are left out.

    >>> title_line("ddpm-afhq-cat", "ddim, 20 steps", "")
    'ddpm-afhq-cat · ddim, 20 steps'
    """
    return _DOT.join(filter(None, [name, *facts]))


def sigma_text(sigma: float) -> str:
    """A noise level with three digits."""
    return f"{SIGMA} = {number(sigma)}"


def number(value: float, digits: int = 3) -> str:
    """A number with ``digits`` significant digits, with commas and a true minus sign.

    >>> number(0.123456), number(16000, 12)
    ('0.123', '16,000')
    """
    return f"{float(f'{value:.{digits}g}'):,.12g}".replace("-", "\N{MINUS SIGN}")


def joined(texts: Iterable[str]) -> str:
    """The captions of columns in one line; further lines of a caption are in brackets.

    >>> joined(["t = 0\\n0 %", "t = 10\\n50 %"])
    't = 0 (0 %), t = 10 (50 %)'
    """
    lines = [text.split("\n") for text in texts]
    return ", ".join(first + (f" ({', '.join(rest)})" if rest else "") for first, *rest in lines)
