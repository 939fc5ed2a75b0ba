"""The wgan-gp plugin: what ``zoo`` reads of it before anything is used."""

from collections.abc import Iterable

from zoo_core.hookspecs import hookimpl
from zoo_core.specs import ModelSpec, RecipeSpec, Spec, TrainerSpec, checkpoints

FAMILY, PAPER = "wgan-gp", "arXiv:1704.00028"


def _recipe(name: str, target: str, summary: str) -> RecipeSpec:
    return RecipeSpec(name=name, family=FAMILY, target=f"zoo_wgan_gp.recipes:{target}", summary=summary)


@hookimpl
def zoo_specs() -> Iterable[Spec]:
    return [
        ModelSpec(
            name=FAMILY,
            target="zoo_wgan_gp.model:WGANGP",
            config="zoo_wgan_gp.config:WGANGPConfig",
            trainer=FAMILY,
            sampler="latent",
            capabilities=frozenset({"decode"}),
            paper=PAPER,
            summary="Wasserstein GANs: a generator against a critic with a gradient penalty or clipped weights",
        ),
        TrainerSpec(
            name=FAMILY,
            target="zoo_wgan_gp.trainer:WGANGPTrainer",
            config="zoo_wgan_gp.config:WGANGPTrainerConfig",
            paper=PAPER,
            summary="the dual of the Wasserstein distance, with a gradient penalty or weight clipping",
        ),
        _recipe("fashion-mnist", "FASHION_MNIST", "clothes, an hour on one CPU core"),
        _recipe("mnist", "MNIST", "digits, an hour on one CPU core"),
        _recipe("paper", "PAPER_CIFAR10", "CIFAR-10 as in Gulrajani et al. 2017, appendix F"),
        *checkpoints("zoo_wgan_gp"),
    ]
