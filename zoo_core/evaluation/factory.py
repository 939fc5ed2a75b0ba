"""Choices of an evaluation: metrics by their names, and the data and the feature space of a checkpoint where none is given."""

from collections.abc import Mapping, Sequence
from typing import Any

from zoo_core.checkpoint.files import TRAINING, Files
from zoo_core.config import apply_overrides, decode
from zoo_core.data.captioned_sets import CaptionedConfig
from zoo_core.errors import ConfigError, UsageError
from zoo_core.evaluation.feature_spaces import IDENTITY
from zoo_core.evaluation.human import HUMAN
from zoo_core.evaluation.metrics import DataMetric, Metric
from zoo_core.evaluation.real_data import RealData
from zoo_core.evaluation.reference_statistics import REFERENCE, moments_of
from zoo_core.images import is_image
from zoo_core.interfaces import DatasetConfig
from zoo_core.pretrained import Pretrained
from zoo_core.registry import registry, resolve
from zoo_core.specs import CheckpointSpec, MetricSpec

__all__ = ["default_feature_space", "make_metric", "training_data", "training_data_config"]


def make_metric(name: str, options: Mapping[str, Any] | None = None) -> Metric | DataMetric:
    """Makes a metric by its registered name; options that are not given have their defaults.

    Raises:
        UsageError: if people measure it.
        UnknownNameError: if no installed plugin has a metric of that name.
        ConfigError: if the metric has no such option, or refuses its value.

    >>> make_metric("kid", {"degree": 2})
    KernelDistance(degree=2)
    """
    if name in HUMAN:
        raise UsageError(f"{name} is measured by people", "`zoo study` writes the page for them, and `zoo tally` counts their answers")
    made: Metric | DataMetric = decode(resolve(registry().spec(MetricSpec, name).target), options or {}, name)
    return made


def training_data_config(files: Files, changes: Sequence[str] = ()) -> DatasetConfig:
    """The config of the data that a checkpoint was trained on, by its training record.

    A download that the record asks for is not done: only the user can ask for it, among the changes.

    Args:
        files: files of the checkpoint.
        changes: changes of the config, such as ``split=test``.

    Raises:
        ConfigError: if there is no record or it names no data, or if the config has no such field.
    """
    if TRAINING in files.names:
        plain = files.json(TRAINING).get("recipe", {}).get("data")
        if isinstance(plain, dict):
            plain = {**plain, "download": False} if "download" in plain else plain
            return decode(DatasetConfig, apply_overrides(plain, changes), f"{TRAINING}: data", prefer=files.dist)
    raise ConfigError(f"{files.name} does not say what data it was trained on", "pass --data")


def training_data(model: Pretrained) -> RealData:
    """The data that a model was trained on, with its moments if the checkpoint has them."""
    config, trained = training_data_config(model.files), model.files.json(TRAINING).get("data", {})
    digest = trained.get("digest", "") if isinstance(trained, dict) else ""
    moments = moments_of(model.files.read(REFERENCE), digest) if digest and REFERENCE in model.files.names else {}
    real = RealData(config, model.event.shape, digest=digest if moments else "")
    real.moments = moments
    return real


def default_feature_space(config: DatasetConfig, shape: Sequence[int]) -> str:
    """The name of the feature space in which the zoo compares samples of a data set.

    Args:
        config: config of the data set.
        shape: shape of a sample.

    Raises:
        UsageError: if no installed plugin has a feature space for such images.

    >>> from zoo_core.datasets import MoonsConfig
    >>> default_feature_space(MoonsConfig(), (2,))
    'identity'
    """
    if not is_image(shape):
        return IDENTITY
    name = registry().name_of("dataset", type(config))
    captioned = isinstance(config, CaptionedConfig) and f"classifier-{name}" in registry().claims(CheckpointSpec)
    known = captioned or name in ("mnist", "fashion-mnist", "cifar10")
    space = f"classifier-{name if known else 'mnist' if shape[0] == 1 else 'cifar10'}"
    if space not in registry().claims(CheckpointSpec):
        hint = "pip install zoo-classifier, or pass --features: inception, timm:resnet18, or a checkpoint that gives features"
        raise UsageError(f"the feature space {space}, which is for such images, is not installed", hint)
    return space
