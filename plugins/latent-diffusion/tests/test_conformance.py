"""The families and their trainers pass zoo_core's conformance checks."""

from zoo_core.interfaces import Teacher
from zoo_core.testing import parametrize_checks
from zoo_core.testing.conformance import Check
from zoo_latent_diffusion.config import AutoencoderConfig, AutoencoderTrainerConfig

SMALL = AutoencoderConfig(image_size=8, latent_channels=2, width=4)
FEATURES = AutoencoderTrainerConfig(features=Teacher(reference="classifier-cifar10"), layers=("body.1",), critic_width=4)


@parametrize_checks("kl-autoencoder", config=SMALL, trainer=FEATURES)
def test_an_autoencoder_conforms(check: Check) -> None:
    check()


@parametrize_checks(
    "kl-autoencoder",
    config=AutoencoderConfig(image_size=8, channels=1, patch=1, width=4, multipliers=(1, 1), blocks=2),
    trainer=AutoencoderTrainerConfig(critic_weight=0.0),
)
def test_an_autoencoder_of_grey_images_without_a_critic_conforms(check: Check) -> None:
    check()
