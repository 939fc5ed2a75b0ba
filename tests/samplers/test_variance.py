"""Variance of samples against closed forms: every step of a sampler on a Gaussian is linear."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import pytest
import torch

from zoo_core.rng import ImageRng, StepRng
from zoo_core.samplers import Ancestral
from zoo_core.schedulers import Karras
from zoo_core.testing.gaussian_mixture import GaussianMixture

Variance = Literal["small", "large"]
S, LEVELS = 0.5, (0.002, 80.0)
SIGNS: dict[Variance, int] = {"small": -1, "large": 1}


def drawn_variance(c: float, sigmas: Sequence[float], variance: Variance) -> float:
    """Of ancestral samples of N(0, c I), by recursion over its steps, which are linear: v = a^2 v + the variance of the noise."""
    v = c + sigmas[0] ** 2
    for s, t in pairwise(sigmas):
        a = (c + t**2) / (c + s**2)
        noise = (s**2 - t**2) * (t**2 / s**2 if variance == "small" else (1 + t**2) / (1 + s**2))
        v = a**2 * v + (noise if t > 0 else 0.0)
    return v


@pytest.mark.parametrize("steps", [5, 20, 50])
def test_ancestral_steps_lose_variance_with_the_small_variance_and_gain_it_with_the_large_one(steps: int) -> None:
    """Of N(0, c I) with c < 1, from either side to c as the levels get closer; what is lost is the contrast of images."""
    model = GaussianMixture((1.0,), ((0.0, 0.0),), (S,), sigma_range=LEVELS)
    sigmas, n = Karras().sigmas(steps, *LEVELS), 40_000
    for variance, sign in SIGNS.items():
        x = Ancestral(steps=steps, variance=variance)(model, StepRng(0, 0, n), sigmas=sigmas).double()
        expected = drawn_variance(S**2, sigmas, variance)
        assert x.square().mean().item() == pytest.approx(expected, rel=5 / math.sqrt(n))
        off, finer = (drawn_variance(S**2, Karras().sigmas(k, *LEVELS), variance) / S**2 - 1 for k in (steps, 2 * steps))
        assert sign * off > sign * finer > 0


@pytest.mark.parametrize(("steps", "lost"), [(2, 0.99), (5, 0.4), (50, 0.05)])
def test_the_large_variance_is_exact_for_data_of_unit_variance_at_any_number_of_steps(steps: int, lost: float) -> None:
    model, n = GaussianMixture((1.0,), ((0.0, 0.0),), (1.0,), sigma_range=LEVELS), 40_000
    small, large = (
        Ancestral(variance=variance)(model, StepRng(0, 0, n), sigmas=Karras().sigmas(steps, *LEVELS)).double().var().item()
        for variance in SIGNS
    )
    assert large == pytest.approx(1, rel=5 / math.sqrt(n))
    assert small < 1 - lost


@pytest.mark.parametrize("eta", [0.0, 0.4])
def test_the_variance_scales_the_fresh_noise_alone(eta: float) -> None:
    model, x = GaussianMixture((1.0,), ((0.3, 0.3),), (S,)), torch.full((4, 2), 3.0, dtype=torch.float64)
    small, large = (Ancestral(eta=eta, variance=v)(model, ImageRng(0, range(4)), sigmas=(4.0, 2.0), x=x) for v in SIGNS)
    up, wider = eta * 2 * math.sqrt(12) / 4, math.sqrt((1 + 1 / 4) / (1 + 1 / 16))
    torch.testing.assert_close(large - small, (wider - 1) * up * ImageRng(0, range(4)).normal(2).double())
