"""The projection-cgan plugin: what ``zoo`` reads of it before anything is used."""

from collections.abc import Iterable

from zoo_core.hookspecs import hookimpl
from zoo_core.specs import ModelSpec, RecipeSpec, Spec, TrainerSpec, checkpoints

FAMILY, PAPER = "projection-cgan", "arXiv:1802.05637"


def _recipe(name: str, target: str, summary: str) -> RecipeSpec:
    return RecipeSpec(name=name, family=FAMILY, target=f"zoo_projection_cgan.recipes:{target}", summary=summary)


@hookimpl
def zoo_specs() -> Iterable[Spec]:
    return [
        ModelSpec(
            name=FAMILY,
            target="zoo_projection_cgan.model:Generator",
            config="zoo_projection_cgan.config:ProjectionCGANConfig",
            trainer=FAMILY,
            sampler="latent",
            capabilities=frozenset({"decode", "labels"}),
            paper=PAPER,
            summary="images of a chosen class, by a GAN whose discriminator projects onto the class",
        ),
        TrainerSpec(
            name=FAMILY,
            target="zoo_projection_cgan.trainer:ProjectionCGANTrainer",
            config="zoo_projection_cgan.config:ProjectionCGANTrainerConfig",
            paper=PAPER,
            summary="hinge or non-saturating loss, with spectral norm in the discriminator",
        ),
        _recipe("fashion-mnist", "FASHION_MNIST", "clothing by class, two hours on one CPU core"),
        _recipe("paper", "PAPER", "CIFAR-10 as in the paper"),
        *checkpoints("zoo_projection_cgan"),
    ]
