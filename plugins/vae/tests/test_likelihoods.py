"""Theorems about the likelihoods: each is a distribution, and has the right values."""

import math

import pytest
import torch
from torch import Tensor

from zoo_core.images import from_uint8, to_uint8
from zoo_vae.likelihoods import bernoulli, discretised_logistic, gaussian, kl_to_standard_normal, nearest_level

MEANS = (-1.3, -1.0, -0.2, 0.4, 1.0, 3.0)
SCALES = (1e-3, 0.01, 0.1, 1.0, 20.0)
ALL_LEVELS = torch.arange(256, dtype=torch.float64) / 127.5 - 1


def value(number: float) -> Tensor:
    return torch.tensor(number, dtype=torch.float64)


@pytest.mark.parametrize("scale", SCALES)
def test_the_masses_of_all_256_levels_are_those_of_the_bins_of_a_logistic_and_add_up_to_one(scale: float) -> None:
    for mean in MEANS:
        masses = discretised_logistic(ALL_LEVELS, value(mean), value(math.log(scale))).exp()
        assert masses.sum().item() == pytest.approx(1, abs=1e-12)
        ends = torch.cat([value(-math.inf)[None], ALL_LEVELS[:-1] + 1 / 255, value(math.inf)[None]])
        torch.testing.assert_close(masses, torch.sigmoid((ends - mean) / scale).diff(), rtol=1e-6, atol=1e-14)


def test_the_discretised_logistic_is_finite_in_float32_however_far_its_mean_is_and_pulls_it_back() -> None:
    mean = torch.tensor([-60.0, 60.0, 0.0], requires_grad=True)
    log_scale = torch.tensor([-7.0, -7.0, 7.0], requires_grad=True)
    x = torch.tensor([0.5, -0.5, 1.0])
    found = discretised_logistic(x, mean, log_scale)
    slopes = torch.autograd.grad(found.sum(), [mean, log_scale])
    assert found.isfinite().all()
    assert all(slope.isfinite().all() for slope in slopes)
    assert (slopes[0][:2].sign() == torch.tensor([1.0, -1.0])).all()


def test_the_level_is_the_8_bit_image_that_x_is() -> None:
    pixels = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(nearest_level(from_uint8(pixels)).to(torch.uint8), pixels)
    x = torch.linspace(-1.2, 1.2, 5001)
    assert torch.equal(nearest_level(x).to(torch.uint8), to_uint8(x))
    one, other = (discretised_logistic(from_uint8(pixels) + shift, torch.tensor(0.1), torch.tensor(-2.0)) for shift in (0, 0.003))
    assert torch.equal(one, other)


def test_the_masses_of_off_and_on_add_up_to_one() -> None:
    logits = torch.tensor([-40.0, -2.0, 0.0, 1.0, 30.0], dtype=torch.float64)
    off, on = (bernoulli(torch.full_like(logits, x), logits).exp() for x in (-1.0, 1.0))
    torch.testing.assert_close(off + on, torch.ones_like(logits))
    torch.testing.assert_close(on, 1 / (1 + torch.exp(-logits)))


def test_an_unlikely_binary_value_has_a_finite_log_probability() -> None:
    assert bernoulli(torch.tensor([-1.0, 1.0]), torch.tensor([300.0, -300.0])).tolist() == [-300.0, -300.0]


@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (-1.5, 0.2), (2.0, 3.0)])
def test_the_gaussian_density_integrates_to_one_and_has_its_moments(mean: float, std: float) -> None:
    x = torch.linspace(mean - 12 * std, mean + 12 * std, 20_001, dtype=torch.float64)
    density = gaussian(x, value(mean), value(math.log(std))).exp()
    moments = [torch.trapezoid(density * x**power, x).item() for power in range(3)]
    assert moments == pytest.approx([1, mean, mean**2 + std**2], abs=1e-9)


def test_the_kl_in_closed_form_is_that_of_monte_carlo_and_of_quadrature() -> None:
    for mu, sigma in ((0.0, 1.0), (1.3, 0.4), (-0.5, 2.0)):
        closed = kl_to_standard_normal(value(mu), value(math.log(sigma))).item()
        assert closed == pytest.approx(0.5 * (mu**2 + sigma**2 - math.log(sigma**2) - 1))

        def log_ratio(z: Tensor, mu: float = mu, sigma: float = sigma) -> Tensor:
            return gaussian(z, value(mu), value(math.log(sigma))) - gaussian(z, value(0), value(0))

        z = torch.linspace(mu - 12 * sigma, mu + 12 * sigma, 20_001, dtype=torch.float64)
        density = gaussian(z, value(mu), value(math.log(sigma))).exp()
        assert torch.trapezoid(density * log_ratio(z), z).item() == pytest.approx(closed, abs=1e-9)
        draws = log_ratio(mu + sigma * torch.randn(40_000, dtype=torch.float64, generator=torch.Generator().manual_seed(0)))
        assert draws.mean().item() == pytest.approx(closed, abs=5 * draws.std().item() / 200 + 1e-12)
