"""The autoregressive families pass zoo_core's conformance checks, with every likelihood."""

from zoo_autoregressive.config import PixelCNNConfig, PixelTransformerConfig, TextTransformerConfig
from zoo_core.testing import parametrize_checks
from zoo_core.testing.conformance import Check
from zoo_core.vocabulary import Vocabulary

BINARY = PixelCNNConfig(shape=(1, 4, 4), layers=2, channels=4, hidden=4, first_kernel=3)
COLOURS = PixelCNNConfig(
    shape=(3, 2, 3), layers=2, channels=4, hidden=4, kernel=5, first_kernel=3, likelihood="logistic-mixture", mixtures=2
)
LEVELS = PixelTransformerConfig(shape=(1, 3, 3), layers=1, width=8, heads=2, likelihood="categorical")
LETTERS = TextTransformerConfig(vocabulary=Vocabulary(tokens=("a", "b", "c")), length=4, layers=1, width=8, heads=2)


@parametrize_checks("pixelcnn", config=BINARY)
def test_a_pixelcnn_of_binary_images_conforms(check: Check) -> None:
    check()


@parametrize_checks("pixelcnn", config=COLOURS)
def test_a_pixelcnn_of_colours_conforms(check: Check) -> None:
    check()


@parametrize_checks("pixel-transformer", config=LEVELS)
def test_a_transformer_of_8_bit_images_conforms(check: Check) -> None:
    check()


@parametrize_checks("text-transformer", config=LETTERS)
def test_a_transformer_of_texts_conforms(check: Check) -> None:
    check()
