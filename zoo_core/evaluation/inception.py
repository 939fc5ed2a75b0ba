"""The Inception network of the FID, its resizing as clean-fid has it, and its class probabilities.

The network is that of Szegedy et al. 2015 (arXiv:1512.00567) which Heusel et al. 2017 (arXiv:1706.08500) take features of, as NVIDIA
published it for PyTorch: the TorchScript file that clean-fid and StyleGAN use. It has ``layers``, which give 2048 features of an image of
299 x 299, and ``output``, a linear layer to 1008 classes.
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

CLASSES, FEATURES, SIDE = 1008, 2048, 299
RESIZING = f"bicubic of Pillow in float32, to {SIDE}, as clean-fid does it"
FILE = "inception-2015-12-05.pt"
URL = f"https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/metrics/{FILE}"
VARIABLE = "ZOO_INCEPTION"
_SECONDS = 60.0  # of silence, before a download is given up


def resized(pixels: Tensor) -> Tensor:
    """Images as the network takes them: each channel by Pillow's bicubic filter in float32, not rounded, clipped to [0, 255].

    Parmar et al. 2022 (arXiv:2104.11222), "clean" of their code: the filter widens where it shrinks, and nothing is quantised after it.

    Args:
        pixels: uint8 (n, c, h, w), 1 or 3 channels; grey is repeated.

    Returns:
        float32 (n, 3, 299, 299).
    """
    from PIL import Image

    def channel(values: Any) -> Any:
        return np.asarray(Image.fromarray(values.astype(np.float32)).resize((SIDE, SIDE), resample=Image.Resampling.BICUBIC)).clip(0, 255)

    made = [[torch.from_numpy(channel(values)) for values in image] for image in pixels.cpu().numpy()]
    return torch.stack([torch.stack(image) for image in made]).expand(-1, 3, -1, -1)


def weights(fetch: bool = True) -> Path:
    """The file of the network: what the variable ``ZOO_INCEPTION`` names, or the one in torch's cache, fetched where ``fetch`` allows it.

    Raises:
        NotFoundError: it is not here, and could not, or should not, be fetched.
    """
    if given := os.environ.get(VARIABLE):
        path = Path(given)
        if not path.is_file():
            raise NotFoundError(f"${VARIABLE} names {given}, which is no file", f"let it name the {FILE} of NVIDIA")
        return path
    path = Path(torch.hub.get_dir()) / "checkpoints" / FILE
    if not path.is_file():
        hint = f"fetch {URL} elsewhere and let ${VARIABLE} name it; or use the features of a checkpoint, such as classifier-cifar10"
        if not fetch or is_offline():
            raise NotFoundError("the network of inception features is not here", hint)
        try:
            _download(path)
        except OSError as error:
            what = f"the network of inception features cannot be fetched: {' '.join(str(error).split())[:60]}"
            raise NotFoundError(what, hint) from error
    return path


def _download(path: Path) -> None:
    """Fetches the file to its place whole, or leaves nothing there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        part = Path(folder) / FILE
        with urllib.request.urlopen(URL, timeout=_SECONDS) as response, part.open("wb") as file:
            shutil.copyfileobj(response, file)
        part.replace(path)


def network(path: Path, device: torch.device | str = "cpu") -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    """The network of a file: a function from what :func:`resized` gives to features (n, 2048) and class probabilities (n, 1008).

    The probabilities are those of the Inception score: a softmax of the output layer without its bias, as in the code of Salimans et al.
    2016 (arXiv:1606.03498).

    Raises:
        UnsafeContentError: the file holds no such network.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", (DeprecationWarning, FutureWarning))  # the file is TorchScript, which torch writes no more
            net = torch.jit.load(path, map_location=device).eval()  # type: ignore[no-untyped-call]  # torch has no types for it
        layers, output = net.layers, net.output.weight.detach()
    except (RuntimeError, ValueError, AttributeError, OSError) as error:
        what = f"{path} is no Inception network in TorchScript: {' '.join(str(error).split())[:80]}"
        raise UnsafeContentError(what, f"take {URL}") from error

    def judge(x: Tensor) -> tuple[Tensor, Tensor]:
        features = layers((x.to(device) - 128) / 128).reshape(len(x), FEATURES)
        return features.float().cpu(), F.linear(features, output).float().softmax(1).cpu()

    return judge
