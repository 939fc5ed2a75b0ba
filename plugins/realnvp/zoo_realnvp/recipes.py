"""The named recipes of the families realnvp and maf."""

from dataclasses import replace

from zoo_core.datasets import CIFAR10Config, MNISTConfig, MoonsConfig
from zoo_core.recipes import EMAConfig, FitConfig, OptimizerConfig, Recipe
from zoo_core.samplers import Latent
from zoo_realnvp.config import FlowTrainerConfig, MAFConfig, RealNVPConfig

__all__ = ["MAF_MOONS", "MNIST", "MOONS", "PAPER_CIFAR10"]

MNIST = Recipe(
    model=RealNVPConfig(shape=(1, 28, 28), scales=3, couplings=4, blocks=1, width=16, norm="act"),
    trainer=FlowTrainerConfig(),
    fit=FitConfig(
        steps=24_000,
        batch_size=16,
        optimizer=OptimizerConfig(name="adam", lr=1e-3, options={"fused": True}),
        lr_schedule="cosine",
        warmup=200,
        clip_norm=1.0,
        ema=EMAConfig(decay=0.999, warmup=True),
        sample_every=6000,
    ),
    data=MNISTConfig(),
    sampler=Latent(),
)
"""Digits, in about an hour on one CPU core: six epochs of small batches.

It trains in float32: the nets are small, and flows do not compute in narrower types.
"""

MOONS = Recipe(
    model=RealNVPConfig(shape=(2,), couplings=8, blocks=1, width=64, norm="act"),
    trainer=FlowTrainerConfig(),
    fit=FitConfig(
        steps=4000,
        batch_size=256,
        optimizer=OptimizerConfig(name="adam", lr=2e-3, options={"fused": True}),
        lr_schedule="cosine",
        ema=EMAConfig(decay=0.999, warmup=True),
        sample_every=0,
    ),
    data=MoonsConfig(count=100_000, noise=0.05),
    sampler=Latent(),
)
"""Two moons, in a minute and a half of one CPU core. The entropy of a point is 0.290 nats."""

MAF_MOONS = Recipe(
    model=MAFConfig(shape=(2,), layers=8, hidden=2, width=64, norm="act"),
    trainer=FlowTrainerConfig(),
    fit=replace(MOONS.fit, optimizer=OptimizerConfig(name="adam", lr=1e-3, options={"fused": True}), clip_norm=1.0),
    data=MOONS.data,
    sampler=Latent(),
)
"""The same moons for an autoregressive flow, in a minute of one CPU core.

Gradients are clipped, because large scales exp(-alpha) make them large.
"""

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
"""CIFAR-10 of Dinh et al. 2017, section 4.1: 18.4 M parameters. The paper gives no number of steps.

Unlike the paper's, the logit has its margin at both ends, and the nets have no batch norm inside; see the README.
"""
