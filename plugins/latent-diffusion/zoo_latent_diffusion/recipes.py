"""The named recipes of the kl-autoencoder and latent-diffusion families."""

from dataclasses import replace

from zoo_core.data.captioned_sets import CaptionedMNISTConfig
from zoo_core.datasets import FolderConfig
from zoo_core.interfaces import Teacher
from zoo_core.recipes import EMAConfig, FitConfig, OptimizerConfig, Recipe
from zoo_core.samplers import Latent
from zoo_latent_diffusion.config import AutoencoderConfig, AutoencoderTrainerConfig

__all__ = ["CAPTIONED_FIRST_STAGE", "FIRST_STAGE"]

FIRST_STAGE = Recipe(
    model=AutoencoderConfig(),
    trainer=AutoencoderTrainerConfig(
        kl=1e-2,
        features=Teacher(reference="classifier-cifar10"),
        layers=("body.1", "body.4", "body.7"),
        feature_weight=0.3,
        critic_weight=0.02,
        critic_from=2200,
    ),
    fit=FitConfig(
        steps=3000,
        batch_size=8,
        optimizer=OptimizerConfig(name="adam", lr=7e-4, options={"fused": True}),
        lr_schedule="cosine",
        warmup=100,
        clip_norm=1.0,
        ema=EMAConfig(decay=0.999, warmup=True),
        precision="auto",
        channels_last=True,
        sample_every=0,
    ),
    data=FolderConfig(path="$AFHQ/train", classes=("cat",), size=64, flip=True),
    sampler=Latent(),
)
"""64x64 photographs to latents of 4x16x16, a twelfth of the numbers; half a million weights, five epochs.

The KL weighs more than in the paper, so that latents have about the spread of a standard normal, and the decoder bears some noise in them.
Sheets of samples are left out: draws from the prior look like nothing.
"""

CAPTIONED_FIRST_STAGE = replace(
    FIRST_STAGE,
    model=AutoencoderConfig(image_size=32, latent_channels=8, width=32),
    trainer=AutoencoderTrainerConfig(kl=1e-2, critic_weight=0.0),
    fit=replace(FIRST_STAGE.fit, steps=6000, batch_size=16),
    data=CaptionedMNISTConfig(),
)
"""Digits in colours and places to latents of 8x8x8, a sixth of the numbers. Strokes on plain colours need no features and no critic."""
