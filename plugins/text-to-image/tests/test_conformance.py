"""The family and its trainer pass zoo_core's conformance checks."""

from zoo_core.testing import parametrize_checks
from zoo_core.testing.conformance import Check
from zoo_core.vocabulary import Vocabulary
from zoo_text_to_image.config import TextToImageConfig

WORDS = Vocabulary(unit="word", tokens=("a", "blue", "on", "red", "seven"))
TEXT = {"vocabulary": WORDS, "length": 6, "text_width": 8, "text_layers": 1, "text_heads": 2}


@parametrize_checks("text-to-image", config=TextToImageConfig(image_size=8, dim=8, multipliers=(1, 2), attention=(4,), **TEXT))  # type: ignore[arg-type]  # options of the test
def test_a_model_of_patches_conforms(check: Check) -> None:
    check()


@parametrize_checks(
    "text-to-image", config=TextToImageConfig(image_size=4, channels=1, patch=1, dim=8, multipliers=(1,), attention=(), **TEXT)
)  # type: ignore[arg-type]  # options of the test
def test_a_model_of_grey_images_conforms(check: Check) -> None:
    check()
