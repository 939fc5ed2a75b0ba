"""The dcgan family passes zoo_core's conformance checks, with both kernels, of even and of odd sides."""

from zoo_core.testing import parametrize_checks
from zoo_core.testing.conformance import Check
from zoo_dcgan.config import DCGANConfig, DCGANTrainerConfig


@parametrize_checks("dcgan", config=DCGANConfig(shape=(1, 14, 14), latent=3, width=4, stages=2), trainer=DCGANTrainerConfig(width=4))
def test_a_dcgan_of_grey_images_conforms(check: Check) -> None:
    check()


@parametrize_checks(
    "dcgan",
    config=DCGANConfig(shape=(3, 16, 16), latent=5, width=2, stages=2, kernel=4),
    trainer=DCGANTrainerConfig(width=2, loss="least-squares"),
)
def test_a_dcgan_of_even_kernels_conforms(check: Check) -> None:
    check()
