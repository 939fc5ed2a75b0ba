"""The named recipes of the classifier family."""

from zoo_classifier.config import ClassifierConfig, ClassifierTrainerConfig
from zoo_core.data.captioned_sets import CaptionedFashionMNISTConfig, CaptionedMNISTConfig
from zoo_core.datasets import FashionMNISTConfig, FolderConfig, MNISTConfig
from zoo_core.recipes import EMAConfig, FitConfig, OptimizerConfig, Recipe

__all__ = ["CAPTIONED_FASHION_MNIST", "CAPTIONED_MNIST", "CIFAR10", "FASHION_MNIST", "MNIST"]


def _fit(steps: int) -> FitConfig:
    """SGD with momentum; the learning rate rises for a fifth of the run and falls to 0 (Smith and Topin 2017, arXiv:1708.07120)."""
    return FitConfig(
        steps=steps,
        batch_size=128,
        optimizer=OptimizerConfig(name="sgd", lr=0.2, weight_decay=5e-4),
        lr_schedule="linear",
        warmup=steps // 5,
        ema=EMAConfig(decay=0.999, warmup=True),
        precision="auto",
        channels_last=True,
        sample_every=0,
    )


MNIST = Recipe(
    model=ClassifierConfig(),
    trainer=ClassifierTrainerConfig(shift=2),
    fit=_fit(2000),
    data=MNISTConfig(),
)
"""Digits, in about six minutes on one CPU core: four epochs. They are not mirrored, since some digits would become unreadable."""

FASHION_MNIST = Recipe(
    model=ClassifierConfig(),
    trainer=ClassifierTrainerConfig(shift=1),
    fit=_fit(5500),
    data=FashionMNISTConfig(flip=True),
)
"""Articles of clothing, in about half an hour on one CPU core: twelve epochs.

In so few epochs, blanked squares and larger shifts cost more than they gain: 1 % of accuracy at 600 steps.
"""

CIFAR10 = Recipe(
    model=ClassifierConfig(image_size=32, channels=3, widths=(32, 64, 128, 128)),
    trainer=ClassifierTrainerConfig(shift=4, cutout=8),
    fit=_fit(7500),
    data=FolderConfig(path="$CIFAR10/train", size=32, flip=True),
)
"""Small colour photographs, in about 35 minutes on one CPU core: nineteen epochs.

``--data cifar10`` reads the published files of the set instead of images in class folders.
"""

CAPTIONED_MNIST = Recipe(
    model=ClassifierConfig(image_size=32, channels=3),
    trainer=ClassifierTrainerConfig(shift=2),
    fit=_fit(2500),
    data=CaptionedMNISTConfig(),
)
"""Digits in colours and places, one or two: the judge of the class in ``caption-accuracy``, in about ten minutes on one CPU core."""

CAPTIONED_FASHION_MNIST = Recipe(
    model=ClassifierConfig(image_size=32, channels=3),
    trainer=ClassifierTrainerConfig(shift=2),
    fit=_fit(5000),
    data=CaptionedFashionMNISTConfig(),
)
"""Clothes in colours and places, one or two, in about twenty minutes on one CPU core."""
