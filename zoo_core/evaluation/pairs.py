"""Exact distances of all pairs of rows, a tile at a time.

A matrix product computes all squared distances of a tile fast, but not exactly. A bound of its error is known, so that only the few pairs
within the bound are computed again.
"""

from collections.abc import Iterator
from math import inf

import torch
from torch import Tensor

from zoo_core.errors import UsageError
from zoo_core.evaluation.statistics import check_finite

__all__ = ["EPS", "Tile", "blocks", "neighbours", "radii_of", "tiles"]

EPS = torch.finfo(torch.float64).eps


def blocks(x: Tensor, chunk: int) -> Iterator[tuple[int, Tensor]]:
    """Yields blocks of ``chunk`` rows of x in float64, with the index of their first row."""
    for start in range(0, len(x), chunk):
        yield start, x[start : start + chunk].double()


class Tile:
    """All pairs of rows of ``a`` (n, dim) and ``b`` (m, dim), float64.

    ``squares`` (n, m) are |x|^2 + |y|^2 - 2 x . y relative to a ``centre`` (dim,), which keeps the norms small. They differ from the
    squares of :meth:`distances` by at most ``slack`` (n, m): dim roundings of |x|^2 + |y|^2 in each of the two ways to compute them.

    Args:
        a: rows (n, dim), float64.
        b: rows (m, dim), float64.
        centre: (dim,), float64.

    >>> tile = Tile(torch.zeros(1, 2).double(), torch.tensor([[3.0, 4.0], [0.0, 1.0]]).double(), torch.zeros(2).double())
    >>> tile.distances(torch.tensor([[True, True]])).tolist(), tile.within(torch.tensor([[5.0, 0.5]]).double()).tolist()
    ([5.0, 1.0], [[True, False]])
    """

    def __init__(self, a: Tensor, b: Tensor, centre: Tensor) -> None:
        self.a, self.b = a, b
        a, b = a - centre, b - centre
        norms = a.square().sum(1, keepdim=True) + b.square().sum(1)
        self.squares = norms - 2 * (a @ b.T)
        self.slack = norms * (EPS * (2 * a.shape[1] + 32))

    def distances(self, wanted: Tensor) -> Tensor:
        """Exact distances (count,) of the pairs in the mask ``wanted`` (n, m), in its order."""
        i, j = wanted.nonzero(as_tuple=True)
        size = len(self.a) + len(self.b)
        parts = [
            # As a batch of pairs: the order of each sum does not depend on the place of the pair.
            torch.cdist(self.a[rows].unsqueeze(1), self.b[columns].unsqueeze(1), compute_mode="donot_use_mm_for_euclid_dist")
            for rows, columns in zip(torch.split(i, size), torch.split(j, size), strict=True)
        ]
        return torch.cat(parts).flatten()

    def within(self, radii: Tensor) -> Tensor:
        """True for pairs at most ``radii`` (n, 1) or (1, m) apart, bool (n, m)."""
        gap = self.squares - radii.square()
        inside = gap <= 0
        doubtful = gap.abs() <= self.slack
        inside[doubtful] = self.distances(doubtful) <= radii.expand_as(gap)[doubtful]
        return inside


def tiles(x: Tensor, y: Tensor, chunk: int) -> Iterator[tuple[int, int, Tile]]:
    """Yields tiles of all pairs of x and y with the indices of their first rows, block by block of x."""
    centre = torch.stack([b.sum(0) for _, b in blocks(y, 1024)]).sum(0) / len(y)
    for i, a in blocks(x, chunk):
        for j, b in blocks(y, chunk):
            yield i, j, Tile(a, b, centre)


def radii_of(x: Tensor, k: int, chunk: int) -> Tensor:
    """The distance from each row of x to its k-th nearest other row, (n,)."""
    if len(x) <= k:
        raise UsageError(f"{len(x)} samples have no neighbour number {k}", "draw more samples, or lower k")
    return neighbours(x, x, k, chunk)[0][:, -1]


def neighbours(x: Tensor, y: Tensor, k: int, chunk: int) -> tuple[Tensor, Tensor]:
    """Distances and indices (n, k) of the rows of y nearest to each row of x. If y is x itself, a row is not its own neighbour."""
    best = torch.full((len(x), k), inf, dtype=torch.float64)
    index = torch.zeros(len(x), k, dtype=torch.int64)
    for i, j, tile in tiles(x, y, chunk):
        rows = slice(i, i + chunk)
        wanted = _promising(tile, best[rows, -1], k, itself=i - j if x is y else None)
        distances = torch.full_like(tile.squares, inf)
        distances[wanted] = tile.distances(wanted)
        best[rows], index[rows] = _merge(best[rows], index[rows], distances, j)
    check_finite(best, "distances of the features")
    return best, index


def _promising(tile: Tile, kth: Tensor, k: int, itself: int | None) -> Tensor:
    """True for pairs that may be among the k nearest of their row, bool (n, m).

    Args:
        tile: pairs (n, m).
        kth: distance to the k-th nearest so far (n,).
        k: number of neighbours.
        itself: diagonal on which rows are paired with themselves, or None.
    """
    limit = kth.square()
    most, least = tile.squares + tile.slack, tile.squares - tile.slack
    if itself is not None:
        most.diagonal(itself).fill_(inf)
    if most.shape[1] >= k and limit.isinf().any():
        limit = limit.minimum(most.kthvalue(k, dim=1).values)
    wanted = least <= limit.unsqueeze(1)
    if itself is not None:
        wanted.diagonal(itself).fill_(False)
    return wanted


def _merge(best: Tensor, index: Tensor, distances: Tensor, first: int) -> tuple[Tensor, Tensor]:
    """The k smallest of ``best`` (n, k) and ``distances`` (n, m), and their indices, which begin at ``first`` in the latter.

    Of equal distances, the first ones are taken.
    """
    left = torch.cat([best, distances], 1)
    names = torch.cat([index, torch.arange(first, first + distances.shape[1]).expand_as(distances)], 1)
    values, places = [], []
    for _ in range(best.shape[1]):
        places.append(left.argmin(1, keepdim=True))
        values.append(left.gather(1, places[-1]))
        left.scatter_(1, places[-1], inf)
    return torch.cat(values, 1), names.gather(1, torch.cat(places, 1))
