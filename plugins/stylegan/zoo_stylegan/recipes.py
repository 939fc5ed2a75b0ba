"""The named recipes of the stylegan family."""

from dataclasses import replace

from zoo_core.datasets import FashionMNISTConfig, FolderConfig
from zoo_core.recipes import EMAConfig, FitConfig, OptimizerConfig, Recipe
from zoo_core.samplers import Latent
from zoo_stylegan.config import StyleGANConfig, StyleGANTrainerConfig

__all__ = ["AFHQ_CAT", "FASHION_MNIST", "PAPER"]


def _adam(lr: float) -> OptimizerConfig:
    return OptimizerConfig(name="adam", lr=lr, options={"betas": [0.0, 0.99], "fused": True})


_TRAINER = StyleGANTrainerConfig(width=12, most=128, r1=0.02, mixing=0.0)

FASHION_MNIST = Recipe(
    model=StyleGANConfig(shape=(1, 28, 28), width=16, most=128),
    trainer=_TRAINER,
    fit=FitConfig(
        steps=12_000,
        batch_size=64,
        optimizer=_adam(0.012),
        lr_schedule="cosine",
        warmup=100,
        ema=EMAConfig(decay=0.999),
        channels_last=True,
        save_every=500,
        sample_every=1000,
        log_every=50,
    ),
    data=FashionMNISTConfig(),
    sampler=Latent(),
)
"""Articles of clothing, 4 -> 7 -> 14 -> 28: 0.36 M parameters, and 0.3 M in the critic.

Weights of unit variance that learn at the paper's rate of 0.002 need millions of images; the run is short, so that the rate is six times as
high and falls to zero. R1 is weaker than on large images, as is usual for small ones: 0.0002 sides^2 / batch size is the order.
"""

AFHQ_CAT = replace(
    FASHION_MNIST,
    model=StyleGANConfig(shape=(3, 32, 32), width=16, most=128),
    trainer=replace(_TRAINER, augment=("translation",)),
    data=FolderConfig(path="$AFHQ/train", classes=("cat",), size=32, flip=True),
)
"""Faces of cats, 4 -> 8 -> 16 -> 32. There are few of them, so that the critic sees them shifted."""

PAPER = Recipe(
    model=StyleGANConfig(shape=(3, 1024, 1024), latent=512, style=512, mapping_layers=8, width=32, most=512, stages=8),
    trainer=StyleGANTrainerConfig(width=32, most=512, r1=10.0, path_length=2.0),
    fit=FitConfig(
        steps=781_250,
        batch_size=32,
        optimizer=_adam(2e-3),
        ema=EMAConfig(decay=0.99778, warmup=False),
        save_every=2000,
        sample_every=2000,
    ),
    data=FolderConfig(path="$PHOTOS", size=1024, flip=True),
    sampler=Latent(),
)
"""1024x1024 faces, configuration F of Karras et al. 2020: 30.4 M parameters, and 29.0 M in the critic; 25 million images.

The average has a half-life of 10,000 images. Regularisation is a term of its step's loss, not a step of the optimizer of its own, so that
the optimizer's options are not changed for it (arXiv:1912.04958, appendix B). The path penalty is of whole batches, not of halves.
"""
