"""The inpainting-gan plugin: the specs that ``zoo`` reads before anything is imported."""

from collections.abc import Iterable

from zoo_core.hookspecs import hookimpl
from zoo_core.specs import ModelSpec, RecipeSpec, Spec, TrainerSpec


@hookimpl
def zoo_specs() -> Iterable[Spec]:
    return [
        ModelSpec(
            name="inpainting-gan",
            target="zoo_inpainting_gan.model:InpaintingGAN",
            config="zoo_inpainting_gan.config:InpaintingGANConfig",
            trainer="inpainting-gan",
            capabilities=frozenset({"fill"}),
            paper="arXiv:1604.07379",
            summary="nets that fill holes in images in one pass, such as context encoders",
        ),
        TrainerSpec(
            name="inpainting-gan",
            target="zoo_inpainting_gan.trainer:InpaintingGANTrainer",
            config="zoo_inpainting_gan.config:InpaintingGANTrainerConfig",
            paper="arXiv:1604.07379",
            summary="the squared error on hidden pixels, and a critic of patches",
        ),
        RecipeSpec(
            name="afhq-cat",
            family="inpainting-gan",
            target="zoo_inpainting_gan.recipes:AFHQ_CAT",
            summary="32x32 photographs with halves, boxes and strokes hidden",
        ),
        RecipeSpec(
            name="reconstruction",
            family="inpainting-gan",
            target="zoo_inpainting_gan.recipes:RECONSTRUCTION",
            summary="the same by the squared error alone, without a critic",
        ),
    ]
