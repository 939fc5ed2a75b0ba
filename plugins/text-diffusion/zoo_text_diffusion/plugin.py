"""The text-diffusion plugin: the specs that ``zoo`` reads before anything is imported."""

from collections.abc import Iterable

from zoo_core.hookspecs import hookimpl
from zoo_core.specs import ModelSpec, RecipeSpec, Spec


@hookimpl
def zoo_specs() -> Iterable[Spec]:
    return [
        ModelSpec(
            name="mask-diffusion",
            target="zoo_text_diffusion.model:MaskDiffusion",
            config="zoo_text_diffusion.config:MaskDiffusionConfig",
            trainer="model-loss",
            sampler="unmask",
            capabilities=frozenset({"unmask", "density", "text"}),
            paper="arXiv:2406.07524",
            summary="texts whose hidden places are shown in any order, with a bound on their probability",
        ),
        RecipeSpec(
            name="pydoc",
            family="mask-diffusion",
            target="zoo_text_diffusion.recipes:MASK_PYDOC",
            summary="pieces of Python's help texts, twenty minutes on one CPU core",
        ),
    ]
