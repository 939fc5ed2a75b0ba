"""Theorems about the classifier family, on tiny nets."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from zoo_classifier.config import ClassifierConfig, ClassifierTrainerConfig
from zoo_classifier.model import Classifier
from zoo_classifier.recipes import CIFAR10, FASHION_MNIST, MNIST
from zoo_classifier.trainer import ClassifierTrainer, cut_out, shift
from zoo_core.config import decode, encode
from zoo_core.errors import ConfigError
from zoo_core.interfaces import ModelConfig, TrainerConfig
from zoo_core.recipes import Recipe
from zoo_core.rng import StepRng
from zoo_core.training.trainer import Batch

TINY = ClassifierConfig(image_size=8, num_classes=3, widths=(4, 8))
RECIPES = {"mnist": MNIST, "fashion-mnist": FASHION_MNIST, "cifar10": CIFAR10}


def model(config: ClassifierConfig = TINY) -> Classifier:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Classifier(config).eval().requires_grad_(False)


def images(n: int = 4, *shape: int) -> Tensor:
    return StepRng(0, 0, n).uniform(*(shape or (1, 8, 8))) * 2 - 1


def test_features_are_the_mean_activations_of_the_last_level() -> None:
    net = model()
    x = images()
    activations = net.body(x)
    assert activations.shape == (4, 8, 4, 4)
    torch.testing.assert_close(net.features(x), activations.flatten(2).mean(dim=2))
    assert net.features(x).min() >= 0


def test_classes_are_a_linear_map_of_the_features() -> None:
    net = model()
    x = images()
    expected = (net.features(x) @ net.head.weight.T + net.head.bias).softmax(dim=1)
    torch.testing.assert_close(net.classify(x).exp(), expected)


def test_features_and_log_probabilities_are_float32_where_the_net_runs_in_bfloat16() -> None:
    net = model()
    x = images()
    with torch.autocast("cpu", torch.bfloat16):
        features = net.features(x)
        classes = net.classify(x)
    assert features.dtype == classes.dtype == torch.float32
    torch.testing.assert_close(features, net.features(x), rtol=0.05, atol=0.02)
    torch.testing.assert_close(classes.exp().sum(dim=1), torch.ones(4))


@pytest.mark.parametrize(("widths", "side"), [((4,), 9), ((4, 6), 5), ((4, 6, 8), 3), ((4, 6, 8, 8), 2)])
def test_each_level_halves_the_side_rounded_up(widths: tuple[int, ...], side: int) -> None:
    net = model(replace(TINY, image_size=9, widths=widths))
    assert net.body(images(2, 1, 9, 9)).shape == (2, widths[-1], side, side)


@pytest.mark.parametrize("blocks", [0, 1, 2])
def test_feature_maps_are_the_ends_of_the_levels_and_the_last_one_is_that_of_the_features(blocks: int) -> None:
    net = model(replace(TINY, image_size=9, widths=(4, 6, 8), blocks=blocks))
    x = images(2, 1, 9, 9)
    maps = net.feature_maps(x)
    assert [tuple(each.shape) for each in maps] == [(2, 4, 9, 9), (2, 6, 5, 5), (2, 8, 3, 3)]
    torch.testing.assert_close(maps[-1].mean((2, 3)), net.features(x))
    torch.testing.assert_close(maps[0], net.body[:2](x))
    torch.testing.assert_close(maps[1], net.body[2 : 4 + blocks](maps[0]))
    assert all(each.min() >= 0 for each in maps)


def test_a_shift_moves_the_image_and_mirrors_what_comes_in() -> None:
    x = torch.arange(9.0).view(1, 1, 3, 3).expand(3, 1, 3, 3)
    moved = shift(x, torch.tensor([[1, 1], [0, 1], [1, 2]]), 1)
    assert torch.equal(moved[0], x[0])
    assert moved[1, 0].tolist() == [[3, 4, 5], [0, 1, 2], [3, 4, 5]]
    assert moved[2, 0].tolist() == [[1, 2, 1], [4, 5, 4], [7, 8, 7]]


def test_a_shift_treats_every_row_and_channel_as_if_it_were_alone() -> None:
    x = images(5, 3, 6, 6)
    place = torch.tensor([[0, 4], [1, 3], [2, 2], [4, 0], [3, 3]])
    framed = F.pad(x, [2] * 4, mode="reflect")
    for row, (down, right) in enumerate(place.tolist()):
        assert torch.equal(shift(x, place, 2)[row], framed[row, :, down : down + 6, right : right + 6])


@pytest.mark.parametrize("side", [1, 2, 3])
def test_cutout_blanks_one_square_in_all_channels(side: int) -> None:
    x = torch.ones(2, 3, 8, 8)
    cut = cut_out(x, torch.tensor([[4, 5], [0, 7]]), side)
    assert (cut[0] == 0).sum(dim=(1, 2)).tolist() == [side**2] * 3
    assert (cut[0, 0, 4 - side // 2 : 4 - side // 2 + side, 5 - side // 2 : 5 - side // 2 + side] == 0).all()
    assert 0 < (cut[1] == 0).sum() <= 3 * side**2


def test_the_loss_without_augmentation_is_the_cross_entropy_of_the_labels() -> None:
    net = model()
    x = images()
    labels = torch.tensor([0, 2, 1, 0])
    batch = Batch(x=x, labels=labels, index=torch.arange(4))
    plain = ClassifierTrainer(net, ClassifierTrainerConfig(shift=0)).eval()("model", batch, StepRng(0, 0, 4))
    expected = net.classify(x)[torch.arange(4), labels]
    torch.testing.assert_close(plain.value, -expected.mean())
    assert plain.logs["accuracy"] == (net.classify(x).argmax(dim=1) == labels).float().mean()
    smooth = ClassifierTrainer(net, ClassifierTrainerConfig(shift=0, label_smoothing=0.3)).eval()("model", batch, StepRng(0, 0, 4))
    torch.testing.assert_close(smooth.value, -(0.7 * expected + 0.3 * net.classify(x).mean(dim=1)).mean())


def test_augmentation_depends_on_the_step_alone() -> None:
    trainer = ClassifierTrainer(model(), ClassifierTrainerConfig(shift=2, cutout=3)).eval()
    batch = Batch(x=images(), labels=torch.tensor([0, 2, 1, 0]), index=torch.arange(4))
    first, again, later = (trainer("model", batch, StepRng(0, step, 4)).value for step in (5, 5, 6))
    assert first == again != later


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_recipes_survive_the_codec_and_their_weights_are_small(recipe: Recipe) -> None:
    assert decode(Recipe, encode(recipe)) == recipe
    assert isinstance(recipe.model, ClassifierConfig)
    with torch.device("meta"):
        size = sum(4 * value.numel() for value in Classifier(recipe.model).state_dict().values())
    assert size <= (4_000_000 if recipe.model.channels == 3 else 1_500_000)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"num_classes": 1}, "model.num_classes"),
        ({"widths": []}, "widths"),
        ({"widths": [10**9]}, "model.widths"),
        ({"image_size": 7, "widths": [4, 4, 4, 4]}, "8 or more for 4 levels"),
        ({"depth": 3}, "depth"),
    ],
)
def test_a_bad_config_names_the_field(change: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        decode(ModelConfig, {"name": "classifier", **change}, "model")


@pytest.mark.parametrize("change", [{"label_smoothing": 1.0}, {"shift": -1}, {"cutout": 0.5}])
def test_a_bad_trainer_names_the_field(change: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=f"trainer.{next(iter(change))}"):
        decode(TrainerConfig, {"name": "classifier", **change}, "trainer")


def test_a_shift_as_large_as_the_image_is_refused_when_the_trainer_is_built() -> None:
    with pytest.raises(ConfigError, match=r"trainer\.shift"):
        ClassifierTrainer(model(), ClassifierTrainerConfig(shift=8))
