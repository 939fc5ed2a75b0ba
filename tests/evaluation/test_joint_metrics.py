"""Theorems about joint metrics: they share one computation for the same samples, and no result outlives them."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from zoo_core.data.dataset import Data
from zoo_core.datasets import MoonsConfig
from zoo_core.distributed import Processes
from zoo_core.evaluation import distances
from zoo_core.evaluation.compare import Comparison
from zoo_core.evaluation.factory import make_metric
from zoo_core.evaluation.feature_metrics import Coverage, Density, Precision, Recall
from zoo_core.evaluation.feature_spaces import load_feature_space
from zoo_core.evaluation.features import Gathered
from zoo_core.evaluation.metrics import Metric
from zoo_core.evaluation.real_data import RealData

PAIRS = [(Precision, Recall, "precision_recall"), (Density, Coverage, "density_coverage")]


def noise(n: int, seed: int) -> torch.Tensor:
    return torch.randn(n, 2, generator=torch.Generator().manual_seed(seed))


def draw(first: int, n: int, labels: torch.Tensor | None) -> torch.Tensor:
    return noise(first + n, 1)[first:]


def comparison(**metrics: Any) -> Comparison:
    real = RealData(MoonsConfig(), (2,), data=Data(x=noise(60, 0), labels=torch.arange(60) % 2))
    return Comparison(metrics, real, load_feature_space("identity"), Processes("cpu"))


@pytest.fixture
def count_calls(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], list[int]]:
    def counted(name: str) -> list[int]:
        calls: list[int] = []
        original = getattr(distances, name)

        def counting(*arguments: Any, k: int) -> Any:
            calls.append(k)
            return original(*arguments, k=k)

        monkeypatch.setattr(distances, name, counting)
        return calls

    return counted


@pytest.mark.parametrize(("first", "second", "name"), PAIRS)
def test_two_metrics_of_one_computation_compute_once(
    first: type[Any], second: type[Any], name: str, count_calls: Callable[[str], list[int]]
) -> None:
    calls = count_calls(name)
    assert not comparison(first=first(k=4), second=second(k=4)).measure(draw, 50).errors
    assert calls == [4]


def test_other_options_are_another_computation(count_calls: Callable[[str], list[int]]) -> None:
    calls = count_calls("precision_recall")
    comparison(first=Precision(k=4), second=Recall(k=5)).measure(draw, 50)
    assert calls == [4, 5]


def test_halves_of_the_real_samples_are_compared_once_for_two_metrics(count_calls: Callable[[str], list[int]]) -> None:
    calls = count_calls("precision_recall")
    bounds = comparison(precision=Precision(k=1), recall=Recall(k=1)).bounds
    assert calls == [1] * (1 + len(bounds["precision"]["harms"]))
    assert len({entry["floor"]["value"] for entry in bounds.values()}) == 2


@pytest.mark.parametrize(("first", "second", "name"), PAIRS)
def test_no_result_outlives_a_call(first: type[Any], second: type[Any], name: str, count_calls: Callable[[str], list[int]]) -> None:
    calls = count_calls(name)
    real, drawn = Gathered.from_features(noise(60, 0)), Gathered.from_features(noise(50, 1))
    first(k=4)(real, drawn)
    second(k=4)(real, drawn)
    assert calls == [4, 4]


@pytest.mark.parametrize("name", ["precision", "recall", "density", "coverage"])
def test_a_metric_alone_gives_what_it_gives_beside_the_other(name: str) -> None:
    names = ("precision", "recall", "density", "coverage")
    metrics = {each: metric for each in names if isinstance(metric := make_metric(each), Metric)}
    together = comparison(**metrics).measure(draw, 50).estimates
    alone = comparison(**{name: metrics[name]}).measure(draw, 50).estimates
    assert alone == {name: together[name]}


def test_the_computation_of_a_metric_is_that_of_its_class_and_options() -> None:
    assert Precision(k=4).computation == Recall(k=4).computation
    different = [Precision(k=4), Precision(k=5), Density(k=4)]
    assert len({metric.computation for metric in different}) == len(different)
