"""Readers and downloads of IDX files (MNIST) and of CIFAR-10's batches, and resizing of images.

Readers run no code from a file, and refuse files that deviate from their format.
"""

import gzip
import pickletools
import socket
import zlib
from collections.abc import Sequence
from http.client import HTTPException
from math import prod
from pathlib import Path
from ssl import SSLError
from tempfile import TemporaryDirectory
from typing import Any
from urllib.error import URLError

import numpy as np
from numpy.typing import NDArray

from zoo_core.atomic import disk_error
from zoo_core.errors import ConfigError, HubError, UsageError

__all__ = ["fetch_cifar10", "fetch_idx", "read_cifar10", "read_idx", "resize_and_crop"]

Pixels = NDArray[np.uint8]

_MAX_ASPECT = 4  # longer images are cropped at the centre before they are resized
_MAX_BYTES = 1 << 28
_AGAIN = "remove it and get it again"
_TIMEOUT = 30.0  # seconds without a byte
# Errors of a download; other OSErrors are errors of the disk.
_NETWORK = (ConnectionError, HTTPException, RuntimeError, SSLError, TimeoutError, URLError)

# The binary version has the pixels and labels of the Python version, which consists of pickles.
_CIFAR10 = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
_CIFAR10_MD5 = "c32a1d4ab5d03f1284b67883e8d87530"


def resize_and_crop(image: Any, size: int, resize: str) -> Any:
    """Resizes an image until its shorter side is ``size``, then crops it at the centre to size x size.

    Args:
        image: Pillow image.
        size: side of the result.
        resize: name of a Pillow filter, in lower case.

    >>> from PIL import Image
    >>> resize_and_crop(Image.new("L", (40, 20)), 8, "box").size
    (8, 8)
    """
    from PIL import Image

    if image.size == (size, size):
        return image
    if max(image.size) > _MAX_ASPECT * min(image.size):  # resizing would take memory for the parts that are cropped away
        image = _centre(image, *(min(side, _MAX_ASPECT * min(image.size)) for side in image.size))
    scale = size / min(image.size)
    width, height = (max(round(side * scale), size) for side in image.size)
    return _centre(image.resize((width, height), Image.Resampling[resize.upper()]), size, size)


def _centre(image: Any, width: int, height: int) -> Any:
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return image.crop((left, top, left + width, top + height))


def read_idx(path: Path, *sides: int) -> Pixels:
    """Reads the items of an IDX file of bytes, plain or gzipped.

    The format: the bytes 0, 0, 8 and the number of dimensions, each dimension as a big-endian 32-bit number, then the items.

    Args:
        path: path of the file.
        sides: dimensions of an item.

    Returns:
        Items, uint8 (N, *sides).

    Raises:
        ConfigError: if the file cannot be read, has another type or shape, or another length than its header says.
    """
    raw = _bytes(path)
    rank = 1 + len(sides)
    start = 4 + 4 * rank
    if raw[:4] != bytes([0, 0, 8, rank]) or len(raw) < start:
        raise ConfigError(f"{path} is not an IDX file of bytes in {rank} dimension{'s' * (rank > 1)}", _AGAIN)
    shape = tuple(int.from_bytes(raw[at : at + 4], "big") for at in range(4, start, 4))
    if shape[1:] != sides or shape[0] == 0:
        actual, expected = (" x ".join(map(str, numbers)) for numbers in (shape, ("N", *sides)))
        raise ConfigError(f"{path} holds {actual} bytes where {expected} are expected", _AGAIN)
    if len(raw) != start + prod(shape):
        raise ConfigError(f"{path} is {len(raw)} bytes long where its header says {start + prod(shape)}", _AGAIN)
    return np.frombuffer(raw, np.uint8, offset=start).reshape(shape)


def read_cifar10(path: Path) -> tuple[Pixels, Pixels]:
    """Reads a batch of CIFAR-10.

    Args:
        path: path of the file; ``.bin`` is the binary version, all others are the Python version.

    Returns:
        Images, uint8 (N, 3, 32, 32), and labels, uint8 (N,).

    Raises:
        ConfigError: if the file cannot be read, or is not such a batch.
    """
    raw = _bytes(path)
    try:
        labels, pixels = _binary(raw) if ".bin" in path.suffixes else _pickled(raw)
        images = np.frombuffer(pixels, np.uint8).reshape(-1, 3, 32, 32)
    except ValueError as error:
        raise ConfigError(f"{path} is not a batch of CIFAR-10: {error}", _AGAIN) from error
    if len(labels) != len(images) or len(images) == 0:
        raise ConfigError(f"{path} holds {len(images)} images and {len(labels)} labels", _AGAIN)
    if max(labels) > 9:
        raise ConfigError(f"{path} holds a label {max(labels)}, beyond the 10 classes", _AGAIN)
    return images, np.frombuffer(labels, np.uint8)


def _binary(raw: bytes) -> tuple[bytes, bytes]:
    """Labels and pixels of a batch in the binary version: records of a label and 3,072 pixels."""
    records = np.frombuffer(raw, np.uint8).reshape(-1, 1 + 3072)
    return records[:, 0].tobytes(), records[:, 1:].tobytes()


def _pickled(raw: bytes) -> tuple[bytes, bytes]:
    """Labels and pixels of a batch in the Python version.

    It is a pickle of {"data": an array, "labels": a list of int, ...}. Its opcodes are parsed but never run: the labels are the small
    integers after the text "labels", and the pixels are the longest text.
    """
    labels, pixels, latest = bytearray(), "", ""
    for opcode, argument, _ in pickletools.genops(raw):
        if isinstance(argument, str):
            latest, pixels = argument, max(pixels, argument, key=len)
        elif opcode.name == "BININT1" and latest == "labels" and argument is not None:
            labels.append(argument)
    return bytes(labels), pixels.encode("latin-1")


def _bytes(path: Path) -> bytes:
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            raw = file.read(_MAX_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise ConfigError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}", _AGAIN) from error
    if len(raw) > _MAX_BYTES:
        raise ConfigError(f"{path} is larger than {_MAX_BYTES >> 20} MiB", _AGAIN)
    return raw


def fetch_idx(root: Path, name: str) -> None:
    """Downloads the four files of a data set to ``root/NAME/raw``, where torchvision keeps them.

    Args:
        root: folder of data sets.
        name: ``MNIST`` or ``FashionMNIST``.

    Raises:
        HubError: if the download fails, or the files are not the published ones.
        ResourceError: if the files cannot be written.
        UsageError: if torchvision is not installed.
    """
    source = getattr(_torchvision().datasets, name)
    _fetch(root, f"{name}/raw", [([mirror + file for mirror in source.mirrors], md5) for file, md5 in source.resources])


def fetch_cifar10(root: Path) -> None:
    """Downloads the binary version of CIFAR-10 to ``root/cifar-10-batches-bin``; raises as :func:`fetch_idx`."""
    _fetch(root, "cifar-10-batches-bin", [([_CIFAR10], _CIFAR10_MD5)])


def _torchvision() -> Any:
    try:
        import torchvision.datasets.utils
    except ImportError as error:
        raise UsageError("downloading needs torchvision, which is not installed", "pip install 'zoo-core[train]'") from error
    return torchvision


def _fetch(root: Path, folder: str, files: Sequence[tuple[Sequence[str], str]]) -> None:
    """Downloads files, each from the first of its addresses whose bytes match the md5, and moves all of them into root/folder."""
    utils, timeout = _torchvision().datasets.utils, socket.getdefaulttimeout()
    socket.setdefaulttimeout(_TIMEOUT)  # torchvision's downloads set none
    try:
        root.mkdir(parents=True, exist_ok=True)
        # Not directly into their place, where only complete files may lie.
        with TemporaryDirectory(dir=root, prefix=".tmp-") as staging:
            for addresses, md5 in files:
                _first(utils.download_url, addresses, staging, md5)
            for archive in Path(staging).glob("*.tar.gz"):
                utils.extract_archive(str(archive), staging, remove_finished=True)
            (root / folder).mkdir(parents=True, exist_ok=True)
            for path in [path for path in Path(staging).rglob("*") if path.is_file()]:
                path.replace(root / folder / path.name)
    except _NETWORK as error:
        raise HubError(f"cannot download {folder}: {error}", f"try again, or put the files into {root / folder} yourself") from error
    except OSError as error:
        raise disk_error(f"cannot write to {root}", error, "choose another root") from error
    finally:
        socket.setdefaulttimeout(timeout)


def _first(download: Any, addresses: Sequence[str], folder: str, md5: str) -> None:
    for address in addresses[:-1]:
        try:
            return download(address, folder, md5=md5)
        except _NETWORK:
            continue
    return download(addresses[-1], folder, md5=md5)
