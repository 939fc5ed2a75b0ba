"""The named recipes of the families pca, gmm and kmeans. A batch holds all of the data."""

from zoo_classical.config import (
    GaussianMixtureConfig,
    GaussianMixtureTrainerConfig,
    KMeansConfig,
    KMeansTrainerConfig,
    PCAConfig,
    PCATrainerConfig,
)
from zoo_core.datasets import MNISTConfig, MoonsConfig
from zoo_core.recipes import FitConfig, Recipe
from zoo_core.samplers import Latent

__all__ = ["GMM_MNIST", "GMM_MOONS", "KMEANS_MNIST", "PCA_MNIST"]

PCA_MNIST = Recipe(
    model=PCAConfig(components=40),
    trainer=PCATrainerConfig(),
    fit=FitConfig(steps=1, batch_size=60_000, ema=None, sample_every=0),
    data=MNISTConfig(),
    sampler=Latent(),
)
"""Digits by 40 principal components: a closed form, in a minute."""

GMM_MNIST = Recipe(
    model=GaussianMixtureConfig(shape=(1, 28, 28), components=50, subspace=40),
    trainer=GaussianMixtureTrainerConfig(floor=1e-3),
    fit=FitConfig(steps=25, batch_size=60_000, ema=None, sample_every=0, save_every=10, log_every=1),
    data=MNISTConfig(),
    sampler=Latent(),
)
"""Digits by 50 Gaussians with full covariances in the span of 40 principal components, with isotropic noise around it."""

GMM_MOONS = Recipe(
    model=GaussianMixtureConfig(shape=(2,), components=16),
    trainer=GaussianMixtureTrainerConfig(),
    fit=FitConfig(steps=100, batch_size=100_000, ema=None, sample_every=0, log_every=1),
    data=MoonsConfig(count=100_000, noise=0.05),
    sampler=Latent(),
)
"""Two moons by 16 Gaussians, the data of ``realnvp/2d``. The entropy of a point is 0.290 nats."""

KMEANS_MNIST = Recipe(
    model=KMeansConfig(clusters=100),
    trainer=KMeansTrainerConfig(),
    fit=FitConfig(steps=60, batch_size=60_000, ema=None, sample_every=0, save_every=20, log_every=1),
    data=MNISTConfig(),
    sampler=Latent(),
)
"""Digits by 100 centres."""
