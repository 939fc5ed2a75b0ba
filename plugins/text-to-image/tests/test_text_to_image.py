"""Words, the exact posterior given a text, the loss longhand, training that ties words to images, and runs that resume."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import zoo_core
from zoo_core.cli import main
from zoo_core.data.captioned_sets import CaptionedMNISTConfig
from zoo_core.data.dataset import Batch, load_data
from zoo_core.data.vocabularies import with_vocabulary
from zoo_core.errors import ConfigError, UsageError
from zoo_core.evaluation.evaluate import evaluate
from zoo_core.pretrained import Pretrained
from zoo_core.recipes import Recipe, load_recipe
from zoo_core.rng import ImageRng, StepRng
from zoo_core.samplers import DPMSolver2M, Guided, Heun
from zoo_core.schedulers import Karras
from zoo_core.testing import assert_resumes, write_checkpoint
from zoo_core.training.compatibility import check_fits
from zoo_core.training.fit import fit
from zoo_core.training.loop import build
from zoo_core.vocabulary import Vocabulary
from zoo_text_to_image.config import TextToImageConfig, TextToImageTrainerConfig
from zoo_text_to_image.model import TextToImage
from zoo_text_to_image.trainer import TextToImageTrainer

WORDS = Vocabulary(unit="word", tokens=("a", "blue", "on", "red", "seven"))
SMALL = TextToImageConfig(
    image_size=8, dim=8, multipliers=(1,), attention=(4,), vocabulary=WORDS, length=6, text_width=8, text_layers=1, text_heads=2
)


def net(seed: int = 0) -> TextToImage:
    """A net with random weights."""
    torch.manual_seed(seed)
    model = TextToImage(SMALL)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model.eval()


def loaded(folder: Path, model: TextToImage) -> Pretrained:
    return zoo_core.load(f"local:{write_checkpoint(folder / 'texts', model, SMALL, DPMSolver2M(steps=6), Karras(sigma_max=20.0))}")


class Exact(TextToImage):
    """The v of x_0 ~ N(m, 0.3^2), where m is 0.5 for texts with the word red, -0.5 for others, and 0 without a text."""

    def output(self, x: Tensor, sigma: Tensor, context: Tensor) -> Tensor:
        mean = context[:, 0, 0].double().view(-1, 1, 1, 1)
        sigma_ = sigma.double().view(-1, 1, 1, 1)
        noisy = x.double() * (1 + sigma_**2).sqrt()
        x0 = (0.09 * noisy + sigma_**2 * mean) / (0.09 + sigma_**2)
        eps = (noisy - x0) / sigma_
        return ((eps - sigma_ * x0) / (1 + sigma_**2).sqrt()).to(x.dtype)


def exact() -> Exact:
    """Its text encoder says what the mean is."""
    model = Exact(SMALL).eval()
    red = WORDS.tokens.index("red")

    def means(tokens: Tensor) -> Tensor:
        empty = (tokens == model.tokenizer.pad).all(1)
        mean = torch.where((tokens == red).any(1), 0.5, -0.5).masked_fill(empty, 0.0)
        return mean.view(-1, 1, 1).expand(-1, SMALL.length, SMALL.text_width)

    model.text.forward = means  # type: ignore[method-assign]
    return model


def test_samples_given_a_text_are_those_of_its_posterior_and_guidance_extrapolates() -> None:
    """Guided by w, the mean is w m: D's means are linear in m, and the unconditional mean is 0."""
    model, count = exact(), 256
    sampler = Heun(steps=30)

    def drawn(denoiser: object) -> Tensor:
        return sampler(denoiser, ImageRng(1, range(count)), sigmas=Karras().sigmas(30, 0.01, 80.0))  # type: ignore[arg-type]

    given = model.conditioned(model.prompt_conditions(["a red seven"] * (count // 2) + ["a blue seven"] * (count // 2)), ImageRng(0, []))
    x = drawn(given)
    for half, mean in ((x[: count // 2], 0.5), (x[count // 2 :], -0.5)):
        assert half.mean().item() == pytest.approx(mean, abs=0.02)
        assert half.std().item() == pytest.approx(0.3, abs=0.02)
    assert drawn(model).mean().item() == pytest.approx(0.0, abs=0.02)
    assert drawn(Guided(given, 3.0, model))[: count // 2].mean().item() == pytest.approx(1.5, abs=0.05)


def test_the_loss_is_that_of_v_longhand() -> None:
    """v* = alpha eps - s x_0 with alpha = 1 / sqrt(1 + sigma^2), s = sigma alpha, and |v - v*| = |D - x_0| sqrt(1 + sigma^2) / sigma."""
    model = net()
    trainer = TextToImageTrainer(model, TextToImageTrainerConfig(p_uncond=0.5, shift=2.0))
    images = torch.rand(6, 3, 8, 8, generator=torch.Generator().manual_seed(2)) * 2 - 1
    captions = ("a red seven", "a blue seven", "seven on blue", "red", "a seven on red", "a")
    got = trainer("model", Batch(x=images, labels=None, index=torch.arange(6), captions=captions), StepRng(0, 3, 6)).value
    rng = StepRng(0, 3, 6)
    withheld = rng.uniform() < 0.5
    assert 0 < withheld.sum() < 6
    sigma = (2 * torch.tan(torch.pi / 2 * rng.uniform().double())).clamp(*model.sigma_range)
    x = images + sigma.view(-1, 1, 1, 1).float() * rng.normal(3, 8, 8)
    texts = ["" if left else text for text, left in zip(captions, withheld, strict=True)]
    estimate = model.denoise(x, sigma, context=model.prompt_conditions(texts))
    error = (estimate - images).double() * ((1 + sigma**2).sqrt() / sigma).view(-1, 1, 1, 1)
    torch.testing.assert_close(got.double(), error.square().mean(), rtol=1e-4, atol=1e-6)
    plain = model.denoise(x, sigma)
    assert torch.allclose(estimate[withheld], plain[withheld], atol=1e-5)  # the empty text is no condition
    assert (estimate[~withheld] - plain[~withheld]).abs().max() > 1e-3


def test_training_ties_words_to_images() -> None:
    """Of two words in unseen sentences, each has the brightness that it had in training."""
    torch.manual_seed(0)
    model = TextToImage(replace(SMALL, dim=16))
    trainer = TextToImageTrainer(model, TextToImageTrainerConfig())
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    bright = torch.arange(16) % 2 == 0
    x = torch.where(bright, 0.7, -0.7).view(-1, 1, 1, 1).expand(-1, 3, 8, 8)
    captions = tuple("a red seven" if red else "a blue seven" for red in bright)
    for step in range(200):
        batch = Batch(x=x, labels=None, index=torch.arange(16), captions=captions)
        trainer("model", batch, StepRng(0, step, 16)).value.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.eval()
    with torch.no_grad():
        given = model.conditioned(model.prompt_conditions(["red", "blue", "seven red", "a blue"]), ImageRng(0, range(4)))
        drawn = DPMSolver2M(steps=10)(given, ImageRng(5, range(4)), sigmas=Karras().sigmas(10, 0.01, 80.0)).mean((1, 2, 3))
    assert drawn.tolist() == pytest.approx([0.7, -0.7, 0.7, -0.7], abs=0.25)


def test_a_prompt_is_a_condition_of_each_image_whatever_the_batch_size(tmp_path: Path) -> None:
    model = loaded(tmp_path, net())
    prompts = ["a red seven", "a blue seven on red", "seven"]
    x = model.sample(prompts=prompts, seed=3)
    assert torch.equal(x, model.sample(condition=model.model.prompt_conditions(prompts), seed=3))  # type: ignore[operator]
    assert torch.allclose(x[1:], model.sample(prompts=prompts[1:], seed=3, first=1, batch_size=1), atol=1e-5)
    assert torch.allclose(model.sample(prompts=["A Red seven!"], seed=3), x[:1], atol=1e-5)  # capitals and marks do not matter
    assert not torch.allclose(model.sample(prompts=prompts, seed=3, guidance=3.0), x, atol=1e-3)
    assert torch.allclose(model.sample(prompts=[""] * 3, seed=3), model.sample(condition=model.model.prompt_conditions([""] * 3), seed=3))  # type: ignore[operator]


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        ("a red sevn", "does not know the word 'sevn' of the prompt 'a red sevn' -- did you mean seven?"),
        ("a red seven on a blue seven", "the prompt 'a red seven on a blue seven' has 7 words, and the model reads 6 -- shorten it"),
    ],
)
def test_a_prompt_that_the_model_cannot_read_is_one_clear_line(tmp_path: Path, prompt: str, said: str) -> None:
    with pytest.raises(UsageError) as error:
        loaded(tmp_path, net()).sample(prompts=[prompt])
    assert said in str(error.value)


def test_the_picture_of_a_prompt_holds_it(tmp_path: Path) -> None:
    loaded(tmp_path, net())
    picture = tmp_path / "seven.png"
    command = ["sample", f"local:{tmp_path / 'texts'}", "-n", "4", "--prompt", "a red seven", "--prompt", "blue", "--guidance", "2"]
    with pytest.raises(SystemExit) as done:
        main([*command, "--out", str(picture)])
    assert done.value.code == 0
    with Image.open(picture) as opened:
        assert json.loads(opened.info["prompts"]) == ["a red seven", "blue"]
        assert json.loads(opened.info["guidance"]) == 2.0


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    for prefix, kind in (("train", "images-idx3"), ("train", "labels-idx1")):
        items = np.full((24, 28, 28), 200, np.uint8) if "images" in kind else np.arange(24, dtype=np.uint8) % 10
        head = bytes([0, 0, 8, items.ndim]) + b"".join(side.to_bytes(4, "big") for side in items.shape)
        (tmp_path / f"{prefix}-{kind}-ubyte").write_bytes(head + items.tobytes())
    recipe = load_recipe("text-to-image/captioned-mnist")
    return replace(
        recipe,
        model=replace(SMALL, image_size=32, patch=4, vocabulary=Vocabulary(unit="word"), length=12),
        fit=replace(recipe.fit, steps=6, batch_size=4, precision="no", sample_every=0, export_dtype="float16"),
        data=CaptionedMNISTConfig(root=str(tmp_path)),
        sampler=DPMSolver2M(steps=2),
    )


def test_a_run_resumes_bit_for_bit_and_its_checkpoint_knows_the_words_and_its_examples(recipe: Recipe, tmp_path: Path) -> None:
    assert_resumes(recipe, tmp_path / "runs", after=3)
    export = tmp_path / "runs" / "whole" / "export"
    model = zoo_core.load(f"local:{export}")
    assert "sevens" in model.model.vocabulary.tokens  # type: ignore[union-attr, operator]
    assert recipe.data is not None
    captions = load_data(recipe.data).captions
    prompts = json.loads((export / "training.json").read_text())["prompts"]
    assert len(prompts) == 16
    assert set(prompts) <= set(captions)
    assert torch.allclose(model.sample(2, first=3), model.sample(2, first=3, prompts=prompts[3:5]), atol=1e-5)
    with Image.open(export / "samples.png") as sheet:
        assert json.loads(sheet.info["prompts"]) == prompts
    assert prompts[0] in (export / "README.md").read_text()


def test_samples_are_measured_for_the_captions_of_the_data(recipe: Recipe, tmp_path: Path) -> None:
    """Image i of an evaluation is drawn for caption i, in batches of any size; the record says so."""
    model = zoo_core.load(f"local:{fit(recipe, tmp_path / 'run', device='cpu')}")
    assert recipe.data is not None
    captions = load_data(recipe.data).captions
    [record] = evaluate(model, "pixel-std", features="identity", n=10, batch_size=4, guidance=2.0)
    drawn = model.sample(prompts=captions[:10], guidance=2.0)
    assert record["prompts"] == "captions"
    assert record["value"] == pytest.approx(drawn.std(correction=0).item(), rel=1e-3)


def test_data_without_captions_or_with_other_words_is_refused(recipe: Recipe) -> None:
    assert recipe.data is not None
    data = load_data(recipe.data)
    trainer = build(with_vocabulary(recipe))
    check_fits(trainer.model, data, captions=trainer.reads_captions)
    with pytest.raises(ConfigError, match="the data has no captions"):
        check_fits(trainer.model, replace(data, captions=()), captions=trainer.reads_captions)
    with pytest.raises(ConfigError, match="the captions have the word 'eleven', which the model does not know"):
        check_fits(trainer.model, replace(data, captions=("eleven",) * len(data)), captions=trainer.reads_captions)


def test_options_that_do_not_fit_are_refused() -> None:
    for options, said in (
        ({"image_size": 30, "patch": 4}, "image_size must be a multiple of patch, but 4 does not divide 30"),
        ({"text_width": 30}, "text_heads must divide text_width, but 4 does not divide 30"),
        ({"vocabulary": Vocabulary()}, "prompts are read word by word"),
        ({"sigma_min": 2.0, "sigma_max": 1.0}, "sigma_min must be less than sigma_max"),
    ):
        with pytest.raises(ConfigError, match=said):
            TextToImageConfig(**options)  # type: ignore[arg-type]  # options of the test
