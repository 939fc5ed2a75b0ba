"""The contrastive loss longhand, zero-shot classes, captions tied to images by training, and runs that resume."""

from dataclasses import replace
from math import exp, log
from pathlib import Path

import numpy as np
import pytest
import torch

import zoo_core
from zoo_clip.config import CLIPConfig, CLIPTrainerConfig
from zoo_clip.model import CLIP, MOST
from zoo_clip.trainer import CLIPTrainer, contrastive_loss
from zoo_core.data.captioned_sets import CaptionedMNISTConfig
from zoo_core.data.dataset import Batch
from zoo_core.errors import CapabilityError, ConfigError, UsageError
from zoo_core.recipes import Recipe, load_recipe
from zoo_core.rng import StepRng
from zoo_core.testing import assert_resumes, write_checkpoint
from zoo_core.vocabulary import Vocabulary

WORDS = Vocabulary(unit="word", tokens=("blue", "green", "red", "seven"))
SMALL = CLIPConfig(
    image_size=8,
    widths=(8, 8),
    features=6,
    vocabulary=WORDS,
    length=4,
    text_width=8,
    text_layers=1,
    text_heads=2,
    classes=(("red", "red seven"), ("blue",), ("green",)),
)


def test_the_loss_is_symmetric_infonce_longhand() -> None:
    """Two rows have the same text: each of the two is a right answer with a share of one half."""
    torch.manual_seed(0)
    s = torch.randn(3, 3)
    texts = ["a", "b", "a"]
    same = torch.tensor([[one == other for other in texts] for one in texts])
    total = 0.0
    for i, one in enumerate(texts):
        right = [j for j, other in enumerate(texts) if other == one]
        for j in right:
            total -= log(exp(s[i, j]) / sum(exp(s[i, k]) for k in range(3))) / len(right)
            total -= log(exp(s[j, i]) / sum(exp(s[k, i]) for k in range(3))) / len(right)
    assert contrastive_loss(s, same).item() == pytest.approx(total / 6 - log(3), rel=1e-5)


def test_the_loss_with_different_texts_is_that_of_the_paper_minus_log_n() -> None:
    s = torch.randn(5, 5, generator=torch.Generator().manual_seed(1))
    labels = torch.arange(5)
    paper = (torch.nn.functional.cross_entropy(s, labels) + torch.nn.functional.cross_entropy(s.T, labels)) / 2
    assert contrastive_loss(s, torch.eye(5, dtype=torch.bool)).item() == pytest.approx(paper.item() - log(5), rel=1e-5)


def net(seed: int = 0) -> CLIP:
    torch.manual_seed(seed)
    return CLIP(SMALL).eval()


def test_classes_are_those_of_the_nearest_texts() -> None:
    model = net()
    with torch.no_grad():
        model.log_scale.fill_(log(7.0))
        x = torch.rand(5, 3, 8, 8) * 2 - 1
        image = model.features(x)
        red = (model.text_features(["red"]) + model.text_features(["red seven"]))[0] / 2
        classes = torch.stack([red / red.norm(), *model.text_features(["blue", "green"])])
        expected = torch.log_softmax(7.0 * image @ classes.T, dim=1)
        assert torch.allclose(model.classify(x), expected, atol=1e-5)
        model.log_scale.fill_(50.0)
        assert model.scale.item() == MOST
    assert torch.allclose(image.norm(dim=1), torch.ones(5), atol=1e-6)


def test_training_finds_the_captions_of_images_and_their_classes_without_labels() -> None:
    torch.manual_seed(0)
    model = CLIP(SMALL)
    trainer = CLIPTrainer(model, CLIPTrainerConfig())
    colours = {"red": (1.0, -1.0, -1.0), "blue": (-1.0, -1.0, 1.0), "green": (-1.0, 1.0, -1.0)}
    names = [list(colours)[i % 3] for i in range(24)]
    generator = torch.Generator().manual_seed(3)

    def images() -> torch.Tensor:
        means = torch.tensor([colours[name] for name in names])[:, :, None, None]
        return (0.5 * means + 0.3 * torch.randn(24, 3, 8, 8, generator=generator)).clamp(-1, 1)

    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    batch = Batch(x=images(), labels=None, index=torch.arange(24), captions=tuple(names))
    with torch.no_grad():
        trainer.prepare(batch, StepRng(0, 0, 24))
    assert 1 / model.scale.item() == pytest.approx(0.07)
    for step in range(60):
        trainer("model", replace(batch, x=images()), StepRng(0, step, 24)).value.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.eval()
    with torch.no_grad():
        logs = trainer("model", replace(batch, x=images()), StepRng(0, 0, 24)).logs
        found = model.classify(images()).argmax(1)
    assert logs["retrieved"].item() == 1.0
    assert found.tolist() == [("red", "blue", "green").index(name) for name in names]


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    for kind in ("images-idx3", "labels-idx1"):
        items = np.full((24, 28, 28), 200, np.uint8) if "images" in kind else np.arange(24, dtype=np.uint8) % 10
        head = bytes([0, 0, 8, items.ndim]) + b"".join(side.to_bytes(4, "big") for side in items.shape)
        (tmp_path / f"train-{kind}-ubyte").write_bytes(head + items.tobytes())
    recipe = load_recipe("clip/captioned-mnist")
    model = replace(SMALL, image_size=32, vocabulary=Vocabulary(unit="word"), length=12, classes=(("a seven",), ("a one", "two ones")))
    return replace(
        recipe, model=model, fit=replace(recipe.fit, steps=6, batch_size=8, precision="no"), data=CaptionedMNISTConfig(root=str(tmp_path))
    )


def test_a_run_resumes_bit_for_bit(recipe: Recipe, tmp_path: Path) -> None:
    recipe = replace(recipe, model=replace(recipe.model, classes=SMALL.classes[:2] + (("seven",),) * 8))  # type: ignore[type-var]  # a CLIPConfig
    assert_resumes(recipe, tmp_path / "runs", after=3)


def test_texts_are_read_by_a_loaded_model_and_others_refuse_them(tmp_path: Path) -> None:
    model = net()
    loaded = zoo_core.load(f"local:{write_checkpoint(tmp_path / 'clip', model, SMALL)}")
    with torch.no_grad():
        assert torch.allclose(loaded.text_features(["red seven"]), model.text_features(["red seven"]), atol=1e-6)
    with pytest.raises(UsageError, match=r"does not know the word 'sevne'.*did you mean seven\?"):
        loaded.text_features(["sevne"])
    with pytest.raises(CapabilityError, match="gives no features of texts"):
        zoo_core.load("classifier-mnist").text_features(["red"])


def test_options_that_do_not_fit_are_refused() -> None:
    for options, said in (
        ({"image_size": 30}, "image_size must be a multiple of 8 for 4 levels"),
        ({"text_width": 30}, "text_heads must divide text_width"),
        ({"classes": (("a",),)}, "classes must be at least 2"),
        ({"classes": (("a",), ())}, "classes must be at least 2, each with a text"),
        ({"vocabulary": Vocabulary(unit="piece")}, "texts are read word by word"),
    ):
        with pytest.raises(ConfigError, match=said):
            CLIPConfig(**options)  # type: ignore[arg-type]  # options of the test
