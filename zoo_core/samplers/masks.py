"""Which part of a sample is known: masks, and what callers of ``Pretrained.inpaint`` hand over, checked."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from zoo_core.errors import UsageError
from zoo_core.interfaces import Event

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["PARTS", "known_values", "part_mask", "read_mask"]

PARTS = ("top", "bottom", "left", "right", "centre", "border")


def known_values(x: "Tensor", mask: "Tensor | str", event: Event) -> "tuple[Tensor, Tensor]":
    """What is known of samples: float32 (n, *event.shape), 0 where it is not; and where it is, bool (n, *event.shape).

    Args:
        x: (n, *event.shape), within the event's range where the mask is 1; elsewhere it may be anything, NaN too.
        mask: of a shape that broadcasts to that of ``x``; True or 1 where ``x`` is known, False or 0 elsewhere. Of images, a name of PARTS.
        event: what one sample is.

    Raises:
        UsageError: the mask has another shape or other values, or ``x`` is out of range.
    """
    import torch

    if isinstance(mask, str):
        if mask not in PARTS or len(event.shape) != 3:
            raise UsageError(f"mask must be a tensor, or of images one of {', '.join(PARTS)}, not {mask[:40]!r}")
        mask = part_mask(mask, event.shape)
    try:
        mask = torch.as_tensor(mask)
    except (TypeError, ValueError, RuntimeError):
        raise UsageError(f"mask must be a tensor, not {str(mask)[:40]!r}") from None
    if not bool(((mask == 0) | (mask == 1)).all()):
        raise UsageError("mask must be True or 1 where x is known, and False or 0 elsewhere", "compare a grey one with a threshold")
    try:
        known = mask.to(x.device, torch.bool).expand_as(x)
    except RuntimeError:
        raise UsageError(f"mask must broadcast to the shape of x, {tuple(x.shape)}; it has {tuple(mask.shape)}") from None
    values = torch.where(known, x.float(), 0.0)
    low, high = event.range or (-torch.inf, torch.inf)
    if not bool((values.isfinite() & (~known | ((values >= low) & (values <= high)))).all()):
        raise UsageError(f"x must be in [{low:g}, {high:g}] where it is known" if event.range else "x must be finite where it is known")
    return values, known


def part_mask(name: str, shape: Sequence[int]) -> "Tensor":
    """The mask of an image (c, h, w) of which that part is known, bool (1, h, w).

    A half; the ``centre``, half as high and as wide; or the ``border`` around that.
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
    """The mask of an image (c, h, w), bool (1, h, w): one of PARTS, or a picture whose white pixels are known and black ones are not.

    A picture is resized and cropped as :func:`zoo_core.images.read_image` does; what is lighter than middle grey counts as white.

    Raises:
        UsageError: it is neither.
    """
    from zoo_core.images import read_image

    if choice in PARTS:
        return part_mask(choice, shape)
    if not Path(choice).exists():
        raise UsageError(f"no mask {choice}", f"name a picture whose white pixels are known, or one of {', '.join(PARTS)}")
    return read_image(Path(choice), (1, *shape[1:])) > 0
