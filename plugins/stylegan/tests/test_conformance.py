"""The stylegan family passes zoo_core's conformance checks: of odd and of even sides, and with every part of its training."""

from zoo_core.testing import parametrize_checks
from zoo_core.testing.conformance import Check
from zoo_stylegan.config import StyleGANConfig, StyleGANTrainerConfig


@parametrize_checks(
    "stylegan",
    config=StyleGANConfig(shape=(1, 7, 7), latent=3, style=4, mapping_layers=2, width=4, stages=1, taps=(1, 1)),
    trainer=StyleGANTrainerConfig(width=4),
)
def test_a_generator_of_odd_sides_conforms(check: Check) -> None:
    check()


@parametrize_checks(
    "stylegan",
    config=StyleGANConfig(shape=(3, 8, 8), latent=3, style=4, mapping_layers=1, width=2, most=3, stages=2, taps=(1, 2, 2, 1)),
    trainer=StyleGANTrainerConfig(width=2, group=0, path_length=2.0, augment=("colour", "translation", "cutout")),
)
def test_a_generator_with_path_lengths_and_augmentation_conforms(check: Check) -> None:
    check()
