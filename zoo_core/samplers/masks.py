"""Masks of the known part of a sample, and checks of the arguments of ``Pretrained.inpaint``."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from zoo_core.arguments import single
from zoo_core.errors import UsageError
from zoo_core.interfaces import Event

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["PARTS", "known_values", "part_mask", "read_mask"]

PARTS = ("top", "bottom", "left", "right", "centre", "border")


def known_values(x: "Tensor", mask: "Tensor | str", event: Event) -> "tuple[Tensor, Tensor]":
    """Checks the known part of samples.

    >>> import torch
    >>> values, known = known_values(torch.tensor([[0.5, torch.nan]]), torch.tensor([1, 0]), Event(shape=(2,)))
    >>> values.tolist(), known.tolist()
    ([[0.5, 0.0]], [[True, False]])

    Args:
        x: samples (n, *event.shape), within the event's range where the mask is 1; other values may be anything, including NaN.
        mask: True or 1 where ``x`` is known, False or 0 elsewhere, of a shape that broadcasts to that of ``x``; or, for images, one of
            PARTS.
        event: shape and range of one sample.

    Returns:
        The known values, float32 or int64 categories (n, *event.shape), 0 elsewhere; and the mask, bool (n, *event.shape).

    Raises:
        UsageError: if the mask has another shape or other values, or ``x`` is out of range.
    """
    import torch

    if isinstance(mask, str):
        if mask not in PARTS or len(event.shape) != 3:
            raise UsageError(f"mask must be a tensor or, for images, one of {', '.join(PARTS)}, not {mask[:40]!r}")
        mask = part_mask(mask, event.shape)
    try:
        mask = torch.as_tensor(mask)
    except (TypeError, ValueError, RuntimeError):
        raise UsageError(f"mask must be a tensor, not {str(mask)[:40]!r}") from None
    if not bool(((mask == 0) | (mask == 1)).all()):
        raise UsageError("mask must be True or 1 where x is known, and False or 0 elsewhere", "compare a grey mask with a threshold")
    try:
        known = mask.to(x.device, torch.bool).expand_as(x)
    except RuntimeError:
        raise UsageError(f"mask must broadcast to the shape of x, {tuple(x.shape)}; it has {tuple(mask.shape)}") from None
    values = torch.where(known, single(x), 0)
    low, high = event.range or (-torch.inf, torch.inf)
    if not bool((values.isfinite() & (~known | ((values >= low) & (values <= high)))).all()):
        raise UsageError(f"x must be in [{low:g}, {high:g}] where it is known" if event.range else "x must be finite where it is known")
    return values, known


def part_mask(name: str, shape: Sequence[int]) -> "Tensor":
    """Returns the mask of an image (c, h, w) with one known part, bool (1, h, w).

    >>> part_mask("left", (3, 2, 4)).int().tolist()
    [[[1, 1, 0, 0], [1, 1, 0, 0]]]

    Args:
        name: a half: ``top``, ``bottom``, ``left`` or ``right``; ``centre``, half as high and as wide; or ``border``, all around it.
        shape: (c, h, w).
    """
    import torch

    if name == "border":
        return ~part_mask("centre", shape)
    _, h, w = shape
    rows, columns = {
        "top": (slice(h // 2), slice(None)),
        "bottom": (slice(h // 2, None), slice(None)),
        "left": (slice(None), slice(w // 2)),
        "right": (slice(None), slice(w // 2, None)),
        "centre": (slice(h // 4, h - h // 4), slice(w // 4, w - w // 4)),
    }[name]
    mask = torch.zeros(1, h, w, dtype=torch.bool)
    mask[:, rows, columns] = True
    return mask


def read_mask(choice: str, shape: Sequence[int]) -> "Tensor":
    """Reads the mask of an image (c, h, w), bool (1, h, w).

    Args:
        choice: one of PARTS, or the path of a picture whose white pixels are known. It is resized and cropped as by
            :func:`zoo_core.images.read_image`; pixels lighter than middle grey count as white.
        shape: (c, h, w).

    Raises:
        UsageError: if it is neither.
    """
    from zoo_core.images import read_image

    if choice in PARTS:
        return part_mask(choice, shape)
    if not Path(choice).exists():
        raise UsageError(f"no mask {choice}", f"name a picture whose white pixels are known, or one of {', '.join(PARTS)}")
    return read_image(Path(choice), (1, *shape[1:])) > 0
