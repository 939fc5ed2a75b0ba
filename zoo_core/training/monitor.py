"""Metrics of samples during training, computed by the code of ``zoo evaluate``."""

import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import cast

from torch import Tensor, nn

from zoo_core.config import check_range
from zoo_core.data.dataset import Data
from zoo_core.distributed import Processes
from zoo_core.errors import UsageError, ZooError
from zoo_core.evaluation.compare import Comparison
from zoo_core.evaluation.factory import default_feature_space, make_metric
from zoo_core.evaluation.feature_spaces import load_feature_space
from zoo_core.evaluation.metrics import Metric
from zoo_core.evaluation.real_data import RealData
from zoo_core.evaluation.statistics import Estimate
from zoo_core.recipes import Recipe
from zoo_core.training.preview import draw

__all__ = ["Monitor", "MonitorConfig"]


@dataclass(frozen=True, kw_only=True)
class MonitorConfig:
    """The metrics to measure during a run. They do not change the training, and are not a part of the recipe.

    >>> MonitorConfig(every=1000, metrics=("fd", "kid"), n=5000)
    MonitorConfig(every=1000, metrics=('fd', 'kid'), n=5000, features=None)

    Args:
        every: number of steps between two measurements.
        metrics: names of metrics of samples.
        n: number of samples of seed 0 to draw each time.
        features: name of a feature space; that of the data when None.

    Raises:
        ConfigError: if ``every`` or ``n`` is out of range.
    """

    every: int
    metrics: tuple[str, ...] = ("fd",)
    n: int = 1000
    features: str | None = None

    def __post_init__(self) -> None:
        check_range(self, every=(1, 10**9), n=(2, 10**7))


class _Stopped(Exception):
    """The end of a run was requested during a measurement."""


class Monitor:
    """Measures the model of a run. The features of the real samples are computed once.

    >>> from zoo_core.recipes import FitConfig
    >>> from zoo_core.samplers import Latent
    >>> from zoo_core.testing import fake_zoo, start_loop
    >>> from zoo_core.testing.fake_config import FakeConfig, FakeDataConfig, FakeTrainerConfig
    >>> recipe = Recipe(
    ...     model=FakeConfig(), trainer=FakeTrainerConfig(), fit=FitConfig(batch_size=4), data=FakeDataConfig(count=64), sampler=Latent()
    ... )
    >>> with fake_zoo():
    ...     loop = start_loop(recipe)
    ...     monitor = Monitor(MonitorConfig(every=10, n=50), recipe, loop.data, loop.trainer.model, loop.processes)
    ...     list(monitor(loop.published))
    ['fd']

    Args:
        config: metrics, their interval and the number of samples.
        recipe: recipe of the run, with data and a sampler.
        data: data of the recipe.
        model: model that is trained.
        processes: processes of the run, which share the work.

    Raises:
        UsageError: if the recipe has no sampler, or a metric is not one of samples.
        ZooError: as :class:`zoo_core.evaluation.compare.Comparison` raises.
    """

    def __init__(self, config: MonitorConfig, recipe: Recipe, data: Data, model: nn.Module, processes: Processes) -> None:
        if recipe.sampler is None or recipe.data is None:
            raise UsageError("the recipe has no sampler, so there are no samples to measure", "leave --eval-every out")
        metrics = {name: make_metric(name) for name in config.metrics}
        of_samples = {name: each for name, each in metrics.items() if isinstance(each, Metric)}
        if not metrics:
            raise UsageError("there are no metrics to measure", "name some, such as --metrics fd,kid")
        if other := next(iter(metrics.keys() - of_samples.keys()), ""):
            raise UsageError(f"{other} is not a metric of samples", "`zoo list metrics`: fd, kid and others are")
        classes = cast(int, getattr(model, "num_classes", 0))
        self._every = config.every
        self._n = config.n
        self._processes = processes
        self._sampler = recipe.sampler
        self._scheduler = recipe.scheduler
        self._stop: Callable[[], int] = lambda: 0
        judge = load_feature_space(config.features or default_feature_space(recipe.data, data.event.shape), processes.device)
        real = RealData(recipe.data, data.event.shape, data=data)
        self._comparison = Comparison(of_samples, real, judge, processes, classes=classes, on_batch=self._look)

    def due(self, step: int, last: int) -> bool:
        """Whether to measure after ``step`` of ``last`` steps."""
        return step % self._every == 0 or step == last

    def __call__(self, model: nn.Module, stop: Callable[[], int] = lambda: 0) -> dict[str, float]:
        """The metrics of the model by their names. A metric that cannot be measured is left out, with a warning.

        Args:
            model: model to measure.
            stop: function that returns a signal's number once the run is to end. A single process then gives up, without metrics.
        """
        self._stop = stop

        def drawn(first: int, n: int, labels: Tensor | None) -> Tensor:
            return draw(model, self._sampler, self._processes.device, range(first, first + n), labels, self._scheduler)

        estimates: Mapping[str, Estimate]
        failed: Iterable[ZooError]
        try:
            results = self._comparison.measure(drawn, self._n)
            estimates = results.estimates
            failed = results.errors.values()
        except _Stopped:
            return {}
        except ZooError as error:
            estimates = {}
            failed = [error]
        for each in failed:
            warnings.warn(f"samples could not be measured: {each.what}", RuntimeWarning, stacklevel=2)
        return {name: estimate.value for name, estimate in estimates.items()}

    def _look(self, n: int) -> None:
        if self._processes.count == 1 and self._stop():
            raise _Stopped
