"""The wgan-gp family passes zoo_core's conformance checks, with both nets and both constraints."""

from zoo_core.testing import parametrize_checks
from zoo_core.testing.conformance import Check
from zoo_wgan_gp.config import WGANGPConfig, WGANGPTrainerConfig

CONVOLUTIONS = WGANGPConfig(shape=(1, 7, 7), latent=4, width=2, stages=2)
RESIDUAL = WGANGPConfig(shape=(3, 8, 8), net="resnet", latent=4, width=4, stages=1)


@parametrize_checks("wgan-gp", config=CONVOLUTIONS, trainer=WGANGPTrainerConfig(width=2, constraint="clipping"))
def test_convolutions_and_clipped_weights_conform(check: Check) -> None:
    check()


@parametrize_checks("wgan-gp", config=RESIDUAL, trainer=WGANGPTrainerConfig(width=4, one_sided=True, generator_factor=2))
def test_residual_blocks_and_a_penalty_conform(check: Check) -> None:
    check()
