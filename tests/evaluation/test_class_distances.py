"""Theorems about metrics of classes: accuracy, confidence and spread."""

import math
import statistics
from itertools import combinations

import pytest
import torch

from zoo_core.errors import UsageError, ZooError
from zoo_core.evaluation.distances import (
    class_accuracy,
    class_confidence,
    class_spread,
)
from zoo_core.evaluation.statistics import Estimate

from .helpers import normal


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
