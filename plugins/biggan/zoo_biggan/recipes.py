"""The named recipes of the biggan family."""

from zoo_biggan.config import BigGANConfig, BigGANTrainerConfig
from zoo_core.datasets import FolderConfig
from zoo_core.recipes import EMAConfig, FitConfig, OptimizerConfig, Recipe
from zoo_core.samplers import Latent

__all__ = ["CIFAR10", "PAPER"]


def _adam(lr: float, beta2: float = 0.9) -> OptimizerConfig:
    return OptimizerConfig(name="adam", lr=lr, options={"betas": [0.0, beta2], "fused": True})


CIFAR10 = Recipe(
    model=BigGANConfig(latent=80, embedding=64, width=32, multipliers=(5, 2, 1), attention=(16,)),
    trainer=BigGANTrainerConfig(width=32, multipliers=(1, 2, 4, 4), halvings=3, attention=(16,)),
    fit=FitConfig(
        steps=6000,
        batch_size=64,
        optimizer=_adam(4e-4),
        optimizers={"critic": _adam(8e-4)},
        ema=EMAConfig(decay=0.999),
        lr_schedule="linear",
        precision="auto",
        channels_last=True,
        log_every=50,
    ),
    data=FolderConfig(path="$CIFAR10/train", size=32, flip=True),
    sampler=Latent(),
)
"""Photographs of ten classes, 4 -> 8 -> 16 -> 32: 0.82 M parameters, and 0.60 M in the critic; 7.7 epochs.

Each step trains both nets; the critic's learning rate is twice the generator's (Heusel et al. 2017, arXiv:1706.08500), and both decay.
"""

PAPER = Recipe(
    model=BigGANConfig(
        shape=(3, 128, 128), num_classes=1000, latent=120, embedding=128, width=96, multipliers=(16, 8, 4, 2, 1), attention=(64,)
    ),
    trainer=BigGANTrainerConfig(n_critic=2, width=96, multipliers=(1, 2, 4, 8, 16, 16), halvings=5, attention=(64,), orthogonal=1e-4),
    fit=FitConfig(
        steps=280_000,
        batch_size=2048,
        optimizer=_adam(5e-5, 0.999),
        optimizers={"critic": _adam(2e-4, 0.999)},
        ema=EMAConfig(decay=0.9999, warmup=False),
        save_every=1000,
        sample_every=1000,
    ),
    data=FolderConfig(path="$IMAGENET/train", size=128),
    sampler=Latent(),
)
"""The nets of Brock et al. 2019 for 128x128: 70.4 M parameters, and 88.0 M in the critic.

140,000 steps of the generator and twice as many of the critic; ``steps`` counts the critic's. The average begins at the first step, and
 statistics of batch norm are those of each process.
"""
