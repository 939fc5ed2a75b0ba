"""The projected-gan family passes zoo_core's conformance checks, with one frozen net and with augmentation."""

from zoo_core.testing import parametrize_checks
from zoo_core.testing.conformance import Check
from zoo_projected_gan.config import ProjectedGANConfig, ProjectedGANTrainerConfig

SMALL = ProjectedGANTrainerConfig(backbone="test_resnet", backbone_side=32, levels=(0, 1), mixed=4, width=4)


@parametrize_checks("projected-gan", config=ProjectedGANConfig(shape=(1, 7, 7), latent=3, width=4, stages=1), trainer=SMALL)
def test_a_gan_of_grey_images_conforms(check: Check) -> None:
    check()


@parametrize_checks(
    "projected-gan",
    config=ProjectedGANConfig(shape=(3, 8, 8), latent=3, width=4, stages=1, kernel=4),
    trainer=ProjectedGANTrainerConfig(
        backbone="test_resnet", backbone_side=32, levels=(1,), mixed=4, width=4, loss="non-saturating", augment=("translation",)
    ),
)
def test_an_augmented_gan_of_colour_images_conforms(check: Check) -> None:
    check()
