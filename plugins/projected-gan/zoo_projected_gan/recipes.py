"""The named recipe of the projected-gan family."""

from zoo_core.datasets import FashionMNISTConfig
from zoo_core.interfaces import Teacher
from zoo_core.recipes import EMAConfig, FitConfig, OptimizerConfig, Recipe
from zoo_core.samplers import Latent
from zoo_projected_gan.config import ProjectedGANConfig, ProjectedGANTrainerConfig

__all__ = ["FASHION_MNIST"]


def _adam(lr: float) -> OptimizerConfig:
    return OptimizerConfig(name="adam", lr=lr, options={"betas": [0.0, 0.99], "fused": True})


FASHION_MNIST = Recipe(
    model=ProjectedGANConfig(width=40),
    trainer=ProjectedGANTrainerConfig(teacher=Teacher(reference="classifier-mnist"), backbone="", levels=(1, 2), mixed=32),
    fit=FitConfig(
        steps=8000,
        batch_size=64,
        optimizer=_adam(2e-3),
        ema=EMAConfig(decay=0.999),
        lr_schedule="linear",
        precision="auto",
        channels_last=True,
        save_every=1000,
        sample_every=1000,
        log_every=50,
    ),
    data=FashionMNISTConfig(),
    sampler=Latent(),
)
"""Articles of clothing, 4 -> 7 -> 14 -> 28, seen through a classifier of digits: 0.66 M parameters, the generator of `dcgan/fashion-mnist`.

A third of that recipe's steps. The finest level, of a single convolution, is left out.
"""
