"""Theorems about images from folders: digests, threads, and images that are refused."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from zoo_core.data import loaders as datasets
from zoo_core.data.loaders import folder
from zoo_core.datasets import FolderConfig
from zoo_core.errors import ConfigError

from .helpers import Array, pixels


def save(path: Path, image: Array) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)


def test_the_digest_of_a_folder_is_that_of_its_pixels_and_labels(tmp_path: Path) -> None:
    x = pixels(3, 8, 8, 3)
    for name, image in zip(("a/1.png", "a/2.png", "b/1.png"), x, strict=True):
        save(tmp_path / name, image)
    data = folder(FolderConfig(path=str(tmp_path), size=8))
    assert (
        data.digest
        == hashlib.sha256(
            b"torch.uint8 (3, 3, 8, 8)" + x.transpose(0, 3, 1, 2).tobytes() + np.array([0, 0, 1], dtype="<i8").tobytes()
        ).hexdigest()
    )


def test_a_folder_is_the_same_for_any_number_of_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for i, image in enumerate(pixels(150, 12, 10, 3)):
        save(tmp_path / f"{i % 3}" / f"{i:03d}.png", image)
    found = []
    for threads in (1, 5):
        monkeypatch.setattr(datasets, "_threads", lambda paths, threads=threads: threads)
        found.append(folder(FolderConfig(path=str(tmp_path), size=8)))
    assert torch.equal(found[0].x, found[1].x)
    first = folder(FolderConfig(path=str(tmp_path), size=8, classes=("0",)))
    assert torch.equal(first.x, found[0].x[:50])


def test_broken_images_are_named_in_their_order_whatever_the_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets, "_threads", lambda paths: 4)
    for i in range(200):
        save(tmp_path / f"{i:03d}.png", pixels(8, 8, 3))
    for broken in ("170.png", "090.png"):
        (tmp_path / broken).write_bytes(b"no image")
        with pytest.raises(ConfigError, match=rf"{broken}(, 170\.png)? "):
            folder(FolderConfig(path=str(tmp_path), size=8))


def test_a_file_is_read_only_as_one_of_the_named_formats(tmp_path: Path) -> None:
    Image.fromarray(pixels(8, 8, 3)).save(tmp_path / "1.png", format="ICO", sizes=[(8, 8)])
    with pytest.raises(ConfigError, match=r"cannot read .*1\.png"):
        folder(FolderConfig(path=str(tmp_path), size=8))


def test_images_beside_class_folders_are_refused_and_not_left_out(tmp_path: Path) -> None:
    save(tmp_path / "dog" / "1.png", pixels(8, 8, 3))
    save(tmp_path / "loose.png", pixels(8, 8, 3))
    with pytest.raises(ConfigError, match="1 images beside the class folders dog"):
        folder(FolderConfig(path=str(tmp_path), size=8))
    assert len(folder(FolderConfig(path=str(tmp_path), size=8, classes=("dog",)))) == 1


def test_a_chosen_class_without_images_is_not_filled_from_the_others(tmp_path: Path) -> None:
    save(tmp_path / "dog" / "1.png", pixels(8, 8, 3))
    (tmp_path / "cat").mkdir()
    with pytest.raises(ConfigError, match=r"class folder 'cat' .* holds no image"):
        folder(FolderConfig(path=str(tmp_path), size=8, classes=("cat",)))


def test_images_beside_empty_subfolders_have_no_labels(tmp_path: Path) -> None:
    save(tmp_path / "1.png", pixels(8, 8, 3))
    (tmp_path / "notes").mkdir()
    data = folder(FolderConfig(path=str(tmp_path), size=8))
    assert (data.labels, data.classes) == (None, ())
