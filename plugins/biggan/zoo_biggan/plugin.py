"""The biggan plugin: the specs that ``zoo`` reads before anything is imported."""

from collections.abc import Iterable

from zoo_core.hookspecs import hookimpl
from zoo_core.specs import Spec, family


@hookimpl
def zoo_specs() -> Iterable[Spec]:
    return family(
        "biggan",
        package="zoo_biggan",
        model="BigGAN",
        trainer="BigGANTrainer",
        capabilities={"decode", "labels"},
        sampler="latent",
        paper="arXiv:1809.11096",
        summary="images of a chosen class, by a residual GAN with self-attention, and truncation of its latents",
        training="the hinge loss against a projection critic, with spectral norm in both nets and orthogonal regularisation by option",
        recipes={
            "cifar10": ("CIFAR10", "32x32 photographs of ten classes in folders, small enough for a CPU core"),
            "paper": ("PAPER", "128x128 photographs of 1000 classes in folders, as in Brock et al. 2019"),
        },
    )
