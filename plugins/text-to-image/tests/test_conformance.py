"""The family and its trainer pass zoo_core's conformance checks."""

from dataclasses import replace

from zoo_core.testing import parametrize_checks
from zoo_core.testing.conformance import Check
from zoo_core.vocabulary import Vocabulary
from zoo_text_to_image.config import TextToImageConfig

WORDS = Vocabulary(unit="word", tokens=("a", "blue", "on", "red", "seven"))
PATCHES = TextToImageConfig(
    image_size=8, dim=8, multipliers=(1, 2), attention=(4,), vocabulary=WORDS, length=6, text_width=8, text_layers=1, text_heads=2
)
GREY = replace(PATCHES, image_size=4, channels=1, patch=1, multipliers=(1,), attention=())


@parametrize_checks("text-to-image", config=PATCHES)
def test_a_model_of_patches_conforms(check: Check) -> None:
    check()


@parametrize_checks("text-to-image", config=GREY)
def test_a_model_of_grey_images_conforms(check: Check) -> None:
    check()
