"""The classifier family passes zoo_core's conformance checks."""

from zoo_classifier.config import ClassifierConfig, ClassifierTrainerConfig
from zoo_core.testing import parametrize_checks
from zoo_core.testing.conformance import Check


@parametrize_checks("classifier", config=ClassifierConfig(image_size=9, num_classes=3, widths=(4, 6, 8)))
def test_classifier_conforms(check: Check) -> None:
    check()


@parametrize_checks(
    "classifier",
    config=ClassifierConfig(image_size=8, channels=3, num_classes=2, widths=(4, 8), blocks=2),
    trainer=ClassifierTrainerConfig(label_smoothing=0.1, shift=0, cutout=3),
)
def test_a_deeper_classifier_of_colour_images_conforms(check: Check) -> None:
    check()
