"""What is known of a checkpoint without its weights: its config, family, sampler and card.

Everything that a config can get wrong is found here, before torch is imported.
"""

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from zoo_core.cards.markdown import describe
from zoo_core.config import check_range, decode, encode
from zoo_core.errors import CapabilityError, CardError, ConfigError, UnknownNameError, UsageError, ZooError
from zoo_core.hub.fetch import CARD, CONFIG, TRAINING, Files, fetch
from zoo_core.hub.repository import wanted
from zoo_core.interfaces import ModelConfig, Sampler, Scheduler
from zoo_core.recipes import check_length
from zoo_core.registry import registry, resolve
from zoo_core.registry.listing import LISTED, matches
from zoo_core.specs import CheckpointSpec, ModelSpec, SamplerSpec, SchedulerSpec
from zoo_core.suggestions import ALIASES

__all__ = [
    "FORMAT",
    "CheckpointConfig",
    "Info",
    "as_sampler",
    "as_scheduler",
    "checkpoints",
    "class_names",
    "default_sampler",
    "family_of",
    "incapable",
    "info",
    "names",
    "read_config",
    "scheduler_with",
    "wanted_plugin",
    "written_now",
]

FORMAT = 1
_METRICS = "metrics.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckpointConfig:
    """config.json: the versions of its format and of the family's weights, the model's config, and the default sampler.

    ``scheduler`` places the noise levels that this sampler walks along; None for those that the model was trained on.
    """

    format: int
    weights_version: int
    model: ModelConfig
    sampler: Sampler | None = None
    scheduler: Scheduler | None = None

    def __post_init__(self) -> None:
        check_range(self, format=(FORMAT, FORMAT), weights_version=(1, 10**6))
        check_length(self.sampler)


def read_config(files: Files) -> CheckpointConfig:
    """The config of a checkpoint, read and checked.

    Raises:
        ConfigError: it is wrong, with the path of the field.
        UnknownNameError: no installed plugin has its family.
    """
    data = files.json(CONFIG)
    if type(data.get("format")) is int and data["format"] > FORMAT:
        raise ConfigError(
            f"{files.reference} has format {data['format']}, and this zoo-core reads {FORMAT}", "pip install --upgrade zoo-core"
        )
    try:
        return decode(CheckpointConfig, data, CONFIG, prefer=files.dist)
    except UnknownNameError as error:
        raise UnknownNameError(f"{files.reference}: {error.what}", wanted_plugin(files) or error.hint) from error


def wanted_plugin(files: Files) -> str:
    """What a card says of the distribution that its family comes with, as a hint for people. Nobody vouches for it; nothing acts on it.

    Empty where it says nothing, or where that distribution is installed and broken.
    """
    from zoo_core.cards import card as cards

    try:
        plugin = wanted(cards.parse(files.read(CARD)).metadata)[1] if CARD in files.names else ""
    except CardError:
        plugin = ""
    broken = {each.dist for each in registry().failures}
    return f"its card (unverified) says: pip install {plugin}" if plugin and plugin not in broken else ""


def class_names(files: Files) -> tuple[str, ...]:
    """The names of the classes of the data that a checkpoint was trained on; empty where its training record has none."""
    data = files.json(TRAINING).get("data") if TRAINING in files.names else None
    names = data.get("classes") if isinstance(data, dict) else None
    return tuple(names) if isinstance(names, list) and all(isinstance(name, str) for name in names) else ()


def family_of(config: CheckpointConfig) -> ModelSpec:
    """The family whose config this is."""
    spec = registry().claim_of(ModelSpec.kind, type(config.model)).spec
    assert isinstance(spec, ModelSpec)
    return spec


def default_sampler(config: CheckpointConfig, family: ModelSpec) -> Sampler:
    """The checkpoint's own sampler, or its family's, or the first registered one that the family can be sampled by.

    Raises:
        CapabilityError: nothing can sample it.
    """
    if config.sampler is not None:
        return config.sampler
    claims = [claim for named in registry().claims(SamplerSpec).values() for claim in named]
    names = [claim.name for claim in claims if isinstance(claim.spec, SamplerSpec) and claim.spec.requires in family.capabilities]
    if not (family.sampler or names):
        raise CapabilityError(
            f"no installed sampler can sample the family {family.name}", "`zoo list samplers` shows what each of them requires"
        )
    return as_sampler(family.sampler or names[0], prefer=registry().claim_of(ModelSpec.kind, type(config.model)).plugin.dist)


def _sampler(config: CheckpointConfig, family: ModelSpec) -> dict[str, Any] | None:
    """The default sampler as plain values; None for what nothing can sample, such as a classifier."""
    try:
        plain: dict[str, Any] = encode(default_sampler(config, family))
    except CapabilityError:
        return None
    return plain


def as_sampler(choice: "str | Mapping[str, Any] | Sampler", default: Sampler | None = None, *, prefer: str = "") -> Sampler:
    """A sampler from its name, with that name's own defaults, or from plain values; without a ``name``, those change ``default``.

    Raises:
        ConfigError: there is no such sampler, or an option is wrong.
    """
    if isinstance(choice, Sampler):
        return choice
    values = _choice("sampler", choice)
    if "name" not in values and default is not None:
        values = {**encode(default), **values}
    _refuse_foreign(values)
    return decode(Sampler, values, "sampler", prefer=prefer)  # type: ignore[type-abstract]  # decode finds the class that the name means


def _refuse_foreign(values: Mapping[str, Any]) -> None:
    """Raises ConfigError for options of a recipe's part or of schedulers, and for steps where there is one pass."""
    nested = values.get("sampler")
    if isinstance(nested, Mapping):
        shown = " ".join(f"{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in nested.items())
        raise ConfigError(
            f"sampler: unknown key 'sampler.{next(iter(nested), '')}'", f"it is an option of the sampler itself: write {shown}"
        )
    claim = registry().meant(SamplerSpec, str(values.get("name")).rpartition(":")[2])
    if not claim or not isinstance(claim.spec, SamplerSpec):
        return
    known = [item.name for item in fields(resolve(claim.spec.target))]
    if "steps" in values and "steps" not in known and claim.spec.requires == "decode":
        hint = f"leave --steps out; its options: {', '.join(known)}"
        raise ConfigError(f"sampler: {claim.spec.name} draws in one pass and has no steps", hint)
    for key, value in values.items():
        if key not in ("name", *known) and (owner := scheduler_with(key)):
            there = f'-o scheduler.{key}={value} with --scheduler {owner}, or scheduler={{"name": "{owner}", "{key}": {value}}}'
            raise ConfigError(f"sampler: unknown key {key!r}", f"it is an option of schedulers: {there}")


def scheduler_with(key: str) -> str:
    """The name of the last registered scheduler that has the option ``key``; empty where none has it."""
    specs = [claim.spec for claims in registry().claims(SchedulerSpec).values() for claim in claims[:1]]
    having = [
        spec.name for spec in specs if isinstance(spec, SchedulerSpec) and key in {item.name for item in fields(resolve(spec.target))}
    ]
    return having[-1] if having else ""


def as_scheduler(choice: "str | Mapping[str, Any] | Scheduler") -> Scheduler:
    """A scheduler from its name, or from plain values with a ``name``.

    Raises:
        ConfigError: there is no such scheduler, or an option is wrong.
    """
    if isinstance(choice, Scheduler):
        return choice
    return decode(Scheduler, _choice("scheduler", choice), "scheduler")  # type: ignore[type-abstract]  # decode finds the class that the name means


def written_now(part: object, kind: str = Sampler.kind) -> object:
    """The plain values of a sampler, or a scheduler, of a record or a config as they would be written today.

    An option that came later has its default. What is no sampler here, as where its plugin is not installed, stays as it is.
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
    """The registered name that another library's name, another spelling, or the name of a class stands for; empty for none."""
    plain = re.sub(r"[^a-z0-9]", "", name.lower().replace("++", "pp"))
    plain = plain if plain in ALIASES else plain.removesuffix("scheduler").removesuffix("sampler")
    specs = [claim.spec for claims in registry().claims(kind).values() for claim in claims]
    spelt = [spec.name for spec in specs if re.sub(r"[^a-z0-9]", "", spec.name) == plain]
    classes = sorted(
        (len(getattr(spec, "defaults", ())), spec.name) for spec in specs if getattr(spec, "target", "").rpartition(":")[2].lower() == plain
    )
    alias = ALIASES.get(plain, "")
    return next(iter(spelt), "") or (classes[0][1] if classes else "") or (alias if registry().offers(kind, alias) else "")


def incapable(what: str, capability: str, hint: str = "") -> CapabilityError:
    """The error for a model that lacks ``capability``, or all of several with spaces between; it names the families that have one."""
    specs = {spec.name: spec for claims in registry().claims(ModelSpec).values() for spec in (claim.spec for claim in claims)}
    able = [name for name, spec in specs.items() if isinstance(spec, ModelSpec) and spec.capabilities & {*capability.split()}]
    return CapabilityError(what, hint or (f"families that can: {', '.join(able)}" if able else "no installed family can"))


def names(kind: str = "checkpoints", filter: str | Sequence[str] = "") -> tuple[str, ...]:
    """The names of what is installed; where two plugins claim one, each of theirs with its distribution.

    >>> names("samplers", "d*")
    ('ddim', 'dpmpp-2m')

    Args:
        kind: ``checkpoints``, ``families``, ``samplers``, ``schedulers``, ``datasets``, ``metrics``, ``recipes`` or ``trainers``.
        filter: a pattern such as ``ddpm*``, a part of the names such as ``cat``, or several of these, of which one has to match.

    Raises:
        UnknownNameError: there is no such kind.
    """
    if not isinstance(kind, str) or kind not in LISTED:
        raise UnknownNameError.of("kind", str(kind), LISTED)
    _check_filter(filter)
    claims = registry().claims(LISTED[kind])
    found = (name if len(each) == 1 else f"{claim.plugin.dist}:{name}" for name, each in claims.items() for claim in each)
    return tuple(name for name in found if matches(name, filter))


def checkpoints(filter: str | Sequence[str] = "", *, family: str = "") -> tuple[str, ...]:
    """The installed checkpoints, as references.

    >>> checkpoints("ddpm*")
    ('ddpm-afhq-cat',)

    Args:
        filter: as for :func:`names`.
        family: those of one family alone.

    Raises:
        UnknownNameError: no installed plugin has that family.
    """
    found = names("checkpoints", filter)
    if not isinstance(family, str):
        raise UsageError(f"family must be a name, not {str(family)[:40]!r}", "`zoo list families` shows them")
    if not family:
        return found
    registry().claim(ModelSpec, family)
    return tuple(name for name in found if registry().spec(CheckpointSpec, name).family == family)


def _check_filter(filter: object) -> None:
    if not (isinstance(filter, str) or (isinstance(filter, list | tuple) and all(isinstance(each, str) for each in filter))):
        raise UsageError(f"filter must be a pattern or a list of them, not {str(filter)[:40]!r}", 'such as "ddpm*"')


class Info(dict[str, Any]):
    """What is known of a checkpoint, as plain values by name; prints as a short table."""

    def __repr__(self) -> str:
        shown = {**self, "sampler": describe(self["sampler"]) if self["sampler"] else "", "parameters": f"{self['parameters']:,}"}
        lines = [f"{key:12} {_listed(shown[key])}" for key in _SHOWN if shown.get(key)]
        others = ", ".join(key for key in self if key not in _SHOWN)
        return "\n".join([*lines, f"{'also':12} {others}"])


_SHOWN = ("name", "summary", "family", "paper", "capabilities", "parameters", "sampler", "license", "datasets", "source", "folder")


def _listed(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def info(reference: "str | os.PathLike[str]") -> Info:
    """Everything that is known of a checkpoint, as plain values: what ``zoo show --json`` prints. Reads no weights but their header.

    A dictionary; printed, it is a short table.

    Raises:
        ZooError: as :func:`load` does; CardError when the card cannot be read.
    """
    from zoo_core.cards import card as cards

    files = fetch(reference)
    config = read_config(files)
    family, names = family_of(config), files.names
    card = cards.parse(files.read(CARD), bare=True) if CARD in names else None
    training = files.json(TRAINING) if TRAINING in names else {}
    spec = files.spec
    hub = files.hub or (spec.hub if spec else None)
    found = {
        "name": files.name,
        "reference": str(files.reference),
        "summary": (spec.summary if spec else "") or (card.summary if card else ""),
        "family": family.name,
        "paper": family.paper,
        "capabilities": sorted(family.capabilities),
        "parameters": sum(tensor.elements for tensor in files.tensors().values()),
        "config": encode(config),
        "sampler": _sampler(config, family),
        "scheduler": encode(config.scheduler) if config.scheduler else None,
        "license": (spec.license if spec else "") or (card.license if card else ""),
        "datasets": list(card.datasets) if card else [],
        "card": dict(card.metadata) if card else {},
        "readme": card.body if card else "",
        "metrics": files.json(_METRICS) if _METRICS in names else {},
        "training": {key: value for key, value in training.items() if key != "curve"},
        "source": files.source,
        "folder": str(files.folder),
        "pinned": files.pins is not None,
        "files": {name: {"size": files.size(name), "sha256": files.digest(name) if files.pins is not None else None} for name in names},
        "hub": {"repo": hub.repo, "commit": hub.commit} if hub else None,
    }
    return Info(found)
