"""Theorems about the data sets that zoo-core offers: what is read is what the files hold, and nothing but whole files is read."""

import dataclasses
import gzip
import hashlib
import http.server
import pickle
import re
import socket
import sys
import tarfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from zoo_core.config import decode, encode
from zoo_core.data import loaders as datasets
from zoo_core.data import readers
from zoo_core.data.dataset import Data, load_data
from zoo_core.data.loaders import cifar10, folder, gaussian_mixture, mnist, moons
from zoo_core.datasets import CIFAR10Config, FashionMNISTConfig, FolderConfig, GaussianMixtureConfig, MNISTConfig, MoonsConfig
from zoo_core.errors import ConfigError, HubError, ResourceError, UsageError
from zoo_core.interfaces import DatasetConfig
from zoo_core.registry import registry, resolve
from zoo_core.specs import DatasetSpec

Array = np.ndarray[Any, np.dtype[np.uint8]]
IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any use of the network fails the test."""

    def refuse(*arguments: object, **options: object) -> None:
        raise AssertionError("the network was touched")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def pixels(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def idx(items: Array) -> bytes:
    return bytes([0, 0, 8, items.ndim]) + b"".join(side.to_bytes(4, "big") for side in items.shape) + items.tobytes()


def write(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def write_idx(place: Path, prefix: str = "train", suffix: str = ".gz", count: int = 12) -> tuple[Array, Array]:
    """A tiny MNIST: images (count, 28, 28) and the labels 0 ... 9, 0, 1, ..."""
    x, labels = pixels(count, 28, 28, seed=count), np.arange(count, dtype=np.uint8) % 10
    write(place / f"{prefix}-images-idx3-ubyte{suffix}", idx(x))
    write(place / f"{prefix}-labels-idx1-ubyte{suffix}", idx(labels))
    return x, labels


def write_cifar(place: Path, names: list[str], encoded: Callable[[Array, Array], bytes], count: int = 10) -> tuple[Array, Array]:
    """Batches of CIFAR-10 with ``count`` images each; returns all images (n, 3, 32, 32) and labels."""
    x, labels = pixels(len(names) * count, 3072), np.arange(len(names) * count, dtype=np.uint8) % 10
    for i, name in enumerate(names):
        write(place / name, encoded(x[i * count : (i + 1) * count], labels[i * count : (i + 1) * count]))
    return x.reshape(-1, 3, 32, 32), labels


def binary(x: Array, labels: Array) -> bytes:
    return np.concatenate([labels[:, None], x], axis=1).tobytes()


def pickled(x: Array, labels: Array) -> bytes:
    """A batch as Python 2 pickled it: texts are bytes there, and the array is rebuilt by functions that the pickle names."""

    def text(value: bytes) -> bytes:
        return b"U" + bytes([len(value)]) + value if len(value) < 256 else b"T" + len(value).to_bytes(4, "little") + value

    numbers = b"](" + b"".join(b"K" + bytes([label]) for label in labels) + b"e"
    dtype = b"cnumpy\ndtype\n" + text(b"u1") + b"K\x00K\x01\x87R(K\x03" + text(b"|") + b"NNN" + b"J\xff\xff\xff\xff" * 2 + b"K\x00tb"
    shape = b"M" + len(x).to_bytes(2, "little") + b"M\x00\x0c\x86"
    array = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85" + text(b"b") + b"\x87R"
    array += b"(K\x01" + shape + dtype + b"\x89" + text(x.tobytes()) + b"tb"
    files = b"](" + b"".join(text(f"cat_s_{i:06d}.png".encode()) for i in range(len(x))) + b"e"
    parts = {b"batch_label": text(b"training batch 1 of 5"), b"labels": numbers, b"data": array, b"filenames": files}
    return b"\x80\x02}(" + b"".join(text(key) + value for key, value in parts.items()) + b"u."


BATCHES = [f"data_batch_{i}" for i in range(1, 6)]


def longhand_digest(data: Data) -> str:
    assert data.labels is not None
    head = f"{data.x.dtype} {tuple(data.x.shape)}".encode()
    return hashlib.sha256(head + data.x.numpy().tobytes() + data.labels.numpy().tobytes()).hexdigest()


# --- MNIST and Fashion-MNIST


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
ONES = idx(np.ones(12, dtype=np.uint8))
BROKEN: dict[str, tuple[str, bytes, str]] = {
    "empty": (IMAGES, b"", "no IDX file"),
    "header cut off": (IMAGES, GOOD[:10], "no IDX file"),
    "body cut off": (IMAGES, GOOD[:-1], "9423 bytes long where its header says 9424"),
    "too long": (IMAGES, GOOD + b"\0", "9425 bytes long where its header says 9424"),
    "wrong magic": (IMAGES, b"\1" + GOOD[1:], "no IDX file"),
    "other type": (IMAGES, GOOD[:2] + b"\x0d" + GOOD[3:], "no IDX file"),
    "labels for images": (IMAGES, ONES, "no IDX file of bytes in 3 dimensions"),
    "images for labels": (LABELS, GOOD, "no IDX file of bytes in 1 dimension"),
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


# --- what is missing


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (MNISTConfig(), "no train-images-idx3-ubyte and train-labels-idx1-ubyte in {} or its MNIST/raw"),
        (FashionMNISTConfig(split="test"), "no t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte in {} or its FashionMNIST/raw"),
        (CIFAR10Config(), "no data_batch_1.bin, ..., data_batch_5.bin in {} or its cifar-10-batches-bin"),
        (CIFAR10Config(split="test"), "no test_batch.bin in {} or its cifar-10-batches-bin"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_missing_files_are_named_with_what_to_do_and_the_network_is_not_touched(
    tmp_path: Path, no_network: None, config: Any, words: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load_data(replace(config, root=str(tmp_path)))
    assert caught.value.what == words.format(tmp_path)
    assert "data.download=true" in caught.value.hint
    assert "--data-root" in caught.value.hint
    assert list(tmp_path.iterdir()) == []


def test_one_missing_file_of_several_is_named_with_its_folder(tmp_path: Path) -> None:
    write_idx(tmp_path / "mnist")
    (tmp_path / "mnist" / f"{LABELS}.gz").unlink()
    with pytest.raises(ConfigError, match=rf"no {LABELS} in {tmp_path}/mnist --"):
        mnist(MNISTConfig(root=str(tmp_path)))


def test_the_root_is_a_variable_by_default_and_stays_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_idx(tmp_path / "mnist")
    monkeypatch.delenv("ZOO_DATA", raising=False)
    with pytest.raises(ConfigError, match=r"ZOO_DATA.*--data-root DIR"):
        mnist(MNISTConfig())
    monkeypatch.setenv("ZOO_DATA", str(tmp_path))
    assert len(mnist(MNISTConfig())) == 12
    assert encode(MNISTConfig())["root"] == "$ZOO_DATA"


# --- CIFAR-10


@pytest.mark.parametrize(
    ("place", "suffix", "encoded"),
    [
        ("cifar-10-batches-bin", ".bin", binary),
        ("cifar-10-batches-py", "", pickled),
        ("cifar10", ".bin", binary),
        ("cifar10", "", pickled),
        (".", ".bin", binary),
        (".", "", pickled),
    ],
)
def test_both_versions_of_cifar10_are_read_to_the_bit(
    tmp_path: Path, no_network: None, place: str, suffix: str, encoded: Callable[[Array, Array], bytes]
) -> None:
    x, labels = write_cifar(tmp_path / place, [name + suffix for name in BATCHES], encoded)
    write_cifar(tmp_path / place, [f"test_batch{suffix}"], encoded, count=3)
    data = load_data(CIFAR10Config(root=str(tmp_path), download=True))
    assert np.array_equal(data.x.numpy(), x)
    assert data.labels is not None
    assert data.labels.tolist() == labels.tolist()
    assert data.digest == longhand_digest(data)
    assert len(load_data(CIFAR10Config(root=str(tmp_path), split="test"))) == 3


def test_the_pickles_of_these_tests_are_pickles_of_those_arrays() -> None:
    x, labels = pixels(4, 3072), np.array([3, 0, 9, 9], dtype=np.uint8)
    found = pickle.loads(pickled(x, labels), encoding="latin1")
    assert np.array_equal(found["data"], x)
    assert found["labels"] == labels.tolist()


def test_reading_a_pickle_of_cifar10_runs_nothing(tmp_path: Path) -> None:
    write_cifar(tmp_path, BATCHES, pickled)
    call = b"cos\nmkdir\n(U" + bytes([len(str(tmp_path / "ran"))]) + str(tmp_path / "ran").encode() + b"tR0"
    path = tmp_path / BATCHES[0]
    path.write_bytes(path.read_bytes()[:2] + call + path.read_bytes()[2:])
    assert len(cifar10(CIFAR10Config(root=str(tmp_path)))) == 50
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("test_batch.bin", b"", "0 images"),
        ("test_batch.bin", bytes(3073 * 2 - 1), "no batch"),
        ("test_batch.bin", b"\x0a" + bytes(3072), "label 10"),
        ("test_batch", b"", "no batch"),
        ("test_batch", b"garbage", "no batch"),
        ("test_batch", pickled(pixels(3, 3072), np.zeros(3, dtype=np.uint8))[:-20], "no batch"),
        ("test_batch", pickled(pixels(3, 3072), np.zeros(2, dtype=np.uint8)), "3 images and 2 labels"),
        ("test_batch", pickled(pixels(3, 3071), np.zeros(3, dtype=np.uint8)), "no batch"),
        ("test_batch", pickled(pixels(3, 3072), np.full(3, 11, dtype=np.uint8)), "label 11"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_malformed_batch_of_cifar10_is_refused_by_name(tmp_path: Path, name: str, data: bytes, words: str) -> None:
    write(tmp_path / name, data)
    with pytest.raises(ConfigError, match=words) as caught:
        cifar10(CIFAR10Config(root=str(tmp_path), split="test"))
    assert str(tmp_path / name) in caught.value.what


def test_colour_images_are_resized_plane_by_plane_as_pillow_does(tmp_path: Path) -> None:
    x, _ = write_cifar(tmp_path, ["test_batch.bin"], binary, count=2)
    small = cifar10(CIFAR10Config(root=str(tmp_path), split="test", size=12)).x.numpy()
    for image, found in zip(x, small, strict=True):
        whole = Image.fromarray(image.transpose(1, 2, 0)).resize((12, 12), Image.Resampling.LANCZOS)
        assert np.array_equal(np.asarray(whole).transpose(2, 0, 1), found)


# --- folders


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


# --- points


@pytest.mark.parametrize("count", [2, 7, 100])
def test_moons_without_noise_have_the_geometry_of_scikit_learn(count: int) -> None:
    data = moons(MoonsConfig(count=count, noise=0.0))
    n_out, n_in = count // 2, count - count // 2
    outer_circ_x, outer_circ_y = np.cos(np.linspace(0, np.pi, n_out)), np.sin(np.linspace(0, np.pi, n_out))
    inner_circ_x, inner_circ_y = 1 - np.cos(np.linspace(0, np.pi, n_in)), 1 - np.sin(np.linspace(0, np.pi, n_in)) - 0.5
    X = np.vstack([np.append(outer_circ_x, inner_circ_x), np.append(outer_circ_y, inner_circ_y)]).T
    assert data.x.dtype == torch.float32
    assert np.abs(data.x.numpy() - X).max() < 1e-6
    assert data.labels is not None
    assert data.labels.tolist() == [0] * n_out + [1] * n_in
    assert data.event.range is None


def test_the_noise_of_moons_is_gaussian_of_its_standard_deviation() -> None:
    count = 20_000
    clean, noisy = (moons(MoonsConfig(count=count, noise=noise, seed=3)).x.double() for noise in (0.0, 0.2))
    noise = (noisy - clean) / 0.2
    assert noise.mean(0).abs().max() < 5 / count**0.5
    assert (noise.var(0) - 1).abs().max() < 5 * (2 / count) ** 0.5
    assert abs(float((noise**4).mean()) - 3) < 5 * (96 / (2 * count)) ** 0.5
    assert abs(float((noise[:, 0] * noise[:, 1]).mean())) < 5 / count**0.5


def test_a_mixture_has_the_moments_of_its_closed_form() -> None:
    config = GaussianMixtureConfig(
        weights=(0.5, 0.2, 0.3), means=((0.0, 1.0, 2.0), (4.0, 0.0, 0.0), (-3.0, -3.0, 1.0)), std=0.5, count=40_000
    )
    data = gaussian_mixture(config)
    weights, means = torch.tensor(config.weights).double(), torch.tensor(config.means).double()
    x = data.x.double()
    mean = weights @ means
    covariance = 0.25 * torch.eye(3) + (means - mean).T @ torch.diag(weights) @ (means - mean)
    assert (x.mean(0) - mean).abs().max() < 5 * (covariance.diagonal().max() / config.count) ** 0.5
    assert (x.T.cov() - covariance).abs().max() < 0.2
    assert data.labels is not None
    for k, (weight, centre) in enumerate(zip(weights, means, strict=True)):
        rows = x[data.labels == k]
        assert abs(len(rows) / config.count - weight) < 5 * (weight * (1 - weight) / config.count) ** 0.5
        assert (rows.mean(0) - centre).abs().max() < 5 * 0.5 / len(rows) ** 0.5
        assert (rows.std(0) - 0.5).abs().max() < 5 * 0.5 / (2 * len(rows)) ** 0.5


def test_the_default_mixture_is_the_toy_of_song_and_ermon() -> None:
    config = GaussianMixtureConfig()
    assert (config.weights, config.means, config.std) == ((1 / 5, 4 / 5), ((-5.0, -5.0), (5.0, 5.0)), 1.0)
    data = gaussian_mixture(config)
    assert data.labels is not None
    assert torch.equal(data.labels == 1, data.x.sum(1) > 0)


def test_points_depend_on_the_seed_alone() -> None:
    for config in (MoonsConfig(count=50), GaussianMixtureConfig(count=50)):
        state = torch.random.get_rng_state()
        first, again, other = (load_data(item).digest for item in (config, config, replace(config, seed=1)))
        assert first == again != other
        assert torch.equal(state, torch.random.get_rng_state())


def test_the_digests_of_points_stay_what_they_are() -> None:
    assert moons(MoonsConfig(count=1000)).digest == "3c00b35ff935358fa74d44d22ef0af4075fa6b658c7d666073400ede84ef729f"
    assert gaussian_mixture(GaussianMixtureConfig(count=1000)).digest == "ea65dcf91849fbb44a5040c86e18ce8e49829e6710d36db0c292085263875caa"


# --- configs and specs


@pytest.mark.parametrize("name", ["cifar10", "fashion-mnist", "folder", "gaussian-mixture", "mnist", "moons"])
def test_every_data_set_is_registered_with_a_config_that_is_its_json(name: str) -> None:
    spec = registry().spec(DatasetSpec, name)
    assert spec.summary
    assert callable(resolve(spec.target))
    config = resolve(spec.config)(**({"path": "x"} if name == "folder" else {}))
    assert decode(DatasetConfig, encode(config)) == config
    assert hash(config)


def test_the_documentation_has_every_data_set_with_its_options() -> None:
    rows = [line for line in (Path(__file__).parents[2] / "docs" / "training.md").read_text().splitlines() if line.startswith("| `")]
    for name, (claim,) in registry().claims(DatasetSpec).items():
        if claim.plugin.dist == "zoo-core":
            row = next(row for row in rows if re.match(rf"\| `{name}(:PATH)?` \|", row))
            row += " ".join(line for line in rows if line.startswith("| `mnist` |") and "those of `mnist`" in row)
            for option in dataclasses.fields(resolve(claim.spec.config)):  # type: ignore[attr-defined]
                assert re.search(rf"`{option.name}[=`]", row), f"{name}: {option.name}"


@pytest.mark.parametrize(
    ("name", "values", "words"),
    [
        ("mnist", {"size": 27}, "size must be 28 or more"),
        ("mnist", {"size": 0, "resize": "box"}, "size must be in"),
        ("mnist", {"split": "validation"}, "split must be one of train, test"),
        ("mnist", {"classes": ["10"]}, "unknown class '10'"),
        ("mnist", {"classes": ["1", "1"]}, "classes names a class twice"),
        ("mnist", {"channels": 3}, "unknown key 'channels'"),
        ("cifar10", {"classes": ["kat"]}, "unknown class 'kat' -- did you mean cat"),
        ("cifar10", {"resize": "pad"}, "resize must be one of box"),
        ("fashion-mnist", {"size": 5000}, "size must be in"),
        ("moons", {"count": 1}, "count must be in"),
        ("moons", {"noise": -0.1}, "noise must be in"),
        ("gaussian-mixture", {"weights": [0.5, 0.4]}, "weights must have the sum 1, not 0.9"),
        ("gaussian-mixture", {"weights": [1.5, -0.5]}, "weights must be in"),
        ("gaussian-mixture", {"weights": [1.0]}, "means must be as many as the 1 weights, not 2"),
        ("gaussian-mixture", {"weights": [], "means": []}, "weights must have the sum 1"),
        ("gaussian-mixture", {"means": [[1.0], [1.0, 2.0]]}, "means must be of one dimension"),
        ("gaussian-mixture", {"means": [[], []]}, "means must be of one dimension"),
        ("gaussian-mixture", {"means": [[1e300, 0], [0, 0]]}, "means must be in"),
        ("gaussian-mixture", {"std": 0.0}, "std must be in"),
    ],
)
def test_options_that_make_no_sense_are_refused_before_anything_is_read(name: str, values: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        decode(DatasetConfig, {"name": name, **values})


# --- downloads, with torchvision's own downloader and a server of ours


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Path, str, list[str]]]:
    """A folder, the address at which it is served, and the paths asked for so far."""
    files, asked = tmp_path / "served", list[str]()
    files.mkdir()
    monkeypatch.setenv("no_proxy", "*")

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments, directory=str(files))

        def log_message(self, format: str, *arguments: object) -> None:
            asked.append(self.path)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield files, f"http://127.0.0.1:{server.server_port}/", asked
        server.shutdown()


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


@pytest.fixture
def tiny_mnist(served: tuple[Path, str, list[str]], monkeypatch: pytest.MonkeyPatch) -> tuple[Path, list[str]]:
    """MNIST as torchvision knows it, but tiny and of ours; of its mirrors, one has everything."""
    from torchvision.datasets import MNIST

    files, address, asked = served
    write_idx(files, "train")
    write_idx(files, "t10k", count=5)
    monkeypatch.setattr(MNIST, "mirrors", [f"{address}nothing/", address, f"{address}nothing/"])
    monkeypatch.setattr(MNIST, "resources", [(path.name, md5(path)) for path in sorted(files.iterdir())])
    return files, asked


def test_a_download_puts_the_files_where_torchvision_keeps_them_and_is_not_repeated(
    tmp_path: Path, tiny_mnist: tuple[Path, list[str]]
) -> None:
    files, asked = tiny_mnist
    config = MNISTConfig(root=str(tmp_path / "new"), download=True)
    first = mnist(config)
    assert np.array_equal(first.x[:, 0].numpy(), write_idx(tmp_path / "same")[0])
    assert {path.name for path in (tmp_path / "new").iterdir()} == {"MNIST"}
    assert {path.name for path in (tmp_path / "new" / "MNIST" / "raw").iterdir()} == {path.name for path in files.iterdir()}
    asked.clear()
    assert mnist(config).digest == first.digest
    assert len(mnist(replace(config, split="test"))) == 5
    assert asked == []


def test_a_download_that_is_not_the_published_file_leaves_nothing(tmp_path: Path, tiny_mnist: tuple[Path, list[str]]) -> None:
    files, _ = tiny_mnist
    write(files / f"{LABELS}.gz", ONES)
    with pytest.raises(HubError, match=r"cannot download MNIST/raw"):
        mnist(MNISTConfig(root=str(tmp_path / "new"), download=True))
    assert list((tmp_path / "new").iterdir()) == []
    assert socket.getdefaulttimeout() is None


def test_a_download_without_a_server_is_one_error_of_the_network(
    tmp_path: Path, tiny_mnist: tuple[Path, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    from torchvision.datasets import MNIST

    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        monkeypatch.setattr(MNIST, "mirrors", [f"http://127.0.0.1:{unused.getsockname()[1]}/"])
        with pytest.raises(HubError, match="cannot download"):
            mnist(MNISTConfig(root=str(tmp_path / "new"), download=True))


def test_a_download_to_where_nothing_can_be_written_says_so(tmp_path: Path, tiny_mnist: tuple[Path, list[str]]) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ResourceError, match=r"cannot write to .*/file/new"):
        mnist(MNISTConfig(root=str(tmp_path / "file" / "new"), download=True))


def test_cifar10_is_downloaded_as_the_version_without_pickles(
    tmp_path: Path, served: tuple[Path, str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    files, address, _ = served
    x, _ = write_cifar(tmp_path / "made" / "cifar-10-batches-bin", [f"{name}.bin" for name in BATCHES], binary)
    with tarfile.open(files / "cifar-10-binary.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "made" / "cifar-10-batches-bin", "cifar-10-batches-bin")
    monkeypatch.setattr(readers, "_CIFAR10", f"{address}cifar-10-binary.tar.gz")
    monkeypatch.setattr(readers, "_CIFAR10_MD5", md5(files / "cifar-10-binary.tar.gz"))
    assert np.array_equal(cifar10(CIFAR10Config(root=str(tmp_path / "new"), download=True)).x.numpy(), x)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["cifar-10-batches-bin"]
    assert {path.suffix for path in (tmp_path / "new" / "cifar-10-batches-bin").iterdir()} == {".bin"}


def test_a_download_without_torchvision_says_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torchvision", None)
    with pytest.raises(UsageError, match=r"needs torchvision.*zoo-core\[train\]"):
        mnist(MNISTConfig(root=str(tmp_path), download=True))


@pytest.mark.parametrize(
    ("config", "next_step"),
    [
        (FolderConfig(path="$ZOO_NOT_SET/train"), "set it: export ZOO_NOT_SET=..., or use your own images: --data folder:PATH"),
        (MNISTConfig(root="$ZOO_NOT_SET"), "--data-root DIR is the folder with its files; -o data.download=true fetches them"),
    ],
    ids=["folder", "mnist"],
)
def test_data_in_a_variable_that_is_not_set_says_what_else_would_do(config: DatasetConfig, next_step: str) -> None:
    with pytest.raises(ConfigError, match=rf"needs the environment variable ZOO_NOT_SET -- .*{next_step}"):
        load_data(config)
