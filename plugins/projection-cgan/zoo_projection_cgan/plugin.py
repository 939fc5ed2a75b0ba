"""The projection-cgan plugin: the specs that ``zoo`` reads before anything is imported."""

from collections.abc import Iterable

from zoo_core.hookspecs import hookimpl
from zoo_core.specs import Spec, family


@hookimpl
def zoo_specs() -> Iterable[Spec]:
    return family(
        "projection-cgan",
        package="zoo_projection_cgan",
        model="Generator",
        config="ProjectionCGANConfig",
        trainer="ProjectionCGANTrainer",
        capabilities={"decode", "labels"},
        sampler="latent",
        paper="arXiv:1802.05637",
        summary="images of a chosen class, by a GAN whose discriminator projects onto the class",
        training="hinge or non-saturating loss, with spectral norm in the discriminator",
        recipes={
            "fashion-mnist": ("FASHION_MNIST", "clothing by class, two hours on one CPU core"),
            "paper": ("PAPER", "CIFAR-10 as in the paper"),
        },
    )
