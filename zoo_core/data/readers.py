"""Readers of the files that data sets come in: IDX (MNIST) and the batches of CIFAR-10, and the way to get them; resizing of pictures.

They run nothing that a file holds, and refuse a file that is not exactly what its format asks for.
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

__all__ = ["fetch_cifar10", "fetch_idx", "fitted", "read_cifar10", "read_idx"]

Pixels = NDArray[np.uint8]

_LONG = 4  # sides of a picture that is resized as a whole; of a longer one, this much of the centre
_MAX_BYTES = 1 << 28
_AGAIN = "remove it and get it again"
_TIMEOUT = 30.0  # seconds without a byte
# What a download raises; other OSErrors are of the disk.
_NETWORK = (ConnectionError, HTTPException, RuntimeError, SSLError, TimeoutError, URLError)

# The binary version: its pixels and labels are those of the Python version, which is pickles.
_CIFAR10 = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
_CIFAR10_MD5 = "c32a1d4ab5d03f1284b67883e8d87530"


def fitted(image: Any, size: int, resize: str) -> Any:
    """A Pillow image resized by a filter until its shorter side is ``size``, then cropped at the centre to size x size."""
    from PIL import Image

    if image.size == (size, size):
        return image
    if max(image.size) > _LONG * min(image.size):  # of which the resized picture would take memory for what is cropped away
        image = _centre(image, *(min(side, _LONG * min(image.size)) for side in image.size))
    scale = size / min(image.size)
    width, height = (max(round(side * scale), size) for side in image.size)
    return _centre(image.resize((width, height), Image.Resampling[resize.upper()]), size, size)


def _centre(image: Any, width: int, height: int) -> Any:
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return image.crop((left, top, left + width, top + height))


def read_idx(path: Path, *sides: int) -> Pixels:
    """The items of an IDX file of bytes, plain or gzipped: uint8 (N, *sides).

    The format: the bytes 0, 0, 8 and the number of dimensions, each dimension as a big-endian 32-bit number, then the items.

    Raises:
        ConfigError: it cannot be read, is of another kind or shape, or is shorter or longer than it says.
    """
    raw = _bytes(path)
    rank = 1 + len(sides)
    start = 4 + 4 * rank
    if raw[:4] != bytes([0, 0, 8, rank]) or len(raw) < start:
        raise ConfigError(f"{path} is no IDX file of bytes in {rank} dimension{'s' * (rank > 1)}", _AGAIN)
    shape = tuple(int.from_bytes(raw[at : at + 4], "big") for at in range(4, start, 4))
    if shape[1:] != sides or shape[0] == 0:
        found, wanted = (" x ".join(map(str, numbers)) for numbers in (shape, ("N", *sides)))
        raise ConfigError(f"{path} holds {found} bytes where {wanted} are expected", _AGAIN)
    if len(raw) != start + prod(shape):
        raise ConfigError(f"{path} is {len(raw)} bytes long where its header says {start + prod(shape)}", _AGAIN)
    return np.frombuffer(raw, np.uint8, offset=start).reshape(shape)


def read_cifar10(path: Path) -> tuple[Pixels, Pixels]:
    """A batch of CIFAR-10: uint8 images (N, 3, 32, 32) and labels (N,). ``.bin`` is the binary version, other files the Python one.

    Raises:
        ConfigError: it cannot be read, or is no such batch.
    """
    raw = _bytes(path)
    try:
        labels, pixels = _binary(raw) if ".bin" in path.suffixes else _pickled(raw)
        images = np.frombuffer(pixels, np.uint8).reshape(-1, 3, 32, 32)
    except ValueError as error:
        raise ConfigError(f"{path} is no batch of CIFAR-10: {error}", _AGAIN) from error
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

    It is a pickle of {"data": an array, "labels": a list of int, ...}. Its opcodes are looked at, and none of them is run: the labels are
    the small integers that follow the text "labels", the pixels are the longest text.
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
    """Downloads the four files of ``MNIST`` or ``FashionMNIST`` to where torchvision keeps them, ``root/NAME/raw``.

    Raises:
        HubError: they cannot be had, or are not the published ones.
        ResourceError: they cannot be written.
        UsageError: torchvision is not installed.
    """
    source = getattr(_torchvision().datasets, name)
    _fetch(root, f"{name}/raw", [([mirror + file for mirror in source.mirrors], md5) for file, md5 in source.resources])


def fetch_cifar10(root: Path) -> None:
    """Downloads CIFAR-10's binary version to ``root/cifar-10-batches-bin``; raises as :func:`fetch_idx` does."""
    _fetch(root, "cifar-10-batches-bin", [([_CIFAR10], _CIFAR10_MD5)])


def _torchvision() -> Any:
    try:
        import torchvision.datasets.utils
    except ImportError as error:
        raise UsageError("downloading needs torchvision, which is not installed", "pip install 'zoo-core[train]'") from error
    return torchvision


def _fetch(root: Path, folder: str, files: Sequence[tuple[Sequence[str], str]]) -> None:
    """Downloads files, each from the first of its addresses that gives the bytes of its md5, and puts all of them into root/folder."""
    utils, timeout = _torchvision().datasets.utils, socket.getdefaulttimeout()
    socket.setdefaulttimeout(_TIMEOUT)  # torchvision's downloads have none of their own
    try:
        root.mkdir(parents=True, exist_ok=True)
        # Not into their place at once: what is there is used, so that nothing may be there that is not whole.
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
