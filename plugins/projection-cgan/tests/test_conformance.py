"""The projection-cgan family passes zoo_core's conformance checks, with many classes and with one."""

from zoo_core.testing import parametrize_checks
from zoo_core.testing.conformance import Check
from zoo_projection_cgan.config import ProjectionCGANConfig, ProjectionCGANTrainerConfig

SMALL = ProjectionCGANConfig(shape=(1, 12, 12), num_classes=3, latent=4, width=4, multipliers=(2, 1))
ONE_CLASS = ProjectionCGANConfig(shape=(3, 8, 8), num_classes=1, latent=2, width=4, multipliers=(1,))


@parametrize_checks("projection-cgan", config=SMALL, trainer=ProjectionCGANTrainerConfig(width=4, multipliers=(1, 2, 2), class_bias=True))
def test_a_conditional_gan_conforms(check: Check) -> None:
    check()


@parametrize_checks("projection-cgan", config=ONE_CLASS, trainer=ProjectionCGANTrainerConfig(width=4, loss="non-saturating", n_critic=1))
def test_a_gan_of_one_class_conforms(check: Check) -> None:
    check()
