"""The text-diffusion plugin: the specs that ``zoo`` reads before anything is imported."""

from collections.abc import Iterable

from zoo_core.hookspecs import hookimpl
from zoo_core.specs import ModelSpec, RecipeSpec, Spec, checkpoints


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
        ModelSpec(
            name="embedding-diffusion",
            target="zoo_text_diffusion.embedding:EmbeddingDiffusion",
            config="zoo_text_diffusion.config:EmbeddingDiffusionConfig",
            trainer="model-loss",
            sampler="ancestral",
            capabilities=frozenset({"latent", "encode", "text"}),
            paper="arXiv:2205.14217",
            summary="Gaussian diffusion on embeddings of tokens; the nearest token at each place",
        ),
        RecipeSpec(
            name="pydoc",
            family="embedding-diffusion",
            target="zoo_text_diffusion.recipes:EMBEDDING_PYDOC",
            summary="pieces of Python's help texts",
        ),
        RecipeSpec(
            name="pydoc",
            family="mask-diffusion",
            target="zoo_text_diffusion.recipes:MASK_PYDOC",
            summary="pieces of Python's help texts, twenty minutes on one CPU core",
        ),
        *checkpoints("zoo_text_diffusion"),
    ]
