"""The vae family passes zoo_core's conformance checks, with every likelihood and both nets."""

from zoo_core.testing import parametrize_checks
from zoo_core.testing.conformance import Check
from zoo_vae.config import VAEConfig, VAETrainerConfig

SMALL = VAEConfig(shape=(1, 6, 6), latent=3, hidden=(8,))
CONVOLUTIONS = VAEConfig(shape=(3, 8, 8), net="conv", latent=3, width=4, likelihood="discretised-logistic")
POINTS = VAEConfig(shape=(2,), latent=2, hidden=(8, 4), likelihood="gaussian", scale="predicted", activation="tanh")


@parametrize_checks("vae", config=SMALL)
def test_a_vae_of_binary_images_conforms(check: Check) -> None:
    check()


@parametrize_checks("vae", config=CONVOLUTIONS, trainer=VAETrainerConfig(beta=2.0))
def test_a_convolutional_vae_of_8_bit_images_conforms(check: Check) -> None:
    check()


@parametrize_checks("vae", config=POINTS, trainer=VAETrainerConfig(free_bits=0.1))
def test_a_vae_of_points_conforms(check: Check) -> None:
    check()
