"""Fixtures: a Gaussian mixture as an exact teacher, and denoisers that are given functions."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from zoo_core.interfaces import Event, Rng
from zoo_core.testing.gaussian_mixture import GaussianMixture


class Exact(nn.Module):
    """The exact denoiser of two Gaussians in the plane."""

    def __init__(self) -> None:
        super().__init__()
        self.mixture = GaussianMixture((0.3, 0.7), ((-2.0, 0.0), (2.0, 1.0)), (0.5, 0.5), sigma_range=(0.02, 20.0))
        self.event = Event(shape=(2,))
        self.sigma_range = self.mixture.sigma_range
        self.scheduler = self.mixture.scheduler

    def start(self, rng: Rng, sigma: float) -> Tensor:
        return self.mixture.start(rng, sigma)

    def denoise(self, x: Tensor, sigma: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.mixture.denoise(x, sigma.double())

    def draw(self, n: int, seed: int = 0) -> Tensor:
        """Samples of the mixture, float64 (n, 2)."""
        rng = torch.Generator().manual_seed(seed)
        k = torch.multinomial(torch.tensor(self.mixture.weights), n, replacement=True, generator=rng)
        means = torch.tensor(self.mixture.means, dtype=torch.float64)
        return means[k] + 0.5 * torch.randn(n, 2, dtype=torch.float64, generator=rng)


class Mapped(Exact):
    """A denoiser that is a given function of the state and the level, with the noise levels of :class:`Exact`."""

    def __init__(self, function: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def denoise(self, x: Tensor, sigma: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.function(x, sigma)


@pytest.fixture
def exact() -> Exact:
    """The exact denoiser of the mixture."""
    return Exact()


@pytest.fixture
def mapped() -> type[Mapped]:
    """``mapped(function)`` is the denoiser D(x, sigma) = function(x, sigma)."""
    return Mapped
