"""The named recipes of the dcgan family."""

from dataclasses import replace

from zoo_core.datasets import FashionMNISTConfig, FolderConfig, MNISTConfig
from zoo_core.recipes import EMAConfig, FitConfig, OptimizerConfig, Recipe
from zoo_core.samplers import Latent
from zoo_dcgan.config import DCGANConfig, DCGANTrainerConfig

__all__ = ["FASHION_MNIST", "MNIST", "PAPER"]


def _adam(lr: float) -> OptimizerConfig:
    return OptimizerConfig(name="adam", lr=lr, options={"betas": [0.5, 0.999], "fused": True})


MNIST = Recipe(
    model=DCGANConfig(width=40),
    trainer=DCGANTrainerConfig(width=32),
    fit=FitConfig(
        steps=24_000,
        batch_size=64,
        optimizer=_adam(6e-4),
        optimizers={"generator": _adam(1e-3)},
        lr_schedule="linear",
        ema=EMAConfig(decay=0.999),
        precision="auto",
        channels_last=True,
        save_every=3000,
        sample_every=3000,
    ),
    data=MNISTConfig(),
    sampler=Latent(),
)
"""Digits, 4 -> 7 -> 14 -> 28: 0.65 M parameters, and 0.26 M in the discriminator. About 40 minutes on one CPU core, 26 epochs.

The learning rates are higher than the paper's and decay. The generator's is the higher one, because with equal rates the discriminator
learns faster and wins. Two stages, 7 -> 14 -> 28 as in InfoGAN, are too shallow: with as many weights, that generator stayed far from the
data for 30,000 steps.
"""

FASHION_MNIST = replace(MNIST, data=FashionMNISTConfig())
"""The same for articles of clothing."""

PAPER = Recipe(
    model=DCGANConfig(shape=(3, 64, 64), width=128, stages=4),
    trainer=DCGANTrainerConfig(width=128),
    fit=FitConfig(
        steps=68_000,
        batch_size=128,
        optimizer=_adam(2e-4),
        ema=None,
        save_every=2000,
        sample_every=2000,
    ),
    data=FolderConfig(path="$PHOTOS", size=64),
    sampler=Latent(),
)
"""64x64 photographs of a folder, with the nets of Radford et al. 2015: 18.9 M parameters, and 17.2 M in the discriminator.

The paper gives no number of steps. This one is 25 epochs of the 350,000 faces of the authors' code, where each batch trains only one of the
two nets. That code also has a weight decay of 1e-5, which the paper does not mention.
"""
