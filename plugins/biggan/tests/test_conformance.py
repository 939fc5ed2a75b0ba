"""The biggan family passes zoo_core's conformance checks, with attention in both nets and without."""

from zoo_biggan.config import BigGANConfig, BigGANTrainerConfig
from zoo_core.testing import parametrize_checks
from zoo_core.testing.conformance import Check

ATTENDING = BigGANConfig(shape=(1, 12, 12), num_classes=3, latent=6, embedding=3, width=4, multipliers=(2, 1), attention=(6,))
ONE_CLASS = BigGANConfig(shape=(3, 8, 8), num_classes=1, latent=4, embedding=2, width=4, multipliers=(1,), attention=())


@parametrize_checks(
    "biggan", config=ATTENDING, trainer=BigGANTrainerConfig(width=4, multipliers=(1, 2), halvings=1, attention=(6,), orthogonal=1e-3)
)
def test_a_gan_with_attention_conforms(check: Check) -> None:
    check()


@parametrize_checks(
    "biggan",
    config=ONE_CLASS,
    trainer=BigGANTrainerConfig(
        n_critic=2, width=4, multipliers=(1, 1), halvings=2, attention=(), augment=("colour", "translation", "cutout")
    ),
)
def test_an_augmented_gan_of_one_class_without_attention_conforms(check: Check) -> None:
    check()
