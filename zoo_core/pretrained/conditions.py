"""Conditions of sampling: class labels, by number or name, and the guidance scale."""

from typing import TYPE_CHECKING, cast

from zoo_core.arguments import classes_of
from zoo_core.errors import CapabilityError, ConfigError, UsageError
from zoo_core.interfaces import Denoiser, Labelled, LabelsLike
from zoo_core.samplers import Guided

if TYPE_CHECKING:
    from torch import Tensor

    from zoo_core.pretrained.loaded import Loaded

__all__ = ["labels_of", "with_guidance"]


def labels_of(pretrained: "Loaded", labels: LabelsLike, n: int, first: int | None = None) -> "Tensor | None":
    """The class of each of ``n`` samples, int64 (n,) on the model's device; None where the model is asked for no class.

    Args:
        pretrained: the model that is asked.
        labels: a class for all or one for each.
        n: number of samples.
        first: number of the first image that is drawn; None where none is drawn. A model that knows nothing but classes draws image i of
            class i modulo their number.

    Raises:
        UsageError: labels do not fit, or are missing where nothing is drawn.
        CapabilityError: the model has no classes.
    """
    import torch

    if labels is None:
        if not getattr(pretrained.model, "needs_labels", False):
            return None
        if first is None:
            raise UsageError(f"{pretrained.name} needs labels: it knows nothing but classes", "pass labels=")
        return torch.arange(first, first + n, device=pretrained.device) % cast(Labelled, pretrained.model).num_classes
    _require_labels(pretrained, "look at labels", "leave the labels out")
    values = classes_of(labels, n, cast(Labelled, pretrained.model).num_classes, pretrained.classes)
    return torch.tensor(values, dtype=torch.int64, device=pretrained.device)


def with_guidance(pretrained: "Loaded", scale: float, labels: "Tensor | None") -> Guided:
    """The model with classifier-free guidance of that scale.

    Raises:
        UsageError: there are no labels.
        ConfigError: the scale is not a finite number.
        CapabilityError: the model cannot denoise, has no classes, or knows nothing but classes.
    """
    pretrained.require("denoise", "be guided")
    if labels is None:
        _require_labels(pretrained, "be guided", "leave guidance out")
        raise UsageError("guidance needs labels", "pass labels=, or --labels on the command line")
    if getattr(pretrained.model, "needs_labels", False):
        raise CapabilityError(f"{pretrained.name} cannot be guided: it knows nothing but classes", "leave guidance out")
    if isinstance(scale, bool) or not isinstance(scale, int | float) or not -1e6 < scale < 1e6:
        raise ConfigError(f"guidance must be a finite number, not {str(scale)[:40]}")
    return Guided(cast(Denoiser, pretrained.model), scale)


def _require_labels(pretrained: "Loaded", what: str, hint: str) -> None:
    if "labels" in pretrained.family.capabilities and "labels" not in pretrained.capabilities:
        raise CapabilityError(f"{pretrained.name} cannot {what}: this checkpoint was trained without labels", hint)
    pretrained.require("labels", what)
