"""Checks of arguments: integers, samples, labels, noise levels and dtypes."""

import re
import warnings
from collections.abc import Mapping, Sequence, Set
from operator import index
from typing import TYPE_CHECKING, SupportsIndex, cast

from zoo_core.errors import UnknownNameError, UsageError
from zoo_core.hardware.precision import DTYPES, auto_precision

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from zoo_core.interfaces import Event

__all__ = [
    "as_floats",
    "as_int",
    "as_levels",
    "as_samples",
    "check_in_range",
    "class_of",
    "classes_in",
    "classes_of",
    "dtype_of",
    "level_dtype",
    "levels_like",
    "single",
]

_SINGLE = {"mps"}  # devices without float64
_MOST_CLASSES = 100_000  # in a range of classes


def as_int(name: str, value: object, low: int = 0, high: int = 2**64 - 1) -> int:
    """Returns ``value`` as an int in [low, high].

    >>> as_int("steps", 50, low=1)
    50

    Raises:
        UsageError: if it is not an integer, or is out of range; the message contains ``name``.
    """
    try:
        number = index(cast(SupportsIndex, value))
    except TypeError:
        raise UsageError(f"{name} must be a whole number, not {str(value)[:40]!r}") from None
    if not low <= number <= high:
        bounds = f"at least {low}" if number < low else f"at most {high}"
        raise UsageError(f"{name} must be {bounds}, not {str(number)[:40]}")
    return number


def as_floats(name: str, x: object, shape: Sequence[int]) -> "Tensor":
    """Returns ``x`` (n, *shape), detached.

    Raises:
        UsageError: if it is not a tensor of floats of that shape; the message contains ``name``.
    """
    import torch

    if not isinstance(x, torch.Tensor):
        raise UsageError(f"{name} must be a tensor, not {type(x).__name__}", "torch.as_tensor makes one")
    if x.ndim == 0 or tuple(x.shape[1:]) != tuple(shape):
        raise UsageError(f"{name} must have the shape (n, {', '.join(map(str, shape))}), not {tuple(x.shape)}")
    if not x.is_floating_point():
        hint = "zoo_core.images.from_uint8 converts 8-bit images" if x.dtype == torch.uint8 else "x.float() converts them"
        raise UsageError(f"{name} must be floats, not {str(x.dtype).removeprefix('torch.')}", hint)
    return x.detach()


def as_samples(name: str, x: object, event: "Event") -> "Tensor":
    """Returns samples ``x`` (n, *event.shape), detached: floats, or int64 if the event has categories.

    Raises:
        UsageError: if it is anything else; the message contains ``name``.
    """
    import torch

    if event.categories is None:
        return as_floats(name, x, event.shape)
    if not isinstance(x, torch.Tensor) or x.dtype != torch.int64:
        kind = str(x.dtype).removeprefix("torch.") if isinstance(x, torch.Tensor) else type(x).__name__
        raise UsageError(f"{name} must be a tensor of categories, int64, not {kind}", "read(texts) of a model of texts makes one")
    if x.ndim == 0 or tuple(x.shape[1:]) != tuple(event.shape):
        raise UsageError(f"{name} must have the shape (n, {', '.join(map(str, event.shape))}), not {tuple(x.shape)}")
    if x.numel() and not 0 <= x.min() <= x.max() < event.categories:
        raise UsageError(f"{name} must be categories in 0 ... {event.categories - 1}, not {int(x.min())} to {int(x.max())}")
    return x


def single(x: "Tensor") -> "Tensor":
    """Returns ``x`` in float32; categories stay int64."""
    return x.float() if x.is_floating_point() else x


def check_in_range(x: "Tensor", event: "Event", name: str = "x") -> "Tensor":
    """Returns samples ``x`` of an event, which may exceed its range a little. Pixels in [0, 1] cause a warning.

    The message contains ``name``.

    Raises:
        UsageError: if they are not finite, or exceed the range by more than its width.
    """
    if not x.numel():
        return x
    low, high = map(float, x.aminmax())  # a NaN anywhere makes both of them NaN
    if not float("-inf") < low <= high < float("inf"):
        raise UsageError(f"{name} must be finite")
    if event.range is not None:
        first, last = event.range
        if low < 2 * first - last or high > 2 * last - first:
            message = f"{name} goes from {low:.3g} to {high:.3g}, and images from {first:g} to {last:g}"
            raise UsageError(message, "convert 8-bit images by 2 * x / 255 - 1")
        if first < 0 <= low < high <= last:
            message = f"{name} goes from {low:.3g} to {high:.3g}, and images from {first:g} to {last:g}"
            warnings.warn(f"{message}: convert images in [0, 1] by 2 * x - 1", RuntimeWarning, stacklevel=3)
    return x


def classes_of(labels: object, n: int, count: int, names: Sequence[str] = ()) -> list[int]:
    """Returns the class of each row, as ints in 0 ... count - 1.

    >>> classes_of("cat", 3, 2, ["dog", "cat"])
    [1, 1, 1]

    Args:
        labels: one class for all rows or one for each, as numbers or names.
        n: number of rows.
        count: number of classes.
        names: names of the classes; may be empty.

    Raises:
        UsageError: if labels are anything else.
    """

    def number(label: object) -> int:
        return class_of(label, names) if isinstance(label, str) else index(cast(SupportsIndex, label))

    try:
        values = [number(labels)] * n
    except TypeError:  # not one class for all rows
        try:
            if isinstance(labels, Set | bytes | Mapping):
                raise TypeError(labels) from None
            values = [number(label) for label in cast(Sequence[object], labels)]
        except TypeError:
            hint = "pass a class, or a list of them" + (f": {names[0]!r} is {names.index(names[0])}" if names else "")
            raise UsageError(f"labels must be whole numbers{' or names' if names else ''}", hint) from None
        if len(values) != n:
            raise UsageError(f"labels must be one class, or {n} of them, not {len(values)}") from None
    if wrong := next((str(value)[:40] for value in values if not 0 <= value < count), ""):
        raise UsageError(f"labels must be in 0 ... {count - 1}, not {wrong}")
    return values


def class_of(label: str, names: Sequence[str]) -> int:
    """Returns the number of the class of that name; upper and lower case count as equal where that is unambiguous.

    Raises:
        UsageError: if no class has that name.
    """
    if label in names:
        return names.index(label)
    similar = [i for i, name in enumerate(names) if name.lower() == label.lower()]
    if len(similar) == 1:
        return similar[0]
    if not names:
        raise UsageError(f"labels: no class is called {label[:40]!r}", "these classes have no names: pass their numbers")
    raise UsageError(f"labels: no class is called {label[:40]!r}", UnknownNameError.of("class", label, names).hint)


def classes_in(text: str, names: Sequence[str] = ()) -> list[int]:
    """Returns the classes that a user wrote: numbers, ranges and names, separated by commas.

    >>> classes_in("0-2,7"), classes_in("cat, 0", ["dog", "cat"])
    ([0, 1, 2, 7], [1, 0])

    Args:
        text: such as ``3``, ``0,1,2``, ``0-4,7`` or ``Bag,Coat``.
        names: names of the classes; may be empty.

    Raises:
        UsageError: if a part of the text is none of these.
    """
    classes: list[int] = []
    for part in (each.strip() for each in text.split(",")):
        ends = re.fullmatch(r"(\d{1,6})(?:-(\d{1,6}))?", part, re.ASCII)
        if ends is None and part and names:
            classes.append(class_of(part, names))
            continue
        first, last = (int(ends[1]), int(ends[2] or ends[1])) if ends else (0, -1)
        if last < first or last - first >= _MOST_CLASSES:
            raise UsageError(f"labels {text[:40]!r} are not a list of classes", "write it as 3, as 0,1,2 or as 0-9")
        classes += range(first, last + 1)
    return classes


def as_levels(sigma: object, n: int) -> "Tensor":
    """Returns noise levels as float64 (n,), from one number for all rows or from a tensor (n,).

    Raises:
        UsageError: if sigma has another type or shape, or is negative or not finite.
    """
    import torch

    try:
        sigmas = torch.as_tensor(sigma, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError):
        raise UsageError(f"sigma must be a number or a tensor, not {str(sigma)[:40]!r}") from None
    if sigmas.shape not in ((), (n,)):
        raise UsageError(f"sigma must be one number, or have the shape ({n},), not {tuple(sigmas.shape)}")
    if not bool((sigmas.isfinite() & (sigmas >= 0)).all()):
        raise UsageError("sigma must be finite and at least 0")
    return sigmas.expand(n)


def levels_like(sigma: "float | Tensor", x: "Tensor") -> "Tensor":
    """Returns unchecked noise levels (n,) for ``x`` (n, ...), on its device and of :func:`level_dtype`.

    Args:
        sigma: one level for all rows, or (n,).
        x: samples (n, ...).
    """
    import torch

    return torch.as_tensor(sigma, dtype=level_dtype(x.device), device=x.device).expand(len(x))


def level_dtype(device: "torch.device") -> "torch.dtype":
    """Returns the dtype of noise levels on a device: float64, or float32 on MPS, which has no float64."""
    import torch

    return torch.float32 if device.type in _SINGLE else torch.float64


def dtype_of(dtype: "torch.dtype | str", device: "torch.device | str" = "cpu") -> "torch.dtype":
    """Returns the dtype in which a net computes.

    Args:
        dtype: float32, bfloat16 or float16, or its name; ``auto`` chooses by the hardware of the device.
        device: device of the net.

    Raises:
        UsageError: if dtype is anything else.
    """
    import torch

    name = str(dtype).removeprefix("torch.")
    if name == "auto":
        name = DTYPES[auto_precision(device)]
    if name not in DTYPES.values():
        raise UsageError(f"dtype must be one of {', '.join(DTYPES.values())} or auto, not {dtype}")
    result: torch.dtype = getattr(torch, name)
    return result
