"""Metrics of a run's samples while it trains, by the code that ``zoo evaluate`` uses."""

import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import cast

from torch import Tensor, nn

from zoo_core.config import check_range
from zoo_core.data.dataset import Data
from zoo_core.distributed import Processes
from zoo_core.errors import UsageError, ZooError
from zoo_core.evaluation.choice import default_feature_space, make_metric
from zoo_core.evaluation.compare import Comparison
from zoo_core.evaluation.feature_spaces import load_feature_space
from zoo_core.evaluation.metrics import Metric
from zoo_core.evaluation.real_data import RealData
from zoo_core.evaluation.statistics import Estimate
from zoo_core.recipes import Recipe
from zoo_core.training.preview import draw

__all__ = ["Watch", "Watching"]


@dataclass(frozen=True, kw_only=True)
class Watching:
    """What a run is watched by. It changes nothing of the training, and is no part of the recipe.

    Args:
        every: steps between two measurements.
        metrics: names of metrics of samples.
        n: how many samples of seed 0 are drawn each time.
        features: the name of a feature space; that of the data when None.
    """

    every: int
    metrics: tuple[str, ...] = ("fd",)
    n: int = 1000
    features: str | None = None

    def __post_init__(self) -> None:
        check_range(self, every=(1, 10**9), n=(2, 10**7))


class _Stopped(Exception):
    """Somebody asked for an end."""


class Watch:
    """Measures the model of a run; the real samples are gathered once.

    Raises:
        UsageError: nothing draws samples of the model, or a metric is not one of samples.
        ZooError: as :class:`Comparison` does.
    """

    def __init__(self, watching: Watching, recipe: Recipe, data: Data, model: nn.Module, processes: Processes) -> None:
        if recipe.sampler is None or recipe.data is None:
            raise UsageError("the recipe has no sampler, so there are no samples to measure", "leave --eval-every out")
        made = {name: make_metric(name) for name in watching.metrics}
        of_samples = {name: each for name, each in made.items() if isinstance(each, Metric)}
        if of_samples.keys() != made.keys() or not made:
            other = next(iter(made.keys() - of_samples.keys()), "")
            raise UsageError(f"{other or 'nothing'} is no metric of samples", "`zoo list metrics`: fd, kid and others are")
        classes = cast(int, getattr(model, "num_classes", 0))
        self._every, self._n, self._processes = watching.every, watching.n, processes
        self._sampler, self._scheduler = recipe.sampler, recipe.scheduler
        self._stop: Callable[[], int] = lambda: 0
        judge = load_feature_space(watching.features or default_feature_space(recipe.data, data.event.shape), processes.device)
        real = RealData(recipe.data, data.event.shape, data=data)
        self._comparison = Comparison(of_samples, real, judge, processes, classes=classes, on_batch=self._look)

    def due(self, step: int, last: int) -> bool:
        """Whether it is time, or the end."""
        return step % self._every == 0 or step == last

    def __call__(self, model: nn.Module, stop: Callable[[], int] = lambda: 0) -> dict[str, float]:
        """The metrics of the model by their names.

        Those that cannot be measured are left out, which is no reason to end a run. So are all where one process trains and ``stop`` asks
        for an end.
        """
        self._stop = stop

        def drawn(first: int, n: int, labels: Tensor | None) -> Tensor:
            return draw(model, self._sampler, self._processes.device, range(first, first + n), labels, self._scheduler)

        estimates: Mapping[str, Estimate]
        failed: Iterable[ZooError]
        try:
            results = self._comparison.measure(drawn, self._n)
            estimates, failed = results.estimates, results.errors.values()
        except _Stopped:
            return {}
        except ZooError as error:
            estimates, failed = {}, [error]
        for each in failed:
            warnings.warn(f"samples could not be measured: {each.what}", RuntimeWarning, stacklevel=2)
        return {name: estimate.value for name, estimate in estimates.items()}

    def _look(self, n: int) -> None:
        if self._processes.count == 1 and self._stop():
            raise _Stopped
