"""The autoregressive plugin: the specs that ``zoo`` reads before anything is imported."""

from collections.abc import Iterable

from zoo_core.hookspecs import hookimpl
from zoo_core.specs import ModelSpec, RecipeSpec, Spec, checkpoints

ABLE = frozenset({"decode", "density"})


@hookimpl
def zoo_specs() -> Iterable[Spec]:
    return [
        ModelSpec(
            name="pixelcnn",
            target="zoo_autoregressive.model:PixelCNN",
            config="zoo_autoregressive.config:PixelCNNConfig",
            trainer="model-loss",
            sampler="latent",
            capabilities=ABLE,
            paper="arXiv:1606.05328",
            summary="gated convolutions over the pixels before: exact probabilities of binary and 8-bit images",
        ),
        ModelSpec(
            name="pixel-transformer",
            target="zoo_autoregressive.model:PixelTransformer",
            config="zoo_autoregressive.config:PixelTransformerConfig",
            trainer="model-loss",
            sampler="latent",
            capabilities=ABLE,
            paper="arXiv:1904.10509",
            summary="causal attention over the pixels before: exact probabilities of binary and 8-bit images",
        ),
        ModelSpec(
            name="text-transformer",
            target="zoo_autoregressive.text:TextTransformer",
            config="zoo_autoregressive.config:TextTransformerConfig",
            trainer="model-loss",
            sampler="latent",
            capabilities=ABLE | {"text"},
            summary="causal attention over the earlier tokens of a text: exact probabilities of texts",
        ),
        RecipeSpec(
            name="pydoc",
            family="text-transformer",
            target="zoo_autoregressive.recipes:TEXT_PYDOC",
            summary="pieces of Python's help texts, half a million weights",
        ),
        RecipeSpec(
            name="mnist",
            family="pixelcnn",
            target="zoo_autoregressive.recipes:MNIST",
            summary="binary digits, an hour on one CPU core",
        ),
        RecipeSpec(
            name="mnist",
            family="pixel-transformer",
            target="zoo_autoregressive.recipes:TRANSFORMER_MNIST",
            summary="binary digits, some hours on one CPU core",
        ),
        *checkpoints("zoo_autoregressive"),
    ]
