"""A prior that is given texts: its conditions and prompts are those of the latent-diffusion model."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import zoo_core
from zoo_core.capabilities import lacking
from zoo_core.data.captioned_sets import CaptionedMNISTConfig
from zoo_core.data.dataset import load_data
from zoo_core.data.vocabularies import with_vocabulary
from zoo_core.errors import CapabilityError
from zoo_core.interfaces import Teacher
from zoo_core.recipes import Recipe, load_recipe
from zoo_core.rng import ImageRng, StepRng
from zoo_core.samplers import DPMSolver2M, Guided
from zoo_core.schedulers import Karras
from zoo_core.testing import assert_resumes
from zoo_core.testing.conformance import checks_of
from zoo_core.training.fit import fit
from zoo_core.training.loop import build
from zoo_core.vocabulary import Vocabulary
from zoo_latent_diffusion.config import AutoencoderConfig, LatentDiffusionConfig, LatentDiffusionTrainerConfig
from zoo_text_to_image.config import TextToImageConfig
from zoo_text_to_image.trainer import TextToImageTrainer

FIRST = AutoencoderConfig(image_size=32, latent_channels=2, width=4, patch=4)
PRIOR = TextToImageConfig(image_size=4, channels=2, patch=1, dim=8, multipliers=(1,), attention=(4,), text_width=8, text_layers=1)


@pytest.fixture
def recipe(tmp_path: Path, write_first: Callable[..., Path]) -> Recipe:
    """24 grey squares of ten classes as captioned-mnist, and a text-to-image prior without a vocabulary of its own."""
    for kind in ("images-idx3", "labels-idx1"):
        items = np.full((24, 28, 28), 200, np.uint8) if "images" in kind else np.arange(24, dtype=np.uint8) % 10
        head = bytes([0, 0, 8, items.ndim]) + b"".join(side.to_bytes(4, "big") for side in items.shape)
        (tmp_path / f"train-{kind}-ubyte").write_bytes(head + items.tobytes())
    first = write_first(config=replace(FIRST, multipliers=(1, 2)))
    base = load_recipe("latent-diffusion/afhq-cat")
    return replace(
        base,
        model=LatentDiffusionConfig(first_stage=replace(FIRST, multipliers=(1, 2)), prior=PRIOR),
        trainer=LatentDiffusionTrainerConfig(first_stage=Teacher(reference=f"local:{first}")),
        fit=replace(base.fit, steps=6, batch_size=4, precision="no", sample_every=0),
        data=CaptionedMNISTConfig(root=str(tmp_path)),
        sampler=DPMSolver2M(steps=2),
    )


@torch.no_grad()
def shake(model: nn.Module) -> None:
    """Adds noise to the weights, of which some begin at 0."""
    for parameter in model.parameters():
        parameter.add_(0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0)))


def test_a_prior_of_texts_conforms(recipe: Recipe) -> None:
    words = Vocabulary(unit="word", tokens=("a", "seven"))
    config: Any = replace(recipe.model, prior=replace(PRIOR, vocabulary=words))
    for check in checks_of("latent-diffusion", config=config, trainer=recipe.trainer, capabilities={"latent", "encode", "condition"}):
        check()


def test_the_loss_is_that_of_the_priors_trainer_on_latents_and_captions(recipe: Recipe) -> None:
    trainer: Any = build(with_vocabulary(recipe))
    assert recipe.data is not None
    batch = load_data(recipe.data).batch(0, 0, 4)
    assert trainer.reads_captions
    trainer.prepare(batch, StepRng(0, 0, 4))
    shake(trainer.model.denoiser)
    own = TextToImageTrainer(trainer.model.denoiser, trainer.inner.config)
    z = trainer.model.encode(batch.x)
    wanted = own("model", replace(batch, x=z), StepRng(0, 5, 4)).value
    assert torch.equal(trainer("model", batch, StepRng(0, 5, 4)).value, wanted)
    other = replace(batch, captions=("two sevens",) * 4)
    assert not torch.equal(trainer("model", other, StepRng(0, 5, 4)).value, wanted)


def test_prompts_condition_the_walk_in_the_latents_and_runs_resume(recipe: Recipe, tmp_path: Path) -> None:
    assert_resumes(recipe, tmp_path / "runs", after=3)
    loaded: Any = zoo_core.load(f"local:{tmp_path / 'runs' / 'whole' / 'export'}")
    model = loaded.model
    shake(model.denoiser)
    assert "sevens" in model.vocabulary.tokens
    prompts = ["a red seven", "two blue ones"]
    drawn = loaded.sample(prompts=prompts, guidance=3.0, seed=1)
    with torch.no_grad():
        given = model.conditioned(model.prompt_conditions(prompts), ImageRng(1, range(2)))
        sigmas = DPMSolver2M(steps=2).noise_levels(model.latent, Karras(sigma_max=80.0))
        z = DPMSolver2M(steps=2)(Guided(given, 3.0, model.latent), ImageRng(1, range(2)), sigmas=sigmas)
        wanted = model.decode(z)
    assert torch.allclose(drawn, wanted, atol=1e-5)
    assert not torch.allclose(drawn, loaded.sample(prompts=prompts[::-1], guidance=3.0, seed=1), atol=1e-3)
    assert torch.allclose(loaded.sample(2, seed=1), loaded.sample(prompts=model.example_prompts[:2], seed=1), atol=1e-5)


def test_a_prior_without_conditions_takes_no_prompts(second: Recipe, tmp_path: Path) -> None:
    model = zoo_core.load(f"local:{fit(replace(second, fit=replace(second.fit, steps=1)), tmp_path / 'run', device='cpu')}")
    assert lacking(model.model, "condition") == "has no condition_event, conditioned"
    with pytest.raises(CapabilityError, match="cannot take prompts: it is not conditioned on texts"):
        model.sample(prompts=["a seven"])
