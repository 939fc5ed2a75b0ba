"""Configs of zoo-core's own data sets; their loaders are in :mod:`zoo_core.data.loaders`."""

import os
import re
from dataclasses import dataclass
from typing import ClassVar, Literal

from zoo_core.config import check_range
from zoo_core.errors import ConfigError, UnknownNameError
from zoo_core.interfaces import DatasetConfig

__all__ = [
    "ArrowConfig",
    "CIFAR10Config",
    "FashionMNISTConfig",
    "Filter",
    "FolderConfig",
    "GaussianMixtureConfig",
    "HubDatasetConfig",
    "ImageSetConfig",
    "MNISTConfig",
    "MoonsConfig",
    "ParquetConfig",
    "TableConfig",
    "UnsetVariable",
    "describe_path",
    "expand",
]

Filter = Literal["box", "bilinear", "bicubic", "lanczos"]
"""A filter that resizes images, by Pillow's name."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FolderConfig(DatasetConfig):
    """Images in a folder. Subfolders are classes, numbered in alphabetical order.

    Args:
        path: path of the folder, absolute or relative to the working directory. ``$VARIABLE`` is expanded from the environment when the
            data is read; records keep it as written.
        classes: names of the subfolders to use, in this order; empty for all.
        size: side of the images in [1, 4096]: they are resized until their shorter side is this long, then cropped at the centre.
        resize: filter that resizes them.
        flip: True to mirror images left to right at random in training.
        channels: 3 for colour, 1 for grey.

    Raises:
        ConfigError: if the size is out of range.

    >>> FolderConfig(path="$AFHQ/train", size=64).resize
    'lanczos'
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
class TableConfig(DatasetConfig):
    """Base of the configs of tables of pictures, which Hugging Face ``datasets`` writes as Parquet and Arrow files.

    Args:
        split: name of the split.
        image: column of the encoded pictures; empty to find it.
        label: column of the classes; empty to find it, None for no labels.
        broken: ``refuse`` to stop at pictures that cannot be read, ``skip`` to leave them out.
        size: side of the images in [1, 4096]: they are resized until their shorter side is this long, then cropped at the centre.
        resize: filter that resizes them.
        flip: True to mirror images left to right at random in training.
        channels: 3 for colour, 1 for grey.

    Raises:
        ConfigError: if the size is out of range.

    >>> ParquetConfig(path="cats.parquet", size=64).split
    'train'
    """

    split: str = "train"
    image: str = ""
    label: str | None = ""
    broken: Literal["refuse", "skip"] = "refuse"
    size: int = 32
    resize: Filter = "lanczos"
    flip: bool = False
    channels: Literal[1, 3] = 3

    def __post_init__(self) -> None:
        check_range(self, size=(1, 4096))


@dataclass(frozen=True, kw_only=True, slots=True)
class ParquetConfig(TableConfig):
    """Pictures in Parquet files.

    Args:
        path: path of a file, or of a folder with files of one table; ``$VARIABLE`` is expanded as in :class:`FolderConfig`. See
            :class:`TableConfig` for the other options.

    >>> ParquetConfig(path="$CATS", label=None).broken
    'refuse'
    """

    path: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ArrowConfig(TableConfig):
    """Pictures in Arrow files, such as ``save_to_disk`` of ``datasets`` writes.

    Args:
        path: path of a file, or of a folder with files of one table; ``$VARIABLE`` is expanded as in :class:`FolderConfig`. See
            :class:`TableConfig` for the other options.

    >>> ArrowConfig(path="cats", split="test").size
    32
    """

    path: str


@dataclass(frozen=True, kw_only=True, slots=True)
class HubDatasetConfig(TableConfig):
    """Pictures in the Parquet files of a data set on the Hugging Face Hub.

    Args:
        repo: ``ORG/NAME``, or ``NAME`` for one without an owner.
        revision: commit, branch or tag; the newest of ``main`` if empty. A run records the commit.
        subset: name of one of several tables; empty for the only or the default one. See :class:`TableConfig` for the other options.

    Raises:
        ConfigError: if ``repo`` is no name of a repository, or the size is out of range.

    >>> HubDatasetConfig(repo="zoo/cats", revision="v1").subset
    ''
    """

    repo: str
    revision: str = ""
    subset: str = ""

    def __post_init__(self) -> None:
        TableConfig.__post_init__(self)
        if (
            not re.fullmatch(r"(?:[A-Za-z0-9][\w.-]*/)?[A-Za-z0-9][\w.-]{0,95}", self.repo, re.ASCII)
            or "--" in self.repo
            or ".." in self.repo
        ):
            raise ConfigError(f"repo: {self.repo!r:.60} is no name of a data set on the Hub", "--data hub:ORG/NAME or hub:ORG/NAME:SPLIT")


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageSetConfig(DatasetConfig):
    """Base of the configs of well-known image sets.

    Attributes:
        names: names of all classes.

    Args:
        root: folder that holds the files, or the data set's own folder. ``$VARIABLE`` is expanded from the environment when the data is
            read; records keep it as written.
        split: split of the data set.
        classes: names of the classes to use, which become labels 0, 1, ... in this order; empty for all.
        size: side of the images in [1, 4096]; None for the original size.
        flip: True to mirror images left to right at random in training.
        download: True to download missing files. Otherwise the network is never used.

    Raises:
        ConfigError: if a class is unknown or named twice, or the size is out of range.

    >>> @dataclass(frozen=True, kw_only=True, slots=True)
    ... class ShapesConfig(ImageSetConfig):
    ...     names: ClassVar[tuple[str, ...]] = ("circle", "square")
    >>> ShapesConfig(classes=("circles",))
    Traceback (most recent call last):
    zoo_core.errors.ConfigError: classes: unknown class 'circles' -- did you mean circle?
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
        resize: ``pad`` for a black border, which needs a size of 28 or more; otherwise a filter.
    """

    resize: Literal["pad"] | Filter = "pad"

    def __post_init__(self) -> None:
        ImageSetConfig.__post_init__(self)
        if self.resize == "pad" and self.size is not None and self.size < 28:
            raise ConfigError(f"size must be 28 or more where images are padded, not {self.size}", "choose a filter: -o data.resize=box")


@dataclass(frozen=True, kw_only=True, slots=True)
class MNISTConfig(_GreyConfig):
    """Handwritten digits, 60,000 and 10,000 (LeCun et al. 1998).

    Args:
        resize: ``pad`` for a black border, which needs a size of 28 or more; otherwise a filter. See :class:`ImageSetConfig` for the
            other options.

    >>> MNISTConfig(classes=("3", "8"), size=32).names[:3]
    ('0', '1', '2')
    """

    names: ClassVar[tuple[str, ...]] = tuple("0123456789")


@dataclass(frozen=True, kw_only=True, slots=True)
class FashionMNISTConfig(_GreyConfig):
    """Articles of clothing, 60,000 and 10,000 (Xiao et al. 2017, arXiv:1708.07747).

    Args:
        resize: ``pad`` for a black border, which needs a size of 28 or more; otherwise a filter. See :class:`ImageSetConfig` for the
            other options.

    >>> FashionMNISTConfig(split="test").names[-1]
    'Ankle boot'
    """

    names: ClassVar[tuple[str, ...]] = (
        *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
        *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class CIFAR10Config(ImageSetConfig):
    """Small photographs, 32 x 32 in colour, 50,000 and 10,000 (Krizhevsky 2009).

    Args:
        resize: filter that resizes them. See :class:`ImageSetConfig` for the other options.

    >>> CIFAR10Config(classes=("cat", "dog"), flip=True).resize
    'lanczos'
    """

    names: ClassVar[tuple[str, ...]] = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

    resize: Filter = "lanczos"


@dataclass(frozen=True, kw_only=True, slots=True)
class MoonsConfig(DatasetConfig):
    """Two interleaved half circles of radius 1 in the plane; the labels are 0 (outer) and 1 (inner).

    Args:
        count: number of points, at least 2; half of them, rounded down, are on the outer moon.
        noise: standard deviation of the Gaussian noise on both coordinates.
        seed: seed of the noise.

    Raises:
        ConfigError: if a value is out of range.

    >>> from zoo_core.data.dataset import load_data
    >>> load_data(MoonsConfig(count=4, noise=0.0)).labels.tolist()
    [0, 0, 1, 1]
    """

    count: int = 10_000
    noise: float = 0.05
    seed: int = 0

    def __post_init__(self) -> None:
        check_range(self, count=(2, 10**7), noise=(0.0, 100.0), seed=(0, 2**64 - 1))


@dataclass(frozen=True, kw_only=True, slots=True)
class GaussianMixtureConfig(DatasetConfig):
    """p(x) = sum_k weights[k] N(x; means[k], std^2 I); the label of a point is its k.

    The default is the toy example of Song and Ermon 2019 (arXiv:1907.05600, section 3.2).

    Args:
        weights: positive weights of the components, with the sum 1.
        means: means of the components, all of one dimension.
        std: standard deviation of each component in every direction.
        count: number of points.
        seed: seed of the points.

    Raises:
        ConfigError: if a value is out of range, or weights and means do not fit.

    >>> from zoo_core.data.dataset import load_data
    >>> load_data(GaussianMixtureConfig(weights=(0.5, 0.5), means=((-1.0,), (1.0,)), count=100)).x.shape
    torch.Size([100, 1])
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
    """A path has a variable that the environment does not set, so that the place of the data is unknown.

    >>> expand("$NO_SUCH_VARIABLE/train")
    Traceback (most recent call last):
    zoo_core.datasets.UnsetVariable: $NO_SUCH_VARIABLE/train needs the environment variable NO_SUCH_VARIABLE -- set it: ...
    """


def expand(path: str) -> str:
    """Expands ``~`` and ``$VARIABLE`` in a path. A ``$`` that is part of an existing file's name stays unchanged.

    Args:
        path: path.

    Raises:
        UnsetVariable: if a variable is not set.

    >>> expand("data/cats")
    'data/cats'
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


def describe_path(path: str | os.PathLike[str]) -> str:
    """Describes a path for an error; a relative one with the working directory.

    >>> describe_path("/data/cats")
    '/data/cats'
    """
    return str(path) if os.path.isabs(path) else f"{path} in {os.getcwd()}, from which its relative path starts"
