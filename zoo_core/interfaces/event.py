"""The shape and the values of a sample."""

from dataclasses import dataclass

__all__ = ["Event"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """Shape and range of one sample.

    >>> Event(shape=(3, 32, 32), range=(-1, 1)).shape
    (3, 32, 32)

    Args:
        shape: shape of one sample, without the batch dimension.
        range: closed range of its values, (-1, 1) for images; None if it has none.
        categories: number of categories of discrete samples, which are int64 in 0 ... categories - 1; None for numbers, which are float32.
    """

    shape: tuple[int, ...]
    range: tuple[float, float] | None = None
    categories: int | None = None
