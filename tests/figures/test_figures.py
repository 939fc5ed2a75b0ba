"""Figures show what was measured, and the training images that are nearest to samples."""

import io
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image
from torch import Tensor

import zoo_core.evaluation.factory
import zoo_core.evaluation.feature_spaces
from zoo_core import figures, images
from zoo_core.cli.figure import figure
from zoo_core.config import dump_json
from zoo_core.data.dataset import Data, load_data
from zoo_core.errors import ConfigError, UsageError
from zoo_core.evaluation.feature_spaces import FeatureSpace
from zoo_core.figures import plot_quality, render
from zoo_core.figures.quality import Panel, Point
from zoo_core.interfaces import Event
from zoo_core.loading import load
from zoo_core.pretrained import Pretrained
from zoo_core.testing import fake_zoo
from zoo_core.testing.fake_config import IMAGES, TINY
from zoo_core.training.fit import fit

SHAPE = (3, 8, 8)
PIXELS = FeatureSpace(name="pixels", digest="0" * 64, event=Event(shape=SHAPE), classes=0, embed=lambda x: (x.flatten(1), None))


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of a training run of a fake that draws images, and a feature space that costs nothing."""
    monkeypatch.setattr(zoo_core.evaluation.feature_spaces, "load_feature_space", lambda name, device="cpu": replace(PIXELS, name=name))
    monkeypatch.setattr(zoo_core.evaluation.factory, "default_feature_space", lambda config, shape: "pixels")
    monkeypatch.chdir(tmp_path)
    with fake_zoo():
        fit(replace(IMAGES, fit=replace(IMAGES.fit, steps=2)), tmp_path / "run")
        yield tmp_path / "run"


def drawing(*words: str) -> Result:
    return CliRunner().invoke(figure, list(words))


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


# Nearest


def with_copy(model: Pretrained, places: list[int], count: int = 40) -> Data:
    """Real images, of which those at ``places`` are images 0, 1, ... that the model draws."""
    made = load_data(IMAGES.data).x[:count].clone()  # type: ignore[arg-type]  # IMAGES has data
    made[places] = images.to_uint8(model.sample(len(places)))
    return Data(x=made)


def snapped(monkeypatch: pytest.MonkeyPatch, model: Pretrained) -> None:
    """Makes the model draw images of 8-bit levels, which a data set can hold."""
    sample = type(model).sample

    def levels(self: Pretrained, *args: Any, **options: Any) -> Tensor:
        return images.from_uint8(images.to_uint8(sample(self, *args, **options)))

    monkeypatch.setattr(type(model), "sample", levels)


def test_the_image_nearest_to_a_copy_is_what_it_copies_at_distance_0(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = load(f"local:{run}")
    snapped(monkeypatch, model)
    cells, found = figures.nearest(model, with_copy(model, [7, 31]), PIXELS, 3)
    assert (cells.shape, found.shape) == ((3, 6, *SHAPE), (3, 5))
    assert torch.equal(cells[:, 0], model.sample(3))
    assert torch.equal(cells[:2, 1], cells[:2, 0])
    assert found[:2, 0].tolist() == [0, 0]
    assert (found[2] > 0).all()
    assert (found[:, 1:] >= found[:, :-1]).all()


def test_distances_are_in_the_unit_of_nearest_train(run: Path) -> None:
    model, data = load(f"local:{run}"), load_data(IMAGES.data)  # type: ignore[arg-type]  # IMAGES has data
    seen: list[int] = []
    cells, found = figures.nearest(model, data, PIXELS, 4, seed=3, batch_size=100, on_batch=seen.append)
    x = data.rows(torch.arange(len(data))).flatten(1).double()
    apart = torch.cdist(x, x) + torch.eye(len(x)) * 1e9
    away = (cells[:, 1:] - cells[:, :1]).flatten(2).double().norm(dim=2)
    torch.testing.assert_close(found, away / apart.min(1).values.mean())
    assert torch.equal(found, figures.nearest(model, data, PIXELS, 4, seed=3)[1])
    assert torch.equal(cells[:, 0], model.sample(4, seed=3))
    assert seen == [100, 100, 56]


def test_what_has_no_nearest_image_says_why(run: Path, tmp_path: Path) -> None:
    model = load(f"local:{run}")
    with pytest.raises(ConfigError, match=r"samples of \[3, 4, 4\], the model of \[3, 8, 8\]"):
        figures.nearest(model, Data(x=torch.zeros(9, 3, 4, 4, dtype=torch.uint8)), PIXELS, 1)
    with pytest.raises(UsageError, match=r"copies of each other"):
        figures.nearest(model, Data(x=torch.zeros(9, *SHAPE, dtype=torch.uint8)), PIXELS, 1)
    fit(replace(TINY, fit=replace(TINY.fit, steps=1)), tmp_path / "points")
    with pytest.raises(UsageError, match=r"of images, and points draws samples of shape \(2,\)"):
        figures.nearest(load(f"local:{tmp_path / 'points'}"), Data(x=torch.zeros(9, 2)), PIXELS, 1)


def test_fewer_training_images_than_places_are_all_shown(run: Path) -> None:
    model = load(f"local:{run}")
    data = Data(x=load_data(IMAGES.data).x[:3])  # type: ignore[arg-type]  # IMAGES has data
    assert figures.nearest(model, data, PIXELS, 2)[0].shape == (2, 4, *SHAPE)


def test_the_figure_of_the_nearest_says_what_it_is_of(run: Path) -> None:
    done = drawing("local:run", "nearest", "-n", "2", "--seed", "5", "--features", "mine")
    assert (done.exit_code, done.stdout) == (0, "")
    assert done.stderr.splitlines()[0] == "run-nearest.png: images 0 to 1 of seed 5 and the images of 256 nearest to them in mine"
    with Image.open("run-nearest.png") as image:
        digest = load_data(IMAGES.data).digest  # type: ignore[arg-type]  # IMAGES has data
        assert (image.text["seed"], image.text["data"]) == ("5", f"sha256:{digest}")
        assert image.text["features"] == f"mine sha256:{'0' * 64}"
        assert image.text["reference"] == "local:run"


def test_captions_below_the_cells_cover_none_of_them() -> None:
    cells = torch.randint(0, 200, (2, 3, 3, 40, 40), dtype=torch.uint8)
    below = [["", "a", "b"], ["1", "gjpq", "0.87"]]
    made, bare = images.labelled_grid(cells, below=below, scale=2), images.labelled_grid(cells, scale=2)
    room = (made.shape[1] - bare.shape[1]) // 2
    for i in range(2):
        top, pitch = images.GAP + i * (80 + images.GAP), images.GAP + i * (80 + images.GAP + room)
        assert torch.equal(made[:, pitch : pitch + 80], bare[:, top : top + 80])
        gap = made[:, pitch + 80 : pitch + 80 + room]
        dark = [bool((gap[:, :, left : left + 82] < 128).any()) for left in range(0, 246, 82)]
        assert dark == [bool(text) for text in below[i]]


# Quality


def panel(**changes: Any) -> Panel:
    curves = {"ddim": [Point(nfe=nfe, value=100 / nfe, stderr=0.5, seconds=nfe / 10) for nfe in (5, 10, 20, 50)]}
    return Panel(**{"metric": "fd", "caption": "of $A/$B", "curves": curves, "floor": 1.0, "processors": ("P $1 $2",), **changes})


def test_the_figure_of_quality_is_the_same_bytes_for_the_same_numbers() -> None:
    made = render(plot_quality([panel()], "a $b$ c"), {"reference": "x"})
    assert made == render(plot_quality([panel()], "a $b$ c"), {"reference": "x"})
    with opened(made) as image:
        assert image.text == {"reference": "x"}


@pytest.mark.parametrize(
    "changes",
    [
        {"floor": None},
        {"curves": {"ddim": [Point(nfe=1, value=3.0)]}},
        {"curves": {"$x^{$": [Point(nfe=50, value=-0.5, seconds=1e-3), Point(nfe=51, value=2e5, stderr=9.0)]}, "processors": ()},
    ],
)
def test_quality_is_drawn_of_few_and_of_odd_numbers(changes: dict[str, Any]) -> None:
    one, two = render(plot_quality([panel(**changes)])), render(plot_quality([panel(**changes), panel()]))
    with opened(one) as single, opened(two) as both:
        assert single.width == both.width
        assert both.height > 1.7 * single.height


def test_a_single_point_stands_within_its_axes() -> None:
    timed, untimed = Point(nfe=50, value=0.3454, stderr=0.033, seconds=0.253), Point(nfe=61, value=4.8, stderr=0.075)
    made = plot_quality([panel(curves={"ddim": [timed], "langevin": [untimed]}, floor=0.003)])
    render(made)
    _, over_seconds = made.subfigs[0].axes
    low, high = over_seconds.get_xlim()
    assert low < 0.2 < 0.253 < 0.3 < high


def made_record(metric: str, steps: int) -> dict[str, Any]:
    sampler = {"name": "ddim", "steps": steps}
    return {"metric": metric, "value": 9 / steps, "dataset": "cats", "n": {"real": 9, "drawn": 9}, "sampler": sampler, "nfe": steps}


def test_quality_is_drawn_from_the_numbers_of_a_folder_a_run_and_a_checkpoint(run: Path) -> None:
    done = drawing("local:run", "quality")
    assert isinstance(done.exception, UsageError)
    assert "zoo evaluate local:run --steps 5,10,20,50 --out" in str(done.exception)
    text = dump_json({"metrics": [made_record(metric, steps) for metric in ("fd", "kid") for steps in (5, 10)]})
    (run / "export" / "metrics.json").write_text(text)
    for target in ("run", "local:run", "run/export", "local:run/export"):
        done = drawing(target, "quality", "--metric", "kid", "--metric", "fd")
        assert (done.exit_code, done.stderr.splitlines()[-1]) == (0, "run-quality.png: kid of ddim; fd of ddim")
        with Image.open("run-quality.png") as image:
            assert (image.text["reference"], image.text["metrics"]) == (f"local:{target.removeprefix('local:')}", "kid, fd")
    assert drawing("local:run", "quality", "--out", "x.png").stderr == "x.png: fd of ddim\n"
    assert isinstance(drawing("run", "quality", "--metric", "is").exception, UsageError)
    assert json.loads(text)["metrics"]
