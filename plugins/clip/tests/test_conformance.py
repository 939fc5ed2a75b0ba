"""The clip family passes zoo_core's conformance checks."""

from dataclasses import replace

from zoo_clip.config import CLIPConfig
from zoo_core.testing import parametrize_checks
from zoo_core.testing.conformance import Check
from zoo_core.vocabulary import Vocabulary

WORDS = Vocabulary(unit="word", tokens=("a", "blue", "on", "red", "seven"))
COLOUR = CLIPConfig(
    image_size=8,
    widths=(4, 8),
    features=6,
    vocabulary=WORDS,
    length=4,
    text_width=8,
    text_layers=1,
    text_heads=2,
    classes=(("a seven",), ("red", "a red", "on red"), ("blue",)),
)


@parametrize_checks("clip", config=COLOUR)
def test_a_model_of_colour_images_conforms(check: Check) -> None:
    check()


@parametrize_checks("clip", config=replace(COLOUR, channels=1, image_size=4, widths=(8,), classes=(("red",), ("blue",))))
def test_a_model_of_one_level_conforms(check: Check) -> None:
    check()
