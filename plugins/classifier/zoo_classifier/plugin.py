"""The classifier plugin: what ``zoo`` reads of it before anything is used."""

from collections.abc import Iterable

from zoo_core.hookspecs import hookimpl
from zoo_core.specs import ModelSpec, RecipeSpec, Spec, TrainerSpec, checkpoints

PAPER = "arXiv:1512.03385"


@hookimpl
def zoo_specs() -> Iterable[Spec]:
    return [
        ModelSpec(
            name="classifier",
            target="zoo_classifier.model:Classifier",
            config="zoo_classifier.config:ClassifierConfig",
            trainer="classifier",
            capabilities=frozenset({"features", "classify"}),
            paper=PAPER,
            summary="small residual nets: features and judges for metrics",
        ),
        TrainerSpec(
            name="classifier",
            target="zoo_classifier.trainer:ClassifierTrainer",
            config="zoo_classifier.config:ClassifierTrainerConfig",
            summary="cross-entropy on shifted images",
        ),
        RecipeSpec(name="mnist", family="classifier", target="zoo_classifier.recipes:MNIST", summary="digits, six minutes on one CPU core"),
        RecipeSpec(
            name="fashion-mnist",
            family="classifier",
            target="zoo_classifier.recipes:FASHION_MNIST",
            summary="clothing, half an hour on one CPU core",
        ),
        RecipeSpec(
            name="cifar10",
            family="classifier",
            target="zoo_classifier.recipes:CIFAR10",
            summary="32x32 photographs in class folders, 35 minutes on one CPU core",
        ),
        *checkpoints("zoo_classifier"),
    ]
