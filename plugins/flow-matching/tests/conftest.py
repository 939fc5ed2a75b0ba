"""Fixtures: a Gaussian mixture as an exact denoiser."""

import pytest
from torch import Tensor, nn

from zoo_core.interfaces import Event, Rng
from zoo_core.testing.gaussian_mixture import GaussianMixture


class Exact(nn.Module):
    """The exact denoiser of two Gaussians in the plane."""

    def __init__(self) -> None:
        super().__init__()
        self.mixture = GaussianMixture((0.3, 0.7), ((-2.0, 0.0), (2.0, 1.0)), (0.5, 0.5), sigma_range=(0.001, 1000.0))
        self.event = Event(shape=(2,))
        self.sigma_range = self.mixture.sigma_range
        self.scheduler = self.mixture.scheduler

    def start(self, rng: Rng, sigma: float) -> Tensor:
        return rng.normal(2) * sigma

    def denoise(self, x: Tensor, sigma: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.mixture.denoise(x, sigma.double())


@pytest.fixture
def exact() -> Exact:
    """The exact denoiser of the mixture."""
    return Exact()
