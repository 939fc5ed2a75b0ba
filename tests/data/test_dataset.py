"""Theorems about data: what is read, and in what order training sees it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from zoo_core.data.dataset import Data, load_data
from zoo_core.data.loaders import folder
from zoo_core.datasets import FolderConfig, MoonsConfig, expand
from zoo_core.errors import ConfigError, PluginError


def numbers(count: int) -> Data:
    return Data(x=torch.arange(float(count)).view(count, 1), labels=torch.arange(count) % 3)


def write(path: Path, size: tuple[int, int] = (8, 8), colour: tuple[int, int, int] = (255, 0, 0)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)


def test_every_epoch_shows_every_row_once_in_an_order_of_its_own() -> None:
    data = numbers(10)
    seen = torch.cat([data.batch(0, step, 4).index for step in range(5)])
    first, second = seen[:10], seen[10:]
    assert sorted(first.tolist()) == sorted(second.tolist()) == list(range(10))
    assert first.tolist() != second.tolist()


@pytest.mark.parametrize(
    ("x", "labels", "words"),
    [
        (torch.zeros(3, 4, dtype=torch.uint8), None, r"not torch.uint8 \(3, 4\)"),
        (torch.zeros(3, 1, 4, 4, dtype=torch.float64), None, r"not torch.float64"),
        (torch.zeros(3), None, r"not torch.float32 \(3,\)"),
        (torch.zeros(0, 2), None, r"no sample"),
        (torch.zeros(3, 2), torch.tensor([0, 1]), r"not torch.int64 \(2,\)"),
        (torch.zeros(3, 2), torch.tensor([0.0, 1.0, 2.0]), r"not torch.float32 \(3,\)"),
        (torch.zeros(3, 2), torch.tensor([0, -1, 2]), r"from -1 on"),
    ],
)
def test_samples_and_labels_of_another_kind_are_refused(x: torch.Tensor, labels: torch.Tensor | None, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Data(x=x, labels=labels)


def test_a_list_is_refused_by_its_type() -> None:
    rows: Any = [torch.zeros(2), torch.zeros(3)]
    with pytest.raises(ConfigError, match="data must be one tensor, not a list"):
        Data(x=rows)
    with pytest.raises(ConfigError, match="labels must be one tensor, not a list"):
        Data(x=torch.zeros(2, 2), labels=rows)


def test_a_plugin_that_makes_no_data_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zoo_core.data.loaders.moons", lambda config: (torch.zeros(3, 2), None))
    with pytest.raises(PluginError, match=r"returns a tuple, not a Data"):
        load_data(MoonsConfig())


def test_a_batch_larger_than_the_set_goes_round_it() -> None:
    assert numbers(3).batch(0, 0, 7).index.bincount().tolist() in ([3, 2, 2], [2, 3, 2], [2, 2, 3])


def test_a_batch_depends_on_the_seed_and_the_step_alone() -> None:
    data = numbers(50)
    late = data.batch(1, 9, 8)
    for step in range(20):
        data.batch(1, step, 8)
    again = data.batch(1, 9, 8)
    assert torch.equal(late.index, again.index)
    assert not torch.equal(late.index, data.batch(2, 9, 8).index)


def test_two_processes_see_the_halves_of_one_batch() -> None:
    data = replace(numbers(50), x=torch.randint(256, (50, 1, 4, 4), dtype=torch.uint8), flip=True)
    whole = data.batch(0, 3, 8)
    halves = [data.batch(0, 3, 8, rows) for rows in (slice(0, 4), slice(4, 8))]
    assert torch.equal(whole.x, torch.cat([half.x for half in halves]))
    assert whole.labels is not None
    assert torch.equal(whole.labels, torch.cat([half.labels for half in halves if half.labels is not None]))


def test_images_come_in_minus_one_to_one_and_points_as_they_are() -> None:
    images = Data(x=torch.tensor([0, 255], dtype=torch.uint8).view(2, 1, 1, 1))
    assert images.rows(torch.tensor([0, 1])).flatten().tolist() == [-1.0, 1.0]
    assert images.event.range == (-1.0, 1.0)
    assert numbers(3).rows(torch.tensor([2])).item() == 2.0
    assert numbers(3).event.range is None


def test_flips_mirror_about_half_of_the_rows_and_nothing_else() -> None:
    x = torch.zeros(400, 1, 2, 2, dtype=torch.uint8)
    x[..., 0] = 255
    flipped = Data(x=x, flip=True).batch(0, 0, 400).x[:, 0, 0, 0] < 0
    assert 150 < int(flipped.sum()) < 250
    assert not (Data(x=x).batch(0, 0, 400).x[:, 0, 0, 0] < 0).any()


def test_the_digest_changes_with_a_pixel_a_label_and_the_shape() -> None:
    data = Data(x=torch.zeros(4, 1, 2, 2, dtype=torch.uint8), labels=torch.zeros(4, dtype=torch.int64))
    other = data.x.clone()
    other[3, 0, 1, 1] = 1
    variants = [
        data,
        replace(data, x=other),
        replace(data, labels=torch.ones(4, dtype=torch.int64)),
        replace(data, x=data.x.view(4, 2, 2, 1)),
    ]
    assert len({variant.digest for variant in variants}) == 4


def test_subfolders_are_classes_in_alphabetical_order(tmp_path: Path) -> None:
    for name, colour in {"b/1.png": (0, 255, 0), "a/1.png": (255, 0, 0), "a/deep/2.jpg": (255, 0, 0)}.items():
        write(tmp_path / name, colour=colour)
    data = folder(FolderConfig(path=str(tmp_path), size=4))
    assert data.classes == ("a", "b")
    assert data.labels is not None
    assert data.labels.tolist() == [0, 0, 1]
    assert tuple(data.x.shape) == (3, 3, 4, 4)
    chosen = folder(FolderConfig(path=str(tmp_path), size=4, classes=("b",)))
    assert len(chosen) == 1
    assert chosen.x[0, 1].min() == 255


def test_a_folder_of_images_without_classes_has_no_labels(tmp_path: Path) -> None:
    write(tmp_path / "1.png")
    (tmp_path / "notes.txt").write_text("no image")
    data = folder(FolderConfig(path=str(tmp_path), size=4, channels=1))
    assert data.labels is None
    assert tuple(data.x.shape) == (1, 1, 4, 4)


def test_the_shorter_side_is_resized_and_the_centre_cropped(tmp_path: Path) -> None:
    pixels = np.zeros((8, 24, 3), dtype=np.uint8)
    pixels[:, 8:16] = 255
    Image.fromarray(pixels).save(tmp_path / "wide.png")
    data = folder(FolderConfig(path=str(tmp_path), size=4, resize="box"))
    assert data.x.min() == 255


def test_images_of_the_right_size_are_kept_to_the_bit(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "1.png")
    for name in ("box", "bilinear", "bicubic", "lanczos"):
        data = folder(FolderConfig(path=str(tmp_path), size=8, resize=name))
        assert np.array_equal(data.x[0].permute(1, 2, 0).numpy(), pixels)


@pytest.mark.parametrize("case", ["missing", "empty", "class", "broken", "variable"])
def test_data_that_is_not_there_is_refused_by_name(tmp_path: Path, case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOWHERE", raising=False)
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "1.png").write_bytes(b"not a png")
    config, words = {
        "missing": (FolderConfig(path=str(tmp_path / "none")), "no folder"),
        "empty": (FolderConfig(path=str(tmp_path / "empty")), "no image"),
        "class": (FolderConfig(path=str(tmp_path), classes=("dog",)), "'dog'"),
        "broken": (FolderConfig(path=str(tmp_path / "broken")), "1.png"),
        "variable": (FolderConfig(path="$NOWHERE/train"), "NOWHERE"),
    }[case]
    with pytest.raises(ConfigError, match=words):
        load_data(config)


def test_variables_are_taken_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHOTOS", "/photos")
    assert expand("$PHOTOS/train") == expand("${PHOTOS}/train") == "/photos/train"
