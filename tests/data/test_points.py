"""Theorems about points in the plane: moons and Gaussian mixtures have their closed forms."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from zoo_core.data.dataset import load_data
from zoo_core.data.loaders import gaussian_mixture, moons
from zoo_core.datasets import GaussianMixtureConfig, MoonsConfig


@pytest.mark.parametrize("count", [2, 7, 100])
def test_moons_without_noise_have_the_geometry_of_scikit_learn(count: int) -> None:
    data = moons(MoonsConfig(count=count, noise=0.0))
    n_out, n_in = count // 2, count - count // 2
    outer_circ_x, outer_circ_y = np.cos(np.linspace(0, np.pi, n_out)), np.sin(np.linspace(0, np.pi, n_out))
    inner_circ_x, inner_circ_y = 1 - np.cos(np.linspace(0, np.pi, n_in)), 1 - np.sin(np.linspace(0, np.pi, n_in)) - 0.5
    X = np.vstack([np.append(outer_circ_x, inner_circ_x), np.append(outer_circ_y, inner_circ_y)]).T
    assert data.x.dtype == torch.float32
    assert np.abs(data.x.numpy() - X).max() < 1e-6
    assert data.labels is not None
    assert data.labels.tolist() == [0] * n_out + [1] * n_in
    assert data.event.range is None


def test_the_noise_of_moons_is_gaussian_of_its_standard_deviation() -> None:
    count = 20_000
    clean, noisy = (moons(MoonsConfig(count=count, noise=noise, seed=3)).x.double() for noise in (0.0, 0.2))
    noise = (noisy - clean) / 0.2
    assert noise.mean(0).abs().max() < 5 / count**0.5
    assert (noise.var(0) - 1).abs().max() < 5 * (2 / count) ** 0.5
    assert abs(float((noise**4).mean()) - 3) < 5 * (96 / (2 * count)) ** 0.5
    assert abs(float((noise[:, 0] * noise[:, 1]).mean())) < 5 / count**0.5


def test_a_mixture_has_the_moments_of_its_closed_form() -> None:
    config = GaussianMixtureConfig(
        weights=(0.5, 0.2, 0.3), means=((0.0, 1.0, 2.0), (4.0, 0.0, 0.0), (-3.0, -3.0, 1.0)), std=0.5, count=40_000
    )
    data = gaussian_mixture(config)
    weights, means = torch.tensor(config.weights).double(), torch.tensor(config.means).double()
    x = data.x.double()
    mean = weights @ means
    covariance = 0.25 * torch.eye(3) + (means - mean).T @ torch.diag(weights) @ (means - mean)
    assert (x.mean(0) - mean).abs().max() < 5 * (covariance.diagonal().max() / config.count) ** 0.5
    assert (x.T.cov() - covariance).abs().max() < 0.2
    assert data.labels is not None
    for k, (weight, centre) in enumerate(zip(weights, means, strict=True)):
        rows = x[data.labels == k]
        assert abs(len(rows) / config.count - weight) < 5 * (weight * (1 - weight) / config.count) ** 0.5
        assert (rows.mean(0) - centre).abs().max() < 5 * 0.5 / len(rows) ** 0.5
        assert (rows.std(0) - 0.5).abs().max() < 5 * 0.5 / (2 * len(rows)) ** 0.5


def test_the_default_mixture_is_the_toy_of_song_and_ermon() -> None:
    config = GaussianMixtureConfig()
    assert (config.weights, config.means, config.std) == ((1 / 5, 4 / 5), ((-5.0, -5.0), (5.0, 5.0)), 1.0)
    data = gaussian_mixture(config)
    assert data.labels is not None
    assert torch.equal(data.labels == 1, data.x.sum(1) > 0)


def test_points_depend_on_the_seed_alone() -> None:
    for config in (MoonsConfig(count=50), GaussianMixtureConfig(count=50)):
        state = torch.random.get_rng_state()
        first, again, other = (load_data(item).digest for item in (config, config, replace(config, seed=1)))
        assert first == again != other
        assert torch.equal(state, torch.random.get_rng_state())


def test_the_digests_of_points_stay_what_they_are() -> None:
    assert moons(MoonsConfig(count=1000)).digest == "3c00b35ff935358fa74d44d22ef0af4075fa6b658c7d666073400ede84ef729f"
    assert gaussian_mixture(GaussianMixtureConfig(count=1000)).digest == "ea65dcf91849fbb44a5040c86e18ce8e49829e6710d36db0c292085263875caa"
