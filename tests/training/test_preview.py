"""Sheets of samples, whose columns are classes where there are any."""

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import zoo_core
from zoo_core.config import load_json
from zoo_core.images import class_columns, class_sheet, grid
from zoo_core.testing import fake_zoo
from zoo_core.testing.fake import Fake
from zoo_core.testing.fake_config import IMAGES, FakeConfig
from zoo_core.training.fit import fit
from zoo_core.training.preview import layout


@pytest.fixture(autouse=True)
def _zoo() -> Iterator[None]:
    with fake_zoo():
        yield


@pytest.mark.parametrize("classes", range(2, 33))
def test_columns_are_of_one_class_each_and_a_sheet_has_only_full_rows_of_them(classes: int) -> None:
    for n in (1, 16, 64, 1000):
        columns = class_columns(classes, n)
        assert columns is not None
        assert columns % classes == 0
        # No other multiple is nearer to a square.
        assert abs(columns - n**0.5) <= classes / 2 or columns == classes
    count, columns = layout(Fake(FakeConfig(classes=classes)))
    assert columns == class_columns(classes, 64)
    assert columns is not None
    assert count % columns == 0
    assert abs(count - 64) <= columns / 2


@pytest.mark.parametrize("classes", [0, 1, 33, 1000])
def test_without_classes_or_with_too_many_a_sheet_is_a_square(classes: int) -> None:
    assert layout(Fake(FakeConfig(classes=classes))) == (64, None)
    assert class_columns(classes, 100) is None


@pytest.mark.parametrize(("classes", "count", "columns"), [(0, 64, 8), (3, 63, 9)])
def test_the_sheets_of_a_run_show_class_by_class_what_its_checkpoint_draws(tmp_path: Path, classes: int, count: int, columns: int) -> None:
    model = replace(IMAGES.model, classes=classes)
    run = fit(replace(IMAGES, model=model, fit=replace(IMAGES.fit, steps=2, sample_every=2)), tmp_path)
    labels = torch.arange(count) % classes if classes else None
    expected = grid(zoo_core.load(f"local:{tmp_path}").sample(count, seed=0, labels=labels), columns)
    for sheet in (run / "samples.png", tmp_path / "samples" / "step-2.png"):
        with Image.open(sheet) as image:
            assert np.array_equal(np.asarray(image), expected.permute(1, 2, 0).numpy())
    with Image.open(run / "samples.png") as image:
        weights = hashlib.sha256((run / "model.safetensors").read_bytes()).hexdigest()
        assert (image.text["weights"], image.text["seed"]) == (f"sha256:{weights}", "0")  # type: ignore[attr-defined]  # of a PNG file
    assert load_json(run / "training.json").get("sheet") == ({"images": count, "columns": columns} if classes else None)
    assert f"Images 0 to {count - 1} of seed 0" in (run / "README.md").read_text()


def test_a_recipe_without_a_sampler_draws_and_exports_by_that_of_the_family(tmp_path: Path) -> None:
    recipe = replace(IMAGES, sampler=None, fit=replace(IMAGES.fit, steps=2, sample_every=1))
    export = fit(recipe, tmp_path / "run")
    assert load_json(export / "config.json")["sampler"]["name"] == "latent"
    assert (export / "golden.safetensors").exists()
    assert (export / "samples.png").exists()
    assert [path.name for path in sorted((tmp_path / "run/samples").iterdir())] == ["step-1.png", "step-2.png"]


@pytest.mark.parametrize(("n", "columns"), [(1, 1), (2, 2), (3, 3), (5, 3), (7, 4), (8, 4), (10, 5), (12, 4), (16, 4), (60, 10), (64, 8)])
def test_a_grid_leaves_few_places_empty(n: int, columns: int) -> None:
    pixels = torch.zeros((n, 1, 4, 4), dtype=torch.uint8)
    assert torch.equal(grid(pixels, scale=1), grid(pixels, columns, scale=1))


def test_the_names_of_classes_stand_above_their_columns() -> None:
    pixels = torch.full((5, 1, 28, 28), 128, dtype=torch.uint8)
    sheet = class_sheet(pixels, ["Ankle boot", "Bag"])
    bare = grid(pixels.expand(-1, 3, -1, -1), 2, scale=3)
    top = sheet.shape[1] - bare.shape[1]
    assert top >= 2 * 14
    assert torch.equal(sheet[:, top:], bare)
    heads = (sheet[:, :top] < 128).any(0)
    left, right = heads[:, : sheet.shape[2] // 2], heads[:, sheet.shape[2] // 2 :]
    assert left.any(1).sum() > right.any(1).sum() > 0
