"""Conditions of sampling: class labels, by number or name, other conditions, and the guidance scale."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from zoo_core.arguments import as_floats, check_in_range, classes_of
from zoo_core.errors import CapabilityError, ConfigError, UsageError
from zoo_core.interfaces import Conditional, Denoiser, Labelled, LabelsLike, Rng
from zoo_core.samplers import Guided
from zoo_core.samplers.conditions import example_conditions

if TYPE_CHECKING:
    from torch import Tensor, nn

    from zoo_core.pretrained.loaded import Loaded

__all__ = ["check_guidance", "class_turns", "conditioned", "conditions_of", "labels_of", "prompted"]


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


def conditions_of(pretrained: "Loaded", condition: "Tensor | None", n: int, first: int) -> "Tensor | None":
    """Returns the condition of each sample, float32 (n, *condition_event.shape) on the model's device; None for samples without one.

    Args:
        pretrained: the model.
        condition: conditions, one for each sample or a single one for all. If None, image i has example i modulo their number of a model
            that has examples.
        n: number of samples.
        first: number of the first image.

    Raises:
        UsageError: if the conditions have another shape or number, or values that are not finite or out of their range.
        CapabilityError: if the model takes no conditions.
    """
    if condition is None:
        return example_conditions(pretrained.model, range(first, first + n)) if "condition" in pretrained.capabilities else None
    pretrained.require("condition", "take a condition")
    event = cast(Conditional, pretrained.model).condition_event
    given = check_in_range(as_floats("condition", condition, event.shape), event, "condition").float().to(pretrained.device)
    if len(given) not in (1, n):
        raise UsageError(f"condition has {len(given)} rows for {n} samples", "pass one condition, or one for each sample")
    return given.expand(n, *event.shape)


def prompted(pretrained: "Loaded", prompts: str | Sequence[str] | None, condition: "Tensor | None") -> "Tensor | None":
    """Returns the conditions that a model of texts computes from prompts, float32 (n, *condition_event.shape); else ``condition``.

    Args:
        pretrained: the model.
        prompts: a text, or several; None for none.
        condition: conditions, or None.

    Raises:
        UsageError: if both are given, or prompts are not texts, or one is too long for the model.
        CapabilityError: if the model takes no texts.
    """
    if prompts is None:
        return condition
    texts = [prompts] if isinstance(prompts, str) else list(prompts)
    if not texts or not all(isinstance(text, str) for text in texts):
        raise UsageError("prompts must be a text, or a list of them, and not empty")
    if condition is not None:
        raise UsageError("prompts and condition are both given", "leave one of them out")
    compute = getattr(pretrained.model, "prompt_conditions", None)
    if "condition" not in pretrained.capabilities or compute is None:
        hint = "`zoo list families` shows what each family can; labels= chooses a class"
        raise CapabilityError(f"{pretrained.name} cannot take prompts: it is not conditioned on texts", hint)
    made: Tensor = compute(texts)
    return made


def conditioned(pretrained: "Loaded", condition: "Tensor | None", rng: Rng, guidance: float | None) -> "nn.Module | Denoiser":
    """Returns the model that a sampler gets for some rows: given their conditions, and guided.

    Args:
        pretrained: the model.
        condition: conditions of the rows, (n, *condition_event.shape), or None.
        rng: random numbers of the rows, for noise on conditions.
        guidance: scale of classifier-free guidance, which :func:`check_guidance` has checked; None without guidance.
    """
    model = pretrained.sampled_model
    given = model if condition is None else cast(Conditional, pretrained.model).conditioned(condition, rng)
    if guidance is None:
        return given
    return Guided(cast(Denoiser, given), guidance, None if condition is None else cast(Denoiser, model))


def check_guidance(pretrained: "Loaded", scale: float, labels: "Tensor | None", condition: "Tensor | None") -> None:
    """Checks that samples can be guided.

    Args:
        pretrained: the model.
        scale: guidance scale; 1 is the plain conditional model.
        labels: classes, int64 (n,), or None.
        condition: conditions, (n, *condition_event.shape), or None.

    Raises:
        UsageError: if there are neither labels nor conditions.
        ConfigError: if the scale is not a finite number.
        CapabilityError: if the model cannot denoise, has no classes, or is class-conditional only.
    """
    pretrained.require_walk("be guided")
    if labels is None and condition is None:
        if "condition" in pretrained.capabilities:
            raise UsageError("guidance needs a condition", "pass condition=, or --condition on the command line")
        _require_labels(pretrained, "be guided", "leave guidance out")
        raise UsageError("guidance needs labels", "pass labels=, or --labels on the command line")
    if getattr(pretrained.model, "needs_labels", False):
        raise CapabilityError(f"{pretrained.name} cannot be guided: it is class-conditional only", "leave guidance out")
    if isinstance(scale, bool) or not isinstance(scale, int | float) or not -1e6 < scale < 1e6:
        raise ConfigError(f"guidance must be a finite number, not {str(scale)[:40]}")


def _require_labels(pretrained: "Loaded", what: str, hint: str) -> None:
    if "labels" in pretrained.family.capabilities and "labels" not in pretrained.capabilities:
        raise CapabilityError(f"{pretrained.name} cannot {what}: this checkpoint was trained without labels", hint)
    pretrained.require("labels", what)
