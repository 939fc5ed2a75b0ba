"""The wgan-gp plugin: the specs that ``zoo`` reads before anything is imported."""

from collections.abc import Iterable

from zoo_core.hookspecs import hookimpl
from zoo_core.specs import Spec, family


@hookimpl
def zoo_specs() -> Iterable[Spec]:
    return family(
        "wgan-gp",
        package="zoo_wgan_gp",
        model="WGANGP",
        trainer="WGANGPTrainer",
        capabilities={"decode"},
        sampler="latent",
        paper="arXiv:1704.00028",
        summary="Wasserstein GANs: a generator against a critic with a gradient penalty or clipped weights",
        training="the dual of the Wasserstein distance, with a gradient penalty or weight clipping",
        recipes={
            "fashion-mnist": ("FASHION_MNIST", "clothes, an hour on one CPU core"),
            "mnist": ("MNIST", "digits, an hour on one CPU core"),
            "paper": ("PAPER_CIFAR10", "CIFAR-10 as in Gulrajani et al. 2017, appendix F"),
        },
    )
