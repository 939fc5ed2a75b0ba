"""Specs: frozen records that plugins return from the ``zoo_specs`` hook, and functions that return the specs of a package."""

from zoo_core.specs.families import MODEL_LOSS, checkpoints, family
from zoo_core.specs.records import (
    KINDS,
    CheckpointSpec,
    CommandSpec,
    DatasetSpec,
    FigureSpec,
    Hub,
    LayoutSpec,
    MetricSpec,
    ModelSpec,
    Pin,
    RecipeSpec,
    SamplerSpec,
    SchedulerSpec,
    Spec,
    TrainerSpec,
)

__all__ = [
    "KINDS",
    "MODEL_LOSS",
    "CheckpointSpec",
    "CommandSpec",
    "DatasetSpec",
    "FigureSpec",
    "Hub",
    "LayoutSpec",
    "MetricSpec",
    "ModelSpec",
    "Pin",
    "RecipeSpec",
    "SamplerSpec",
    "SchedulerSpec",
    "Spec",
    "TrainerSpec",
    "checkpoints",
    "family",
]
