"""The clip plugin: the specs that ``zoo`` reads before anything is imported."""

from collections.abc import Iterable

from zoo_core.hookspecs import hookimpl
from zoo_core.specs import Spec, family


@hookimpl
def zoo_specs() -> Iterable[Spec]:
    return family(
        "clip",
        package="zoo_clip",
        model="CLIP",
        trainer="CLIPTrainer",
        capabilities={"features", "classify"},
        paper="arXiv:2103.00020",
        summary="images and their captions in one space of features: zero-shot classes, retrieval, and a judge of text to image",
        training="the contrastive loss of images and captions",
        recipes={
            "captioned-mnist": ("CAPTIONED_MNIST", "digits in colours and places, a quarter of an hour on one CPU core"),
            "captioned-fashion-mnist": ("CAPTIONED_FASHION_MNIST", "clothes in colours and places, likewise"),
        },
    )
