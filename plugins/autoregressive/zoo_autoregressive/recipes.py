"""The named recipes of the families pixelcnn and pixel-transformer."""

from zoo_autoregressive.config import PixelCNNConfig, PixelTransformerConfig
from zoo_core.datasets import MNISTConfig
from zoo_core.recipes import EMAConfig, FitConfig, OptimizerConfig, Recipe
from zoo_core.samplers import Latent

__all__ = ["MNIST", "TRANSFORMER_MNIST"]

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
