"""Conditions, scalings, the loss longhand, and runs that resume."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

import zoo_core
from zoo_core.data.dataset import Batch
from zoo_core.datasets import FolderConfig
from zoo_core.errors import ConfigError, UsageError
from zoo_core.pretrained import Pretrained
from zoo_core.recipes import Recipe, load_recipe
from zoo_core.rng import ImageRng, StepRng
from zoo_core.samplers import DPMSolver2M, Heun
from zoo_core.schedulers import Karras
from zoo_core.testing import assert_resumes, write_checkpoint
from zoo_core.training.preview import draw
from zoo_super_resolution.config import SuperResolutionConfig, SuperResolutionTrainerConfig
from zoo_super_resolution.model import SuperResolution, enlarged, reduced
from zoo_super_resolution.trainer import SuperResolutionTrainer

SMALL = SuperResolutionConfig(image_size=8, dim=8, multipliers=(1,))


def net(seed: int = 0, noise: float = 0.1, trained: bool = True) -> SuperResolution:
    """A net with random weights; the last layer of an untrained one is zero."""
    torch.manual_seed(seed)
    model = SuperResolution(SMALL)
    if trained:
        with torch.no_grad():
            for parameter in model.net.parameters():
                parameter.add_(noise * torch.randn_like(parameter))
    return model.eval()


def loaded(folder: Path, model: SuperResolution) -> Pretrained:
    return zoo_core.load(f"local:{write_checkpoint(folder / 'larger', model, SMALL, DPMSolver2M(steps=6), Karras(sigma_max=2.0))}")


@pytest.fixture
def images() -> Tensor:
    coarse = torch.rand(4, 3, 4, 4, generator=torch.Generator().manual_seed(0)) * 1.6 - 0.8
    return (enlarged(coarse, 2) + 0.05 * torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(1))).clamp(-1, 1)


def test_an_untrained_net_enlarges_the_condition_by_interpolation(images: Tensor) -> None:
    """F = 0 is D = u + c_skip (x - u), the estimate of a Gaussian around u: its samples are as near to u as its standard deviation."""
    model, small = net(trained=False), reduced(images, 2)
    model.residual_std.fill_(1e-3)
    given = model.conditioned(small, ImageRng(0, range(4)))
    sampler = Heun(steps=20)
    drawn = sampler(given, ImageRng(1, range(4)), sigmas=sampler.noise_levels(given, None))
    assert (drawn - enlarged(given.condition, 2)).abs().max() < 0.01
    assert (given.condition - small).std() == pytest.approx(SMALL.condition_noise, rel=0.2)


def test_the_loss_is_the_error_of_the_estimate_over_c_out(images: Tensor) -> None:
    """|F - F*|^2 = |D - x_0|^2 / c_out^2, with the random numbers drawn again in their order."""
    model = net()
    trainer = SuperResolutionTrainer(model, SuperResolutionTrainerConfig(p_uncond=0.5))
    batch = Batch(x=images, labels=None, index=torch.arange(4))
    rng = StepRng(0, 3, 4)
    got = trainer("model", batch, StepRng(0, 3, 4)).value
    tau = 0.2 * rng.uniform()
    small = reduced(images, 2) + tau.view(-1, 1, 1, 1) * rng.normal(3, 4, 4)
    withheld = rng.uniform() < 0.5
    assert withheld.any()
    assert not withheld.all()
    std = torch.where(withheld, 0.5, model.residual_std).double()
    sigma = (std * torch.exp(-0.5 + 1.2 * rng.normal().double())).clamp(0.002, 20.0)
    x = images + sigma.view(-1, 1, 1, 1).float() * rng.normal(3, 8, 8)
    estimate = model.denoise(x, sigma, condition=small, condition_noise=torch.where(withheld, -1.0, tau))
    c_out = (sigma * std / (sigma**2 + std**2).sqrt()).view(-1, 1, 1, 1)
    torch.testing.assert_close(got.double(), ((estimate - images) / c_out).square().mean(), rtol=1e-4, atol=1e-6)


def test_the_first_batch_gives_the_spread_of_the_residual_and_the_examples(images: Tensor) -> None:
    trainer = SuperResolutionTrainer(net(), SuperResolutionTrainerConfig())
    trainer.prepare(Batch(x=images, labels=None, index=torch.arange(4)), StepRng(0, 0, 4))
    small = F.avg_pool2d(images, 2)
    residual = images - F.interpolate(small, size=(8, 8), mode="bicubic", align_corners=False)
    assert torch.allclose(trainer.model.residual_std, residual.square().mean().sqrt())
    assert torch.equal(trainer.model.example_conditions[4:8], small)


def test_a_row_without_a_condition_is_that_of_the_plain_denoiser(images: Tensor) -> None:
    model, sigma = net(), torch.full((4,), 0.7, dtype=torch.float64)
    given = model.denoise(images, sigma, condition=reduced(images, 2), condition_noise=torch.tensor([0.1, -1.0, 0.1, -1.0]))
    plain = model.denoise(images, sigma)
    assert torch.allclose(given[1::2], plain[1::2], atol=1e-6)
    assert (given[::2] - plain[::2]).abs().max() > 1e-3


def test_the_noise_of_a_condition_is_that_of_its_image(images: Tensor, tmp_path: Path) -> None:
    model = loaded(tmp_path, net())
    small = reduced(images, 2)
    whole = model.sample(condition=small, seed=4)
    assert torch.allclose(model.sample(condition=small[2:], seed=4, first=2), whole[2:], atol=1e-5)
    assert torch.allclose(model.sample(condition=small, seed=4, batch_size=3), whole, atol=1e-5)


def test_guidance_is_between_with_and_without(images: Tensor, tmp_path: Path) -> None:
    model, small = loaded(tmp_path, net()), reduced(images, 2)
    plain = model.sample(condition=small)
    assert torch.equal(model.sample(condition=small, guidance=1.0), plain)
    assert not torch.allclose(model.sample(condition=small, guidance=2.0), plain, atol=1e-3)


def test_examples_are_enlarged_by_default(tmp_path: Path) -> None:
    model = net()
    model.example_conditions.uniform_(-1, 1)
    larger = loaded(tmp_path, model)
    assert torch.allclose(larger.sample(2, first=3), larger.sample(2, first=3, condition=model.example_conditions[3:5]), atol=1e-6)


def test_the_sheet_of_a_run_shows_enlarged_examples(tmp_path: Path) -> None:
    model = net()
    model.example_conditions.uniform_(-1, 1)
    larger = loaded(tmp_path, model)
    x = draw(model, larger.sampler, torch.device("cpu"), range(2, 5), None, Karras(sigma_max=2.0))
    assert torch.allclose(x, larger.sample(3, first=2), atol=1e-5)


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    for i in range(6):
        path = tmp_path / "photos" / f"{i}.png"
        path.parent.mkdir(exist_ok=True)
        Image.effect_noise((8, 8), 60 + 10 * i).convert("RGB").save(path)
    recipe = load_recipe("super-resolution/afhq-cat")
    return replace(
        recipe,
        model=SMALL,
        fit=replace(recipe.fit, steps=6, batch_size=4, precision="no", sample_every=0),
        data=FolderConfig(path=str(tmp_path / "photos"), size=8, flip=True),
        sampler=DPMSolver2M(steps=2),
    )


def test_a_run_resumes_bit_for_bit(recipe: Recipe, tmp_path: Path) -> None:
    assert_resumes(recipe, tmp_path, after=3)


def test_options_that_do_not_divide_are_refused() -> None:
    for options, said in (
        ({"image_size": 30, "patch": 4}, "image_size must be a multiple of patch, but 4 does not divide 30"),
        ({"image_size": 32, "factor": 3}, "image_size must be a multiple of factor, but 3 does not divide 32"),
        ({"sigma_min": 2.0, "sigma_max": 1.0}, "sigma_min must be less than sigma_max"),
    ):
        with pytest.raises(ConfigError, match=said):
            SuperResolutionConfig(**options)  # type: ignore[arg-type]  # options of the test


def test_a_condition_of_another_size_is_refused(images: Tensor, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"condition must have the shape \(n, 3, 4, 4\), not \(4, 3, 8, 8\)"):
        loaded(tmp_path, net()).sample(condition=images)
