"""Theorems about the published checkpoint ``ddpm-afhq-cat``."""

import json
from dataclasses import replace

import pytest
import torch
from torch import Tensor

import zoo_core
from zoo_core.interfaces import OnStep
from zoo_core.pretrained import Pretrained
from zoo_core.recipes import Recipe
from zoo_core.registry import parse_reference
from zoo_ddpm.recipes import COURSE

NAME = "ddpm-afhq-cat"


@pytest.fixture(scope="module")
def cats() -> Pretrained:
    return zoo_core.load(NAME)


def pixels(images: Tensor) -> Tensor:
    return ((images + 1) * 127.5).round()


@pytest.fixture(scope="module")
def whole(cats: Pretrained) -> Tensor:
    return cats.sample(64, seed=0, batch_size=64)


@pytest.mark.slow
@pytest.mark.parametrize("batch_size", [1, 7])
def test_images_agree_at_every_batch_size(cats: Pretrained, whole: Tensor, batch_size: int) -> None:
    drawn = cats.sample(64, seed=0, batch_size=batch_size)
    assert (drawn - whole).abs().max() <= 1e-4
    assert (pixels(drawn) == pixels(whole)).float().mean() >= 0.999


@pytest.mark.slow
def test_images_are_bit_identical_for_the_same_batch_shapes(cats: Pretrained, whole: Tensor) -> None:
    assert torch.equal(cats.sample(64, seed=0, batch_size=64), whole)


@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_noise_is_bit_identical_at_every_batch_size(cats: Pretrained, batch_size: int) -> None:
    def starts(size: int) -> Tensor:
        seen: list[Tensor] = []

        def keep(step: int, sigma: float, x: Tensor, x0: Tensor) -> None:
            if step == 0:
                seen.append(x.clone())

        on_step: OnStep = keep
        cats.sample(10, seed=3, batch_size=size, sampler={"name": "ancestral", "steps": 1}, on_step=on_step)
        return torch.cat(seen)

    assert torch.equal(starts(batch_size), starts(10))


def test_sampling_leaves_the_global_rng_alone(cats: Pretrained) -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    cats.sample(2, seed=0, sampler={"name": "ancestral", "steps": 3})
    assert torch.equal(torch.get_rng_state(), before)


def test_the_papers_sampler_walks_along_exactly_the_trained_levels_and_the_default_one_from_sigma_80(cats: Pretrained) -> None:
    sigmas: list[float] = []
    cats.sample(1, sampler="ancestral", on_step=lambda step, sigma, x, x0: sigmas.append(sigma))
    model = cats.model
    assert tuple(sigmas) == (*reversed(model.levels), 0.0)  # type: ignore[arg-type]
    sigmas.clear()
    cats.sample(1, on_step=lambda step, sigma, x, x0: sigmas.append(sigma))
    assert (len(sigmas), sigmas[0]) == (11, 80.0)


def test_the_default_samples_have_the_contrast_of_photographs_and_the_papers_are_paler(cats: Pretrained) -> None:
    """That of real cats of this size is 0.49; 24 cats determine it within 0.03."""
    ours, papers = (cats.sample(24, sampler=sampler).clamp(-1, 1).std().item() for sampler in (None, "ancestral"))
    assert ours == pytest.approx(0.49, abs=0.05)
    assert papers < ours - 0.05


def test_samples_look_like_photographs_in_their_coarse_statistics(whole: Tensor) -> None:
    # Not grey, not noise, not all alike, as they would be with a broken clamp, time embedding or average.
    assert whole.min() >= -1
    assert whole.max() <= 1
    neighbours = (whole[..., 1:] - whole[..., :-1]).abs().mean()
    assert 0.02 < neighbours < 0.15
    assert whole.std(dim=0).mean() > 0.3


def test_the_checkpoint_is_small_and_its_record_complete() -> None:
    folder = parse_reference(NAME).spec().folder
    assert folder is not None
    assert (folder / "model.safetensors").stat().st_size <= 10_000_000
    record = json.loads((folder / "training.json").read_text())
    assert record["steps"] == record["recipe"]["fit"]["steps"] == 16_000
    assert record["command"].startswith("zoo train ddpm --recipe course")
    # The value of "auto" on the machine that trained it.
    assert Recipe.from_dict(record["recipe"]) == replace(COURSE, fit=replace(COURSE.fit, precision="bf16"))
    assert record["recipe"]["data"]["path"] == "$AFHQ/train"
    assert record["data"]["count"] == 4656
    assert len(record["commit"]) == 40
    assert record["curve"]["step"][-1] == 16_000
