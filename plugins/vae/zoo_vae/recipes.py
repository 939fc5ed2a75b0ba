"""The named recipes of the vae family."""

from dataclasses import replace

from zoo_core.datasets import MNISTConfig
from zoo_core.recipes import FitConfig, OptimizerConfig, Recipe
from zoo_core.samplers import Latent
from zoo_vae.config import VAEConfig, VAETrainerConfig

__all__ = ["LATENT_2D", "MNIST"]

MNIST = Recipe(
    model=VAEConfig(latent=40, hidden=(400,)),
    trainer=VAETrainerConfig(),
    fit=FitConfig(
        steps=60_000,
        batch_size=200,
        optimizer=OptimizerConfig(name="adam", lr=1e-3, options={"fused": True}),
        lr_schedule="cosine",
        ema=None,
        save_every=5000,
        sample_every=10_000,
    ),
    data=MNISTConfig(),
    sampler=Latent(),
)

LATENT_2D = replace(MNIST, model=VAEConfig(latent=2, hidden=(400,)))
