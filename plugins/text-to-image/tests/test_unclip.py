"""The loss longhand, draws of the prior by every kind of sampler, guidance, embeddings, runs that resume, and CLIPs that do not fit."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor

import zoo_core
from zoo_clip.config import CLIPConfig
from zoo_clip.model import CLIP
from zoo_core.data.captioned_sets import CaptionedMNISTConfig
from zoo_core.data.captions import DIGITS, caption_vocabulary
from zoo_core.data.dataset import Batch
from zoo_core.errors import ConfigError, IncompatibleCheckpoint, UnknownNameError, ZooError
from zoo_core.interfaces import Sampler, Teacher
from zoo_core.recipes import Recipe, load_recipe
from zoo_core.rng import ImageRng, StepRng
from zoo_core.samplers import Ancestral, DPMSolver2M, Heun, Latent, PredictorCorrector, UniPC
from zoo_core.schedulers import Karras
from zoo_core.testing import assert_resumes, write_checkpoint
from zoo_core.training.fit import fit
from zoo_text_to_image.config import TextToImageConfig
from zoo_text_to_image.prior import Prior, Told
from zoo_text_to_image.unclip import UnCLIP
from zoo_text_to_image.unclip_config import PriorConfig, UnCLIPConfig, UnCLIPTrainerConfig
from zoo_text_to_image.unclip_trainer import UnCLIPTrainer

WORDS = caption_vocabulary(DIGITS)
EIGHT = CLIPConfig(image_size=8, widths=(8, 8), features=4, vocabulary=WORDS, length=12, text_width=8, text_layers=1, text_heads=2)
SMALL = UnCLIPConfig(
    clip=EIGHT,
    prior=PriorConfig(width=8, layers=1, heads=2, sampler=DPMSolver2M(steps=3)),
    image_size=8,
    dim=8,
    multipliers=(1,),
    attention=(4,),
    vocabulary=WORDS,
    length=12,
    text_width=8,
    text_layers=1,
    text_heads=2,
)
PROMPTS = ("a red seven", "a blue two on white", "two green ones")


def net(config: UnCLIPConfig = SMALL) -> UnCLIP:
    """A net with random weights."""
    torch.manual_seed(0)
    model = UnCLIP(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model.eval()


def test_the_loss_is_that_of_a_clean_embedding_and_of_an_image_given_it_longhand() -> None:
    """|D(z + sigma eps, sigma, y) - z|^2 and |v - v*|^2; what is withheld is the empty text, or an embedding of zeros."""
    model = net()
    trainer = UnCLIPTrainer(model, UnCLIPTrainerConfig(p_uncond=0.4, p_caption=0.5, shift=2.0)).train()
    images = torch.rand(9, 3, 8, 8, generator=torch.Generator().manual_seed(2)) * 2 - 1
    captions = PROMPTS * 3
    loss = trainer("model", Batch(x=images, labels=None, index=torch.arange(9), captions=captions), StepRng(0, 3, 9))
    rng = StepRng(0, 3, 9)
    untold, blind, unread = rng.uniform() < 0.4, rng.uniform() < 0.4, rng.uniform() < 0.5
    assert all(0 < each.sum() < 9 for each in (untold, blind, unread))
    told, read = ([("" if out else text) for text, out in zip(captions, left, strict=True)] for left in (untold, unread))
    clip = cast(CLIP, model.clip)
    z = 2 * clip.features(images)  # sqrt(d) is 2
    sigma = (2 * torch.tan(torch.pi / 2 * rng.uniform().double())).clamp(*model.sigma_range)
    noisy = z + sigma[:, None].float() * rng.normal(4)
    estimate = model.prior.denoise(noisy, sigma, 2 * clip.text_features(told), model.text(model.tokenizer(told)))
    prior = (estimate - z).square().mean()
    sigma = (2 * torch.tan(torch.pi / 2 * rng.uniform().double())).clamp(*model.sigma_range)
    x = images + sigma.view(-1, 1, 1, 1).float() * rng.normal(3, 8, 8)
    places = model.embed(torch.where(blind[:, None], 0.0, z)).view(9, 4, 8)
    context = torch.cat([places, model.text(model.tokenizer(read))], dim=1)
    error = (model.denoise(x, sigma, context=context) - images).double() * ((1 + sigma**2).sqrt() / sigma).view(-1, 1, 1, 1)
    torch.testing.assert_close(loss.logs["prior"], prior, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(loss.logs["decoder"].double(), error.square().mean(), rtol=1e-4, atol=1e-6)
    assert torch.equal(loss.value, loss.logs["prior"] + loss.logs["decoder"])


def test_no_gradient_reaches_the_clip() -> None:
    model = net()
    trainer = UnCLIPTrainer(model, UnCLIPTrainerConfig()).train()
    trainer(
        "model", Batch(x=torch.zeros(3, 3, 8, 8), labels=None, index=torch.arange(3), captions=PROMPTS), StepRng(0, 0, 3)
    ).value.backward()
    trained = {id(parameter) for parameter in trainer.parameters_of("model")}
    assert all(parameter.grad is None and id(parameter) not in trained for parameter in model.clip.parameters())
    assert len(trained) + len(list(model.clip.parameters())) == len(list(model.parameters()))
    assert not model.clip.training


def test_the_prior_reads_the_noisy_embedding_the_level_the_text_and_its_words() -> None:
    prior = net().prior
    torch.manual_seed(3)
    given = {"z": torch.randn(2, 4), "sigma": torch.full((2,), 0.5), "text": torch.randn(2, 4), "words": torch.randn(2, 12, 8)}
    before = prior.denoise(**given)
    for name, value in given.items():
        changed = value.clone()
        changed[1] += 1
        same = {"z": given["z"] * ((1 + changed**2) / 1.25).sqrt()[:, None]} if name == "sigma" else {}  # as the Transformer sees it
        moved = (prior.denoise(**{**given, **same, name: changed}) - before).abs().amax(1)
        assert moved[1] > 1e-3, name
        assert moved[0] < 1e-6, name


class Exact(Prior):
    """The mean of z_0 given z_sigma where z_0 ~ N(text, 0.3^2)."""

    def denoise(self, z: Tensor, sigma: Tensor | float, text: Tensor, words: Tensor) -> Tensor:
        noise = torch.as_tensor(sigma)[:, None].double() ** 2
        return ((0.09 * z.double() + noise * text) / (0.09 + noise)).to(z.dtype)


@pytest.mark.parametrize(
    "sampler",
    [
        Ancestral(steps=60),
        Ancestral(steps=60, eta=0.0),
        Heun(steps=30),
        DPMSolver2M(steps=30),
        UniPC(steps=30),
        PredictorCorrector(steps=60),
    ],
    ids=lambda sampler: type(sampler).__name__,
)
def test_every_kind_of_sampler_draws_embeddings_of_the_priors_posterior(sampler: Sampler) -> None:
    prior = Exact(PriorConfig(width=8, heads=2), features=4, words=8, sigma_range=(0.01, 80.0))
    told = Told(prior, torch.tensor([1.0, -1.0, 0.5, 0.0]).expand(2000, -1), torch.zeros(2000, 12, 8))
    z = sampler(told, ImageRng(1, range(2000)))
    assert z.mean(0).tolist() == pytest.approx([1.0, -1.0, 0.5, 0.0], abs=0.03)
    assert z.std(0).tolist() == pytest.approx([0.3] * 4, abs=0.04)


def test_of_the_candidates_the_one_nearest_to_the_text_is_kept() -> None:
    """The two-fold draw of section 2.2: the larger dot product of z with the embedding of the caption."""
    model = net()
    text, words = model.text_embeddings(PROMPTS), model.text(model.tokenizer(PROMPTS)).detach()
    rng = ImageRng(5, range(3))
    one, two = (model.scaled(DPMSolver2M(steps=3)(Told(model.prior, text, words), rng)) for _ in range(2))
    first = (one * text).sum(1) > (two * text).sum(1)
    assert torch.allclose(model.draw(text, words, ImageRng(5, range(3))), torch.where(first[:, None], one, two), atol=1e-6)
    assert 0 < first.sum() < 3
    model.config = replace(SMALL, prior=replace(SMALL.prior, candidates=1))
    assert torch.allclose(model.draw(text, words, ImageRng(5, range(3))), one, atol=1e-6)


def test_embeddings_have_squares_of_mean_one() -> None:
    model = net()
    text, words = model.text_embeddings(PROMPTS), model.text(model.tokenizer(PROMPTS))
    images = torch.rand(3, 3, 8, 8) * 2 - 1
    for z in (text, model.image_embeddings(images), model.draw(text, words, ImageRng(0, range(3)))):
        torch.testing.assert_close(z.square().mean(1), torch.ones(3))
    torch.testing.assert_close(model.image_embeddings(images), 2 * cast(CLIP, model.clip).features(images))


@pytest.mark.parametrize("captions", [True, False])
def test_guidance_extrapolates_from_no_embedding_and_no_caption(tmp_path: Path, captions: bool) -> None:
    config = replace(SMALL, captions=captions)
    model = net(config)
    loaded = zoo_core.load(f"local:{write_checkpoint(tmp_path / 'unclip', model, config, DPMSolver2M(steps=1), Karras(sigma_max=20.0))}")
    drawn = loaded.sample(prompts=PROMPTS, guidance=3.0, seed=4, clip=False)  # one step is D at the largest level
    x = model.start(ImageRng(4, range(3)), 20.0)
    condition = model.prompt_conditions(PROMPTS)
    text, words = condition[:, :4], condition[:, 4:].view(3, 12, 8)
    torch.testing.assert_close(text, 2 * cast(CLIP, model.clip).text_features(PROMPTS))
    rng = ImageRng(4, range(3), stream=zoo_core.rng.Stream.CONDITION)
    z = model.draw(text, words, rng)
    empty = model.text(model.tokenizer([""] * 3))
    estimates = []
    for embedding, read in ((z, words), (torch.zeros_like(z), empty)):
        places = model.embed(embedding).view(3, 4, 8)
        estimates.append(model.denoise(x, 20.0, context=torch.cat([places, read], dim=1) if captions else places))
    given, without = estimates
    torch.testing.assert_close(drawn, without + 3 * (given - without), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(model.denoise(x, 20.0), without)
    assert (given - without).abs().max() > 1e-3


def test_training_ties_captions_to_embeddings() -> None:
    """Embeddings that the prior draws for a caption are those of the images that had it."""
    model = net(replace(SMALL, prior=PriorConfig(width=16, layers=1, heads=2, sampler=DPMSolver2M(steps=8))))
    trainer = UnCLIPTrainer(model, UnCLIPTrainerConfig()).train()
    optimizer = torch.optim.Adam(trainer.parameters_of("model"), lr=3e-3)
    x = torch.tensor([0.9, -0.9]).view(-1, 1, 1, 1).expand(-1, 3, 8, 8)
    texts = ["a red seven", "a blue two"]
    z, text, tokens = model.image_embeddings(x).repeat(8, 1), model.text_embeddings(texts).repeat(8, 1), model.tokenizer(texts)
    for step in range(200):
        loss: Any = trainer.denoising_embeddings(z, text, model.text(tokens).repeat(8, 1, 1), StepRng(0, step, 16))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.eval()
    drawn = model.draw(model.text_embeddings(texts), model.text(model.tokenizer(texts)), ImageRng(0, range(2)))
    wanted = model.image_embeddings(x)
    near = torch.cdist(drawn, wanted)
    assert near.argmin(1).tolist() == [0, 1]
    assert near.diagonal().max() < 0.2 * torch.dist(*wanted)


@pytest.fixture
def write_clip(tmp_path: Path) -> Callable[..., str]:
    """``write_clip(config)`` writes the checkpoint of an untrained CLIP, and gives its reference."""

    def write(config: CLIPConfig) -> str:
        torch.manual_seed(1)
        return f"local:{write_checkpoint(tmp_path / 'clip', CLIP(config), config)}"

    return write


@pytest.fixture
def recipe(tmp_path: Path, write_clip: Callable[..., str]) -> Recipe:
    for kind in ("images-idx3", "labels-idx1"):
        items = np.full((24, 28, 28), 200, np.uint8) if "images" in kind else np.arange(24, dtype=np.uint8) % 10
        head = bytes([0, 0, 8, items.ndim]) + b"".join(side.to_bytes(4, "big") for side in items.shape)
        (tmp_path / f"train-{kind}-ubyte").write_bytes(head + items.tobytes())
    recipe = load_recipe("unclip/captioned-mnist")
    clip = replace(EIGHT, image_size=32)
    return replace(
        recipe,
        model=replace(SMALL, clip=clip, image_size=32, patch=4, vocabulary=replace(WORDS, tokens=())),
        trainer=UnCLIPTrainerConfig(clip=Teacher(reference=write_clip(clip))),
        fit=replace(recipe.fit, steps=6, batch_size=4, precision="no", sample_every=3, export_dtype="float16"),
        data=CaptionedMNISTConfig(root=str(tmp_path)),
        sampler=DPMSolver2M(steps=2),
    )


def test_a_run_resumes_bit_for_bit_and_its_checkpoint_needs_no_other(recipe: Recipe, tmp_path: Path) -> None:
    assert_resumes(recipe, tmp_path / "runs", after=3)
    clip = zoo_core.load(f"local:{tmp_path / 'clip'}").model
    shutil.rmtree(tmp_path / "clip")
    model = zoo_core.load(f"local:{tmp_path / 'runs' / 'whole' / 'export'}")
    inner = cast(UnCLIP, model.model)
    torch.testing.assert_close(dict(inner.clip.state_dict()), dict(clip.state_dict()), rtol=1e-3, atol=1e-3)  # float16, and not trained
    drawn = model.sample(prompts=PROMPTS, guidance=2.0)
    assert drawn.shape == (3, 3, 32, 32)
    assert torch.allclose(drawn[1:], model.sample(prompts=PROMPTS[1:], guidance=2.0, first=1, batch_size=1), atol=1e-5)
    assert torch.allclose(model.sample(2, first=3), model.sample(prompts=inner.example_prompts[3:5], first=3), atol=1e-5)


def refused(recipe: Recipe, out: Path) -> ZooError:
    with pytest.raises(ZooError) as caught:
        fit(recipe, out, device="cpu")
    assert "\n" not in str(caught.value)
    return caught.value


def test_a_run_without_a_clip_or_with_one_that_does_not_fit_is_refused_in_one_line(
    recipe: Recipe, tmp_path: Path, write_clip: Callable[..., str]
) -> None:
    without = replace(recipe, trainer=UnCLIPTrainerConfig())
    assert str(refused(without, tmp_path / "a")) == "the run has no CLIP -- name its checkpoint: -o trainer.clip.reference=REF"

    def given(reference: str) -> Recipe:
        return replace(recipe, trainer=UnCLIPTrainerConfig(clip=Teacher(reference=reference)))

    assert "nowhere" in str(refused(given(f"local:{tmp_path / 'nowhere'}"), tmp_path / "b"))
    write_clip(replace(EIGHT, image_size=32, features=6))
    error = refused(given(f"local:{tmp_path / 'clip'}"), tmp_path / "c")
    assert isinstance(error, IncompatibleCheckpoint)
    assert error.what.endswith("has another config than model.clip: features 6 and not 4")
    assert error.hint == "pass -o model.clip.features=6"
    assert "is of another family" in str(refused(given("classifier-mnist"), tmp_path / "d"))


def test_parts_that_do_not_fit_each_other_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"clip reads images of the shape \[3, 16, 16\], and the decoder draws \[3, 8, 8\]"):
        UnCLIP(replace(SMALL, clip=replace(EIGHT, image_size=16)))
    with pytest.raises(ConfigError, match="clip is no model of images and texts"):
        UnCLIP(replace(SMALL, clip=TextToImageConfig(image_size=8, attention=())))
    with pytest.raises(ConfigError, match="sampler must be one of denoisers"):
        PriorConfig(sampler=Latent())
    with pytest.raises(ConfigError, match="3 does not divide 8"):
        PriorConfig(width=8, heads=3)


def test_an_unknown_family_of_the_clip_is_named() -> None:
    plain: Any = load_recipe("unclip/captioned-mnist").to_dict()
    plain["model"]["clip"] = {"name": "no-such-clip"}
    with pytest.raises(UnknownNameError, match="no-such-clip"):
        Recipe.from_dict(plain)
