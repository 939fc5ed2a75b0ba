"""The text-to-image plugin: the specs that ``zoo`` reads before anything is imported."""

from collections.abc import Iterable

from zoo_core.hookspecs import hookimpl
from zoo_core.specs import ModelSpec, RecipeSpec, Spec, TrainerSpec


@hookimpl
def zoo_specs() -> Iterable[Spec]:
    return [
        ModelSpec(
            name="text-to-image",
            target="zoo_text_to_image.model:TextToImage",
            config="zoo_text_to_image.config:TextToImageConfig",
            trainer="text-to-image",
            sampler="dpmpp-2m",
            capabilities=frozenset({"denoise", "condition"}),
            paper="arXiv:2112.10752",
            summary="diffusion models that draw what a text says, with a text encoder trained along",
        ),
        TrainerSpec(
            name="text-to-image",
            target="zoo_text_to_image.trainer:TextToImageTrainer",
            config="zoo_text_to_image.config:TextToImageTrainerConfig",
            paper="arXiv:2202.00512",
            summary="v-prediction given captions, some of which are withheld",
        ),
        RecipeSpec(
            name="captioned-mnist",
            family="text-to-image",
            target="zoo_text_to_image.recipes:CAPTIONED_MNIST",
            summary="digits in colours and places by captions",
        ),
        RecipeSpec(
            name="captioned-fashion-mnist",
            family="text-to-image",
            target="zoo_text_to_image.recipes:CAPTIONED_FASHION_MNIST",
            summary="clothes in colours and places by captions",
        ),
        ModelSpec(
            name="unclip",
            target="zoo_text_to_image.unclip:UnCLIP",
            config="zoo_text_to_image.unclip_config:UnCLIPConfig",
            trainer="unclip",
            sampler="dpmpp-2m",
            capabilities=frozenset({"denoise", "condition"}),
            paper="arXiv:2204.06125",
            summary="a prior that draws the embedding of an image for a text, and a decoder that draws the image: DALL-E 2",
        ),
        TrainerSpec(
            name="unclip",
            target="zoo_text_to_image.unclip_trainer:UnCLIPTrainer",
            config="zoo_text_to_image.unclip_config:UnCLIPTrainerConfig",
            paper="arXiv:2204.06125",
            summary="prior and decoder on the embeddings of a frozen CLIP",
        ),
        RecipeSpec(
            name="captioned-mnist",
            family="unclip",
            target="zoo_text_to_image.unclip_recipes:CAPTIONED_MNIST",
            summary="digits in colours and places by captions",
        ),
    ]
