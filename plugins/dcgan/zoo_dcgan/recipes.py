"""The named recipes of the dcgan family."""

from dataclasses import replace

from zoo_core.datasets import FashionMNISTConfig, FolderConfig, MNISTConfig
from zoo_core.recipes import EMAConfig, FitConfig, OptimizerConfig, Recipe
from zoo_core.samplers import Latent
from zoo_dcgan.config import DCGANConfig, DCGANTrainerConfig

__all__ = ["FASHION_MNIST", "MNIST", "PAPER"]

_ADAM = OptimizerConfig(name="adam", lr=2e-4, options={"betas": [0.5, 0.999], "fused": True})

MNIST = Recipe(
    model=DCGANConfig(shape=(1, 28, 28), width=64),
    trainer=DCGANTrainerConfig(width=64),
    fit=FitConfig(
        steps=20_000,
        batch_size=64,
        optimizer=_ADAM,
        ema=EMAConfig(decay=0.999),
        precision="bf16",
        channels_last=True,
        save_every=2000,
        sample_every=2000,
    ),
    data=MNISTConfig(),
    sampler=Latent(),
)

FASHION_MNIST = replace(MNIST, data=FashionMNISTConfig())

PAPER = Recipe(
    model=DCGANConfig(shape=(3, 64, 64), width=128, kernel=5),
    trainer=DCGANTrainerConfig(width=128),
    fit=FitConfig(
        steps=118_000,
        batch_size=128,
        optimizer=_ADAM,
        ema=None,
        save_every=5000,
        sample_every=5000,
    ),
    data=FolderConfig(path="$PHOTOS", size=64),
    sampler=Latent(),
)
