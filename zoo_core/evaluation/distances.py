"""How far two sets of samples lie apart, from their features (n, dim).

Features may have any real dtype; all is computed in float64 on the CPU, in tiles of ``chunk`` x ``chunk`` pairs, so that memory is
O(n + chunk^2 + chunk * dim) beyond the features themselves, and time O(n^2 * dim). The chunk changes nothing but KID, and that by rounding.

Standard errors say how far the number would move with other samples of the same number from the same two distributions, features and
classifiers held fixed; each function says what its own leaves out.
"""

from collections.abc import Iterator
from math import inf, sqrt

import torch
from torch import Tensor

from zoo_core.errors import ConfigError, UsageError
from zoo_core.evaluation.statistics import Estimate, Moments, check_features, check_finite, check_probabilities

__all__ = ["class_accuracy", "class_confidence", "class_spread", "density_coverage", "frechet", "kid", "nearest", "precision_recall"]

EPS = torch.finfo(torch.float64).eps


def frechet(a: Moments, b: Moments) -> float:
    """The squared Frechet distance of two Gaussians, d^2 = |mu_a - mu_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2)).

    Dowson & Landau 1982; Heusel et al. 2017, arXiv:1706.08500, eq. 6: the FID, where features are Inception's. In the squared unit of the
    features. It is biased upwards at finite N, so compare numbers at one N only.

    With C = L L^T, tr (C_a C_b)^(1/2) is the sum of the singular values of L_a^T L_b, the roots of the eigenvalues of
    C_a^(1/2) C_b C_a^(1/2). Singular values are exact to rounding, where roots of eigenvalues lose half of the digits.

    Raises:
        UsageError: different dims, or fewer than 2 samples on a side.
        ZooError: the features were so large that the distance is no finite number.
    """
    if a.dim != b.dim:
        raise UsageError(f"features of {a.dim} and of {b.dim} dimensions have no distance", "compare features of one and the same network")
    C_a, C_b = a.covariance, b.covariance
    roots = torch.linalg.svdvals(_factor(C_a).T @ _factor(C_b))
    squared = (a.mean - b.mean).square().sum() + C_a.trace() + C_b.trace() - 2 * roots.sum()
    check_finite(squared, "squares of the features")
    return max(float(squared), 0.0)


def _factor(C: Tensor) -> Tensor:
    """L (dim, rank) with C = L L^T; directions with no more variance than rounding leaves, or with a negative one, are dropped."""
    values, vectors = torch.linalg.eigh(C)
    kept = values > values[-1] * EPS * len(C)
    return vectors[:, kept] * values[kept].sqrt()


def kid(real: Tensor, fake: Tensor, *, degree: int = 3, chunk: int = 1024) -> Estimate:
    """The unbiased squared maximum mean discrepancy with kernel k(x, y) = (x . y / dim + 1)^degree, over all pairs.

    Binkowski et al. 2018, arXiv:1801.01401, eq. 4 and section 4 (as the KID, with Inception's features); it may be negative. They average
    over random subsets of 1000, which estimates the same number with more noise.

    The standard error is that of the first-order (Hajek) projection of the U-statistic (Hoeffding 1948): with the means of the kernel
    over the other samples,

        h(x_i) = mean_(j != i) k(x_i, x_j) - mean_j k(x_i, y_j)        stderr^2 = 4 var h(x) / m + 4 var h(y) / n

    It is consistent while the distributions differ. Where they are (nearly) the same, the projection vanishes and what is left is of second
    order; the formula then errs to the safe side: for m = n it is sqrt(2) times too large. Of some 100 samples in few dimensions, cubes
    make the estimate skewed: value +- 1.96 stderr then covers the truth less often than in 95 % of cases.

    Args:
        real: (m, dim), m >= 2.
        fake: (n, dim), n >= 2.
        degree: of the kernel, at least 1.
        chunk: rows of a tile.

    Raises:
        ConfigError: ``degree`` or ``chunk`` is less than 1.
        UsageError: shapes that do not fit, or fewer than 2 samples on a side.
        ZooError: features, or their kernel, are not finite.
    """
    _check_options(degree=degree, chunk=chunk)
    x, y = _check_pair(real, fake, at_least=2)
    x_x, _ = _kernel_sums(x, x, degree, chunk)
    y_y, _ = _kernel_sums(y, y, degree, chunk)
    x_y, y_x = _kernel_sums(x, y, degree, chunk)
    h_x = x_x / (len(x) - 1) - x_y / len(y)
    h_y = y_y / (len(y) - 1) - y_x / len(x)
    check_finite(h_x.sum() + h_y.sum(), "kernels of the features")
    return Estimate(float(h_x.mean() + h_y.mean()), 2 * sqrt(float(h_x.var() / len(x) + h_y.var() / len(y))))


def _kernel_sums(x: Tensor, y: Tensor, degree: int, chunk: int) -> tuple[Tensor, Tensor]:
    """The sums of k(x_i, y_j) over j, (m,), and over i, (n,); where y is x itself, without i = j."""
    rows, columns = torch.zeros(len(x), dtype=torch.float64), torch.zeros(len(y), dtype=torch.float64)
    for i, a in _blocks(x, chunk):
        for j, b in _blocks(y, chunk):
            k = (a @ b.T / x.shape[1] + 1) ** degree
            if x is y and i == j:
                k.fill_diagonal_(0)
            rows[i : i + chunk] += k.sum(1)
            columns[j : j + chunk] += k.sum(0)
    return rows, columns


def precision_recall(real: Tensor, fake: Tensor, *, k: int = 3, chunk: int = 1024) -> tuple[Estimate, Estimate]:
    """Improved precision and recall (Kynkaanniemi et al. 2019, arXiv:1904.06991, eqs. 1 and 2), both in [0, 1]; the paper takes k = 3.

    Each sample of a set carries a ball that reaches to its k-th nearest neighbour in the set. Precision is the share of fakes in at least
    one ball of the reals, recall the share of reals in at least one ball of the fakes.

    A sample is no neighbour of itself, but a copy of it in the set is one, at distance 0: k such copies make a ball of radius 0. Balls are
    closed: what lies at the very radius is inside, and a ball of radius 0 holds exact copies. Distances are compared exactly.

    Standard errors are binomial, sqrt(p (1 - p) / n): they hold the other set and its balls fixed, and are 0 at 0 and 1.

    Args:
        real: (m, dim), m > k.
        fake: (n, dim), n > k.
        k: which neighbour, at least 1.
        chunk: rows of a tile.

    Raises:
        ConfigError: ``k`` or ``chunk`` is less than 1.
        UsageError: shapes that do not fit, or no more than k samples on a side.
        ZooError: features, or their distances, are not finite.
    """
    _check_options(k=k, chunk=chunk)
    real, fake = _check_pair(real, fake, at_least=k + 1)
    real_radii, fake_radii = _radii(real, k, chunk), _radii(fake, k, chunk)
    is_real, is_fake = torch.zeros(len(fake), dtype=torch.bool), torch.zeros(len(real), dtype=torch.bool)
    for i, j, tile in _tiles(fake, real, chunk):
        is_real[i : i + chunk] |= tile.within(real_radii[None, j : j + chunk]).any(1)
        is_fake[j : j + chunk] |= tile.within(fake_radii[i : i + chunk, None]).any(0)
    return _share(is_real), _share(is_fake)


def density_coverage(real: Tensor, fake: Tensor, *, k: int = 5, chunk: int = 1024) -> tuple[Estimate, Estimate]:
    """Density and coverage (Naeem et al. 2020, arXiv:2002.09797, eqs. 3 and 4); the paper takes k = 5.

    With balls about the reals as in :func:`precision_recall`, by the same rules: density is the mean over fakes of the number of balls that
    each lies in, divided by k; about 1 where the two sets are alike, and it may exceed 1. Coverage is the share of reals whose ball holds a
    fake, in [0, 1]; for many samples of one distribution, m = n, it is expected to be 1 - (1/2)^k.

    Standard errors: density's is the standard deviation over fakes / sqrt(n), None for one fake, and holds the reals fixed. Coverage's is
    binomial, sqrt(p (1 - p) / m), and holds the fakes fixed.

    Args:
        real: (m, dim), m > k.
        fake: (n, dim), n >= 1.
        k: which neighbour, at least 1.
        chunk: rows of a tile.

    Raises:
        ConfigError: ``k`` or ``chunk`` is less than 1.
        UsageError: shapes that do not fit, no fakes, or no more than k reals.
        ZooError: features, or their distances, are not finite.
    """
    _check_options(k=k, chunk=chunk)
    real, fake = _check_pair(real, fake, at_least=1)
    radii = _radii(real, k, chunk)
    balls, covered = torch.zeros(len(fake), dtype=torch.int64), torch.zeros(len(real), dtype=torch.bool)
    for i, j, tile in _tiles(fake, real, chunk):
        within = tile.within(radii[None, j : j + chunk])
        balls[i : i + chunk] += within.sum(1)
        covered[j : j + chunk] |= within.any(0)
    density = balls.double() / k
    stderr = float(density.std()) / sqrt(len(fake)) if len(fake) > 1 else None
    return Estimate(float(density.mean()), stderr), _share(covered)


def nearest(fake: Tensor, train: Tensor, *, k: int = 1, chunk: int = 1024) -> tuple[Tensor, Tensor]:
    """The k samples of ``train`` next to each of ``fake``, nearest first: is a model's best sample a copy?

    Distances are Euclidean and exact: differences first, then squares, so that a copy has distance 0. Of equals, the lower index is nearer.

    Args:
        fake: (n, dim); features, or flat images, uint8 too.
        train: (m, dim), m >= k.
        k: how many, at least 1.
        chunk: rows of a tile.

    Returns:
        distances, float64 (n, k), and indices into ``train``, int64 (n, k).

    Raises:
        ConfigError: ``k`` or ``chunk`` is less than 1.
        UsageError: shapes that do not fit, no fakes, or fewer than k samples to compare with.
        ZooError: features, or their distances, are not finite.
    """
    _check_options(k=k, chunk=chunk)
    fake = check_features(fake, "features of fakes", at_least=1)
    train = check_features(train, "features of training samples", dim=fake.shape[1], at_least=k)
    return _neighbours(fake, train, k, chunk)


def class_accuracy(probabilities: Tensor, labels: Tensor) -> Estimate:
    """The share of samples that a classifier takes for what they were meant to be, in [0, 1], with the binomial standard error.

    Args:
        probabilities: (n, classes), or logits: the largest counts, of equals the first.
        labels: integers (n,) in [0, classes).

    Raises:
        UsageError: shapes that do not fit, no samples, or labels out of range.
        ZooError: some probability is not finite.
    """
    p = check_features(probabilities, "probabilities", at_least=1)
    labels = _check_labels(labels, len(p))
    if (labels < 0).any() or (labels >= p.shape[1]).any():
        raise UsageError(f"labels must be in [0, {p.shape[1]})", "use the classes of the classifier")
    return _share(p.double().argmax(1) == labels)


def class_confidence(probabilities: Tensor, p: float = 0.9) -> Estimate:
    """The share of samples whose most probable class has at least probability ``p``, in [0, 1], with the binomial standard error.

    Args:
        probabilities: (n, classes).
        p: the threshold.

    Raises:
        UsageError: no samples, or rows that are no probabilities.
        ZooError: some probability is not finite.
    """
    check_features(probabilities, "probabilities", at_least=1)
    return _share(check_probabilities(probabilities).amax(1) >= p)


def _check_labels(labels: Tensor, count: int) -> Tensor:
    if labels.shape != (count,) or labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        raise UsageError(f"labels must be {count} integers, not {labels.dtype} {tuple(labels.shape)}", "pass one label a sample")
    return labels.detach().cpu()


def class_spread(real: Tensor, real_labels: Tensor, fake: Tensor, labels: Tensor, *, chunk: int = 1024) -> Estimate:
    """How different samples of a class are from each other, as a share of how different the real ones are: the mean over classes of

        mean_(i < j) |y_i - y_j|  /  mean_(i < j) |x_i - x_j|

    over the generated y and the real x of a class. 1 is as varied; 0 is one image for each class, which class accuracy would not mind. A
    sample that looks like another class counts as variety here, which class accuracy does mind: read the two together.
    Classes count of which both sides have at least two samples. The standard error is that of a mean of so many classes.

    Args:
        real: (m, dim).
        real_labels: integers (m,).
        fake: (n, dim).
        labels: integers (n,): the classes that were asked for.
        chunk: rows of a tile.

    Raises:
        ConfigError: ``chunk`` is less than 1.
        UsageError: shapes that do not fit, or no class with two samples on either side.
        ZooError: some feature is not finite, or all real samples of a class are the same.
    """
    _check_options(chunk=chunk)
    x, y = _check_pair(real, fake, at_least=2)
    x_labels, y_labels = _check_labels(real_labels, len(x)), _check_labels(labels, len(y))
    ratios = []
    for label in sorted(set(x_labels.tolist()) & set(y_labels.tolist())):
        x_class, y_class = x[x_labels == label], y[y_labels == label]
        if min(len(x_class), len(y_class)) > 1:
            ratios.append(_mean_distance(y_class, chunk) / _mean_distance(x_class, chunk))
    if not ratios:
        raise UsageError("no class has two samples of either kind", "draw more samples, of the classes of the data")
    found = torch.tensor(ratios, dtype=torch.float64)
    check_finite(found, "spreads of the classes")
    return Estimate(float(found.mean()), float(found.std()) / sqrt(len(found)) if len(found) > 1 else None)


def _mean_distance(x: Tensor, chunk: int) -> Tensor:
    """The mean distance of two different rows, ()."""
    total = x.new_zeros((), dtype=torch.float64)
    for _, rows in _blocks(x, chunk):
        for _, others in _blocks(x, chunk):
            total += torch.cdist(rows, others, compute_mode="donot_use_mm_for_euclid_dist").sum()
    return total / (len(x) * (len(x) - 1))


def _share(hits: Tensor) -> Estimate:
    p = float(hits.double().mean())
    return Estimate(p, sqrt(p * (1 - p) / len(hits)))


def _check_options(**options: int) -> None:
    for name, value in options.items():
        if value < 1:
            raise ConfigError(f"{name} must be at least 1, not {value}", "leave it out for the usual value")


def _check_pair(real: Tensor, fake: Tensor, *, at_least: int) -> tuple[Tensor, Tensor]:
    real = check_features(real, "features of reals", at_least=at_least)
    return real, check_features(fake, "features of fakes", dim=real.shape[1], at_least=at_least)


# All pairs, a tile at a time. A product of matrices gives all squared distances fast, but not exactly; how wrong they can be is known, so
# only the few pairs that this leaves in doubt are looked at again.


def _blocks(x: Tensor, chunk: int) -> Iterator[tuple[int, Tensor]]:
    for start in range(0, len(x), chunk):
        yield start, x[start : start + chunk].double()


class _Tile:
    """All pairs of rows of ``a`` (n, dim) and ``b`` (m, dim), float64.

    ``squares`` (n, m) are |x|^2 + |y|^2 - 2 x . y about a ``centre`` (dim,), which keeps the norms small. They differ from the squares of
    :meth:`distances` by at most ``slack`` (n, m): dim roundings of |x|^2 + |y|^2 in each of the two ways to compute them.
    """

    def __init__(self, a: Tensor, b: Tensor, centre: Tensor) -> None:
        self.a, self.b = a, b
        a, b = a - centre, b - centre
        norms = a.square().sum(1, keepdim=True) + b.square().sum(1)
        self.squares = norms - 2 * (a @ b.T)
        self.slack = norms * (EPS * (2 * a.shape[1] + 32))

    def distances(self, wanted: Tensor) -> Tensor:
        """Exact distances of the pairs where the mask ``wanted`` (n, m) holds, in its order, (count,)."""
        i, j = wanted.nonzero(as_tuple=True)
        size = len(self.a) + len(self.b)
        parts = [
            # As a batch of pairs; each one's sum runs in the same order wherever it stands.
            torch.cdist(self.a[rows].unsqueeze(1), self.b[columns].unsqueeze(1), compute_mode="donot_use_mm_for_euclid_dist")
            for rows, columns in zip(torch.split(i, size), torch.split(j, size), strict=True)
        ]
        return torch.cat(parts).flatten()

    def within(self, radii: Tensor) -> Tensor:
        """Whether each pair is at most ``radii``, (n, 1) or (1, m), apart: bool (n, m)."""
        gap = self.squares - radii.square()
        inside = gap <= 0
        doubtful = gap.abs() <= self.slack
        inside[doubtful] = self.distances(doubtful) <= radii.expand_as(gap)[doubtful]
        return inside


def _tiles(x: Tensor, y: Tensor, chunk: int) -> Iterator[tuple[int, int, _Tile]]:
    """Tiles of all pairs of x and y with the numbers of their first rows; those of one block of x come one after the other."""
    centre = torch.stack([b.sum(0) for _, b in _blocks(y, 1024)]).sum(0) / len(y)
    for i, a in _blocks(x, chunk):
        for j, b in _blocks(y, chunk):
            yield i, j, _Tile(a, b, centre)


def _radii(x: Tensor, k: int, chunk: int) -> Tensor:
    """The distance from each row of x to its k-th nearest other row, (n,)."""
    if len(x) <= k:
        raise UsageError(f"{len(x)} samples have no neighbour number {k}", "draw more samples, or lower k")
    return _neighbours(x, x, k, chunk)[0][:, -1]


def _neighbours(x: Tensor, y: Tensor, k: int, chunk: int) -> tuple[Tensor, Tensor]:
    """Distances and indices (n, k) of the rows of y next to each row of x; where y is x itself, a row is not its own neighbour."""
    best = torch.full((len(x), k), inf, dtype=torch.float64)
    index = torch.zeros(len(x), k, dtype=torch.int64)
    for i, j, tile in _tiles(x, y, chunk):
        rows = slice(i, i + chunk)
        wanted = _promising(tile, best[rows, -1], k, itself=i - j if x is y else None)
        found = torch.full_like(tile.squares, inf)
        found[wanted] = tile.distances(wanted)
        best[rows], index[rows] = _merge(best[rows], index[rows], found, j)
    check_finite(best, "distances of the features")
    return best, index


def _promising(tile: _Tile, kth: Tensor, k: int, itself: int | None) -> Tensor:
    """Which pairs may be among the k nearest of their row, bool (n, m), where the k-th nearest so far is ``kth`` (n,) away.

    ``itself`` is the diagonal on which a row would meet itself.
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


def _merge(best: Tensor, index: Tensor, found: Tensor, first: int) -> tuple[Tensor, Tensor]:
    """The k smallest of ``best`` (n, k) and ``found`` (n, m), whose columns count from ``first``; of equals, those that stand first."""
    left = torch.cat([best, found], 1)
    names = torch.cat([index, torch.arange(first, first + found.shape[1]).expand_as(found)], 1)
    values, places = [], []
    for _ in range(best.shape[1]):
        places.append(left.argmin(1, keepdim=True))
        values.append(left.gather(1, places[-1]))
        left.scatter_(1, places[-1], inf)
    return torch.cat(values, 1), names.gather(1, torch.cat(places, 1))
