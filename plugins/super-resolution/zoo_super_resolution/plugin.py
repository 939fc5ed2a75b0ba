"""The super-resolution plugin: the specs that ``zoo`` reads before anything is imported."""

from collections.abc import Iterable

from zoo_core.hookspecs import hookimpl
from zoo_core.specs import ModelSpec, RecipeSpec, Spec, TrainerSpec


@hookimpl
def zoo_specs() -> Iterable[Spec]:
    return [
        ModelSpec(
            name="super-resolution",
            target="zoo_super_resolution.model:SuperResolution",
            config="zoo_super_resolution.config:SuperResolutionConfig",
            trainer="super-resolution",
            sampler="dpmpp-2m",
            capabilities=frozenset({"denoise", "condition"}),
            paper="arXiv:2106.15282",
            summary="diffusion models that enlarge images: the later stages of cascades",
        ),
        TrainerSpec(
            name="super-resolution",
            target="zoo_super_resolution.trainer:SuperResolutionTrainer",
            config="zoo_super_resolution.config:SuperResolutionTrainerConfig",
            paper="arXiv:2106.15282",
            summary="denoising given a noisy image of lower resolution",
        ),
        RecipeSpec(
            name="afhq-cat",
            family="super-resolution",
            target="zoo_super_resolution.recipes:AFHQ_CAT",
            summary="photographs of 32x32 pixels to 64x64",
        ),
    ]
