"""Tiny files in the formats of MNIST and CIFAR-10."""

import gzip
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from zoo_core.data.dataset import Data

Array = np.ndarray[Any, np.dtype[np.uint8]]
IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
BATCHES = [f"data_batch_{i}" for i in range(1, 6)]


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


def longhand_digest(data: Data) -> str:
    assert data.labels is not None
    head = f"{data.x.dtype} {tuple(data.x.shape)}".encode()
    return hashlib.sha256(head + data.x.numpy().tobytes() + data.labels.numpy().tobytes()).hexdigest()


ONES = idx(np.ones(12, dtype=np.uint8))
