"""Sample metrics against longhand versions of their formulas, against closed forms, and on bad days."""

import math
import statistics
from collections.abc import Callable
from itertools import combinations, product

import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor

from zoo_core.errors import ConfigError, UsageError, ZooError
from zoo_core.evaluation.distances import (
    class_accuracy,
    class_confidence,
    class_spread,
    density_coverage,
    frechet,
    kid,
    nearest,
    precision_recall,
)
from zoo_core.evaluation.statistics import ClassScores, Estimate, Moments


def normal(n: int, dim: int, seed: int = 0) -> Tensor:
    return torch.randn(n, dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def softmax(n: int, classes: int, seed: int = 0) -> Tensor:
    return torch.softmax(2 * normal(n, classes, seed), 1)


def moments(features: Tensor, batch: int | None = None) -> Moments:
    result = Moments(features.shape[1])
    for part in features.split(batch or len(features)):  # type: ignore[no-untyped-call]  # torch's own
        result.add(part)
    return result


def gaussian(mean: Tensor, covariance: Tensor) -> Moments:
    """Moments that are exactly these, as of 1001 samples."""
    return Moments.from_state({"count": torch.tensor(1001), "mean": mean, "scatter": covariance * 1000})


def rotation(dim: int, seed: int = 0) -> Tensor:
    q: Tensor = torch.linalg.qr(normal(dim, dim, seed))[0]
    return q


# What streams


@pytest.mark.parametrize("batch", [1, 7, 64, 300])
def test_moments_are_the_mean_and_covariance_whatever_the_batch_size(batch: int) -> None:
    x = normal(300, 5) @ normal(5, 5, 1) + 1000
    m = moments(x, batch)
    centred = x - x.mean(0)
    assert m.count == 300
    torch.testing.assert_close(m.mean, x.mean(0), rtol=1e-12, atol=0)
    torch.testing.assert_close(m.covariance, centred.T @ centred / 299, rtol=1e-12, atol=1e-12 * float(centred.square().mean()))


@pytest.mark.parametrize("batch", [1, 10])
def test_moments_far_from_the_origin_do_not_cancel(batch: int) -> None:
    """Whole numbers, so that the shift by 2^40 is exact; sums of squares would lose all digits of the covariance."""
    x = torch.randint(-50, 50, (200, 3), generator=torch.Generator().manual_seed(0)).double()
    torch.testing.assert_close(moments(x + 2.0**40, batch).covariance, torch.cov(x.T), rtol=1e-5, atol=1e-2)


def test_moments_of_processes_merge_into_those_of_all() -> None:
    x = normal(101, 4) + 3
    whole = moments(x)
    merged = Moments(4)
    for rank in range(3):
        merged.merge(Moments.from_state(load(save(moments(x[rank::3], 5).state()))))
    merged.merge(Moments(4))
    assert merged.count == 101
    torch.testing.assert_close(merged.mean, whole.mean, rtol=1e-12, atol=0)
    torch.testing.assert_close(merged.covariance, whole.covariance, rtol=1e-12, atol=1e-12)


def test_a_state_given_out_stays_as_it_was() -> None:
    m, s = moments(normal(10, 2)), ClassScores(3)
    s.add(softmax(10, 3), torch.arange(10))
    given = [*m.state().values(), *s.state().values()]
    before = [tensor.clone() for tensor in given]
    m.add(normal(5, 2, 1))
    m.merge(moments(normal(5, 2, 2)))
    s.add(softmax(5, 3, 1), torch.arange(5))
    s.merge(s)
    copy = Moments.from_state(m.state())
    copy.add(normal(5, 2, 3))
    assert m.count == 20
    assert all(torch.equal(a, b) for a, b in zip(given, before, strict=True))


def test_a_batch_that_is_refused_changes_nothing() -> None:
    m, s = moments(normal(10, 2)), ClassScores(3)
    s.add(softmax(10, 3), torch.arange(10))
    before = [*m.state().values(), *s.state().values()]
    for bad in (torch.full((3, 2), math.nan), 1e200 * normal(3, 2), normal(3, 3)):
        with pytest.raises(ZooError):
            m.add(bad)
    for p, index in ((softmax(3, 4), torch.arange(3)), (softmax(3, 3), torch.arange(2)), (normal(3, 3), torch.arange(3))):
        with pytest.raises(ZooError):
            s.add(p, index)
    assert all(torch.equal(a, b) for a, b in zip([*m.state().values(), *s.state().values()], before, strict=True))


def test_an_empty_batch_adds_nothing() -> None:
    m, s = moments(normal(10, 2)), ClassScores(3)
    before = m.covariance
    m.add(torch.empty(0, 2))
    s.add(torch.empty(0, 3), torch.empty(0, dtype=torch.int64))
    assert (m.count, s.count) == (10, 0)
    assert torch.equal(m.covariance, before)


# Inception Score


def scores(p: Tensor, splits: int = 10, batch: int | None = None) -> ClassScores:
    result = ClassScores(p.shape[1], splits)
    batch = batch or len(p)
    for start in range(0, len(p), batch):
        result.add(p[start : start + batch], torch.arange(start, min(start + batch, len(p))))
    return result


def longhand_score(p: Tensor) -> float:
    """exp(1/N sum_i sum_y p(y | x_i) log(p(y | x_i) / p(y))), one term at a time."""
    rows = p.tolist()
    marginal = [sum(row[y] for row in rows) / len(rows) for y in range(len(rows[0]))]
    divergence = [sum(a * math.log(a / b) for a, b in zip(row, marginal, strict=True) if a > 0) for row in rows]
    return math.exp(sum(divergence) / len(rows))


def test_the_inception_score_is_its_formula() -> None:
    p = torch.cat([softmax(60, 7), torch.eye(7, dtype=torch.float64)[:3]])
    assert scores(p).score().value == pytest.approx(longhand_score(p), rel=1e-12)


def test_the_inception_score_of_a_classifier_that_cannot_tell_is_one() -> None:
    assert scores(torch.full((50, 8), 1 / 8)).score().value == pytest.approx(1, abs=1e-12)


def test_the_inception_score_of_sure_and_balanced_classes_is_their_number() -> None:
    estimate = scores(torch.eye(8).repeat(100, 1)).score()
    assert estimate.value == pytest.approx(8, rel=1e-12)


@pytest.mark.parametrize("classes", [10, 100, 7])
def test_splits_do_not_follow_labels_that_follow_the_index(classes: int) -> None:
    """Image i has label i % classes: by remainder, parts would hold one class each, or few, and score far less than all classes."""
    s = scores(torch.eye(classes).repeat(5000 // classes, 1), splits=10)
    assert (s.split_scores() > 0.95 * classes).all()


@pytest.mark.parametrize(("first", "n"), [(0, 10), (0, 1000), (12345, 997), (2**40, 500), (2**62, 500)])
def test_every_run_of_indices_is_spread_evenly_over_the_splits(first: int, n: int) -> None:
    s = ClassScores(2, 10)
    s.add(torch.full((n, 2), 0.5), torch.arange(first, first + n))
    assert (s.state()["count"] - n / 10).abs().max() <= 3


def test_neither_batch_size_nor_order_nor_processes_change_the_inception_score() -> None:
    p = softmax(203, 6)
    whole = scores(p)
    shuffled, merged = ClassScores(6), ClassScores(6)
    order = torch.randperm(203, generator=torch.Generator().manual_seed(0))
    shuffled.add(p[order], order)
    for rank in range(3):
        part = ClassScores(6)
        part.add(p[rank::3], torch.arange(203)[rank::3])
        merged.merge(ClassScores.from_state(load(save(part.state()))))
    for other in (scores(p, batch=1), scores(p, batch=17), shuffled, merged):
        assert other.count == 203
        assert torch.equal(other.state()["count"], whole.state()["count"])
        assert other.score().value == pytest.approx(whole.score().value, rel=1e-12)
        assert other.score().stderr == pytest.approx(whole.score().stderr, rel=1e-10)


def test_the_standard_error_of_the_inception_score_is_its_spread_over_new_samples() -> None:
    estimates = [scores(softmax(400, 5, seed)).score() for seed in range(60)]
    spread = torch.tensor([e.value for e in estimates]).std()
    mean = torch.tensor([e.stderr or math.nan for e in estimates]).square().mean().sqrt()
    assert mean == pytest.approx(float(spread), rel=0.3)  # 60 values give their own spread to about 9 %


def test_split_scores_are_the_scores_of_the_splits() -> None:
    p = softmax(100, 4)
    s = scores(p, splits=5)
    part = [int(((i * 2654435769) % 2**32) * 5 // 2**32) for i in range(100)]
    for split in range(5):
        rows = p[[i for i in range(100) if part[i] == split]]
        assert float(s.split_scores()[split]) == pytest.approx(longhand_score(rows), rel=1e-12)
    assert s.score().stderr == pytest.approx(float(s.split_scores().std()) / math.sqrt(5))


def test_a_standard_error_that_cannot_be_known_is_none() -> None:
    assert scores(softmax(50, 3), splits=1).score().stderr is None
    assert scores(softmax(10, 3), splits=10).score().stderr is None
    assert density_coverage(normal(10, 2), normal(1, 2, 1))[0].stderr is None


def test_half_precision_probabilities_are_made_to_sum_to_one() -> None:
    p = softmax(100, 50)
    for dtype in (torch.float16, torch.bfloat16):
        assert scores(p.to(dtype)).score().value == pytest.approx(longhand_score(p), rel=0.01)
    assert scores(0.995 * torch.eye(8).repeat(10, 1)).score().value == pytest.approx(8, rel=1e-12)


# Frechet distance


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


# KID


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


# Precision and recall, density and coverage, nearest samples


def longhand_distances(x: Tensor, y: Tensor) -> list[list[float]]:
    return [[math.dist(a, b) for b in y.tolist()] for a in x.tolist()]


def longhand_radii(x: Tensor, k: int) -> list[float]:
    """Without the i-th entry of row i, whatever it is."""
    return [sorted(row[:i] + row[i + 1 :])[k - 1] for i, row in enumerate(longhand_distances(x, x))]


def longhand_precision(real: Tensor, fake: Tensor, k: int) -> float:
    radii = longhand_radii(real, k)
    return sum(any(d <= r for d, r in zip(row, radii, strict=True)) for row in longhand_distances(fake, real)) / len(fake)


def longhand_density(real: Tensor, fake: Tensor, k: int) -> float:
    radii = longhand_radii(real, k)
    return sum(d <= r for row in longhand_distances(fake, real) for d, r in zip(row, radii, strict=True)) / (k * len(fake))


def longhand_coverage(real: Tensor, fake: Tensor, k: int) -> float:
    radii = longhand_radii(real, k)
    return sum(any(d <= r for d in row) for row, r in zip(longhand_distances(real, fake), radii, strict=True)) / len(real)


def lattice(n: int, dim: int, seed: int) -> Tensor:
    """Whole numbers in [0, 4): full of ties and copies."""
    return torch.randint(4, (n, dim), generator=torch.Generator().manual_seed(seed)).double()


def clusters(n: int, dim: int, seed: int) -> Tensor:
    """Two points 10^8 apart, with 10^-2 of noise, half of it copies: squares of these numbers do not hold that noise."""
    noise = normal(n, dim, seed).div(100)
    noise[::2] = normal(n, dim, 9)[::2].div(100)
    return noise + 1e8 * (torch.arange(n) % 2).unsqueeze(1)


SETS: dict[str, tuple[Tensor, Tensor]] = {
    "gaussian": (normal(41, 3), 0.8 * normal(30, 3, 1) + 0.4),
    "lattice": (lattice(41, 3, 0), lattice(30, 3, 1)),
    "third": (lattice(41, 3, 0) / 3 + 100, lattice(30, 3, 1) / 3 + 100),
    "clusters": (clusters(41, 3, 0), clusters(30, 3, 1)),
    "subset": (normal(41, 3), normal(41, 3)[:30]),
}


@pytest.mark.parametrize("k", [1, 3, 5])
@pytest.mark.parametrize("name", SETS)
def test_precision_and_recall_are_their_double_loops(name: str, k: int) -> None:
    real, fake = SETS[name]
    precision, recall = precision_recall(real, fake, k=k)
    assert precision.value == pytest.approx(longhand_precision(real, fake, k), abs=1e-12)
    assert recall.value == pytest.approx(longhand_precision(fake, real, k), abs=1e-12)


@pytest.mark.parametrize("k", [1, 3, 5])
@pytest.mark.parametrize("name", SETS)
def test_density_and_coverage_are_their_double_loops(name: str, k: int) -> None:
    real, fake = SETS[name]
    density, coverage = density_coverage(real, fake, k=k)
    assert density.value == pytest.approx(longhand_density(real, fake, k), abs=1e-12)
    assert coverage.value == pytest.approx(longhand_coverage(real, fake, k), abs=1e-12)


@pytest.mark.parametrize("k", [1, 4])
@pytest.mark.parametrize("name", SETS)
def test_the_nearest_samples_are_those_of_a_sorted_list_of_distances(name: str, k: int) -> None:
    train, fake = SETS[name]
    distances, indices = nearest(fake, train, k=k)
    longhand = torch.tensor(longhand_distances(fake, train), dtype=torch.float64)
    torch.testing.assert_close(distances, longhand.sort(1).values[:, :k], rtol=1e-12, atol=0)
    torch.testing.assert_close(longhand.gather(1, indices), distances, rtol=1e-12, atol=0)
    direct = torch.cdist(fake, train, compute_mode="donot_use_mm_for_euclid_dist")
    assert torch.equal(distances, direct.sort(1).values[:, :k])
    assert torch.equal(indices, direct.sort(dim=1, stable=True).indices[:, :k])


def test_of_equal_distances_the_lower_index_is_nearer() -> None:
    train = torch.tensor([[3.0], [1.0], [-1.0], [1.0], [0.0]])
    for chunk in (1, 2, 100):
        distances, indices = nearest(torch.tensor([[0.0]]), train, k=5, chunk=chunk)
        assert indices.tolist() == [[4, 1, 2, 3, 0]]
        assert distances.tolist() == [[0, 1, 1, 1, 3]]


def test_a_copy_is_found_at_distance_zero_however_far_from_the_origin() -> None:
    train = 1e6 * normal(50, 300)
    train[7] += 1e-6
    distances, indices = nearest(torch.cat([train[7:8], train[7:8] + 1e-7]), train)
    assert indices.tolist() == [[7], [7]]
    assert float(distances[0]) == 0
    assert float(distances[1]) == pytest.approx(math.sqrt(300) * 1e-7, rel=0.01)


def test_nearest_compares_bytes_as_numbers() -> None:
    train = torch.tensor([[0, 255], [250, 5]], dtype=torch.uint8)
    distances, indices = nearest(torch.tensor([[255, 0], [2, 255]], dtype=torch.uint8), train)
    assert indices.tolist() == [[1], [0]]
    assert distances.flatten().tolist() == pytest.approx([math.sqrt(50), 2])


@pytest.mark.parametrize("name", SETS)
def test_the_chunk_changes_nothing(name: str) -> None:
    real, fake = SETS[name]
    whole = (*precision_recall(real, fake), *density_coverage(real, fake), *nearest(fake, real, k=4))
    for chunk in (3, 7, 30, 40):
        parts = (
            *precision_recall(real, fake, chunk=chunk),
            *density_coverage(real, fake, chunk=chunk),
            *nearest(fake, real, k=4, chunk=chunk),
        )
        for a, b in zip(whole, parts, strict=True):
            assert torch.equal(a, b) if isinstance(a, Tensor) and isinstance(b, Tensor) else a == b
        assert kid(real, fake, chunk=chunk).value == pytest.approx(kid(real, fake).value, rel=1e-9)
        assert kid(real, fake, chunk=chunk).stderr == pytest.approx(kid(real, fake).stderr, rel=1e-9)


def test_a_set_in_its_own_balls_has_precision_and_recall_one() -> None:
    x = normal(30, 4)
    assert precision_recall(x, x) == (Estimate(1.0, 0.0), Estimate(1.0, 0.0))
    assert density_coverage(x, x)[1] == Estimate(1.0, 0.0)


def test_a_copy_is_a_neighbour_and_a_sample_itself_is_not() -> None:
    """Two copies of 0 have balls of radius 0 at k = 1, and the ball of 5 reaches to 0."""
    real, fake = torch.tensor([[0.0], [0.0], [5.0]]), torch.tensor([[0.0], [-0.1], [0.1], [10.0], [10.1]])
    precision, recall = precision_recall(real, fake, k=1)
    assert precision.value == 3 / 5  # 0, 0.1 and 10, which lies at the very radius of 5
    assert recall.value == 2 / 3
    assert density_coverage(real, fake, k=1)[0].value == (3 + 1 + 1) / 5


def test_two_sets_of_one_distribution_have_density_one_and_the_papers_coverage() -> None:
    density, coverage = density_coverage(normal(2000, 3), normal(2000, 3, 1), k=5)
    assert density.value == pytest.approx(1, abs=0.05)
    assert coverage.value == pytest.approx(1 - 0.5**5, abs=0.02)


def test_standard_errors_of_shares_are_binomial() -> None:
    real, fake = SETS["gaussian"]
    shares = [(e, n) for e, n in zip(precision_recall(real, fake, k=1), (30, 41), strict=True)]
    shares.append((density_coverage(real, fake, k=1)[1], 41))
    shares.append((class_accuracy(softmax(50, 3), torch.arange(50) % 3), 50))
    for share, n in shares:
        assert 0 < share.value < 1
        assert share.stderr == pytest.approx(math.sqrt(share.value * (1 - share.value) / n), rel=1e-12)


def test_the_standard_error_of_density_is_its_spread_over_new_fakes() -> None:
    real = normal(100, 2)
    estimates = [density_coverage(real, 1.2 * normal(60, 2, seed))[0] for seed in range(1, 100)]
    spread = torch.tensor([e.value for e in estimates]).std()
    mean = torch.tensor([e.stderr or math.nan for e in estimates]).square().mean().sqrt()
    assert mean == pytest.approx(float(spread), rel=0.2)


# Class accuracy


def test_class_accuracy_counts_the_labels_that_are_most_probable() -> None:
    p = torch.tensor([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8], [0.4, 0.4, 0.2], [0.2, 0.5, 0.3]])
    assert class_accuracy(p, torch.tensor([0, 2, 0, 0])).value == 0.75
    assert class_accuracy(p, torch.tensor([0, 2, 1, 0], dtype=torch.int32)).value == 0.5
    assert class_accuracy(p.log(), torch.tensor([0, 2, 0, 1])) == Estimate(1.0, 0.0)


def test_class_confidence_counts_the_samples_whose_best_class_reaches_p() -> None:
    p = torch.tensor([[0.9, 0.05, 0.05], [0.89, 0.01, 0.1], [0.2, 0.2, 0.6], [0.0, 1.0, 0.0]], dtype=torch.float64)
    assert class_confidence(p) == Estimate(0.5, 0.25)
    assert class_confidence(p, 0.6).value == 1
    with pytest.raises(UsageError, match=r"sum to 1"):
        class_confidence(p.log().clamp(min=-9))


# Spread of classes


def test_class_spread_is_the_ratio_of_mean_distances_of_pairs() -> None:
    real, fake, c, d = normal(12, 3), 0.5 * normal(9, 3, 1) + 2, torch.arange(12) % 2, torch.arange(9) % 3
    ratios = []
    for label in (0, 1):  # class 2 has no real samples
        means = []
        for x, labels in ((fake, d), (real, c)):
            rows = [x[i] for i in range(len(x)) if labels[i] == label]
            means.append(statistics.mean(float((a - b).norm()) for a, b in combinations(rows, 2)))
        ratios.append(means[0] / means[1])
    found = class_spread(real, c, fake, d)
    assert found.value == pytest.approx(statistics.mean(ratios), rel=1e-12)
    assert found.stderr == pytest.approx(statistics.stdev(ratios) / math.sqrt(2), rel=1e-9)
    assert class_spread(real, c, fake, d, chunk=2).value == pytest.approx(found.value, rel=1e-12)


def test_class_spread_tells_copies_from_variety() -> None:
    x, labels = normal(60, 4), torch.arange(60) % 3
    copies = normal(3, 4, 1)[labels]
    assert class_spread(x, labels, copies, labels).value == 0
    assert class_spread(x, labels, 2 * x + 1, labels).value == pytest.approx(2)
    for wrong in (torch.arange(60), torch.full((60,), 7)):
        with pytest.raises(UsageError, match="no class has two samples"):
            class_spread(x, labels, x, wrong)
    with pytest.raises(ZooError, match="spreads of the classes"):
        class_spread(copies, labels, x, labels)


# All of them


def every_value(real: Tensor, fake: Tensor) -> list[float]:
    """Frechet distance, KID, precision, recall, density, coverage, mean nearest distance."""
    shares = [e.value for e in (*precision_recall(real, fake), *density_coverage(real, fake))]
    return [frechet(moments(real), moments(fake)), kid(real, fake).value, *shares, float(nearest(fake, real)[0].mean())]


def test_rotation_and_order_change_nothing() -> None:
    real, fake = normal(80, 6), 1.3 * normal(60, 6, 1) + 0.5
    q = rotation(6)
    order = torch.randperm(60, generator=torch.Generator().manual_seed(0))
    assert every_value(real @ q, fake @ q) == pytest.approx(every_value(real, fake), rel=1e-9)
    assert every_value(real.flip(0), fake[order]) == pytest.approx(every_value(real, fake), rel=1e-9)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_narrow_features_are_computed_on_in_double_precision(dtype: torch.dtype) -> None:
    """Squares of 1000 would overflow in float16."""
    real, fake = (1000 * normal(60, 6)).to(dtype), (1000 * normal(50, 6, 1) + 500).to(dtype)
    assert every_value(real, fake) == every_value(real.double(), fake.double())


def test_features_may_lie_in_memory_in_any_way_and_need_gradients() -> None:
    real, fake = normal(60, 6), normal(50, 6, 1)
    spread = torch.zeros(50, 12, dtype=torch.float64)
    spread[:, ::2] = fake
    expected = every_value(real, fake)
    strange = every_value(real.T.contiguous().T.requires_grad_(), spread[:, ::2])
    assert strange == pytest.approx(expected, rel=1e-12)


def noisy(x: Tensor, amount: float) -> Tensor:
    return x + 2 * amount * normal(len(x), x.shape[1], 7)


def blurred(x: Tensor, amount: float) -> Tensor:
    """Neighbouring samples mixed, as far as a mean of eight."""
    return (1 - amount) * x + amount * sum((x.roll(i, 0) for i in range(8)), torch.zeros_like(x)) / 8


def collapsed(x: Tensor, amount: float) -> Tensor:
    """That share of samples are copies of four, but for a little noise."""
    n = int(amount * len(x))
    return torch.cat([x[:4].repeat(n, 1)[:n] + 0.01 * normal(n, x.shape[1], 8), x[n:]])


@pytest.mark.parametrize("harm", [noisy, blurred, collapsed])
def test_more_harm_is_a_greater_distance(harm: Callable[[Tensor, float], Tensor]) -> None:
    real, fake = normal(400, 8), normal(400, 8, 1)
    harmed = [harm(fake, amount) for amount in (0.0, 0.3, 0.6, 0.9)]
    for values in ([frechet(moments(real), moments(x)) for x in harmed], [kid(real, x).value for x in harmed]):
        assert values == sorted(values)
        assert values[-1] > values[0] + 0.1


def test_noise_lowers_precision_and_collapse_lowers_recall_and_coverage() -> None:
    real, fake = normal(400, 4), normal(400, 4, 1)
    amounts = (0.0, 0.3, 0.6, 0.9)
    precisions = [precision_recall(real, noisy(fake, a))[0].value for a in amounts]
    densities = [density_coverage(real, noisy(fake, a))[0].value for a in amounts]
    recalls = [precision_recall(real, collapsed(fake, a))[1].value for a in amounts]
    coverages = [density_coverage(real, collapsed(fake, a))[1].value for a in amounts]
    for values in (precisions, densities, recalls, coverages):
        assert values == sorted(values, reverse=True)
        assert values[-1] < values[0] - 0.1
    assert precision_recall(real, collapsed(fake, 0.9))[0].value > 0.8


def test_one_outlier_among_the_reals_raises_precision_and_hardly_density() -> None:
    """The reason for density (Naeem et al. 2020, figure 2): one far real has a ball that holds all fakes, however bad."""
    real = torch.cat([normal(200, 2), torch.tensor([[100.0, 0.0]], dtype=torch.float64)])
    fake = normal(200, 2, 1) * 0.1 + torch.tensor([15.0, 0.0])
    assert precision_recall(real, fake)[0].value == 1
    assert density_coverage(real, fake)[0].value == pytest.approx(1 / 5)


# Bad days


PAIRWISE: dict[str, Callable[[Tensor, Tensor], object]] = {
    "frechet": lambda x, y: frechet(moments(x), moments(y)),
    "kid": kid,
    "precision_recall": precision_recall,
    "density_coverage": density_coverage,
    "nearest": lambda x, y: nearest(y, x),
}
GOOD = normal(10, 3)
# What is wrong, and what the message says of it.
BAD: dict[str, tuple[Tensor, type[ZooError], str]] = {
    "nan": (torch.full((10, 3), math.nan), ZooError, "not all finite"),
    "one infinity": (torch.cat([GOOD, torch.tensor([[0.0, math.inf, 0.0]])]), ZooError, "not all finite"),
    "float16 overflow": (torch.full((10, 3), 1e6).half(), ZooError, "not all finite"),
    "squares overflow": (1e200 * GOOD, ZooError, "not all finite"),
    "other dim": (normal(10, 4), UsageError, "dimensions"),
    "images": (torch.zeros(10, 3, 8, 8), UsageError, "one vector per sample"),
    "no dim": (torch.zeros(10, 0), ZooError, "one vector per sample|dim must be"),
    "empty": (torch.empty(0, 3), UsageError, "too few|no neighbour"),
    "complex": (torch.zeros(10, 3, dtype=torch.complex64), UsageError, "real numbers"),
}


@pytest.mark.parametrize(("function", "bad", "side"), [*product(PAIRWISE, BAD, (0, 1))])
def test_features_that_have_no_distance_are_refused_with_a_hint(function: str, bad: str, side: int) -> None:
    features, error, what = BAD[bad]
    if function == "density_coverage" and bad == "squares overflow" and side == 1:
        assert [e.value for e in density_coverage(GOOD, features)] == [0, 0]  # far away, and no distance among fakes is asked for
        return
    with pytest.raises(error, match=what) as caught:
        PAIRWISE[function](*((features, GOOD) if side == 0 else (GOOD, features)))
    assert caught.value.hint


@pytest.mark.parametrize("k", [1, 3, 5])
def test_balls_need_more_samples_than_k(k: int) -> None:
    few, enough = normal(k, 3), normal(k + 1, 3)
    for real, fake in ((few, enough), (enough, few)):
        with pytest.raises(UsageError, match=f"too few: at least {k + 1}"):
            precision_recall(real, fake, k=k)
    with pytest.raises(UsageError, match=f"{k} samples have no neighbour number {k}"):
        density_coverage(few, enough, k=k)
    with pytest.raises(UsageError, match="too few"):
        nearest(enough, few, k=k + 1)
    precision_recall(enough, enough, k=k)
    density_coverage(enough, few[:1], k=k)
    assert nearest(enough, few, k=k)[0].shape == (k + 1, k)


def test_one_sample_is_too_few_for_a_covariance_and_for_kid() -> None:
    one = moments(GOOD[:1])
    assert torch.equal(one.mean, GOOD[0])
    with pytest.raises(UsageError, match="at least 2"):
        frechet(one, moments(GOOD))
    with pytest.raises(UsageError, match="at least 2"):
        kid(GOOD, GOOD[:1])
    with pytest.raises(UsageError, match="at least 1"):
        _ = Moments(3).mean
    with pytest.raises(UsageError, match="none were added"):
        ClassScores(3).score()


@pytest.mark.parametrize(
    "call",
    [
        lambda: Moments(0),
        lambda: ClassScores(0),
        lambda: ClassScores(3, 0),
        lambda: kid(GOOD, GOOD, degree=0),
        lambda: kid(GOOD, GOOD, chunk=0),
        lambda: precision_recall(GOOD, GOOD, k=0),
        lambda: precision_recall(GOOD, GOOD, chunk=-1),
        lambda: density_coverage(GOOD, GOOD, k=0),
        lambda: nearest(GOOD, GOOD, k=0),
    ],
)
def test_options_out_of_range_are_refused(call: Callable[[], object]) -> None:
    with pytest.raises(ConfigError, match="must be at least 1") as caught:
        call()
    assert caught.value.hint


P = softmax(4, 3)


@pytest.mark.parametrize(
    ("probabilities", "index", "what"),
    [
        (normal(4, 3), torch.arange(4), "sum to 1"),
        (2 * P, torch.arange(4), "sum to 1"),
        (torch.tensor([[1.5, -0.5, 0.0]]), torch.arange(1), "at least 0"),
        (P, torch.arange(3), "4 integers"),
        (P, torch.arange(4.0), "4 integers"),
        (P, torch.arange(4) - 1, "negative"),
        (P * math.nan, torch.arange(4), "finite"),
        (softmax(4, 5), torch.arange(4), "5 dimensions, not 3"),
    ],
)
def test_what_are_no_probabilities_is_refused(probabilities: Tensor, index: Tensor, what: str) -> None:
    with pytest.raises(ZooError, match=what):
        ClassScores(3).add(probabilities, index)


@pytest.mark.parametrize(
    ("probabilities", "labels", "what"),
    [
        (P, torch.arange(3), "4 integers"),
        (P, torch.arange(4.0), "4 integers"),
        (P, torch.tensor([0, 1, 2, 3]), r"\[0, 3\)"),
        (P, torch.tensor([0, 1, 2, -1]), r"\[0, 3\)"),
        (P[:0], torch.arange(0), "too few"),
        (P * math.nan, torch.arange(4), "finite"),
    ],
)
def test_labels_that_do_not_fit_are_refused(probabilities: Tensor, labels: Tensor, what: str) -> None:
    with pytest.raises(ZooError, match=what):
        class_accuracy(probabilities, labels)


def test_what_differs_is_not_merged_and_what_is_no_state_is_refused() -> None:
    with pytest.raises(UsageError, match="cannot be merged"):
        Moments(3).merge(Moments(4))
    for other in (ClassScores(4), ClassScores(3, 5)):
        with pytest.raises(UsageError, match="cannot be merged"):
            ClassScores(3).merge(other)
    m, s = moments(GOOD).state(), scores(P).state()
    for bad in ({}, s, {**m, "mean": m["mean"].float()}, {**m, "scatter": m["scatter"][:2]}, {**m, "count": torch.tensor(-1)}):
        with pytest.raises(UsageError, match="state"):
            Moments.from_state(bad)
    for bad in ({}, m, {**s, "p": s["plogp"]}, {**s, "count": s["count"][:3]}):
        with pytest.raises(UsageError, match="state"):
            ClassScores.from_state(bad)
    with pytest.raises(ZooError, match="finite"):
        Moments.from_state({**m, "scatter": m["scatter"] * math.nan})
