"""Theorems about flow matching as a denoiser, its noise levels and its loss."""

from collections.abc import Iterator
from dataclasses import fields
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from zoo_core.config import decode, encode
from zoo_core.errors import ConfigError
from zoo_core.interfaces import ModelConfig
from zoo_core.models.config import UNetConfig
from zoo_core.recipes import FitConfig, OptimizerConfig, Recipe
from zoo_core.rng import ImageRng, StepRng
from zoo_core.samplers import Ancestral
from zoo_core.testing import assert_resumes, fake_zoo, start_loop
from zoo_core.testing.fake_config import FakeDataConfig
from zoo_core.training.trainer import Batch
from zoo_ddpm.recipes import COURSE
from zoo_flow_matching.config import FlowMatchingConfig, FlowMatchingTrainerConfig
from zoo_flow_matching.model import FlowMatching
from zoo_flow_matching.recipes import AFHQ_CAT
from zoo_flow_matching.schedulers import Flow
from zoo_flow_matching.trainer import FlowMatchingTrainer

EULER = Ancestral(steps=7, eta=0.0, clip=False)


@pytest.fixture(autouse=True)
def _zoo() -> Iterator[None]:
    with fake_zoo("zoo-flow-matching"):
        yield


def points(**changes: object) -> FlowMatching:
    """A net for points without zero weights."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return FlowMatching(FlowMatchingConfig(**{"points": 2, "dim": 16, "blocks": 2, **changes}))  # type: ignore[arg-type]


class Straight(FlowMatching):
    """The model whose velocity is the exact one: that of the mixture of a denoiser."""

    def __init__(self, exact: Any) -> None:
        super().__init__(FlowMatchingConfig(points=2, dim=8))
        self.exact = exact

    def velocity(self, x_t: Tensor, t: Tensor, labels: Tensor | None = None, guidance: Tensor | None = None) -> Tensor:
        # E[z - x_0 | x_t] longhand: x_t = (1 - t) x_0 + t z has the means (1 - t) mu_k and the variances (1 - t)^2 s_k^2 + t^2.
        mixture, t = self.exact.mixture, t[:, None].double()
        x_t = x_t.double()
        means, stds, weights = (x_t.new_tensor(value) for value in (mixture.means, mixture.stds, mixture.weights))
        variance = (1 - t) ** 2 * stds**2 + t**2  # (n, k)
        distance = x_t[:, None] - (1 - t)[..., None] * means  # (n, k, 2)
        logits = weights.log() - variance.log() - distance.square().sum(2) / (2 * variance)
        slope = (t - (1 - t) * stds**2) / variance  # cov(z - x_0, x_t) / var(x_t)
        return (logits.softmax(1)[..., None] * (slope[..., None] * distance - means)).sum(1)


def test_the_denoiser_of_the_exact_velocity_is_the_exact_denoiser(exact: Any) -> None:
    for sigma in (0.01, 0.3, 1.0, 7.0, 900.0):
        levels = torch.full((64,), sigma, dtype=torch.float64)
        x = sigma * torch.randn(64, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        torch.testing.assert_close(Straight(exact).denoise(x, levels), exact.denoise(x, levels))


def test_a_step_of_euler_is_a_step_in_time_along_the_velocity() -> None:
    model = points()
    sigmas = Flow().sigmas(7, *model.sigma_range)
    times = [sigma / (1 + sigma) for sigma in sigmas]
    with torch.no_grad():
        x = model.start(ImageRng(0, range(5)), sigmas[0]).double()
        ours = EULER(model, ImageRng(0, range(5)), sigmas=sigmas, x=x)
        x_t = x / (1 + sigmas[0])
        for t, after in pairwise(times):
            x_t = x_t + (after - t) * model.velocity(x_t, torch.full((5,), t, dtype=torch.float64))
    torch.testing.assert_close(ours, x_t)  # at sigma 0, x_sigma is x_t


def test_straight_lines_need_one_step_of_euler(exact: Any) -> None:
    # With x_0 = a + b z the lines do not cross, and their velocity is constant along each.
    class Linear(FlowMatching):
        def velocity(self, x_t: Tensor, t: Tensor, labels: Tensor | None = None, guidance: Tensor | None = None) -> Tensor:
            t = t[:, None].to(x_t)
            z = (x_t - (1 - t) * 0.3) / ((1 - t) * 0.5 + t)
            return z - (0.3 + 0.5 * z)

    model = Linear(FlowMatchingConfig(points=2, dim=8))
    x = model.start(ImageRng(0, range(5)), 1000.0).double()
    ends = [Ancestral(steps=n, eta=0.0, clip=False)(model, ImageRng(0, range(5)), x=x) for n in (1, 13)]
    torch.testing.assert_close(ends[0], ends[1])


@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_the_levels_are_even_in_time_and_then_shifted(shift: float) -> None:
    sigmas = Flow(shift=shift).sigmas(10, 0.001, 1000.0)
    shifted = [sigma / (1 + sigma) for sigma in sigmas]
    even = [t / (shift - (shift - 1) * t) for t in shifted]  # the inverse of t' = shift t / (1 + (shift - 1) t)
    assert [a - b for a, b in pairwise(even)] == pytest.approx([even[0] / 10] * 10)
    assert sigmas[0] == 1000.0


def test_many_levels_end_at_the_smallest_one() -> None:
    sigmas = Flow().sigmas(5000, 0.001, 1000.0)
    assert sigmas[-2] == pytest.approx(0.001)
    assert Flow(sigma_max=80.0).sigmas(1, 0.001, 1000.0) == (80.0, 0.0)
    with pytest.raises(ConfigError, match=r"sigma_max 0\.0005 is out of the range"):
        Flow(sigma_max=0.0005).sigmas(5, 0.001, 1000.0)


@pytest.mark.parametrize("times", ["uniform", "logit-normal"])
def test_the_loss_is_the_squared_error_of_the_velocity_at_random_times(times: str) -> None:
    model = points(num_classes=3)
    trainer = FlowMatchingTrainer(model, FlowMatchingTrainerConfig(times=times, log_mean=0.5, log_std=2.0, p_uncond=0.5))  # type: ignore[arg-type]
    n = 16
    x0 = StepRng(1, 0, n).normal(2)
    labels = torch.arange(n) % 3
    value = trainer("model", Batch(x=x0, labels=labels, index=torch.arange(n)), StepRng(0, 4, n)).value
    rng = StepRng(0, 4, n)
    z = rng.normal(2)
    known = torch.where(rng.uniform() < 0.5, 3, labels)
    t = rng.uniform() if times == "uniform" else torch.sigmoid(0.5 + 2.0 * rng.normal())
    t = t.double().clamp(0.001 / 1.001, 1000 / 1001)
    x_t = (1 - t.float()[:, None]) * x0 + t.float()[:, None] * z
    v = model.velocity(x_t, t, known)
    torch.testing.assert_close(value, (v - (z - x0)).square().mean(), rtol=1e-4, atol=1e-5)
    assert set(known.tolist()) == {0, 1, 2, 3}


def test_the_exact_velocity_has_the_least_loss(exact: Any) -> None:
    n = 4000
    trainer = FlowMatchingTrainer(exact, FlowMatchingTrainerConfig())
    rng = torch.Generator().manual_seed(0)
    k = torch.multinomial(torch.tensor(exact.mixture.weights), n, replacement=True, generator=rng)
    x0 = torch.tensor(exact.mixture.means)[k] + 0.5 * torch.randn(n, 2, generator=rng)
    batch = Batch(x=x0, labels=None, index=torch.arange(n))
    least = trainer("model", batch, StepRng(0, 0, n)).value
    for change in (0.1, -0.1):
        exact.mixture.denoise = lambda x, sigma, change=change: (
            type(exact.mixture).denoise(exact.mixture, x, sigma) + (change * (sigma / (1 + sigma))[:, None])
        )
        assert trainer("model", batch, StepRng(0, 0, n)).value > least


def test_the_cats_have_the_net_the_steps_and_the_batches_of_those_of_ddpm() -> None:
    assert AFHQ_CAT.fit == COURSE.fit
    assert AFHQ_CAT.data == COURSE.data
    assert all(getattr(AFHQ_CAT.model, item.name) == getattr(COURSE.model, item.name) for item in fields(UNetConfig))


def test_recipes_survive_json() -> None:
    config = FlowMatchingConfig(points=2, scheduler=Flow(shift=2.0))
    assert decode(ModelConfig, encode(config), "model") == config  # type: ignore[type-abstract]
    with pytest.raises(ConfigError, match="sigma_min must be less than sigma_max"):
        FlowMatchingConfig(sigma_min=2.0, sigma_max=1.0)


def test_the_net_of_images_may_take_the_guidance_scale() -> None:
    model = FlowMatching(
        FlowMatchingConfig(image_size=8, dim=8, multipliers=(1, 2), linear_attention=(), num_classes=3, guidance_embeds=True)
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0)) / 10)
        x = torch.ones(2, 3, 8, 8)
        plain, one, three = (model.denoise(x, 2.0, torch.tensor([0, 1]), guidance=scale) for scale in (None, 1.0, 3.0))
    torch.testing.assert_close(plain, one)
    assert (three - one).abs().max() > 1e-3
    with pytest.raises(ConfigError, match="does not take a guidance scale"):
        FlowMatchingConfig(points=2, num_classes=3, guidance_embeds=True)


TINY = Recipe(
    model=FlowMatchingConfig(image_size=8, dim=8, multipliers=(1, 2), linear_attention=(8,), heads=2, dropout=0.1, num_classes=3),
    trainer=FlowMatchingTrainerConfig(),
    fit=FitConfig(steps=12, batch_size=4, save_every=6, sample_every=0, log_every=3),
    data=FakeDataConfig(shape=(3, 8, 8), count=16),
    sampler=EULER,
)


def test_a_resumed_run_ends_as_a_whole_one(tmp_path: Path) -> None:
    assert_resumes(TINY, tmp_path, after=6)


@pytest.mark.filterwarnings("error")
def test_a_net_of_points_learns_the_mixture() -> None:
    recipe = Recipe(
        model=FlowMatchingConfig(points=2, dim=32, blocks=2),
        trainer=FlowMatchingTrainerConfig(),
        fit=FitConfig(steps=400, batch_size=256, optimizer=OptimizerConfig(name="adam", lr=5e-3), lr_schedule="cosine"),
        data=FakeDataConfig(shape=(2,), classes=2, count=512),
    )
    loop = start_loop(recipe)
    for _ in range(400):
        loop.advance()
    model: Any = loop.trainer.model.eval()
    with torch.no_grad():
        x = Ancestral(steps=20, eta=0.0, clip=False)(model, ImageRng(0, range(500)))
    # Two blobs at (0.8, 0) and (-0.8, 0) with a standard deviation of 0.1.
    assert abs((x[:, 0] > 0).float().mean() - 0.5) < 0.1
    assert (x[:, 0].abs() - 0.8).abs().mean() < 0.15
    assert x[:, 1].std() < 0.2
