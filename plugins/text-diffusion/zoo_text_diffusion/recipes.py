"""The named recipes of the families of text diffusion."""

from dataclasses import replace

from zoo_core.data.text_sets import PydocConfig
from zoo_core.recipes import EMAConfig, FitConfig, OptimizerConfig, Recipe
from zoo_core.samplers import Ancestral, Unmask
from zoo_core.vocabulary import Vocabulary
from zoo_text_diffusion.config import EmbeddingDiffusionConfig, MaskDiffusionConfig

__all__ = ["EMBEDDING_PYDOC", "MASK_PYDOC"]

MASK_PYDOC = Recipe(
    model=MaskDiffusionConfig(),
    fit=FitConfig(
        steps=5000,
        batch_size=32,
        optimizer=OptimizerConfig(name="adamw", lr=3e-3, weight_decay=0.01, options={"fused": True, "betas": [0.9, 0.98]}),
        lr_schedule="cosine",
        warmup=100,
        clip_norm=1.0,
        ema=EMAConfig(decay=0.995),
        sample_every=1000,
    ),
    data=PydocConfig(vocabulary=Vocabulary(unit="piece")),
    sampler=Unmask(),
)
"""Windows of 64 pieces, about 158 characters, of Python's help texts, in about twenty minutes of one CPU core."""

EMBEDDING_PYDOC = Recipe(
    model=EmbeddingDiffusionConfig(),
    fit=replace(MASK_PYDOC.fit, steps=6000, optimizer=replace(MASK_PYDOC.fit.optimizer, lr=1e-3)),
    data=MASK_PYDOC.data,
    sampler=Ancestral(steps=100),
)
"""The same windows by Gaussian diffusion on embeddings of 32 components."""
