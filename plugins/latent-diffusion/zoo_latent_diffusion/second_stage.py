"""The named recipes of the family latent-diffusion, whose priors are of families of other plugins."""

from dataclasses import replace

from zoo_core.config import decode
from zoo_core.interfaces import ModelConfig
from zoo_core.recipes import EMAConfig, FitConfig, OptimizerConfig, Recipe
from zoo_core.samplers import DPMSolver2M
from zoo_core.schedulers import Karras
from zoo_latent_diffusion.config import LatentDiffusionConfig, LatentDiffusionTrainerConfig
from zoo_latent_diffusion.recipes import CAPTIONED_FIRST_STAGE, FIRST_STAGE

__all__ = ["AFHQ_CAT", "CAPTIONED_MNIST"]

_DDPM = {
    "name": "ddpm",
    "image_size": 16,
    "channels": 4,
    "dim": 32,
    "multipliers": [1, 2],
    "attention": [8],
    "linear_attention": [],
    "scheduler": {"name": "cosine", "T": 200},
    "prediction": "v",
}

AFHQ_CAT = Recipe(
    model=LatentDiffusionConfig(first_stage=FIRST_STAGE.model, prior=decode(ModelConfig, _DDPM, "prior")),
    trainer=LatentDiffusionTrainerConfig(),
    fit=FitConfig(
        steps=20_000,
        batch_size=32,
        optimizer=OptimizerConfig(name="adam", lr=1e-3, options={"fused": True}),
        lr_schedule="cosine",
        warmup=200,
        ema=EMAConfig(decay=0.999, warmup=True),
        precision="auto",
    ),
    data=FIRST_STAGE.data,
    sampler=DPMSolver2M(steps=20),
    scheduler=Karras(sigma_max=80.0),
)
"""64x64 photographs: the ddpm of latents of 4x16x16, which needs a trained first stage, ``-o trainer.first_stage.reference=REF``.

A step takes a seventh of a second of one CPU core. After 3,200 steps the samples are heads of cats, of which many have no clear face.
"""

_TEXT_TO_IMAGE = {
    "name": "text-to-image",
    "image_size": 8,
    "channels": 8,
    "patch": 1,
    "dim": 48,
    "multipliers": [1, 2],
    "attention": [8, 4],
}

CAPTIONED_MNIST = replace(
    AFHQ_CAT,
    model=LatentDiffusionConfig(first_stage=CAPTIONED_FIRST_STAGE.model, prior=decode(ModelConfig, _TEXT_TO_IMAGE, "prior")),
    fit=replace(AFHQ_CAT.fit, steps=14_000, batch_size=64, clip_norm=1.0),
    data=CAPTIONED_FIRST_STAGE.data,
    sampler=DPMSolver2M(steps=16),
)
"""Digits in colours and places by captions: the text-to-image net of zoo-text-to-image on latents of 8x8x8."""
