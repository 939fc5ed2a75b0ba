"""The dcgan plugin: the specs that ``zoo`` reads before anything is imported."""

from collections.abc import Iterable

from zoo_core.hookspecs import hookimpl
from zoo_core.specs import Spec, family


@hookimpl
def zoo_specs() -> Iterable[Spec]:
    return family(
        "dcgan",
        package="zoo_dcgan",
        model="DCGAN",
        trainer="DCGANTrainer",
        capabilities={"decode"},
        sampler="latent",
        paper="arXiv:1511.06434",
        summary="deep convolutional generative adversarial networks",
        training="a discriminator against the generator, with adversarial losses by name",
        recipes={
            "mnist": ("MNIST", "digits, 40 minutes on one CPU core"),
            "fashion-mnist": ("FASHION_MNIST", "articles of clothing, 40 minutes on one CPU core"),
            "paper": ("PAPER", "64x64 photographs of a folder, as in Radford et al. 2015"),
        },
    )
