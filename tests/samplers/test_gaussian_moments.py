"""Moments of samples of Gaussians: closed forms against drawn samples, and against the numbers in the documents."""

import math
from pathlib import Path

import pytest
import torch

from zoo_core.rng import StepRng
from zoo_core.samplers import Ancestral, Heun
from zoo_core.samplers.factory import as_sampler
from zoo_core.schedulers import Cosine, Karras
from zoo_core.testing.gaussian_moments import Gaussian, beside, drawn, inpainting_table, variance_table

DOCUMENT = Path(__file__).parents[2] / "docs" / "samplers.md"
C = ((1.0, 0.8), (0.8, 1.0))


@pytest.mark.parametrize("name", ["ancestral", "ddim", "dpmpp-2m", "heun", "langevin", "predictor-corrector"])
def test_the_exact_covariance_is_that_of_many_samples(name: str) -> None:
    model, n = Gaussian(C, Karras(), (0.05, 20.0)), 20_000
    sampler = as_sampler({"name": name, "steps": 7})
    sigmas = sampler.noise_levels(model, None)
    mean, covariance = drawn(sampler, model, sigmas)
    x = sampler(model, StepRng(0, 0, n), sigmas=sigmas).double()
    torch.testing.assert_close(x.T @ x / n, covariance, rtol=0, atol=6 * float(covariance.max()) / math.sqrt(n))
    assert mean.abs().max() == 0


def test_the_documents_have_the_tables_that_the_module_prints() -> None:
    text = DOCUMENT.read_text()
    assert variance_table() in text
    assert inpainting_table() in text


def test_repeated_first_order_steps_draw_too_narrow_and_heun_or_the_large_variance_does_not() -> None:
    """N(-0.8, 0.6^2) is right; the narrowness goes with the distance between the levels."""
    for sampler in (Heun(steps=30), Ancestral(steps=30, variance="large")):
        mean, std = beside(sampler, 60)
        assert mean == pytest.approx(-0.8, abs=0.015)
        assert std == pytest.approx(0.6, abs=0.01)
    for eta in (0.0, 1.0):
        coarse, fine = (beside(Ancestral(steps=steps, eta=eta), 60)[1] for steps in (10, 100))
        assert coarse < fine - 0.05
        assert fine == pytest.approx(0.6, abs=0.03)


def test_the_levels_at_the_top_cost_bright_directions_their_variance() -> None:
    """The cosine levels go from 1015 to 32 in one step."""
    model, sampler = Gaussian(((100.0,),), Cosine(T=50), (0.05, 1014.0)), Ancestral(variance="large")
    wide, near = (
        drawn(sampler, model, sigmas)[1].item() for sigmas in (Cosine(T=50).sigmas(50, 0.05, 1014), Karras().sigmas(50, 0.05, 80))
    )
    assert wide / 100 < 0.8 < 0.85 < near / 100
