"""The projected-gan plugin: the specs that ``zoo`` reads before anything is imported."""

from collections.abc import Iterable

from zoo_core.hookspecs import hookimpl
from zoo_core.specs import Spec, family


@hookimpl
def zoo_specs() -> Iterable[Spec]:
    return family(
        "projected-gan",
        package="zoo_projected_gan",
        model="ProjectedGAN",
        trainer="ProjectedGANTrainer",
        trains="decode",
        capabilities={"decode"},
        sampler="latent",
        paper="arXiv:2111.01007",
        summary="convolutional generators, trained against critics of frozen features",
        training="critics that see random mixtures of a frozen net's features, for every model that decodes",
        recipes={"fashion-mnist": ("FASHION_MNIST", "articles of clothing, seen through a classifier of digits")},
    )
