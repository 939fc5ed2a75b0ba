"""The named recipes of the projection-cgan family."""

from zoo_core.datasets import CIFAR10Config, FashionMNISTConfig
from zoo_core.recipes import EMAConfig, FitConfig, OptimizerConfig, Recipe
from zoo_core.samplers import Latent
from zoo_projection_cgan.config import ProjectionCGANConfig, ProjectionCGANTrainerConfig

__all__ = ["FASHION_MNIST", "PAPER"]


def _adam(lr: float) -> OptimizerConfig:
    return OptimizerConfig(name="adam", lr=lr, options={"betas": [0.0, 0.9], "fused": True})


FASHION_MNIST = Recipe(
    model=ProjectionCGANConfig(shape=(1, 28, 28), latent=64, width=48, multipliers=(2, 1)),
    trainer=ProjectionCGANTrainerConfig(n_critic=1, width=32, multipliers=(1, 2, 4)),
    fit=FitConfig(
        steps=18_000,
        batch_size=64,
        optimizer=_adam(2e-4),
        optimizers={"critic": _adam(4e-4)},
        ema=EMAConfig(decay=0.999),
        lr_schedule="linear",
        precision="auto",
        channels_last=True,
        log_every=50,
    ),
    data=FashionMNISTConfig(),
    sampler=Latent(),
)
"""Clothing by class, 7 -> 14 -> 28: 19 epochs.

Each step trains both nets; the critic's learning rate is twice the generator's (Heusel et al. 2017, arXiv:1706.08500).
"""

PAPER = Recipe(
    model=ProjectionCGANConfig(),
    trainer=ProjectionCGANTrainerConfig(generator_factor=2),
    fit=FitConfig(
        steps=250_000,
        batch_size=64,
        optimizer=_adam(2e-4),
        lr_schedule="linear",
        ema=None,
        save_every=5000,
        sample_every=5000,
    ),
    data=CIFAR10Config(),
    sampler=Latent(),
)
"""The released code's sn_cifar10: 50,000 steps of the generator and five times as many of the critic; ``steps`` counts the critic's.

In that code, labels of generated images are drawn uniformly, the 8-bit data are dequantised with noise, and psi has no bias.
"""
