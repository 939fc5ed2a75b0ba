"""Names where objects are wanted: data sets, metrics, samplers, schedulers and recipes by name, and loaded checkpoints."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from zoo_core import figures, load
from zoo_core.data.dataset import load_data
from zoo_core.data.factory import as_dataset
from zoo_core.datasets import FolderConfig, MNISTConfig, MoonsConfig
from zoo_core.errors import ConfigError, UnknownNameError, UsageError
from zoo_core.evaluation.evaluate import evaluate
from zoo_core.evaluation.study import make_study
from zoo_core.pretrained import Pretrained
from zoo_core.recipes import load_recipe
from zoo_core.samplers import DPMSolver2M, Langevin
from zoo_core.schedulers import Karras
from zoo_core.testing import fake_zoo, write_checkpoint
from zoo_core.testing.fake import Fake, FakeDenoiser
from zoo_core.testing.fake_config import FakeConfig, FakeDenoiserConfig
from zoo_core.training.fit import fit


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """``images`` and ``plane``, which denoise, and ``points``, which decodes latents."""
    monkeypatch.chdir(tmp_path)
    images = FakeDenoiserConfig(shape=(1, 8, 8), bounded=True)
    with fake_zoo():
        write_checkpoint(tmp_path / "images", FakeDenoiser(images), images)
        plane = FakeDenoiserConfig(shape=(2,))
        write_checkpoint(tmp_path / "plane", FakeDenoiser(plane), plane)
        write_checkpoint(tmp_path / "points", Fake(FakeConfig(shape=(2,))), FakeConfig(shape=(2,)))
        yield


def opened(name: str) -> Pretrained:
    return load(f"local:{name}")


def test_data_by_name_equals_data_by_config() -> None:
    assert as_dataset("moons") == MoonsConfig()
    assert as_dataset("folder:photos/cats") == FolderConfig(path="photos/cats")
    assert as_dataset("mnist:files") == MNISTConfig(root="files")
    assert as_dataset({"name": "moons", "count": 7}) == MoonsConfig(count=7)
    assert load_data("moons").x.equal(load_data(MoonsConfig()).x)


@pytest.mark.parametrize(
    ("choice", "error", "words"),
    [
        ("mons", ConfigError, "did you mean moons"),
        ("moons:here", UsageError, "computed, not read from files"),
        (":here", UsageError, "no name of a data set"),
        (7, ConfigError, "data"),
        ({"count": 7}, ConfigError, "name"),
    ],
)
def test_data_that_no_name_means_is_refused(choice: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        as_dataset(choice)


def test_a_loaded_checkpoint_a_metric_and_data_by_name_give_the_numbers_of_the_reference() -> None:
    def values(reference: Any, metrics: Any, data: Any) -> list[float]:
        return [record["value"] for record in evaluate(reference, metrics, data=data, n=50, device="cpu")]

    assert values(opened("points"), "fd", "moons") == values("local:points", ["fd"], MoonsConfig())


def test_an_evaluation_takes_a_sampler_by_name() -> None:
    [record] = evaluate("local:plane", "fd", data={"name": "moons", "count": 50}, samplers="heun", device="cpu")
    assert record["sampler"]["name"] == "heun"


def test_a_study_takes_data_as_plain_values(tmp_path: Path) -> None:
    from PIL import Image

    for i in range(4):
        (tmp_path / "photos").mkdir(exist_ok=True)
        Image.new("L", (8, 8), 60 * i).save(tmp_path / "photos" / f"{i}.png")
    key, pixels = make_study("local:images", n=4, data={"name": "folder", "path": "photos", "size": 8, "channels": 1})
    assert key.facts["dataset"] == "folder"
    assert len(pixels) == 4


def test_figures_take_samplers_and_schedulers_by_name() -> None:
    model = opened("images")
    by_name = figures.reverse(model, 2, [50, 0], sampler="dpmpp-2m", scheduler="karras")
    by_object = figures.reverse(model, 2, [50, 0], sampler=DPMSolver2M(), scheduler=Karras())
    assert by_name[0].equal(by_object[0])
    mask = torch.zeros(1, 8, 8, dtype=torch.bool)
    known = torch.zeros(1, 1, 8, 8)
    by_name_too = figures.inpainted(model, known, mask, 1, sampler="dpmpp-2m", scheduler="karras", times=1)
    assert by_name_too.equal(figures.inpainted(model, known, mask, 1, sampler=DPMSolver2M(), scheduler=Karras(), times=1))
    assert figures.annealed(model, "langevin") == Langevin()
    with pytest.raises(UsageError, match="not of Heun"):
        figures.annealed(model, "heun")


def test_a_recipe_is_trained_by_its_name(tmp_path: Path) -> None:
    assert load(fit("fake/tiny", str(tmp_path / "run"))).config == load_recipe("fake/tiny").model
    with pytest.raises(UnknownNameError, match="fake/tiny"):
        fit("fake/tini", tmp_path / "run")
