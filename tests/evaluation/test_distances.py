"""Theorems about the Frechet and kernel distances: they are their formulas and closed forms."""

import math
import statistics

import pytest
import torch
from torch import Tensor

from zoo_core.evaluation.distances import (
    frechet,
    kid,
)
from zoo_core.evaluation.statistics import Moments

from .helpers import gaussian, moments, normal, rotation


def root(A: Tensor) -> Tensor:
    """A^(1/2) of a product of positive matrices, by the iteration of Denman & Beavers (1976): Newton's method for a matrix's sign."""
    Y, Z = A, torch.eye(len(A), dtype=A.dtype)
    for _ in range(60):
        Y, Z = (Y + torch.linalg.inv(Z)) / 2, (Z + torch.linalg.inv(Y)) / 2
    return Y


def longhand_frechet(a: Moments, b: Moments) -> float:
    cross = root(a.covariance @ b.covariance)
    return float((a.mean - b.mean).square().sum() + torch.trace(a.covariance + b.covariance - 2 * cross))


def two_sets(dim: int = 12) -> tuple[Tensor, Tensor]:
    return normal(200, dim) @ normal(dim, dim, 1), normal(150, dim, 2) @ normal(dim, dim, 3) + 0.5


def test_the_frechet_distance_is_its_formula_with_a_root_by_newton() -> None:
    a, b = map(moments, two_sets())
    assert frechet(a, b) == pytest.approx(longhand_frechet(a, b), rel=1e-9)


def test_the_frechet_distance_is_its_formula_with_scipys_root() -> None:
    linalg = pytest.importorskip("scipy.linalg")
    a, b = map(moments, two_sets(40))
    cross = linalg.sqrtm((a.covariance @ b.covariance).numpy())
    formula = (a.mean - b.mean).square().sum() + torch.trace(a.covariance + b.covariance) - 2 * cross.trace().real
    assert frechet(a, b) == pytest.approx(float(formula), rel=1e-6)


@pytest.mark.parametrize("dim", [1, 2, 50])
def test_the_frechet_distance_of_isotropic_gaussians_is_known(dim: int) -> None:
    """|mu_a - mu_b|^2 + dim (s_a - s_b)^2; in one dimension this is all there is."""
    mu = normal(2, dim)
    a, b = (gaussian(m, s**2 * torch.eye(dim, dtype=torch.float64)) for m, s in zip(mu, (0.7, 1.9), strict=True))
    assert frechet(a, b) == pytest.approx(float((mu[0] - mu[1]).square().sum()) + dim * 1.2**2, rel=1e-9)


def test_the_frechet_distance_of_gaussians_with_common_axes_is_known() -> None:
    s, q = normal(2, 9).abs(), rotation(9)
    a, b = (gaussian(torch.zeros(9, dtype=torch.float64), q @ torch.diag(v**2) @ q.T) for v in s)
    assert frechet(a, b) == pytest.approx(float((s[0] - s[1]).square().sum()), rel=1e-9)


@pytest.mark.parametrize("n", [5, 500])
def test_equal_moments_have_distance_zero_of_full_rank_or_not(n: int) -> None:
    a = moments(1e3 * normal(n, 40) @ normal(40, 40, 1))
    assert frechet(a, a) <= 1e-9 * float(a.covariance.trace())
    assert frechet(a, moments(1e3 * normal(n, 40) @ normal(40, 40, 1), 3)) <= 1e-9 * float(a.covariance.trace())


@pytest.mark.parametrize("n", [20, 500])
def test_the_frechet_distance_does_not_care_which_set_is_called_real(n: int) -> None:
    a, b = moments(normal(n, 40)), moments(normal(300, 40, 1) @ normal(40, 40, 2))
    assert frechet(a, b) == pytest.approx(frechet(b, a), rel=1e-9)


@pytest.mark.parametrize("dim", [30, 300])
def test_directions_without_variance_add_nothing_to_the_frechet_distance(dim: int) -> None:
    """Twelve dimensions, turned into a space of many."""
    x, y = two_sets()
    axes = rotation(dim)[:12]
    assert frechet(moments(x @ axes), moments(y @ axes)) == pytest.approx(frechet(moments(x), moments(y)), rel=1e-9)


def test_rounding_in_directions_without_variance_does_not_meet_the_variance_of_the_other_set() -> None:
    """Against s^2 I, tr (C_a C_b)^(1/2) = s tr C_a^(1/2): twelve roots, and none of the other 288 directions."""
    x = two_sets()[0]
    a = moments(x @ rotation(300)[:12])
    b = gaussian(a.mean, 9 * torch.eye(300, dtype=torch.float64))
    variances = torch.linalg.eigvalsh(torch.cov(x.T))
    expected = float(variances.sum() + 9 * 300 - 2 * 3 * variances.sqrt().sum())
    assert frechet(a, b) == pytest.approx(expected, rel=1e-11)


def test_a_set_without_variance_is_as_far_as_its_point() -> None:
    x, point = normal(50, 6), torch.full((20, 6), 2.0)
    expected = float((x.mean(0) - 2).square().sum() + torch.cov(x.T).trace())
    assert frechet(moments(x), moments(point)) == pytest.approx(expected, rel=1e-12)
    assert frechet(moments(point), moments(point + 1)) == pytest.approx(6)


def test_the_frechet_distance_is_in_the_squared_unit_of_the_features() -> None:
    x, y = two_sets()
    assert frechet(moments(1e-6 * x), moments(1e-6 * y)) == pytest.approx(1e-12 * frechet(moments(x), moments(y)), rel=1e-9)


def longhand_kid(x: Tensor, y: Tensor, degree: int = 3) -> float:
    def k(a: Tensor, b: Tensor) -> float:
        return (float(a @ b) / len(a) + 1) ** degree

    m, n = len(x), len(y)
    within_x = sum(k(x[i], x[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    within_y = sum(k(y[i], y[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    return within_x + within_y - 2 * sum(k(a, b) for a in x for b in y) / (m * n)


def test_the_standard_error_of_kid_is_that_of_its_projection() -> None:
    """Each sample's mean kernel with its own set, less that with the other."""
    x, y = normal(13, 4), normal(17, 4, 1) + 0.3
    variance = 0.0
    for own, other in ((x, y), (y, x)):
        k = [[(float(a @ b) / 4 + 1) ** 3 for b in own] for a in own]
        means = [(sum(row) - row[i]) / (len(own) - 1) for i, row in enumerate(k)]
        h = [mean - sum((float(a @ b) / 4 + 1) ** 3 for b in other) / len(other) for mean, a in zip(means, own, strict=True)]
        variance += 4 * statistics.variance(h) / len(h)
    assert kid(x, y).stderr == pytest.approx(math.sqrt(variance), rel=1e-9)


@pytest.mark.parametrize("degree", [1, 3])
def test_kid_is_its_double_sum(degree: int) -> None:
    x, y = normal(13, 4), normal(17, 4, 1) + 0.3
    assert kid(x, y, degree=degree).value == pytest.approx(longhand_kid(x, y, degree), rel=1e-12)


def test_kid_of_a_set_and_itself_is_the_double_sum_too() -> None:
    x = normal(13, 4)
    assert kid(x, x).value == pytest.approx(longhand_kid(x, x), rel=1e-12)
    assert kid(x, x).value < 0


def mean_kernel(dim: int, a: float, s: float, b: float, t: float) -> float:
    """E (x . y / dim + 1)^3 of x ~ N(a 1, s^2 I) and y ~ N(b 1, t^2 I): given x, x . y is N(b x . 1, t^2 |x|^2)."""
    ab, squares = dim * a * b, dim * (a**2 + s**2)
    second = ab**2 + dim * (s * b) ** 2 + t**2 * squares
    third = ab**3 + 3 * ab * dim * (s * b) ** 2 + 3 * t**2 * ab * (squares + 2 * s**2)
    return 1 + 3 * ab / dim + 3 * second / dim**2 + third / dim**3


def test_kid_is_unbiased_and_its_interval_covers_the_truth() -> None:
    x, y = (0.2, 0.8), (0.6, 1.0)  # mean and standard deviation of each of 16 dimensions
    truth = mean_kernel(16, *x, *x) + mean_kernel(16, *y, *y) - 2 * mean_kernel(16, *x, *y)
    estimates = [kid(x[0] + x[1] * normal(120, 16, 2 * s), y[0] + y[1] * normal(80, 16, 2 * s + 1)) for s in range(500)]
    values = torch.tensor([e.value for e in estimates], dtype=torch.float64)
    stderrs = torch.tensor([e.stderr or math.nan for e in estimates], dtype=torch.float64)
    assert abs(float(values.mean()) - truth) < 3 * float(values.std()) / math.sqrt(500)
    assert float(stderrs.square().mean().sqrt()) == pytest.approx(float(values.std()), rel=0.12)
    covered = ((values - truth).abs() < 1.96 * stderrs).double().mean()
    assert 0.91 < float(covered) < 0.97  # 500 values give 0.95 to about 0.01


def test_the_standard_error_of_kid_is_conservative_where_the_distributions_are_the_same() -> None:
    estimates = [kid(normal(60, 5, 2 * s), normal(60, 5, 2 * s + 1)) for s in range(300)]
    spread = torch.tensor([e.value for e in estimates]).std()
    mean = torch.tensor([e.stderr or math.nan for e in estimates]).square().mean().sqrt()
    assert float(mean / spread) == pytest.approx(math.sqrt(2), rel=0.2)
