"""Theorems about wrong input of distances and statistics: it is refused with a next step."""

import math
from collections.abc import Callable
from itertools import product

import pytest
import torch
from torch import Tensor

from zoo_core.errors import ConfigError, UsageError, ZooError
from zoo_core.evaluation.distances import (
    class_accuracy,
    density_coverage,
    frechet,
    kid,
    nearest,
    precision_recall,
)
from zoo_core.evaluation.statistics import ClassScores, Moments

from .helpers import moments, normal, scores, softmax

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
