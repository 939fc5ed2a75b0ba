"""Names of the installed parts by kind, with filters, and a search of their descriptions."""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from types import MappingProxyType

from zoo_core.errors import UnknownNameError, UsageError
from zoo_core.registry.discovery import registry
from zoo_core.registry.plugin import Claim
from zoo_core.specs import (
    CheckpointSpec,
    CommandSpec,
    DatasetSpec,
    FigureSpec,
    MetricSpec,
    ModelSpec,
    RecipeSpec,
    SamplerSpec,
    SchedulerSpec,
    Spec,
    TrainerSpec,
)
from zoo_core.suggestions import ALIASES

__all__ = ["LISTED", "checkpoints", "matches", "names", "search"]

LISTED: Mapping[str, type[Spec]] = MappingProxyType(
    {
        "checkpoints": CheckpointSpec,
        "families": ModelSpec,
        "samplers": SamplerSpec,
        "schedulers": SchedulerSpec,
        "datasets": DatasetSpec,
        "metrics": MetricSpec,
        "recipes": RecipeSpec,
        "trainers": TrainerSpec,
    }
)
"""The kinds that ``zoo list`` and :func:`names` list, by their plural."""


def matches(name: str, filter: str | Sequence[str]) -> bool:
    """Whether a name matches a filter, or one of several: a pattern with ``*``, ``?`` or ``[...]``, or else a part of the name."""
    patterns = [filter] if isinstance(filter, str) else filter
    matching = (fnmatchcase(name.lower(), each.lower()) if set(each) & set("*?[") else each.lower() in name.lower() for each in patterns)
    return any(matching) or not patterns


def names(kind: str = "checkpoints", filter: str | Sequence[str] = "") -> tuple[str, ...]:
    """Returns the names of the installed parts of a kind; names that several plugins claim are written with their distributions.

    >>> names("samplers", "pred*")
    ('predictor-corrector',)

    Args:
        kind: ``checkpoints``, ``families``, ``samplers``, ``schedulers``, ``datasets``, ``metrics``, ``recipes`` or ``trainers``.
        filter: a pattern such as ``ddpm*``, a part of the names such as ``cat``, or several of these, of which one must match.

    Raises:
        UnknownNameError: if there is no such kind.
        UsageError: if filter is not a string or a list of strings.
    """
    if not isinstance(kind, str) or kind not in LISTED:
        raise UnknownNameError.of("kind", str(kind), LISTED)
    _check_filter(filter)
    claims = registry().claims(LISTED[kind])
    written = (name if len(each) == 1 else f"{claim.plugin.dist}:{name}" for name, each in claims.items() for claim in each)
    return tuple(name for name in written if matches(name, filter))


def checkpoints(filter: str | Sequence[str] = "", *, family: str = "") -> tuple[str, ...]:
    """Returns the names of the installed checkpoints.

    >>> checkpoints("*moons")
    ('gmm-moons', 'maf-moons', 'realnvp-moons')

    Args:
        filter: a filter, as for :func:`names`.
        family: name of a family; empty for all.

    Raises:
        UnknownNameError: if no installed plugin has that family.
        UsageError: if filter or family has another type.
    """
    references = names("checkpoints", filter)
    if not isinstance(family, str):
        raise UsageError(f"family must be a name, not {str(family)[:40]!r}", "`zoo list families` shows them")
    if not family:
        return references
    registry().claim(ModelSpec, family)
    return tuple(name for name in references if registry().spec(CheckpointSpec, name).family == family)


def search(words: Sequence[str]) -> tuple[Claim, ...]:
    """Returns the installed parts of every kind whose description has all words; those with the words in their names come first.

    >>> [claim.spec.name for claim in search(["corrector", "langevin"])]
    ['predictor-corrector']

    Args:
        words: parts of the name, of the summary, or of the paper, data set, licence, family or capabilities, in upper or lower case.
    """
    wanted = [word.lower() for word in words]
    claims = [claim for kind in (*LISTED.values(), FigureSpec, CommandSpec) for own in registry().claims(kind).values() for claim in own]
    having = [claim for claim in claims if all(word in _description(claim.spec) for word in wanted)]
    return tuple(sorted(having, key=lambda claim: sum(word not in claim.spec.key.lower() for word in wanted)))


def _description(spec: Spec) -> str:
    """The words of a part, in lower case, with its names in other libraries."""
    about = (str(getattr(spec, key, "")) for key in ("summary", "paper", "family", "dataset", "license", "requires"))
    other_names = (alias for alias, name in ALIASES.items() if name == spec.name)
    return " ".join((spec.kind, spec.key, *about, *sorted(getattr(spec, "capabilities", ())), *other_names)).lower()


def _check_filter(filter: object) -> None:
    if not (isinstance(filter, str) or (isinstance(filter, list | tuple) and all(isinstance(each, str) for each in filter))):
        raise UsageError(f"filter must be a pattern or a list of them, not {str(filter)[:40]!r}", 'such as "ddpm*"')
