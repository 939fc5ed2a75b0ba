"""Theorems about streaming statistics: moments and class scores are their formulas, for any batches and processes."""

import math

import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor

from zoo_core.errors import ZooError
from zoo_core.evaluation.distances import (
    density_coverage,
)
from zoo_core.evaluation.statistics import ClassScores, Moments

from .helpers import moments, normal, scores, softmax


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
