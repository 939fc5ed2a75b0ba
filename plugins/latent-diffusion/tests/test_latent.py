"""The second stage: latents that are computed once, the prior's own trainer, and what is refused."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import zoo_core
from zoo_core.config import encode
from zoo_core.data.dataset import Batch, load_data
from zoo_core.errors import CapabilityError, ConfigError, IncompatibleCheckpoint, IntegrityError, UnknownNameError, ZooError
from zoo_core.interfaces import Teacher
from zoo_core.recipes import Recipe
from zoo_core.rng import StepRng
from zoo_core.samplers.factory import as_sampler
from zoo_core.testing import assert_resumes, interrupt, run_state, start_loop
from zoo_core.testing.gaussian_mixture import names
from zoo_core.training.fit import fit
from zoo_core.training.loop import build
from zoo_ddpm.config import DDPMTrainerConfig
from zoo_ddpm.trainer import DDPMTrainer
from zoo_flow_matching.config import FlowMatchingTrainerConfig
from zoo_latent_diffusion.config import AutoencoderConfig, AutoencoderTrainerConfig, LatentDiffusionTrainerConfig
from zoo_latent_diffusion.latent import LatentDiffusion
from zoo_latent_diffusion.latent_trainer import LATENTS, LatentDiffusionTrainer
from zoo_latent_diffusion.second_stage import AFHQ_CAT
from zoo_vae.config import VAEConfig

SAMPLERS, _ = names()


def trainer_of(recipe: Recipe) -> LatentDiffusionTrainer:
    trainer = build(recipe)
    assert isinstance(trainer, LatentDiffusionTrainer)
    return trainer


def with_first(recipe: Recipe, reference: str | None) -> Recipe:
    first = None if reference is None else Teacher(reference=reference)
    return replace(recipe, trainer=LatentDiffusionTrainerConfig(first_stage=first))


def test_the_loss_is_that_of_the_priors_own_trainer_on_scaled_latents(second: Recipe) -> None:
    trainer = trainer_of(second)
    assert second.data is not None
    batch = load_data(second.data).batch(0, 0, 4)
    with torch.no_grad():
        for parameter in trainer.model.denoiser.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0)))  # some begin at 0
        trainer.prepare(batch, StepRng(0, 0, 4))
        z = trainer.model.first_stage.encode(batch.x)  # type: ignore[operator]  # the capability
    z = (z - z.mean((0, 2, 3), keepdim=True)) / z.transpose(0, 1).flatten(1).std(1).view(1, 2, 1, 1)
    own = DDPMTrainer(trainer.model.denoiser, DDPMTrainerConfig())  # type: ignore[arg-type]  # a DDPM
    wanted = own("model", Batch(x=z, labels=batch.labels, index=batch.index), StepRng(0, 5, 4)).value
    assert trainer("model", batch, StepRng(0, 5, 4)).value.item() == pytest.approx(wanted.item(), rel=1e-4)


def test_a_new_run_begins_with_the_weights_of_the_first_stage_and_leaves_them(second: Recipe, tmp_path: Path) -> None:
    first = load_file(tmp_path / "first" / "model.safetensors")
    fit(second, tmp_path / "run", device="cpu")
    state = load_file(tmp_path / "run" / "export" / "model.safetensors")
    assert all(torch.equal(state[f"first_stage.{name}"], value) for name, value in first.items())
    assert {name.split(".")[0] for name in state} == {"denoiser", "first_stage", "mean", "std"}


def test_latents_of_the_data_and_of_mirror_images_are_kept_beside_the_run(second: Recipe, tmp_path: Path) -> None:
    fit(second, tmp_path / "run", device="cpu")
    x = load_file(tmp_path / "run" / LATENTS)["latents"]
    model = zoo_core.load(tmp_path / "run" / "export")
    assert second.data is not None
    images = load_data(second.data).rows(torch.arange(8))
    assert torch.allclose(x[:8], model.encode(images), atol=1e-5)
    assert torch.allclose(x[8:], model.encode(images.flip(-1)), atol=1e-5)


def test_labels_follow_their_latents(second: Recipe, tmp_path: Path) -> None:
    loop = start_loop(second)
    loop.read_inputs(tmp_path)
    assert loop.data.labels is not None
    assert loop.inputs.labels is not None
    assert loop.inputs.labels.tolist() == loop.data.labels.tolist() * 2
    assert len(loop.inputs) == 16


class _Counting(nn.Module):
    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net, self.calls = net, 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return self.net(x)  # type: ignore[no-any-return]


def _encoder_calls(recipe: Recipe, folder: Path) -> int:
    loop = start_loop(recipe)
    model = loop.trainer.model
    assert isinstance(model, LatentDiffusion)
    first_stage: Any = model.first_stage
    first_stage.encoder = counting = _Counting(first_stage.encoder)
    names = {name.replace(".net.", "."): value for name, value in first_stage.state_dict().items()}
    first_stage.state_dict = lambda: names
    loop.read_inputs(folder)
    loop.advance()
    return counting.calls


def test_latents_are_computed_once_and_again_for_another_first_stage(
    second: Recipe, tmp_path: Path, write_first: Callable[..., Path]
) -> None:
    assert _encoder_calls(second, tmp_path) == 2  # the data, and the mirror images
    assert _encoder_calls(second, tmp_path) == 0
    other = with_first(second, f"local:{write_first('other', seed=1)}")
    assert _encoder_calls(other, tmp_path) == 2


def test_damaged_latents_are_seen(second: Recipe, tmp_path: Path) -> None:
    assert _encoder_calls(second, tmp_path) == 2
    path = tmp_path / LATENTS
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.warns(RuntimeWarning, match="is damaged"):
        assert _encoder_calls(second, tmp_path) == 2
    path.write_bytes(b"no tensors")
    with pytest.warns(RuntimeWarning, match="is damaged"):
        assert _encoder_calls(second, tmp_path) == 2


def test_a_resumed_run_ends_as_a_whole_one(second: Recipe, tmp_path: Path) -> None:
    state = assert_resumes(second, tmp_path / "runs", after=3)
    assert not any(name.startswith("trainer/") for name in state)  # the prior is stored once


def test_a_run_whose_latents_were_lost_ends_as_a_whole_one(second: Recipe, tmp_path: Path) -> None:
    whole = load_file(fit(second, tmp_path / "whole", device="cpu") / "model.safetensors")
    interrupt(second, tmp_path / "parts", after=3)
    (tmp_path / "parts" / LATENTS).unlink()
    parts = load_file(fit(second, tmp_path / "parts", device="cpu") / "model.safetensors")
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


def test_any_trainer_of_denoisers_trains_the_prior(second: Recipe, tmp_path: Path) -> None:
    recipe = replace(second, trainer=replace(second.trainer, prior=FlowMatchingTrainerConfig()))  # type: ignore[type-var]  # a dataclass
    fit(recipe, tmp_path / "run", device="cpu")
    assert run_state(tmp_path / "run")
    with pytest.raises(CapabilityError, match="kl-autoencoder cannot train ddpm"):
        build(replace(second, trainer=replace(second.trainer, prior=AutoencoderTrainerConfig())))  # type: ignore[type-var]


def test_a_run_may_begin_with_a_whole_checkpoint(second: Recipe, tmp_path: Path) -> None:
    fit(second, tmp_path / "run", device="cpu")
    tuned = replace(with_first(second, None), start_from=f"local:{tmp_path / 'run'}")
    fit(tuned, tmp_path / "tuned", device="cpu")
    before, after = (load_file(tmp_path / run / "export" / "model.safetensors") for run in ("run", "tuned"))
    assert all(torch.equal(before[name], after[name]) for name in before if not name.startswith("denoiser."))
    assert not all(torch.equal(before[name], after[name]) for name in before)


# What is refused


def refused(recipe: Recipe, out: Path) -> ZooError:
    with pytest.raises(ZooError) as error:
        fit(recipe, out, device="cpu")
    assert "\n" not in str(error.value)
    assert error.value.hint
    return error.value


def test_a_new_run_without_a_first_stage_is_refused(second: Recipe, tmp_path: Path) -> None:
    error = refused(with_first(second, None), tmp_path / "run")
    assert isinstance(error, ConfigError)
    assert "trainer.first_stage.reference" in error.hint


def test_a_missing_first_stage_is_refused(second: Recipe, tmp_path: Path) -> None:
    assert "nowhere" in refused(with_first(second, f"local:{tmp_path / 'nowhere'}"), tmp_path / "run").what


def test_a_changed_first_stage_is_refused(second: Recipe, tmp_path: Path, write_first: Callable[..., Path]) -> None:
    interrupt(second, tmp_path / "run", after=3)
    write_first(seed=1)
    error = refused(second, tmp_path / "run")
    assert error.exit_code in (IntegrityError.exit_code, IncompatibleCheckpoint.exit_code)
    assert "sha256" in str(error)
    digest = "0" * 64
    pinned = replace(second, trainer=replace(second.trainer, first_stage=Teacher(reference=f"local:{tmp_path / 'first'}", sha256=digest)))  # type: ignore[type-var]
    assert isinstance(refused(pinned, tmp_path / "new"), IntegrityError)


def test_a_first_stage_of_another_config_is_refused_with_the_options_that_fit_it(
    second: Recipe, tmp_path: Path, write_first: Callable[..., Path]
) -> None:
    other = write_first("other", config=AutoencoderConfig(image_size=8, latent_channels=2, width=8, blocks=2))
    error = refused(with_first(second, f"local:{other}"), tmp_path / "run")
    assert isinstance(error, IncompatibleCheckpoint)
    assert "width 8 and not 4, blocks 2 and not 1" in error.what
    assert error.hint == "pass -o model.first_stage.width=8 -o model.first_stage.blocks=2"


def test_a_first_stage_of_another_family_is_refused(second: Recipe, tmp_path: Path) -> None:
    assert "another family" in refused(with_first(second, "vae-mnist"), tmp_path / "run").what
    assert isinstance(refused(with_first(second, "classifier-mnist"), tmp_path / "run"), CapabilityError)


def test_latents_and_prior_of_different_shapes_are_refused(second: Recipe) -> None:
    model: Any = second.model
    with pytest.raises(ConfigError, match=r"\[2, 2, 2\], and the samples of prior \[2, 4, 4\]"):
        LatentDiffusion(replace(model, prior=replace(model.prior, image_size=4)))
    with pytest.raises(ConfigError, match="prior cannot denoise"):
        LatentDiffusion(replace(model, prior=VAEConfig()))


def test_an_unknown_family_inside_is_named(second: Recipe) -> None:
    plain = encode(second)
    plain["model"]["prior"] = {"name": "no-such-family"}
    with pytest.raises(UnknownNameError, match="no-such-family"):
        Recipe.from_dict(json.loads(json.dumps(plain)))


# Samples


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampler_draws_and_image_i_does_not_depend_on_batch_size(name: str, second: Recipe, tmp_path: Path) -> None:
    model = zoo_core.load(fit(replace(second, fit=replace(second.fit, steps=1)), tmp_path / "run", device="cpu"))
    sampler = as_sampler({"name": name, "steps": 3})
    x = model.sample(5, sampler=sampler, guidance=2.0, labels=1)
    assert x.shape == (5, 3, 8, 8)
    assert x.abs().max() <= 1
    assert torch.allclose(x, model.sample(5, sampler=sampler, guidance=2.0, labels=1, batch_size=2), atol=1e-4)


def test_the_recipe_of_cats_has_few_weights() -> None:
    model: Any = AFHQ_CAT.model
    assert sum(value.numel() for value in LatentDiffusion(model).state_dict().values()) < 1_250_000


def test_damaged_weights_inside_are_refused(second: Recipe, tmp_path: Path) -> None:
    folder = fit(second, tmp_path / "run", device="cpu")
    state = load_file(folder / "model.safetensors")
    save_file({name: value for name, value in state.items() if not name.startswith("first_stage.decoder")}, folder / "model.safetensors")
    with pytest.raises(IncompatibleCheckpoint, match="tensors missing: first_stage"):
        zoo_core.load(folder)
