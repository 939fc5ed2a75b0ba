"""The kinds of things that are listed, and filters of their names."""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from types import MappingProxyType

from zoo_core.specs import CheckpointSpec, DatasetSpec, MetricSpec, ModelSpec, RecipeSpec, SamplerSpec, SchedulerSpec, Spec, TrainerSpec

__all__ = ["LISTED", "matches"]

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
"""What ``zoo list`` and :func:`names` list, by the plural."""


def matches(name: str, filter: str | Sequence[str]) -> bool:
    """Whether a name fits a filter, or one of several: a pattern with ``*``, ``?`` or ``[...]``, or else a part of the name."""
    patterns = [filter] if isinstance(filter, str) else filter
    found = (fnmatchcase(name.lower(), each.lower()) if set(each) & set("*?[") else each.lower() in name.lower() for each in patterns)
    return any(found) or not patterns
