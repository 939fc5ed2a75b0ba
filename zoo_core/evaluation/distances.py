"""Distances between two sets of samples, computed from their features (n, dim).

Features may have any real dtype. Computations are in float64 on the CPU, in tiles of ``chunk`` x ``chunk`` pairs, so that memory is
O(n + chunk^2 + chunk * dim) beyond the features, and time O(n^2 * dim). The chunk changes only KID, and that by rounding.

A standard error estimates the variation of a number over new samples, of the same number, from the same two distributions, with fixed
features and classifiers. The docstring of each function says which variation it leaves out.
"""

from math import sqrt

import torch
from torch import Tensor

from zoo_core.errors import ConfigError, UsageError
from zoo_core.evaluation.pairs import EPS, blocks, neighbours, radii_of, tiles
from zoo_core.evaluation.statistics import Estimate, Moments, check_features, check_finite, check_probabilities

__all__ = ["class_accuracy", "class_confidence", "class_spread", "density_coverage", "frechet", "kid", "nearest", "precision_recall"]


def frechet(a: Moments, b: Moments) -> float:
    """The squared Frechet distance of two Gaussians, d^2 = |mu_a - mu_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2)).

    Dowson & Landau 1982; Heusel et al. 2017, arXiv:1706.08500, eq. 6: the FID, if the features are Inception's. Its unit is the squared
    unit of the features. It is biased upwards at finite N, so compare numbers at one N only.

    With C = L L^T, tr (C_a C_b)^(1/2) is the sum of the singular values of L_a^T L_b, which are the roots of the eigenvalues of
    C_a^(1/2) C_b C_a^(1/2). Singular values are exact up to rounding; roots of eigenvalues would lose half of the digits.

    Args:
        a: moments of the features of one set.
        b: moments of those of the other.

    Raises:
        UsageError: if the dimensions differ, or a set has fewer than 2 samples.
        ZooError: if the features are so large that the distance is not finite.

    >>> a, b = Moments(1), Moments(1)
    >>> a.add(torch.tensor([[-1.0], [1.0]]))
    >>> b.add(torch.tensor([[2.0], [4.0]]))
    >>> frechet(a, b)
    9.0
    """
    if a.dim != b.dim:
        raise UsageError(f"features of {a.dim} and of {b.dim} dimensions have no distance", "compare features of one network")
    C_a, C_b = a.covariance, b.covariance
    roots = torch.linalg.svdvals(_factor(C_a).T @ _factor(C_b))
    squared = (a.mean - b.mean).square().sum() + C_a.trace() + C_b.trace() - 2 * roots.sum()
    check_finite(squared, "squares of the features")
    return max(float(squared), 0.0)


def _factor(C: Tensor) -> Tensor:
    """L (dim, rank) with C = L L^T; directions whose variance is negative, or only rounding, are dropped."""
    values, vectors = torch.linalg.eigh(C)
    kept = values > values[-1] * EPS * len(C)
    return vectors[:, kept] * values[kept].sqrt()


def kid(real: Tensor, fake: Tensor, *, degree: int = 3, chunk: int = 1024) -> Estimate:
    """The unbiased squared maximum mean discrepancy with kernel k(x, y) = (x . y / dim + 1)^degree, over all pairs.

    Binkowski et al. 2018, arXiv:1801.01401, eq. 4 and section 4: the KID, if the features are Inception's. It may be negative. The paper
    averages over random subsets of 1000 samples, which estimates the same number with more noise.

    The standard error is that of the first-order (Hajek) projection of the U-statistic (Hoeffding 1948): with the means of the kernel
    over the other samples,

        h(x_i) = mean_(j != i) k(x_i, x_j) - mean_j k(x_i, y_j)        stderr^2 = 4 var h(x) / m + 4 var h(y) / n

    It is consistent if the distributions differ. If they are (nearly) equal, the projection vanishes and the variance is of second order;
    the formula is then conservative: for m = n it is sqrt(2) times too large. With about 100 samples in few dimensions, cubes make the
    estimate skewed: value +- 1.96 stderr then covers the truth in less than 95 % of cases.

    Args:
        real: (m, dim), m >= 2.
        fake: (n, dim), n >= 2.
        degree: degree of the kernel, at least 1.
        chunk: number of rows of a tile.

    Raises:
        ConfigError: if ``degree`` or ``chunk`` is less than 1.
        UsageError: if shapes do not fit, or a set has fewer than 2 samples.
        ZooError: if features, or their kernels, are not finite.
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
    """The sums of k(x_i, y_j) over j (m,) and over i (n,); without i = j if y is x itself."""
    rows, columns = torch.zeros(len(x), dtype=torch.float64), torch.zeros(len(y), dtype=torch.float64)
    for i, a in blocks(x, chunk):
        for j, b in blocks(y, chunk):
            k = (a @ b.T / x.shape[1] + 1) ** degree
            if x is y and i == j:
                k.fill_diagonal_(0)
            rows[i : i + chunk] += k.sum(1)
            columns[j : j + chunk] += k.sum(0)
    return rows, columns


def precision_recall(real: Tensor, fake: Tensor, *, k: int = 3, chunk: int = 1024) -> tuple[Estimate, Estimate]:
    """Improved precision and recall (Kynkaanniemi et al. 2019, arXiv:1904.06991, eqs. 1 and 2), both in [0, 1]; the paper takes k = 3.

    Around each sample of a set lies a ball that reaches to its k-th nearest neighbour in the set. Precision is the share of fakes in at
    least one ball of the reals, recall the share of reals in at least one ball of the fakes.

    A sample is not its own neighbour, but a copy of it in the set is a neighbour at distance 0: k copies make a ball of radius 0. Balls are
    closed: a point at the radius is inside, and a ball of radius 0 holds exact copies. Distances are compared exactly.

    Standard errors are binomial, sqrt(p (1 - p) / n): the other set and its balls are fixed, and the error is 0 at 0 and 1.

    Args:
        real: (m, dim), m > k.
        fake: (n, dim), n > k.
        k: number of the neighbour that balls reach to, at least 1.
        chunk: number of rows of a tile.

    Raises:
        ConfigError: if ``k`` or ``chunk`` is less than 1.
        UsageError: if shapes do not fit, or a set has no more than k samples.
        ZooError: if features, or their distances, are not finite.
    """
    _check_options(k=k, chunk=chunk)
    real, fake = _check_pair(real, fake, at_least=k + 1)
    real_radii, fake_radii = radii_of(real, k, chunk), radii_of(fake, k, chunk)
    is_real, is_fake = torch.zeros(len(fake), dtype=torch.bool), torch.zeros(len(real), dtype=torch.bool)
    for i, j, tile in tiles(fake, real, chunk):
        is_real[i : i + chunk] |= tile.within(real_radii[None, j : j + chunk]).any(1)
        is_fake[j : j + chunk] |= tile.within(fake_radii[i : i + chunk, None]).any(0)
    return _share(is_real), _share(is_fake)


def density_coverage(real: Tensor, fake: Tensor, *, k: int = 5, chunk: int = 1024) -> tuple[Estimate, Estimate]:
    """Density and coverage (Naeem et al. 2020, arXiv:2002.09797, eqs. 3 and 4); the paper takes k = 5.

    Balls around the reals are those of :func:`precision_recall`. Density is the mean over fakes of the number of balls that a fake lies in,
    divided by k; it is about 1 for equal distributions, and may exceed 1. Coverage is the share of reals whose ball holds a fake, in
    [0, 1]; for many samples of one distribution, m = n, its expectation is 1 - (1/2)^k.

    The standard error of density is the standard deviation over fakes / sqrt(n), with fixed reals; None for one fake. That of coverage is
    binomial, sqrt(p (1 - p) / m), with fixed fakes.

    Args:
        real: (m, dim), m > k.
        fake: (n, dim), n >= 1.
        k: number of the neighbour that balls reach to, at least 1.
        chunk: number of rows of a tile.

    Raises:
        ConfigError: if ``k`` or ``chunk`` is less than 1.
        UsageError: if shapes do not fit, there are no fakes, or no more than k reals.
        ZooError: if features, or their distances, are not finite.
    """
    _check_options(k=k, chunk=chunk)
    real, fake = _check_pair(real, fake, at_least=1)
    radii = radii_of(real, k, chunk)
    balls, covered = torch.zeros(len(fake), dtype=torch.int64), torch.zeros(len(real), dtype=torch.bool)
    for i, j, tile in tiles(fake, real, chunk):
        within = tile.within(radii[None, j : j + chunk])
        balls[i : i + chunk] += within.sum(1)
        covered[j : j + chunk] |= within.any(0)
    density = balls.double() / k
    stderr = float(density.std()) / sqrt(len(fake)) if len(fake) > 1 else None
    return Estimate(float(density.mean()), stderr), _share(covered)


def nearest(fake: Tensor, train: Tensor, *, k: int = 1, chunk: int = 1024) -> tuple[Tensor, Tensor]:
    """The k samples of ``train`` nearest to each of ``fake``, nearest first, to find copies of training samples.

    Distances are Euclidean and exact: squares of differences, so that a copy has distance 0. Of equal distances, the lower index is first.

    Args:
        fake: features or flattened images (n, dim), uint8 too.
        train: (m, dim), m >= k.
        k: number of neighbours, at least 1.
        chunk: number of rows of a tile.

    Returns:
        Distances, float64 (n, k), and indices into ``train``, int64 (n, k).

    Raises:
        ConfigError: if ``k`` or ``chunk`` is less than 1.
        UsageError: if shapes do not fit, there are no fakes, or fewer than k training samples.
        ZooError: if features, or their distances, are not finite.

    >>> distance, index = nearest(torch.tensor([[1.0]]), torch.tensor([[0.0], [3.0], [1.5]]))
    >>> distance.item(), index.item()
    (0.5, 2)
    """
    _check_options(k=k, chunk=chunk)
    fake = check_features(fake, "features of fakes", at_least=1)
    train = check_features(train, "features of training samples", dim=fake.shape[1], at_least=k)
    return neighbours(fake, train, k, chunk)


def class_accuracy(probabilities: Tensor, labels: Tensor) -> Estimate:
    """The share of samples that a classifier assigns to their labels, in [0, 1], with the binomial standard error.

    Args:
        probabilities: probabilities or logits (n, classes). A sample is assigned to the largest, the first of equal ones.
        labels: integers (n,) in [0, classes).

    Raises:
        UsageError: if shapes do not fit, there are no samples, or labels are out of range.
        ZooError: if some probability is not finite.
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
        p: threshold, in (0, 1].

    Raises:
        UsageError: if there are no samples, or rows are not probabilities.
        ZooError: if some probability is not finite.
    """
    check_features(probabilities, "probabilities", at_least=1)
    return _share(check_probabilities(probabilities).amax(1) >= p)


def _check_labels(labels: Tensor, count: int) -> Tensor:
    if labels.shape != (count,) or labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        raise UsageError(f"labels must be {count} integers, not {labels.dtype} {tuple(labels.shape)}", "pass one label per sample")
    return labels.detach().cpu()


def class_spread(real: Tensor, real_labels: Tensor, fake: Tensor, labels: Tensor, *, chunk: int = 1024) -> Estimate:
    """The variety within classes relative to that of real samples: the mean over classes of

        mean_(i < j) |y_i - y_j|  /  mean_(i < j) |x_i - x_j|

    for the generated samples y and the real samples x of a class. 1 is equal variety; 0 is one image per class, which class accuracy does
    not detect. A sample that looks like another class counts as variety here, but lowers class accuracy: read the two together.
    The mean is over classes with at least two samples in both sets; the standard error is that of a mean over these classes.

    Args:
        real: (m, dim).
        real_labels: integers (m,).
        fake: (n, dim).
        labels: integers (n,), the classes that the samples were drawn for.
        chunk: number of rows of a tile.

    Raises:
        ConfigError: if ``chunk`` is less than 1.
        UsageError: if shapes do not fit, or no class has two samples in both sets.
        ZooError: if some feature is not finite, or all real samples of a class are equal.
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
        raise UsageError("no class has two samples in both sets", "draw more samples, of the classes of the data")
    spreads = torch.tensor(ratios, dtype=torch.float64)
    check_finite(spreads, "spreads of the classes")
    return Estimate(float(spreads.mean()), float(spreads.std()) / sqrt(len(spreads)) if len(spreads) > 1 else None)


def _mean_distance(x: Tensor, chunk: int) -> Tensor:
    """The mean distance between two different rows, ()."""
    total = x.new_zeros((), dtype=torch.float64)
    for _, rows in blocks(x, chunk):
        for _, others in blocks(x, chunk):
            total += torch.cdist(rows, others, compute_mode="donot_use_mm_for_euclid_dist").sum()
    return total / (len(x) * (len(x) - 1))


def _share(hits: Tensor) -> Estimate:
    p = float(hits.double().mean())
    return Estimate(p, sqrt(p * (1 - p) / len(hits)))


def _check_options(**options: int) -> None:
    for name, value in options.items():
        if value < 1:
            raise ConfigError(f"{name} must be at least 1, not {value}", "leave it out for the default")


def _check_pair(real: Tensor, fake: Tensor, *, at_least: int) -> tuple[Tensor, Tensor]:
    real = check_features(real, "features of reals", at_least=at_least)
    return real, check_features(fake, "features of fakes", dim=real.shape[1], at_least=at_least)
