"""The named recipes of the family latent-diffusion, whose priors are of families of other plugins."""

from zoo_core.config import decode
from zoo_core.interfaces import ModelConfig
from zoo_core.recipes import EMAConfig, FitConfig, OptimizerConfig, Recipe
from zoo_core.samplers import DPMSolver2M
from zoo_core.schedulers import Karras
from zoo_latent_diffusion.config import LatentDiffusionConfig, LatentDiffusionTrainerConfig
from zoo_latent_diffusion.recipes import FIRST_STAGE

__all__ = ["AFHQ_CAT"]

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
