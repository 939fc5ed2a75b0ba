"""The named recipes of the families realnvp and maf."""

from zoo_core.datasets import CIFAR10Config, MNISTConfig, MoonsConfig
from zoo_core.recipes import EMAConfig, FitConfig, OptimizerConfig, Recipe
from zoo_core.samplers import Latent
from zoo_realnvp.config import FlowTrainerConfig, MAFConfig, RealNVPConfig

__all__ = ["MAF_MOONS", "MNIST", "MOONS", "PAPER_CIFAR10"]

MNIST = Recipe(
    model=RealNVPConfig(shape=(1, 28, 28), scales=3, couplings=2, blocks=1, width=32),
    trainer=FlowTrainerConfig(),
    fit=FitConfig(
        steps=20_000,
        batch_size=32,
        optimizer=OptimizerConfig(name="adam", lr=1e-3, options={"fused": True}),
        lr_schedule="cosine",
        warmup=200,
        clip_norm=1.0,
        ema=EMAConfig(decay=0.999, warmup=True),
        channels_last=True,
        sample_every=5000,
    ),
    data=MNISTConfig(),
    sampler=Latent(),
)

MOONS = Recipe(
    model=RealNVPConfig(shape=(2,), couplings=8, blocks=1, width=64),
    trainer=FlowTrainerConfig(),
    fit=FitConfig(
        steps=6000,
        batch_size=256,
        optimizer=OptimizerConfig(name="adam", lr=2e-3, options={"fused": True}),
        lr_schedule="cosine",
        ema=EMAConfig(decay=0.999, warmup=True),
        sample_every=0,
    ),
    data=MoonsConfig(count=100_000),
    sampler=Latent(),
)

MAF_MOONS = Recipe(
    model=MAFConfig(shape=(2,), layers=8, hidden=2, width=64),
    trainer=FlowTrainerConfig(),
    fit=MOONS.fit,
    data=MOONS.data,
    sampler=Latent(),
)

PAPER_CIFAR10 = Recipe(
    model=RealNVPConfig(shape=(3, 32, 32), scales=2, couplings=3, blocks=8, width=64),
    trainer=FlowTrainerConfig(),
    fit=FitConfig(
        steps=300_000,
        batch_size=64,
        optimizer=OptimizerConfig(name="adam", lr=1e-3),
        ema=None,
        save_every=5000,
        sample_every=10_000,
    ),
    data=CIFAR10Config(flip=True),
    sampler=Latent(),
)
