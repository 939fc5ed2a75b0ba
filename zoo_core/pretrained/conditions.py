"""Conditions of sampling: class labels, by number or name, and the guidance scale."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from zoo_core.arguments import classes_of
from zoo_core.errors import CapabilityError, ConfigError, UsageError
from zoo_core.interfaces import Denoiser, Labelled, LabelsLike
from zoo_core.samplers import Guided

if TYPE_CHECKING:
    from torch import Tensor

    from zoo_core.pretrained.loaded import Loaded

__all__ = ["class_turns", "labels_of", "with_guidance"]


def labels_of(pretrained: "Loaded", labels: LabelsLike, n: int, first: int | None = None) -> "Tensor | None":
    """Returns the class of each sample, int64 (n,) on the model's device; None for unconditional samples.

    Args:
        pretrained: the model.
        labels: one class for all samples or one for each.
        n: number of samples.
        first: number of the first image that is drawn; None if nothing is drawn. A class-conditional-only model draws image i with class
            i modulo the number of classes.

    Raises:
        UsageError: if labels do not fit, or are missing where nothing is drawn.
        CapabilityError: if the model has no classes.
    """
    import torch

    if labels is None:
        if not getattr(pretrained.model, "needs_labels", False):
            return None
        if first is None:
            raise UsageError(f"{pretrained.name} needs labels: it is class-conditional only", "pass labels=")
        return torch.arange(first, first + n, device=pretrained.device) % cast(Labelled, pretrained.model).num_classes
    _require_labels(pretrained, "take labels", "leave the labels out")
    values = classes_of(labels, n, cast(Labelled, pretrained.model).num_classes, pretrained.classes)
    return torch.tensor(values, dtype=torch.int64, device=pretrained.device)


def class_turns(pretrained: "Loaded", classes: Sequence[int] | None) -> list[int]:
    """Returns the classes that take turns: those given, or all of a model that is class-conditional only; otherwise none.

    Raises:
        UsageError: if the model does not have one of them, even if so few samples are drawn that its turn does not come.
    """
    if classes is None:
        return list(range(cast(Labelled, pretrained.model).num_classes)) if getattr(pretrained.model, "needs_labels", False) else []
    count = cast(Labelled, pretrained.model).num_classes if "labels" in pretrained.capabilities else None
    if classes and count is not None and max(classes) >= count:
        raise UsageError(f"labels must be in 0 ... {count - 1}, not {max(classes)}")
    return list(classes)


def with_guidance(pretrained: "Loaded", scale: float, labels: "Tensor | None") -> Guided:
    """Returns the model with classifier-free guidance.

    Args:
        pretrained: the model.
        scale: guidance scale; 1 is the plain conditional model.
        labels: int64 (n,).

    Raises:
        UsageError: if there are no labels.
        ConfigError: if the scale is not a finite number.
        CapabilityError: if the model cannot denoise, has no classes, or is class-conditional only.
    """
    pretrained.require_walk("be guided")
    if labels is None:
        _require_labels(pretrained, "be guided", "leave guidance out")
        raise UsageError("guidance needs labels", "pass labels=, or --labels on the command line")
    if getattr(pretrained.model, "needs_labels", False):
        raise CapabilityError(f"{pretrained.name} cannot be guided: it is class-conditional only", "leave guidance out")
    if isinstance(scale, bool) or not isinstance(scale, int | float) or not -1e6 < scale < 1e6:
        raise ConfigError(f"guidance must be a finite number, not {str(scale)[:40]}")
    return Guided(cast(Denoiser, pretrained.sampled_model), scale)


def _require_labels(pretrained: "Loaded", what: str, hint: str) -> None:
    if "labels" in pretrained.family.capabilities and "labels" not in pretrained.capabilities:
        raise CapabilityError(f"{pretrained.name} cannot {what}: this checkpoint was trained without labels", hint)
    pretrained.require("labels", what)
