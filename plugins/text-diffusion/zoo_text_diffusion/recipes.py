"""The named recipes of the families of text diffusion."""

from zoo_core.data.text_sets import PydocConfig
from zoo_core.recipes import EMAConfig, FitConfig, OptimizerConfig, Recipe
from zoo_core.samplers import Unmask
from zoo_core.vocabulary import Vocabulary
from zoo_text_diffusion.config import MaskDiffusionConfig

__all__ = ["MASK_PYDOC"]

MASK_PYDOC = Recipe(
    model=MaskDiffusionConfig(),
    fit=FitConfig(
        steps=3500,
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
