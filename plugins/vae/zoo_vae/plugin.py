"""The vae plugin: what ``zoo`` reads of it before anything is used."""

from collections.abc import Iterable

from zoo_core.hookspecs import hookimpl
from zoo_core.specs import ModelSpec, RecipeSpec, Spec, TrainerSpec, checkpoints

FAMILY, PAPER = "vae", "arXiv:1312.6114"


def _recipe(name: str, target: str, summary: str) -> RecipeSpec:
    return RecipeSpec(name=name, family=FAMILY, target=f"zoo_vae.recipes:{target}", summary=summary)


@hookimpl
def zoo_specs() -> Iterable[Spec]:
    return [
        ModelSpec(
            name=FAMILY,
            target="zoo_vae.model:VAE",
            config="zoo_vae.config:VAEConfig",
            trainer=FAMILY,
            sampler="latent",
            capabilities=frozenset({"decode", "encode", "density"}),
            paper=PAPER,
            summary="variational autoencoders: latents that explain the data, and a bound on its likelihood",
        ),
        TrainerSpec(
            name=FAMILY,
            target="zoo_vae.trainer:VAETrainer",
            config="zoo_vae.config:VAETrainerConfig",
            paper=PAPER,
            summary="the evidence lower bound, with beta and free bits",
        ),
        _recipe("mnist", "MNIST", "binary digits, 20 minutes on one CPU core"),
        _recipe("latent-2d", "LATENT_2D", "binary digits on a plane of 2 latents, for a map of them: 6 minutes on one CPU core"),
        *checkpoints("zoo_vae"),
    ]
