"""The conditions with which samples are drawn where none are given."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["example_conditions", "example_prompts"]


def example_conditions(model: Any, images: Sequence[int]) -> "Tensor | None":
    """Returns example i modulo their number for each image i of ``images``; None for a model without examples of conditions.

    >>> from zoo_core.testing.fake import FakeConditional
    >>> from zoo_core.testing.fake_config import FakeConditionalConfig
    >>> model = FakeConditional(FakeConditionalConfig(examples=3))
    >>> example_conditions(model, [1, 4]).tolist() == model.example_conditions[[1, 1]].tolist()
    True

    Args:
        model: the model.
        images: numbers of images.
    """
    examples: Tensor | None = getattr(model, "example_conditions", None) if hasattr(model, "conditioned") else None
    return None if examples is None else examples[[image % len(examples) for image in images]].float()


def example_prompts(model: Any) -> list[str]:
    """Returns the texts of which ``example_conditions`` are computed; none for a model without such texts.

    Args:
        model: the model.
    """
    return list(getattr(model, "example_prompts", ())) if hasattr(model, "conditioned") else []
