"""Theorems about MNIST and Fashion-MNIST: the images are those of the files, and only whole files are read."""

import gzip
import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from zoo_core.data import loaders as datasets
from zoo_core.data import readers
from zoo_core.data.dataset import load_data
from zoo_core.data.loaders import mnist
from zoo_core.datasets import FashionMNISTConfig, MNISTConfig
from zoo_core.errors import ConfigError

from .helpers import IMAGES, LABELS, ONES, idx, longhand_digest, pixels, write, write_idx


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize(
    ("config", "place"),
    [
        (MNISTConfig(), "."),
        (MNISTConfig(), "mnist"),
        (MNISTConfig(), "MNIST/raw"),
        (FashionMNISTConfig(), "."),
        (FashionMNISTConfig(), "fashion_mnist"),
        (FashionMNISTConfig(), "fashion-mnist"),
        (FashionMNISTConfig(), "FashionMNIST/raw"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_idx_files_are_read_to_the_bit_wherever_they_lie(tmp_path: Path, no_network: None, config: Any, place: str, suffix: str) -> None:
    x, labels = write_idx(tmp_path / place, suffix=suffix)
    data = load_data(replace(config, root=str(tmp_path), download=True))
    assert data.x.dtype == torch.uint8
    assert np.array_equal(data.x.numpy(), x[:, None])
    assert data.labels is not None
    assert data.labels.tolist() == labels.tolist()
    assert data.classes == config.names
    assert data.digest == longhand_digest(data)


def test_each_split_has_its_own_files(tmp_path: Path) -> None:
    train, _ = write_idx(tmp_path, "train", count=12)
    test, _ = write_idx(tmp_path, "t10k", count=7)
    for split, x in {"train": train, "test": test}.items():
        assert np.array_equal(mnist(MNISTConfig(root=str(tmp_path), split=split)).x[:, 0].numpy(), x)  # type: ignore[arg-type]


def test_the_folder_with_the_name_of_the_set_comes_before_files_beside_it(tmp_path: Path) -> None:
    write_idx(tmp_path, count=12)
    x, _ = write_idx(tmp_path / "mnist", count=5)
    assert np.array_equal(mnist(MNISTConfig(root=str(tmp_path))).x[:, 0].numpy(), x)


def test_the_files_of_one_set_are_not_taken_for_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, labels = write_idx(tmp_path)
    monkeypatch.setitem(datasets._LABELS, hashlib.sha256(labels.tobytes()).hexdigest(), "fashion-mnist train")
    assert len(load_data(FashionMNISTConfig(root=str(tmp_path)))) == 12
    with pytest.raises(ConfigError, match=rf"{LABELS}.gz is that of fashion-mnist train, not of mnist train"):
        mnist(MNISTConfig(root=str(tmp_path)))


def test_chosen_classes_become_the_labels_0_1_in_their_order(tmp_path: Path) -> None:
    x, labels = write_idx(tmp_path, count=30)
    data = mnist(MNISTConfig(root=str(tmp_path), classes=("8", "3")))
    rows = np.flatnonzero((labels == 8) | (labels == 3))
    assert np.array_equal(data.x[:, 0].numpy(), x[rows])
    assert data.labels is not None
    assert data.labels.tolist() == [{8: 0, 3: 1}[label] for label in labels[rows]]
    assert data.classes == ("8", "3")


def test_classes_of_which_there_is_no_image_are_refused(tmp_path: Path) -> None:
    write_idx(tmp_path, count=3)
    with pytest.raises(ConfigError, match="no image of 9"):
        mnist(MNISTConfig(root=str(tmp_path), classes=("9",)))


def test_padding_puts_black_around_and_keeps_the_pixels(tmp_path: Path) -> None:
    x, _ = write_idx(tmp_path)
    for size, before in ((32, 2), (31, 1), (28, 0)):
        padded = mnist(MNISTConfig(root=str(tmp_path), size=size)).x[:, 0].numpy()
        assert padded.shape == (12, size, size)
        assert np.array_equal(padded[:, before : before + 28, before : before + 28], x)
        assert int(padded.sum(dtype=np.int64)) == int(x.sum(dtype=np.int64))


def test_a_filter_resizes_each_image(tmp_path: Path) -> None:
    x, _ = write_idx(tmp_path)
    halved = mnist(MNISTConfig(root=str(tmp_path), size=14, resize="box")).x[:, 0].numpy()
    means = x.reshape(12, 14, 2, 14, 2).mean(axis=(2, 4))
    assert np.abs(halved - means).max() <= 1  # Pillow rounds after each direction


def test_images_train_in_minus_one_to_one_and_flip_when_told(tmp_path: Path) -> None:
    write_idx(tmp_path)
    plain, flipped = (load_data(FashionMNISTConfig(root=str(tmp_path), flip=flip)) for flip in (False, True))
    assert plain.event.range == (-1.0, 1.0)
    assert plain.event.shape == (1, 28, 28)
    assert float(plain.rows(torch.arange(12)).abs().max()) <= 1
    assert not plain.flip
    assert flipped.flip
    assert plain.digest == flipped.digest


GOOD = idx(pixels(12, 28, 28))


BROKEN: dict[str, tuple[str, bytes, str]] = {
    "empty": (IMAGES, b"", "not an IDX file"),
    "header cut off": (IMAGES, GOOD[:10], "not an IDX file"),
    "body cut off": (IMAGES, GOOD[:-1], "9423 bytes long where its header says 9424"),
    "too long": (IMAGES, GOOD + b"\0", "9425 bytes long where its header says 9424"),
    "wrong magic": (IMAGES, b"\1" + GOOD[1:], "not an IDX file"),
    "other type": (IMAGES, GOOD[:2] + b"\x0d" + GOOD[3:], "not an IDX file"),
    "labels for images": (IMAGES, ONES, "not an IDX file of bytes in 3 dimensions"),
    "images for labels": (LABELS, GOOD, "not an IDX file of bytes in 1 dimension"),
    "wrong sides": (IMAGES, idx(pixels(12, 32, 32)), "holds 12 x 32 x 32 bytes where N x 28 x 28 are expected"),
    "no item": (IMAGES, idx(pixels(0, 28, 28)), "holds 0 x 28 x 28"),
    "huge header": (IMAGES, GOOD[:4] + b"\xff" * 12, "holds 4294967295 x"),
    "other count": (LABELS, idx(np.ones(11, dtype=np.uint8)), "12 images and train-labels-idx1-ubyte 11 labels"),
    "label beyond": (LABELS, idx(np.full(12, 10, dtype=np.uint8)), "label 10"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_malformed_idx_file_is_refused_by_name(tmp_path: Path, case: str) -> None:
    name, data, words = BROKEN[case]
    write_idx(tmp_path, suffix="")
    write(tmp_path / name, data)
    with pytest.raises(ConfigError, match=words) as caught:
        mnist(MNISTConfig(root=str(tmp_path)))
    assert str(tmp_path / name) in caught.value.what or case == "other count"


ZIPPED = gzip.compress(GOOD, mtime=0)


BROKEN_ZIPS = {
    "empty": b"",
    "garbage": b"garbage",
    "header cut off": ZIPPED[:5],
    "body cut off": ZIPPED[:100],
    "no sum": ZIPPED[:-4],
    "wrong sum": ZIPPED[:-8] + bytes(8),
    "no deflate": ZIPPED[:10] + b"\xff" * 50 + ZIPPED[60:],
}


@pytest.mark.parametrize("case", BROKEN_ZIPS)
def test_a_malformed_gzip_file_is_refused_by_name(tmp_path: Path, case: str) -> None:
    write_idx(tmp_path)
    (tmp_path / f"{IMAGES}.gz").write_bytes(BROKEN_ZIPS[case])
    with pytest.raises(ConfigError, match=IMAGES):
        mnist(MNISTConfig(root=str(tmp_path)))


def test_a_file_larger_than_any_set_is_not_read_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers, "_MAX_BYTES", 1 << 20)
    write_idx(tmp_path)
    write(tmp_path / f"{IMAGES}.gz", bytes(1 << 22))
    with pytest.raises(ConfigError, match=rf"{IMAGES}.gz is larger than 1 MiB"):
        mnist(MNISTConfig(root=str(tmp_path)))
