"""Theorems about training a classifier, and about the trained classifier."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from safetensors.torch import load_file

import zoo_core
from zoo_classifier.config import ClassifierConfig, ClassifierTrainerConfig
from zoo_core.cards.metrics_json import metric_records
from zoo_core.cli.group import zoo
from zoo_core.config import parse_json
from zoo_core.data.dataset import Data, load_data
from zoo_core.datasets import FolderConfig
from zoo_core.errors import CapabilityError, ConfigError, UsageError
from zoo_core.evaluation.evaluate import evaluate
from zoo_core.pretrained import Pretrained
from zoo_core.recipes import EMAConfig, FitConfig, OptimizerConfig, Recipe
from zoo_core.testing import assert_resumes, fake_zoo, write_checkpoint
from zoo_core.testing.fake import Fake
from zoo_core.testing.fake_config import FakeConfig
from zoo_core.training.fit import fit

CLASSES = ("across", "down", "ring")


@pytest.fixture(autouse=True, scope="module")
def _zoo() -> Iterator[None]:
    with fake_zoo("zoo-classifier"):
        yield


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders ``train`` and ``test`` of noisy bars, across and down, and rings, 12 x 12 pixels, at random places."""
    folder = tmp_path_factory.mktemp("shapes")
    rng = np.random.default_rng(0)
    for split, count in (("train", 60), ("test", 40)):
        for name in CLASSES:
            (folder / split / name).mkdir(parents=True)
            for i in range(count):
                x = rng.integers(0, 90, (12, 12)).astype(np.uint8)
                (top, left) = rng.integers(1, 6, 2)
                square = x[top : top + 6, left : left + 6]
                if name == "ring":
                    square[[0, -1]] = square[:, [0, -1]] = 230
                else:
                    (square if name == "across" else square.T)[2:4] = 230
                Image.fromarray(x).save(folder / split / name / f"{i}.png")
    return folder


def recipe(folder: Path, **changes: object) -> Recipe:
    fitting = FitConfig(
        steps=80,
        batch_size=24,
        optimizer=OptimizerConfig(name="sgd", lr=0.1),
        lr_schedule="linear",
        warmup=10,
        ema=EMAConfig(decay=0.9),
        log_every=20,
        sample_every=0,
    )
    return Recipe(
        model=ClassifierConfig(image_size=12, num_classes=3, widths=(8, 16)),
        trainer=ClassifierTrainerConfig(shift=1, cutout=2),
        fit=replace(fitting, **changes),  # type: ignore[arg-type]
        data=FolderConfig(path=str(folder / "train"), size=12, channels=1),
    )


@pytest.fixture(scope="module")
def run(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "shapes"
    losses: list[float] = []
    fit(recipe(shapes), out, on_report=lambda report: losses.append(report.logs["loss.model"]))
    assert losses[-1] < 0.5 * losses[0]
    return out


@pytest.fixture(scope="module")
def judge(run: Path) -> Pretrained:
    return zoo_core.load(f"local:{run}")


@pytest.fixture(scope="module")
def unseen(shapes: Path) -> Data:
    return load_data(FolderConfig(path=str(shapes / "test"), size=12, channels=1))


def test_training_reaches_95_percent_on_images_that_it_has_not_seen(run: Path, shapes: Path, unseen: Data, judge: Pretrained) -> None:
    [found] = evaluate(f"local:{run}", ["accuracy"], data=FolderConfig(path=str(shapes / "test"), size=12, channels=1))
    right = judge.classify(unseen.rows(torch.arange(120))).argmax(dim=1) == unseen.labels
    assert found["value"] == pytest.approx(int(right.sum()) / 120)  # type: ignore[union-attr]  # unseen has labels
    assert found["value"] >= 0.95
    assert found["n"] == {"real": 120}
    assert found["stderr"] == pytest.approx((found["value"] * (1 - found["value"]) / 119) ** 0.5)


@pytest.mark.parametrize("channels_last", [False, True])
def test_a_run_that_was_stopped_and_resumed_ends_with_the_same_weights_to_the_bit(
    shapes: Path, tmp_path: Path, channels_last: bool
) -> None:
    short = recipe(shapes, steps=16, warmup=4, save_every=8, precision="bf16", channels_last=channels_last)
    assert_resumes(short, tmp_path, after=7)


def test_published_batch_statistics_are_averaged_with_the_weights(shapes: Path, tmp_path: Path) -> None:
    def means(**changes: object) -> torch.Tensor:
        folder = fit(recipe(shapes, warmup=0, **changes), tmp_path / str(len(list(tmp_path.iterdir()))))
        return load_file(folder / "model.safetensors")["body.0.1.running_mean"]

    first, last = means(steps=1, ema=None), means(steps=8, ema=None)
    still = means(steps=8, ema=EMAConfig(decay=1.0, warmup=False))
    assert torch.equal(still, first), "an average that never moves keeps what the first step gave it"
    assert not torch.equal(last, first)


def test_a_classifier_gives_features_and_classes_at_every_batch_size(judge: Pretrained, unseen: Data) -> None:
    x = unseen.rows(torch.arange(20))
    features = judge.features(x)
    classes = judge.classify(x)
    assert (features.shape, classes.shape) == ((20, 16), (20, 3))
    torch.testing.assert_close(classes.exp().sum(dim=1), torch.ones(20))
    for batch_size in (1, 7, 20):
        torch.testing.assert_close(judge.features(x, batch_size=batch_size), features, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(judge.classify(x, batch_size=batch_size), classes, rtol=1e-4, atol=1e-4)
    assert judge.features(x[:0]).shape == (0, 16)


def test_a_classifier_says_what_it_cannot_do(judge: Pretrained, run: Path, unseen: Data) -> None:
    assert judge.capabilities == {"features", "classify"}
    with pytest.raises(CapabilityError, match=r"sample the family classifier -- it classifies samples: model\.classify"):
        judge.sample(1)
    with pytest.raises(CapabilityError, match="decode"):
        judge.decode(torch.zeros(1, 3))
    with pytest.raises(UsageError, match="batch_size"):
        judge.features(unseen.rows(torch.arange(2)), batch_size=0)
    with pytest.raises(UsageError, match="shape"):
        judge.classify(torch.zeros(2, 3, 12, 12))
    assert zoo_core.info(f"local:{run}")["sampler"] is None


def test_the_draft_of_its_card_tells_how_to_ask_it(run: Path, judge: Pretrained) -> None:
    assert judge.card.metadata["pipeline_tag"] == "image-classification"
    assert "model.classify(images)" in judge.card.body
    assert "samples.png" not in judge.card.body
    assert not (run / "export" / "samples.png").exists()


@pytest.mark.parametrize(("name", "parameters"), [("mnist", "315,626"), ("fashion-mnist", "315,626"), ("cifar10", "907,306")])
def test_a_dry_run_prints_the_recipe_and_what_a_step_costs(name: str, parameters: str) -> None:
    done = CliRunner().invoke(zoo, ["train", "classifier", "--recipe", name, "-o", "fit.batch_size=4", "--dry-run"])
    assert done.exit_code == 0, done.output
    assert f"parameters   {parameters} published" in done.stderr
    assert parse_json(done.stdout.encode(), "recipe")["fit"]["batch_size"] == 4


def test_other_families_say_who_can_classify(tmp_path: Path) -> None:
    flow = zoo_core.load(f"local:{write_checkpoint(tmp_path / 'flow', Fake(FakeConfig()), FakeConfig())}")
    for method in (flow.features, flow.classify):
        with pytest.raises(CapabilityError, match="families that can: classifier"):
            method(torch.zeros(1, 2))


def test_the_command_measures_accuracy_on_data_of_a_kind_that_it_was_trained_on(run: Path, shapes: Path) -> None:
    words = ["evaluate", f"local:{run}", "--metrics", "accuracy", "-o", f"data.path={shapes / 'test'}"]
    done = CliRunner().invoke(zoo, words, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert "- / 120" in done.stdout
    (entry,) = metric_records(parse_json(CliRunner().invoke(zoo, [*words, "--json"]).stdout.encode(), "metrics.json"))
    assert (entry["metric"], entry["n"], entry["dataset"]) == ("accuracy", {"real": 120}, "folder")
    assert entry["data"]["config"]["size"] == 12


def test_data_without_labels_or_with_more_classes_has_no_accuracy(run: Path, shapes: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="accuracy needs data with labels"):
        evaluate(f"local:{run}", ["accuracy"], data=FolderConfig(path=str(shapes / "test" / "ring"), size=12, channels=1))
    for name in (*CLASSES, "spot"):
        (tmp_path / name).mkdir()
        Image.new("L", (12, 12)).save(tmp_path / name / "0.png")
    with pytest.raises(ConfigError, match="the data has 4 classes, and shapes has 3"):
        evaluate(f"local:{run}", ["accuracy"], data=FolderConfig(path=str(tmp_path), size=12, channels=1))
