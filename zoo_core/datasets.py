"""The configs of the data sets that zoo-core offers. Their loaders are in :mod:`zoo_core.data.loaders`."""

import os
import re
from dataclasses import dataclass
from typing import ClassVar, Literal

from zoo_core.config import check_range
from zoo_core.errors import ConfigError, UnknownNameError
from zoo_core.interfaces import DatasetConfig

__all__ = [
    "CIFAR10Config",
    "FashionMNISTConfig",
    "Filter",
    "FolderConfig",
    "GaussianMixtureConfig",
    "ImageSetConfig",
    "MNISTConfig",
    "MoonsConfig",
    "UnsetVariable",
    "expand",
    "placed",
]

Filter = Literal["box", "bilinear", "bicubic", "lanczos"]
"""How an image is resized, by Pillow's name."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FolderConfig(DatasetConfig):
    """Images in a folder. Subfolders are classes, numbered in alphabetical order.

    Args:
        path: path of the folder, a relative one from where the process runs; ``$VARIABLE`` is taken from the environment, and stays as
            written in records.
        classes: the subfolders to use, in this order; empty means all.
        size: images are resized until their shorter side is this long, then cropped at the centre to size x size.
        resize: the filter.
        flip: mirrors images left to right at random, while training.
        channels: 3 for colour, 1 for grey.
    """

    path: str
    classes: tuple[str, ...] = ()
    size: int = 32
    resize: Filter = "lanczos"
    flip: bool = False
    channels: Literal[1, 3] = 3

    def __post_init__(self) -> None:
        check_range(self, size=(1, 4096))


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageSetConfig(DatasetConfig):
    """What the well-known sets of images have in common.

    Args:
        root: the folder that holds the set's files, or that holds the set's folder; ``$VARIABLE`` is taken from the environment, and
            stays as written in records.
        split: the set's own.
        classes: the classes to use, by name; they become labels 0, 1, ... in this order. Empty means all.
        size: the side of the images; None leaves them as they are.
        flip: mirrors images left to right at random, while training.
        download: fetches the files where they are missing. The network is never touched otherwise.
    """

    names: ClassVar[tuple[str, ...]]

    root: str = "$ZOO_DATA"
    split: Literal["train", "test"] = "train"
    classes: tuple[str, ...] = ()
    size: int | None = None
    flip: bool = False
    download: bool = False

    def __post_init__(self) -> None:
        check_range(self, size=(1, 4096))
        for name in self.classes:
            if name not in self.names:
                near = UnknownNameError.of("class", name, self.names)
                raise ConfigError(f"classes: {near.what}", near.hint)
        if len(set(self.classes)) != len(self.classes):
            raise ConfigError("classes names a class twice")


@dataclass(frozen=True, kw_only=True, slots=True)
class _GreyConfig(ImageSetConfig):
    """Grey images of 28 x 28 pixels on black, ten classes.

    Args:
        resize: ``pad`` puts black around the images, for a size of 28 or more; otherwise the filter.
    """

    resize: Literal["pad"] | Filter = "pad"

    def __post_init__(self) -> None:
        ImageSetConfig.__post_init__(self)
        if self.resize == "pad" and self.size is not None and self.size < 28:
            raise ConfigError(f"size must be 28 or more where images are padded, not {self.size}", "choose a filter: -o data.resize=box")


@dataclass(frozen=True, kw_only=True, slots=True)
class MNISTConfig(_GreyConfig):
    """Handwritten digits, 60,000 and 10,000 (LeCun et al. 1998). The options are those of :class:`ImageSetConfig`, and ``resize``."""

    names: ClassVar[tuple[str, ...]] = tuple("0123456789")


@dataclass(frozen=True, kw_only=True, slots=True)
class FashionMNISTConfig(_GreyConfig):
    """Articles of clothing, 60,000 and 10,000 (Xiao et al. 2017, arXiv:1708.07747); see :class:`ImageSetConfig`, and ``resize``."""

    names: ClassVar[tuple[str, ...]] = (
        *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
        *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class CIFAR10Config(ImageSetConfig):
    """Small photographs, 32 x 32 in colour, 50,000 and 10,000 (Krizhevsky 2009); see :class:`ImageSetConfig`.

    Args:
        resize: the filter.
    """

    names: ClassVar[tuple[str, ...]] = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

    resize: Filter = "lanczos"


@dataclass(frozen=True, kw_only=True, slots=True)
class MoonsConfig(DatasetConfig):
    """Two half circles of radius 1 that reach into each other, in the plane; the labels are 0 (outer) and 1 (inner).

    Args:
        count: number of points; half of them, rounded down, are on the outer moon.
        noise: standard deviation of the Gaussian noise on both coordinates.
        seed: of the noise.
    """

    count: int = 10_000
    noise: float = 0.05
    seed: int = 0

    def __post_init__(self) -> None:
        check_range(self, count=(2, 10**7), noise=(0.0, 100.0), seed=(0, 2**64 - 1))


@dataclass(frozen=True, kw_only=True, slots=True)
class GaussianMixtureConfig(DatasetConfig):
    """p(x) = sum_k weights[k] N(x; means[k], std^2 I); the label of a point is its k.

    The default is the toy of Song and Ermon 2019 (arXiv:1907.05600, section 3.2).

    Args:
        weights: of the components; positive, with the sum 1.
        means: of the components, all of one dimension.
        std: standard deviation of each component in every direction.
        count: number of points.
        seed: of the points.
    """

    weights: tuple[float, ...] = (0.2, 0.8)
    means: tuple[tuple[float, ...], ...] = ((-5.0, -5.0), (5.0, 5.0))
    std: float = 1.0
    count: int = 10_000
    seed: int = 0

    def __post_init__(self) -> None:
        check_range(self, weights=(1e-9, 1.0), std=(1e-9, 1e9), count=(1, 10**7), seed=(0, 2**64 - 1))
        if abs(sum(self.weights) - 1) > 1e-6:
            raise ConfigError(f"weights must have the sum 1, not {sum(self.weights):g}")
        if len(self.means) != len(self.weights):
            raise ConfigError(f"means must be as many as the {len(self.weights)} weights, not {len(self.means)}")
        if len({len(mean) for mean in self.means}) != 1 or not self.means[0] or len(self.means[0]) > 4096:
            raise ConfigError("means must be of one dimension, 1 to 4096")
        if any(abs(value) > 1e9 for mean in self.means for value in mean):
            raise ConfigError("means must be in [-1e+09, 1e+09]")


class UnsetVariable(ConfigError):
    """A path has a variable that the environment does not set: on this machine, nobody has said yet where the data is."""


def expand(path: str) -> str:
    """``path`` with ``~`` and ``$VARIABLE`` expanded; as it stands where only that exists, for a ``$`` may be part of a name.

    Raises:
        UnsetVariable: if a variable is not set.
    """
    literal = os.path.expanduser(path)
    unset = [name for pair in re.findall(r"\$(?:(\w+)|\{(\w+)\})", path, re.ASCII) for name in pair if name and name not in os.environ]
    expanded = os.path.expanduser(os.path.expandvars(path))
    if "$" in path and (unset or not os.path.exists(expanded)) and os.path.exists(literal):
        return literal
    if unset:
        hint = f"set it: export {unset[0]}=..., or use your own images: --data folder:PATH"
        raise UnsetVariable(f"{path} needs the environment variable {unset[0]}", hint)
    return expanded


def placed(path: str | os.PathLike[str]) -> str:
    """``path`` as errors show it: of a relative one, with the folder from which it starts."""
    return str(path) if os.path.isabs(path) else f"{path} in {os.getcwd()}, from which its relative path starts"
