"""What callers hand over, checked: whole numbers, noise levels, number types."""

from operator import index
from typing import TYPE_CHECKING, SupportsIndex, cast

from zoo_core.errors import UsageError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

__all__ = ["dtype_of", "level", "whole"]

_DTYPES = ("float32", "bfloat16", "float16")


def whole(name: str, value: object, low: int = 0, high: int = 2**64 - 1) -> int:
    """``value`` as an int in [low, high].

    Raises:
        UsageError: it is no whole number, or out of range; the message has its ``name``.
    """
    try:
        number = index(cast(SupportsIndex, value))
    except TypeError:
        raise UsageError(f"{name} must be a whole number, not {str(value)[:40]!r}") from None
    if not low <= number <= high:
        bounds = f"at least {low}" if number < low else f"at most {high}"
        raise UsageError(f"{name} must be {bounds}, not {str(number)[:40]}")
    return number


def level(sigma: object, n: int) -> "Tensor":
    """float64 (n,) of one noise level for all, or of (n,).

    Raises:
        UsageError: it is no such number or tensor, or not finite, or negative.
    """
    import torch

    try:
        level = torch.as_tensor(sigma, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError):
        raise UsageError(f"sigma must be a number or a tensor, not {str(sigma)[:40]!r}") from None
    if level.shape not in ((), (n,)):
        raise UsageError(f"sigma must be one number, or have the shape ({n},), not {tuple(level.shape)}")
    if not bool((level.isfinite() & (level >= 0)).all()):
        raise UsageError("sigma must be finite and at least 0")
    return level.expand(n)


def dtype_of(dtype: "torch.dtype | str") -> "torch.dtype":
    """What a net computes in: float32, bfloat16 or float16, or their names.

    Raises:
        UsageError: it is none of these.
    """
    import torch

    name = str(dtype).removeprefix("torch.")
    if name not in _DTYPES:
        raise UsageError(f"dtype must be one of {', '.join(_DTYPES)}, not {dtype}")
    found: torch.dtype = getattr(torch, name)
    return found
