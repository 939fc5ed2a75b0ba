"""The classifier plugin: the specs that ``zoo`` reads before anything is imported."""

from collections.abc import Iterable

from zoo_core.hookspecs import hookimpl
from zoo_core.specs import Spec, family


@hookimpl
def zoo_specs() -> Iterable[Spec]:
    return family(
        "classifier",
        package="zoo_classifier",
        model="Classifier",
        trainer="ClassifierTrainer",
        capabilities={"features", "classify"},
        paper="arXiv:1512.03385",
        summary="small residual nets: features and judges for metrics",
        training="cross-entropy on shifted images",
        recipes={
            "mnist": ("MNIST", "digits, six minutes on one CPU core"),
            "fashion-mnist": ("FASHION_MNIST", "clothing, half an hour on one CPU core"),
            "captioned-mnist": ("CAPTIONED_MNIST", "coloured digits, judges of text to image, ten minutes on one CPU core"),
            "captioned-fashion-mnist": ("CAPTIONED_FASHION_MNIST", "coloured clothes, likewise, twenty minutes on one CPU core"),
            "cifar10": ("CIFAR10", "32x32 photographs in class folders, 35 minutes on one CPU core"),
        },
    )
