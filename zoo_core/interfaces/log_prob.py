"""Log-probabilities with their kind and space."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import log
from typing import TYPE_CHECKING, Literal

from zoo_core.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["LogProb"]


@dataclass(frozen=True, kw_only=True, slots=True)
class LogProb:
    """Log-probabilities in nats, with their kind and space.

    >>> import torch
    >>> log_prob = LogProb(value=torch.tensor([-2.0, -4.0]), kind="exact", space="uint8")
    >>> log_prob.mean()
    -3.0
    >>> float(log_prob[0])
    -2.0

    Args:
        value: log-probability of each sample, (n,).
        kind: ``exact``; ``lower_bound``, whose expectation over the draws is at most the log-probability; or ``estimate``, with errors of
            either sign.
        space: the space of the probability. ``continuous``: a density per unit of volume in the units of the event, which for images are
            those of [-1, 1]; it has no bound. ``uint8``: the mass of the 8-bit image x = level / 127.5 - 1. ``binary``: the mass of an
            image of two levels, x = -1 for 0 and x = 1 for 1; for grey values, the mass of a binary image drawn from them by the noise of
            the row, with probability (x + 1) / 2 for 1. ``categorical``: the mass of a sample of categories. The logarithm of a mass is
            at most 0.
        stderr: standard error of ``value``, (n,). An estimate has one, a lower bound may have one; None otherwise.
    """

    value: "Tensor"
    kind: Literal["exact", "lower_bound", "estimate"]
    space: Literal["continuous", "uint8", "binary", "categorical"] = "continuous"
    stderr: "Tensor | None" = None

    def __len__(self) -> int:
        return len(self.value)

    def __iter__(self) -> "Iterator[LogProb]":
        return (self[row] for row in range(len(self)))

    def __getitem__(self, rows: "int | slice | Tensor") -> "LogProb":
        """Returns the log-probabilities of some rows."""
        return replace(self, value=self.value[rows], stderr=None if self.stderr is None else self.stderr[rows])

    def __float__(self) -> float:
        """Returns the value of a single row, in nats.

        Raises:
            UsageError: if there is more than one row, or none.
        """
        if self.value.numel() != 1:
            raise UsageError(f"these are the log-probabilities of {self.value.numel()} rows", "mean() is one number, and so is float(x[0])")
        return float(self.value)

    def mean(self) -> float:
        """Returns the mean of the values, in nats."""
        return float(self.value.double().mean())

    def bits_per_dim(self, dims: int) -> "Tensor":
        """Returns -value / (dims ln 2), (n,), in bits per dimension; an upper bound if ``value`` is a lower bound.

        In ``uint8`` these are bits per subpixel, as in papers, and in ``categorical`` bits per character or word. In ``continuous`` they
        belong to a density in the units of the event: they may be negative, and compare only with densities in the same units. (A density
        in [-1, 1] that is constant over each of the 256 levels has log2(127.5) = 6.99 bits per dimension less than the mass.)

        Args:
            dims: number of dimensions of the event: the product of its shape.

        Raises:
            UsageError: if ``dims`` is not positive, or the space is ``binary``, for which papers report nats.
        """
        if self.space == "binary":
            raise UsageError("bits per dimension are undefined for binary images", "report nats: the metric nll")
        if not isinstance(dims, int) or dims < 1:
            raise UsageError(f"dims must be a whole number of at least 1, not {str(dims)[:40]!r}")
        return -self.value / (dims * log(2))
