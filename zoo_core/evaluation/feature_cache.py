"""The cache of features of real samples on disk: on one machine, a data set passes a network once.

    CACHE/features/KEY.safetensors    features float32 (N, d), and probabilities (N, classes) and pixel moments (N, 3) where there are any

KEY is the sha256 of all that the features depend on. The file holds the sha256 of its tensors; a file that is damaged is computed again.
The least recently used files are removed when all of them together are too large.
"""

import contextlib
import hashlib
import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from zoo_core.atomic import write_file
from zoo_core.data.cache import cache_folder
from zoo_core.errors import ResourceError

__all__ = ["FORMAT", "LARGEST", "TOTAL", "feature_key", "read_features", "write_features"]

FORMAT = 1
LARGEST = 1 << 29
"""The most bytes of one file."""
TOTAL = 1 << 31
"""The most bytes of all files together."""

_DIGEST = "zoo.digest"
_log = logging.getLogger(__name__)


def feature_key(data: str, space: str, device: str) -> str:
    """The key of the features of a data set.

    Args:
        data: digest of the data set.
        space: digest of the feature space.
        device: type of the device that computes them, such as ``cpu``.

    Versions of torch and kinds of processors round differently, so that they are part of the key.

    >>> len(feature_key("0" * 64, "1" * 64, "cpu"))
    64
    """
    kind = torch.backends.cpu.get_cpu_capability() if device == "cpu" else device
    facts = {"format": FORMAT, "data": data, "space": space, "torch": torch.__version__, "kind": kind}
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def read_features(key: str, count: int) -> dict[str, Tensor] | None:
    """The tensors of a key; None if they are not there, damaged, or not of ``count`` rows."""
    path = _path(key)
    try:
        data = path.read_bytes()  # not mapped: another process may remove or replace the file
        tensors = load(data)
        digest = _metadata(data).get(_DIGEST)
    except (OSError, ValueError, SafetensorError):
        return None
    if digest != _digest(tensors) or "features" not in tensors or any(len(tensor) != count for tensor in tensors.values()):
        return None
    with contextlib.suppress(OSError):
        os.utime(path)
    return tensors


def write_features(key: str, tensors: Mapping[str, Tensor]) -> None:
    """Stores the tensors of a key, unless they are large. A cache that cannot be written is reported and does no harm.

    Args:
        key: the key.
        tensors: ``features``, and what else there is, each of N rows.
    """
    if sum(tensor.nbytes for tensor in tensors.values()) > LARGEST:
        return
    path = _path(key)
    try:
        write_file(path, save({name: tensor.contiguous() for name, tensor in tensors.items()}, {_DIGEST: _digest(tensors)}))
        _prune(path.parent)
    except (OSError, ResourceError) as error:
        _log.warning("zoo: the features of the real samples are not kept: %s", error)


def _path(key: str) -> Path:
    return cache_folder() / "features" / f"{key}.safetensors"


def _prune(folder: Path) -> None:
    """Removes the least recently used files until the others fit."""
    files = sorted(((stat.st_mtime, stat.st_size, path) for path in folder.glob("*.safetensors") for stat in [path.stat()]), reverse=True)
    room = TOTAL
    for _, size, path in files:
        room -= size
        if room < 0:
            path.unlink(missing_ok=True)


def _metadata(data: bytes) -> Mapping[str, str]:
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    found = header.get("__metadata__", {})
    return found if isinstance(found, dict) else {}


def _digest(tensors: Mapping[str, Tensor]) -> str:
    sha = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        sha.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        sha.update(tensor.contiguous().numpy().data)
    return sha.hexdigest()
