"""Theorems about metrics of nearest neighbours: they are their double loops, ties and copies included."""

import math

import pytest
import torch
from torch import Tensor

from zoo_core.evaluation.distances import (
    class_accuracy,
    density_coverage,
    kid,
    nearest,
    precision_recall,
)
from zoo_core.evaluation.statistics import Estimate

from .helpers import normal, softmax


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
