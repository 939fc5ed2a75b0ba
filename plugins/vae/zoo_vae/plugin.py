"""The vae plugin: the specs that ``zoo`` reads before anything is imported."""

from collections.abc import Iterable

from zoo_core.hookspecs import hookimpl
from zoo_core.specs import Spec, family


@hookimpl
def zoo_specs() -> Iterable[Spec]:
    return family(
        "vae",
        package="zoo_vae",
        model="VAE",
        trainer="VAETrainer",
        capabilities={"decode", "encode", "density"},
        sampler="latent",
        paper="arXiv:1312.6114",
        summary="variational autoencoders: latents that explain the data, and a bound on its likelihood",
        training="the evidence lower bound, with beta and free bits",
        recipes={
            "mnist": ("MNIST", "binary digits, 20 minutes on one CPU core"),
            "latent-2d": ("LATENT_2D", "binary digits on a plane of 2 latents, for a map of them: 6 minutes on one CPU core"),
        },
    )
