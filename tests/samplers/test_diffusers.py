"""Samplers against the schedulers of diffusers, step by step on the same levels and the same noise. The extra ``bench`` has diffusers."""

import warnings
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from zoo_core.interfaces import Sampler
from zoo_core.rng import ImageRng
from zoo_core.samplers import LinearMultistep, SDEDPMSolver2M, UniPC
from zoo_core.samplers.base import StepContext
from zoo_core.schedulers import Karras
from zoo_core.testing.fake import FakeDenoiser
from zoo_core.testing.fake_config import FakeDenoiserConfig
from zoo_core.testing.gaussian_mixture import mixture

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    diffusers = pytest.importorskip("diffusers")

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of numpy's, in diffusers

STEPS = 12
ROWS = range(32)


def placed(scheduler: Any, sigmas: Sequence[float]) -> Any:
    """A scheduler of diffusers with given levels; its float32 tables of levels are replaced by float64 ones."""
    scheduler.set_timesteps(len(sigmas) - 1)
    scheduler.sigmas = torch.tensor(sigmas, dtype=torch.float64)
    scheduler.timesteps = torch.arange(len(sigmas) - 1, 0, -1)
    return scheduler


def variance_preserving(scheduler: Any, sigmas: Sequence[float], x: Tensor, rng: ImageRng | None = None) -> list[Tensor]:
    """The states x_sigma by a scheduler of diffusers that walks in x_t = x_sigma / sqrt(1 + sigma^2) and takes estimates of x_0."""
    model, scheduler = mixture(), placed(scheduler, sigmas)
    states = []
    for i, t in enumerate(scheduler.timesteps):
        states.append(x)
        x0 = model.denoise(x, torch.full((len(x),), sigmas[i], dtype=torch.float64))
        noise = {} if rng is None or sigmas[i + 1] == 0 else {"variance_noise": rng.normal(2).double()}
        x_t = scheduler.step(x0, t, x / (1 + sigmas[i] ** 2) ** 0.5, **noise).prev_sample
        x = x_t * (1 + sigmas[i + 1] ** 2) ** 0.5
    return [*states, x]


def ours(sampler: Sampler, sigmas: Sequence[float], x: Tensor) -> list[Tensor]:
    states: list[Tensor] = []
    sampler(mixture(), ImageRng(0, ROWS), sigmas=sigmas, x=x, on_step=lambda i, sigma, x, x0: states.append(x))
    return states


def start() -> tuple[tuple[float, ...], Tensor]:
    model = mixture()
    sigmas = Karras().sigmas(STEPS, *model.sigma_range)
    return sigmas, model.start(ImageRng(1, ROWS), sigmas[0]).double()


def test_dpmpp_2m_is_that_of_diffusers_with_noise_and_without() -> None:
    sigmas, x = start()
    for eta, name in ((0.0, "dpmsolver++"), (1.0, "sde-dpmsolver++")):
        theirs = diffusers.DPMSolverMultistepScheduler(algorithm_type=name, prediction_type="sample", final_sigmas_type="zero")
        expected = variance_preserving(theirs, sigmas, x, ImageRng(0, ROWS) if eta else None)
        torch.testing.assert_close(torch.stack(ours(SDEDPMSolver2M(eta=eta), sigmas, x)), torch.stack(expected), rtol=1e-5, atol=1e-5)


def test_unipc_is_that_of_diffusers() -> None:
    sigmas, x = start()
    theirs = diffusers.UniPCMultistepScheduler(solver_order=2, solver_type="bh2", prediction_type="sample", final_sigmas_type="zero")
    expected = variance_preserving(theirs, sigmas, x)
    torch.testing.assert_close(torch.stack(ours(UniPC(), sigmas, x)), torch.stack(expected), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_lms_is_that_of_diffusers_up_to_the_last_step(order: int) -> None:
    pytest.importorskip("scipy")
    sigmas, x = start()
    expected = ours(LinearMultistep(order=order), sigmas, x)[:-1]
    model, theirs = mixture(), placed(diffusers.LMSDiscreteScheduler(prediction_type="epsilon"), sigmas)
    theirs.is_scale_input_called = True
    for i, t in enumerate(theirs.timesteps[:-1]):
        torch.testing.assert_close(x, expected[i], rtol=1e-4, atol=1e-4)  # theirs integrates numerically
        eps = (x - model.denoise(x, torch.full((len(x),), sigmas[i], dtype=torch.float64))) / sigmas[i]
        x = theirs.step(eps, t, x, order=order).prev_sample
    torch.testing.assert_close(x, expected[-1], rtol=1e-4, atol=1e-4)


def test_dynamic_thresholding_is_that_of_diffusers() -> None:
    theirs = diffusers.DDIMScheduler(thresholding=True, dynamic_thresholding_ratio=0.9, sample_max_value=100.0)
    model = FakeDenoiser(FakeDenoiserConfig(shape=(1, 4, 4), bounded=True)).requires_grad_(False)
    model.mean.copy_(torch.linspace(-2, 3, 16).view(1, 4, 4))
    context = StepContext(model=model, rng=ImageRng(0, ROWS), labels=None, clip=0.9, on_step=None, count=1)
    x = 2 * context.rng.normal(1, 4, 4)
    plain = StepContext(model=model, rng=ImageRng(0, ROWS), labels=None, clip=False, on_step=None, count=1).denoised(x, 1.0)
    torch.testing.assert_close(context.denoised(x, 1.0), theirs._threshold_sample(plain))
    assert plain.abs().max() > 2
