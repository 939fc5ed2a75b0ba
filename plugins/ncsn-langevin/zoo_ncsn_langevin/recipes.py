"""The named recipes of the ncsn-langevin family.

Sigmas are for images in [-1, 1]: twice those of the papers, whose pixels are in [0, 1].
"""

from zoo_core.datasets import CIFAR10Config, GaussianMixtureConfig, MNISTConfig
from zoo_core.recipes import EMAConfig, FitConfig, OptimizerConfig, Recipe
from zoo_core.samplers import Ancestral, Heun, Langevin
from zoo_core.schedulers import Karras
from zoo_ncsn_langevin.config import NCSNConfig, NCSNTrainerConfig

__all__ = ["GAUSSIAN_MIXTURE", "MNIST", "PAPER_V1", "PAPER_V2"]

MNIST = Recipe(
    model=NCSNConfig(
        shape=(1, 28, 28),
        width=24,
        multipliers=(1, 2, 4),
        dilations=(1, 1, 1),
        blocks=1,
        units=1,
        sigma_min=0.02,
        sigma_max=20.0,
        sigma_data=0.6,
        scheduler=Karras(),
    ),
    trainer=NCSNTrainerConfig(weight="output", noise="log-normal", log_mean=-0.5, log_std=1.5),
    fit=FitConfig(
        steps=20_000,
        batch_size=32,
        optimizer=OptimizerConfig(name="adam", lr=2e-3, options={"fused": True}),
        lr_schedule="cosine",
        warmup=200,
        ema=EMAConfig(decay=0.999, warmup=True),
        precision="auto",
        sample_every=5000,
    ),
    data=MNISTConfig(),
    sampler=Ancestral(steps=50),
)
"""Digits, in about two hours on one CPU core: eleven epochs.

Three things made small nets good here: the preconditioning of EDM; noise up to sigma 20, which hides the digit completely; and many small
batches instead of few large ones. In the same time, a wide first stage with one block per stage learns more than a narrow one with two.
"""

GAUSSIAN_MIXTURE = Recipe(
    model=NCSNConfig(shape=(2,), net="mlp", width=64, blocks=2, sigma_min=0.05, sigma_max=200.0, sigma_data=5.0),
    trainer=NCSNTrainerConfig(weight="output", noise="log-normal", log_mean=1.0, log_std=1.5),
    fit=FitConfig(
        steps=30_000,
        batch_size=512,
        optimizer=OptimizerConfig(name="adam", lr=2e-3, options={"fused": True}),
        lr_schedule="cosine",
        ema=EMAConfig(decay=0.999, warmup=True),
    ),
    data=GaussianMixtureConfig(),
    sampler=Heun(),
)
"""The toy of Song & Ermon 2019, section 3.2, in some minutes of one CPU core.

The largest sigma is far above the distance of the means: the noise must hide the side of a point completely, otherwise samples have wrong
weights of the components. A third of the steps gives a net that looks as good, but draws 79 of a hundred samples from the larger component
instead of 80.
"""

PAPER_V1 = Recipe(
    model=NCSNConfig(
        shape=(3, 32, 32),
        form="score",
        width=128,
        multipliers=(1, 2, 2, 2),
        dilations=(1, 1, 2, 4),
        units=2,
        levels=10,
        sigma_min=0.02,
        sigma_max=2.0,
    ),
    trainer=NCSNTrainerConfig(),
    fit=FitConfig(
        steps=200_000,
        batch_size=128,
        optimizer=OptimizerConfig(name="adam", lr=1e-3),
        ema=None,
        save_every=5000,
        sample_every=10_000,
    ),
    data=CIFAR10Config(flip=True),
    sampler=Langevin(steps=10, steps_per_level=100, step=0.2, denoise=False, clip=False),
)
"""CIFAR-10 of Song & Ermon 2019: 30.1 M parameters.

The step is Algorithm 1's 2e-5 at sigma 0.01; in the released code it is twice as large.
"""

PAPER_V2 = Recipe(
    model=NCSNConfig(
        shape=(3, 32, 32),
        form="scaled",
        width=128,
        multipliers=(1, 2, 2, 2),
        dilations=(1, 1, 2, 4),
        units=2,
        levels=232,
        sigma_min=0.02,
        sigma_max=100.0,
    ),
    trainer=NCSNTrainerConfig(),
    fit=FitConfig(
        steps=300_000,
        batch_size=128,
        optimizer=OptimizerConfig(name="adam", lr=1e-4),
        ema=EMAConfig(decay=0.999, warmup=False),
        save_every=5000,
        sample_every=10_000,
    ),
    data=CIFAR10Config(flip=True),
    sampler=Langevin(steps=232, steps_per_level=5, step=0.124, denoise=True, clip=False),
)
"""CIFAR-10 of Song & Ermon 2020: 29.7 M parameters.

Its Algorithm 1 moves by alpha s with alpha 6.2e-6 at sigma 0.01, which is half of ``step``.
"""
