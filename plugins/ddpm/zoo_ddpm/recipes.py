"""The named recipes of the ddpm family."""

from dataclasses import replace

from zoo_core.datasets import CIFAR10Config, FashionMNISTConfig, FolderConfig
from zoo_core.recipes import EMAConfig, FitConfig, OptimizerConfig, Recipe
from zoo_core.samplers import Ancestral, DPMSolver2M
from zoo_core.schedulers import Cosine, Karras, Linear
from zoo_ddpm.config import DDPMConfig, DDPMTrainerConfig

__all__ = ["COURSE", "COURSE_L1", "FASHION_MNIST", "PAPER"]

_NARROW = DDPMConfig(dim=16, multipliers=(1, 2, 4, 8), scheduler=Cosine(T=50), prediction="v")

COURSE = Recipe(
    model=_NARROW,
    trainer=DDPMTrainerConfig(loss="mse"),
    fit=FitConfig(
        steps=16_000,
        batch_size=32,
        optimizer=OptimizerConfig(name="adam", lr=1e-3, options={"fused": True}),
        lr_schedule="cosine",
        warmup=200,
        ema=EMAConfig(decay=0.999, warmup=True),
        precision="auto",
    ),
    data=FolderConfig(path="$AFHQ/train", classes=("cat",), size=32, flip=True),
    sampler=Ancestral(steps=50),
)
"""A narrow U-Net for 32x32 photographs that trains in about an hour and a half on one CPU core.

It predicts v, with the squared error. With 50 cosine levels the largest sigma is 1015, where an error of predicted noise gives a thousand
times that error in the image: ancestral sampling forgets it, DDIM and the ODE solvers do not. The optimum of the squared error is the mean
that the score needs; that of the absolute error is a median. ``COURSE_L1``
has the noise and the absolute error.
"""

COURSE_L1 = replace(
    COURSE,
    model=replace(_NARROW, prediction="eps"),
    trainer=DDPMTrainerConfig(loss="l1"),
    fit=replace(COURSE.fit, lr_schedule="constant", warmup=0, precision="no"),
)
"""Algorithm 1 of Ho et al. 2020 as course assignments have it: the absolute error of the noise, a constant learning rate, float32.

Its losses compare with those of an assignment; those of ``COURSE`` do not. The net, the levels and the moving average are the same.
"""

FASHION_MNIST = Recipe(
    model=DDPMConfig(
        image_size=28,
        channels=1,
        dim=32,
        multipliers=(1, 2, 4),
        attention=(7,),
        linear_attention=(),
        scheduler=Cosine(T=200),
        prediction="v",
        num_classes=10,
    ),
    trainer=DDPMTrainerConfig(loss="mse", p_uncond=0.1),
    fit=FitConfig(
        steps=20_000,
        batch_size=32,
        optimizer=OptimizerConfig(name="adam", lr=1e-3, options={"fused": True}),
        lr_schedule="cosine",
        warmup=200,
        ema=EMAConfig(decay=0.999, warmup=True),
        precision="auto",
    ),
    data=FashionMNISTConfig(),
    sampler=DPMSolver2M(steps=10),
    scheduler=Karras(sigma_max=80.0),
)
"""Clothing by class, 28x28, with classifier-free guidance (Ho & Salimans 2022, arXiv:2207.12598): 11 epochs.

No flips: the shoes of Fashion-MNIST all point to the left.
"""

PAPER = Recipe(
    model=DDPMConfig(
        dim=128,
        multipliers=(1, 2, 2, 2),
        blocks=2,
        attention=(16,),
        linear_attention=(),
        heads=1,
        resample_conv=True,
        dropout=0.1,
        scheduler=Linear(T=1000),
    ),
    trainer=DDPMTrainerConfig(loss="mse"),
    fit=FitConfig(
        steps=800_000,
        batch_size=128,
        optimizer=OptimizerConfig(name="adam", lr=2e-4),
        warmup=5000,
        clip_norm=1.0,
        ema=EMAConfig(decay=0.9999, warmup=False),
        save_every=5000,
        sample_every=10_000,
    ),
    data=CIFAR10Config(flip=True),
    sampler=Ancestral(steps=1000),
)
"""CIFAR-10 of Ho et al. 2020, appendix B: 35.7 M parameters."""
