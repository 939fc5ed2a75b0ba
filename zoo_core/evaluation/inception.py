"""The Inception network of the FID, with the resizing of clean-fid, and its class probabilities.

The network is that of Szegedy et al. 2015 (arXiv:1512.00567), whose features Heusel et al. 2017 (arXiv:1706.08500) use. NVIDIA published
it for PyTorch, as the TorchScript file that clean-fid and StyleGAN use. Its ``layers`` compute 2048 features of an image of 299 x 299; its
``output`` is a linear layer to 1008 classes.
"""

import os
import shutil
import tempfile
import urllib.request
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from zoo_core.errors import NotFoundError, UnsafeContentError
from zoo_core.hub.cache import is_offline

__all__ = ["CLASSES", "FEATURES", "FILE", "RESIZING", "SIDE", "URL", "VARIABLE", "network", "resized", "weights"]

CLASSES = 1008
FEATURES = 2048
SIDE = 299
RESIZING = f"bicubic of Pillow in float32, to {SIDE}, as clean-fid does it"
FILE = "inception-2015-12-05.pt"
URL = f"https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/metrics/{FILE}"
VARIABLE = "ZOO_INCEPTION"
_TIMEOUT = 60.0  # seconds without data until a download is given up


def resized(pixels: Tensor) -> Tensor:
    """Resizes images for the network: each channel by Pillow's bicubic filter in float32, not rounded, clipped to [0, 255].

    This is "clean" in the code of Parmar et al. 2022 (arXiv:2104.11222): the filter is wider where the image shrinks, and nothing is
    quantised afterwards.

    Args:
        pixels: uint8 (n, c, h, w) with 1 or 3 channels; a single one is repeated.

    Returns:
        Images, float32 (n, 3, 299, 299).
    """
    from PIL import Image

    def channel(values: Any) -> Any:
        return np.asarray(Image.fromarray(values.astype(np.float32)).resize((SIDE, SIDE), resample=Image.Resampling.BICUBIC)).clip(0, 255)

    images = [[torch.from_numpy(channel(values)) for values in image] for image in pixels.cpu().numpy()]
    return torch.stack([torch.stack(image) for image in images]).expand(-1, 3, -1, -1)


def weights(fetch: bool = True) -> Path:
    """The path of the network's file: that of the environment variable ``ZOO_INCEPTION``, or else in torch's cache.

    Args:
        fetch: True to download the file to the cache if it is missing.

    Raises:
        NotFoundError: if the file is not here and is not, or cannot be, downloaded.
    """
    if given := os.environ.get(VARIABLE):
        path = Path(given)
        if not path.is_file():
            raise NotFoundError(f"${VARIABLE} names {given}, which is not a file", f"let it name NVIDIA's {FILE}")
        return path
    path = Path(torch.hub.get_dir()) / "checkpoints" / FILE
    if not path.is_file():
        hint = f"fetch {URL} elsewhere and let ${VARIABLE} name it; or use the features of a checkpoint, such as classifier-cifar10"
        if not fetch or is_offline():
            raise NotFoundError("the network of inception features is not here", hint)
        try:
            _download(path)
        except OSError as error:
            problem = f"the network of inception features cannot be fetched: {' '.join(str(error).split())[:60]}"
            raise NotFoundError(problem, hint) from error
    return path


def _download(path: Path) -> None:
    """Downloads the whole file to its place, or leaves nothing there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        part = Path(folder) / FILE
        with urllib.request.urlopen(URL, timeout=_TIMEOUT) as response, part.open("wb") as file:
            shutil.copyfileobj(response, file)
        part.replace(path)


def network(path: Path, device: torch.device | str = "cpu") -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    """Loads the network: a function of images that :func:`resized` returns, to features (n, 2048) and class probabilities (n, 1008).

    The probabilities are those of the Inception score: a softmax of the output layer without its bias, as in the code of Salimans et al.
    2016 (arXiv:1606.03498).

    Args:
        path: path of the TorchScript file.
        device: device of the network.

    Raises:
        UnsafeContentError: if the file holds no such network.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", (DeprecationWarning, FutureWarning))  # the file is TorchScript, which torch no longer writes
            net = torch.jit.load(path, map_location=device).eval()  # type: ignore[no-untyped-call]  # torch has no types for it
        layers, output = net.layers, net.output.weight.detach()
    except (RuntimeError, ValueError, AttributeError, OSError) as error:
        problem = f"{path} is not an Inception network in TorchScript: {' '.join(str(error).split())[:80]}"
        raise UnsafeContentError(problem, f"use {URL}") from error

    def embed(x: Tensor) -> tuple[Tensor, Tensor]:
        features = layers((x.to(device) - 128) / 128).reshape(len(x), FEATURES)
        return features.float().cpu(), F.linear(features, output).float().softmax(1).cpu()

    return embed
