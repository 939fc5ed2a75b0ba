"""The family and its trainer pass zoo_core's conformance checks."""

from zoo_core.testing import parametrize_checks
from zoo_core.testing.conformance import Check
from zoo_super_resolution.config import SuperResolutionConfig


@parametrize_checks("super-resolution", config=SuperResolutionConfig(image_size=8, dim=8, multipliers=(1,)))
def test_a_model_of_patches_conforms(check: Check) -> None:
    check()


@parametrize_checks("super-resolution", config=SuperResolutionConfig(image_size=8, channels=1, factor=4, patch=1, dim=8, attention=(4,)))
def test_a_model_of_grey_images_conforms(check: Check) -> None:
    check()
