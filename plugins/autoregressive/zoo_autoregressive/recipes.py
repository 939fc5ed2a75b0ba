"""The named recipes of the families pixelcnn, pixel-transformer and text-transformer."""

from zoo_autoregressive.config import PixelCNNConfig, PixelTransformerConfig, TextTransformerConfig
from zoo_core.data.text_sets import PydocConfig
from zoo_core.datasets import MNISTConfig
from zoo_core.recipes import EMAConfig, FitConfig, OptimizerConfig, Recipe
from zoo_core.samplers import Latent
from zoo_core.vocabulary import Vocabulary

__all__ = ["MNIST", "TEXT_PYDOC", "TRANSFORMER_MNIST"]

MNIST = Recipe(
    model=PixelCNNConfig(),
    fit=FitConfig(
        steps=20_000,
        batch_size=16,
        optimizer=OptimizerConfig(name="adam", lr=2e-3, options={"fused": True}),
        lr_schedule="cosine",
        warmup=200,
        clip_norm=1.0,
        ema=EMAConfig(decay=0.999),
        precision="auto",
        sample_every=5000,
    ),
    data=MNISTConfig(),
    sampler=Latent(),
)
"""Digits as binary images, in about an hour of one CPU core: five epochs of small batches."""

TRANSFORMER_MNIST = Recipe(
    model=PixelTransformerConfig(),
    fit=FitConfig(
        steps=20_000,
        batch_size=16,
        optimizer=OptimizerConfig(name="adam", lr=1e-3, options={"fused": True}),
        lr_schedule="cosine",
        warmup=500,
        clip_norm=1.0,
        ema=EMAConfig(decay=0.999),
        precision="auto",
        sample_every=5000,
    ),
    data=MNISTConfig(),
    sampler=Latent(),
)
"""Digits as binary images, by attention over all pixels before."""

TEXT_PYDOC = Recipe(
    model=TextTransformerConfig(),
    fit=FitConfig(
        steps=2000,
        batch_size=32,
        optimizer=OptimizerConfig(name="adamw", lr=3e-3, weight_decay=0.01, options={"fused": True, "betas": [0.9, 0.98]}),
        lr_schedule="cosine",
        warmup=100,
        clip_norm=1.0,
        ema=EMAConfig(decay=0.995),
        sample_every=1000,
    ),
    data=PydocConfig(vocabulary=Vocabulary(unit="piece")),
    sampler=Latent(),
)
"""Windows of 64 pieces, about 158 characters, of Python's help texts, in about ten minutes of one CPU core."""
