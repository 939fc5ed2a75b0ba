"""Theorems about CIFAR-10: both versions are read to the bit, and no pickle is run."""

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from zoo_core.data.dataset import load_data
from zoo_core.data.loaders import cifar10
from zoo_core.datasets import CIFAR10Config
from zoo_core.errors import ConfigError

from .helpers import BATCHES, Array, binary, longhand_digest, pixels, write, write_cifar


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
        ("test_batch.bin", bytes(3073 * 2 - 1), "not a batch"),
        ("test_batch.bin", b"\x0a" + bytes(3072), "label 10"),
        ("test_batch", b"", "not a batch"),
        ("test_batch", b"garbage", "not a batch"),
        ("test_batch", pickled(pixels(3, 3072), np.zeros(3, dtype=np.uint8))[:-20], "not a batch"),
        ("test_batch", pickled(pixels(3, 3072), np.zeros(2, dtype=np.uint8)), "3 images and 2 labels"),
        ("test_batch", pickled(pixels(3, 3071), np.zeros(3, dtype=np.uint8)), "not a batch"),
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
