"""Figures of latents: reconstructions, interpolations, and the map of a latent plane."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from torch import Tensor

from zoo_core import figures
from zoo_core.cli.figure import figure
from zoo_core.data.dataset import Data
from zoo_core.datasets import CIFAR10Config
from zoo_core.errors import CapabilityError, ConfigError, UsageError, ZooError
from zoo_core.images import labelled_grid, save_png
from zoo_core.interfaces import DatasetConfig, Rng
from zoo_core.loading import load
from zoo_core.pretrained import Pretrained
from zoo_core.samplers import Ancestral
from zoo_core.testing import fake_zoo, write_checkpoint
from zoo_core.testing.fake import Fake, FakeDenoiser
from zoo_core.testing.fake_config import FakeConfig, FakeDenoiserConfig

SHAPE = (3, 32, 32)  # of the data set `folder`


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """``flow`` and ``points``, which encode and decode, and ``denoiser``, which does neither."""
    monkeypatch.chdir(tmp_path)
    with fake_zoo():
        for name, config in (("flow", FakeConfig(shape=SHAPE, classes=0, bounded=True)), ("points", FakeConfig(classes=0))):
            write_checkpoint(tmp_path / name, Fake(config), config)
        noise = FakeDenoiserConfig(shape=SHAPE, bounded=True)
        write_checkpoint(tmp_path / "denoiser", FakeDenoiser(noise), noise, Ancestral(steps=4))
        yield


def opened(name: str = "flow") -> Pretrained:
    return load(f"local:{name}")


def drawn(*words: str) -> str:
    done = CliRunner().invoke(figure, list(words))
    assert (done.exception, done.stdout) == (None, ""), done.exception
    return done.stderr


def refused(*words: str) -> ZooError:
    error = CliRunner().invoke(figure, list(words)).exception
    assert isinstance(error, ZooError), error
    assert "\n" not in str(error)
    return error


def written(path: str) -> dict[str, str]:
    """The text of a PNG file."""
    with Image.open(path) as image:
        return dict(image.text)  # type: ignore[attr-defined]


class Plane:
    """A decoder of the latent plane: an image's first two values are its latent, the others 0."""

    def __init__(self, dimensions: int = 2) -> None:
        self.dimensions = dimensions

    def prior(self, rng: Rng) -> Tensor:
        return rng.normal(self.dimensions)

    def decode(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        return torch.nn.functional.pad(z, (0, 3072 - self.dimensions)).view(-1, *SHAPE)


def plane(monkeypatch: pytest.MonkeyPatch, dimensions: int = 2) -> Pretrained:
    model = opened()
    for name in ("prior", "decode"):
        monkeypatch.setattr(model.model, name, getattr(Plane(dimensions), name))
    return model


# Reconstructions


def test_images_stand_above_what_is_decoded_from_their_latents() -> None:
    model = opened()
    x = model.sample(3)
    cells = figures.reconstructed(model, x)
    assert torch.equal(cells, torch.stack([x, model.decode(model.encode(x))]))
    torch.testing.assert_close(cells[1], x, rtol=0, atol=1e-3)  # of a flow


def test_the_figure_of_reconstructions_takes_pictures_or_the_first_images_of_data() -> None:
    Path("pictures").mkdir()
    for i, image in enumerate(opened().sample(2)):
        save_png(Path(f"pictures/{i}.png"), image[None])
    said = drawn("local:flow", "reconstruct", "--image", "pictures/0.png", "--image", "pictures/1.png", "--out", "x.png")
    assert said.startswith("x.png: 2 images above their reconstructions")
    said = drawn("local:flow", "reconstruct", "-n", "3", "--data", "folder:pictures", "--out", "data.png")
    assert said.startswith("data.png: 2 images")  # there are no more
    assert written("data.png")["data"].startswith("sha256:")


def test_well_known_sets_are_reconstructed_from_their_test_split(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def load_data(config: DatasetConfig) -> Data:
        asked.append(config)
        return Data(x=torch.zeros(9, *SHAPE, dtype=torch.uint8))

    monkeypatch.setattr("zoo_core.data.dataset.load_data", load_data)
    assert "8 images" in drawn("local:flow", "reconstruct", "--data", "cifar10", "--data-root", "here")
    assert asked == [CIFAR10Config(root="here", split="test")]


# Interpolations


@pytest.mark.parametrize("name", ["flow", "denoiser"])
def test_rows_of_interpolations_begin_and_end_with_the_images_of_the_seed(name: str) -> None:
    model = opened(name)
    cells = figures.interpolated(model, [(0, 1), (2, 3)], 5, seed=7)
    assert cells.shape == (2, 5, *SHAPE)
    for row, (a, b) in zip(cells, [(0, 1), (2, 3)], strict=True):
        assert torch.equal(row, model.interpolate(a, b, steps=5, seed=7))
    sampler = {"flow": None, "denoiser": "ddim"}[name]
    ends = model.sample(4, seed=7, sampler=sampler)
    torch.testing.assert_close(cells[:, [0, -1]].flatten(0, 1), ends, rtol=1e-4, atol=1e-4)


def test_the_figure_of_interpolations_says_what_lies_between_what() -> None:
    said = drawn("local:denoiser", "interpolate", "-n", "2", "--points", "3", "--seed", "5", "--steps", "2")
    assert said == "denoiser-interpolate.png: from left to right, 3 points on each of 2 paths between images of seed 5\n"
    text = written("denoiser-interpolate.png")
    assert (text["seed"], text["points"], json.loads(text["sampler"])["eta"]) == ("5", "3", 0)
    save_png(Path("a.png"), opened().sample(1))
    assert "of the pictures" in drawn("local:flow", "interpolate", "--image", "a.png", "--image", "a.png")


def test_both_ends_of_a_path_are_of_one_class_where_a_model_needs_one(monkeypatch: pytest.MonkeyPatch) -> None:
    config = FakeConfig(shape=SHAPE, classes=3, bounded=True)
    write_checkpoint(Path("classes"), Fake(config), config)
    monkeypatch.setattr(Fake, "needs_labels", True, raising=False)
    asked: list[tuple[object, object]] = []

    def interpolate(model: Pretrained, a: int, b: int, **how: object) -> Tensor:
        asked.append((a, b))
        return torch.zeros(2, *SHAPE)

    monkeypatch.setattr(Pretrained, "interpolate", interpolate)
    drawn("local:classes", "interpolate", "-n", "4", "--points", "2")
    assert asked == [(0, 6), (1, 7), (2, 8), (3, 9)]


# The latent plane


def test_a_latent_grid_shows_the_quantiles_of_the_prior_to_the_right_and_upwards(monkeypatch: pytest.MonkeyPatch) -> None:
    model = plane(monkeypatch)
    cells, at = figures.latent_grid(model, 4)
    normal = torch.distributions.Normal(0.0, 1.0)
    assert normal.cdf(torch.tensor(at)).tolist() == pytest.approx([1 / 8, 3 / 8, 5 / 8, 7 / 8])  # type: ignore[no-untyped-call]
    z = cells.flatten(2)[:, :, :2]
    assert z[:, :, 0].tolist() == [at] * 4
    assert z[:, :, 1].T.tolist() == [at[::-1]] * 4


def test_a_latent_grid_of_another_dimension_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="of 2 dimensions, and flow has 3"):
        figures.latent_grid(plane(monkeypatch, 3), 4)
    assert "flow has 3072" in str(refused("local:flow", "latent-grid"))
    assert not Path("flow-latent-grid.png").exists()


def test_the_figure_of_the_latent_plane_says_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    model = plane(monkeypatch)
    monkeypatch.setattr("zoo_core.pretrained.assemble", lambda files, config: model)
    assert "z_1 from left to right, z_2 from bottom to top, at the quantiles 1/6 ... 5/6" in drawn(
        "local:flow", "latent-grid", "-n", "3", "--out", "z.png"
    )
    cells, _ = figures.latent_grid(model, 3)
    ticks = ["\N{MINUS SIGN}1", "0", "1"]
    line = "flow · z\u2081 to the right, z\u2082 upwards · quantiles of N(0, 1)"
    expected = labelled_grid(cells, title=line, rows=ticks[::-1], columns=ticks)
    with Image.open("z.png") as image:
        assert torch.equal(torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1), expected)


def test_what_has_no_such_figure_says_why() -> None:
    assert isinstance(refused("local:denoiser", "latent-grid"), CapabilityError)
    assert isinstance(refused("local:denoiser", "reconstruct"), CapabilityError)
    assert isinstance(refused("local:flow", "reconstruct"), ConfigError)  # it was trained on nothing
    for kind in ("reconstruct", "latent-grid"):
        assert "are of images" in str(refused("local:points", kind))
    assert "pass two for each row" in str(refused("local:flow", "interpolate", "--image", "a.png"))
    assert "takes no sampler" in str(refused("local:flow", "interpolate", "--sampler", "latent"))
    assert "takes no sampler -- leave --sampler, --steps" in str(refused("local:flow", "interpolate", "--steps", "3"))
