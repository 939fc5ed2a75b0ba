"""The dcgan plugin: what ``zoo`` reads of it before anything is used."""

from collections.abc import Iterable

from zoo_core.hookspecs import hookimpl
from zoo_core.specs import ModelSpec, RecipeSpec, Spec, TrainerSpec, checkpoints

FAMILY, PAPER = "dcgan", "arXiv:1511.06434"


def _recipe(name: str, target: str, summary: str) -> RecipeSpec:
    return RecipeSpec(name=name, family=FAMILY, target=f"zoo_dcgan.recipes:{target}", summary=summary)


@hookimpl
def zoo_specs() -> Iterable[Spec]:
    return [
        ModelSpec(
            name=FAMILY,
            target="zoo_dcgan.model:DCGAN",
            config="zoo_dcgan.config:DCGANConfig",
            trainer=FAMILY,
            sampler="latent",
            capabilities=frozenset({"decode"}),
            paper=PAPER,
            summary="deep convolutional generative adversarial networks",
        ),
        TrainerSpec(
            name=FAMILY,
            target="zoo_dcgan.trainer:DCGANTrainer",
            config="zoo_dcgan.config:DCGANTrainerConfig",
            paper=PAPER,
            summary="a discriminator against the generator, with adversarial losses by name",
        ),
        _recipe("mnist", "MNIST", "digits, 40 minutes on one CPU core"),
        _recipe("fashion-mnist", "FASHION_MNIST", "articles of clothing, 40 minutes on one CPU core"),
        _recipe("paper", "PAPER", "64x64 photographs of a folder, as in Radford et al. 2015"),
        *checkpoints("zoo_dcgan"),
    ]
