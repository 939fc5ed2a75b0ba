"""Loaders of zoo-core's own data sets; their configs are in :mod:`zoo_core.datasets`."""

import hashlib
import os
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from zoo_core.data.cache import PictureSet, decoded, key_of, stored
from zoo_core.data.dataset import Data
from zoo_core.data.decoding import PictureError, formats, read_picture, without_pillow_warnings
from zoo_core.data.folders import Listing, list_folder
from zoo_core.data.readers import fetch_cifar10, fetch_idx, read_cifar10, read_idx, resize_and_crop
from zoo_core.datasets import (
    CIFAR10Config,
    FashionMNISTConfig,
    FolderConfig,
    GaussianMixtureConfig,
    ImageSetConfig,
    MNISTConfig,
    MoonsConfig,
    UnsetVariable,
    expand,
)
from zoo_core.errors import ConfigError
from zoo_core.hardware.memory import available_memory, demand_memory
from zoo_core.rng import Stream, generator

__all__ = ["cifar10", "fashion_mnist", "folder", "folder_on_disk", "gaussian_mixture", "mnist", "moons"]

Layout = tuple[str, Sequence[str]]
"""A folder below the root, and the names of the files in it."""

_SHARE = 4  # larger sets than this part of the available memory are decoded onto the disk
_CHUNK = 64  # images that a thread reads at a time
_MAX_NAMED = 20  # files that an error names
_MAX_NAMES_WIDTH = 120  # characters of their names in one line

# The files of the two sets have the same names. The sha256 of their labels tells them apart.
_LABELS = {
    "1feba77c54802fa5339a11837ea4b2866434b83314ec45192930f1df69120c13": "mnist train",
    "ddeff807876a9661a1110d45c266c86239a3a1b7d37da0c3716a7a683c852ff5": "mnist test",
    "657fbd221bfc9f4198cc14b5619cc33ec57c58dd0e47af4d99d6650759e869a7": "fashion-mnist train",
    "3d0e6c6ea990b53b6f8f500a41cac93881d981b315f84578b7d915342ade01e9": "fashion-mnist test",
}


def folder(config: FolderConfig) -> Data:
    """Loads the images below a folder, uint8 (N, channels, size, size), resized and cropped.

    They are read from the cache on disk if they were decoded there, and are decoded there if they would take more than a quarter of the
    memory that is available to each process; otherwise they are decoded into memory. Warns of files that are not read, and of images that
    the zoo drew, which are left out.

    Args:
        config: see :class:`zoo_core.datasets.FolderConfig`.

    Raises:
        ConfigError: if there is no such folder or class, or no image in it, or some files cannot be read as images.
        ResourceError: if the images do not fit into memory.
    """
    listing = _listed(config)
    pictures = _picture_set(listing, config)
    if not listing.unreadable and (data := stored(key_of(pictures.key), flip=config.flip)) is not None:
        return data
    # Every process of a launcher on this machine has a set of its own in memory.
    share = available_memory() / _SHARE / int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if np.prod(pictures.shape) > share:
        return decoded(pictures, flip=config.flip)
    x, kept = _decode(listing, config)
    labels = np.array([label for _, label in listing.pictures])
    classes = listing.classes
    if not kept.any():
        problem = f"the zoo drew all {len(kept):,} images in {listing.root}: they are samples, not data"
        raise ConfigError(problem, "choose a folder of other images")
    if not kept.all():
        warnings.warn(f"left out in {listing.root}: {(~kept).sum():,} images that the zoo drew", RuntimeWarning, stacklevel=2)
        left, labels = np.unique(labels[kept], return_inverse=True)
        x, classes = x[kept], tuple(classes[label] for label in left if classes)
    return Data(x=torch.from_numpy(x), labels=torch.from_numpy(labels) if classes else None, classes=classes, flip=config.flip)


def folder_on_disk(config: FolderConfig) -> Data:
    """Loads the images below a folder as :func:`folder`, decoded into the cache on disk whatever their number.

    Raises:
        ConfigError: as :func:`folder` raises.
        ResourceError: if the disk is too small.
    """
    return decoded(_picture_set(_listed(config), config), flip=config.flip)


def _listed(config: FolderConfig) -> Listing:
    listing = list_folder(Path(expand(config.path)), config.classes)
    if not listing.pictures and not listing.unreadable:
        contents = f": it holds {listing.skips()}" if listing.skipped else ""
        raise ConfigError(f"no image ({', '.join(formats())}) in {listing.root}{contents}", "--data folder:PATH names a folder of images")
    return listing


def _picture_set(listing: Listing, config: FolderConfig) -> PictureSet:
    """The pictures of a folder; their key holds names, sizes and times of the files, and not where the folder is."""
    sha = hashlib.sha256()
    start = len(str(listing.root / "x")) - 1
    paths = [str(path) for path, _ in listing.pictures]
    for path, (_, label) in zip(paths, listing.pictures, strict=True):
        status = os.stat(path)
        name = os.fsencode(path[start:])
        sha.update(b"%d %s %d %d\0" % (label, name, status.st_size, status.st_mtime_ns))
    options: dict[str, Any] = {"channels": config.channels, "size": config.size, "resize": config.resize}
    return PictureSet(
        what=str(listing.root),
        key={"files": sha.hexdigest(), "classes": list(listing.classes), **options},
        chunks=[{"paths": part, "count": len(part)} for part in (paths[i : i + _CHUNK] for i in range(0, len(paths), _CHUNK))],
        labels=np.array([label for _, label in listing.pictures], dtype=np.int64) if listing.classes else None,
        classes=listing.classes,
        unreadable=[(str(path), reason) for path, reason in listing.unreadable],
        **options,
    )


def _decode(listing: Listing, config: FolderConfig) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """The images, uint8 (N, channels, size, size), and a mask (N,) of those that the zoo did not draw.

    Raises:
        ConfigError: if some cannot be read; it names all or the first of them.
    """
    paths = [path for path, _ in listing.pictures]
    demand_memory(len(paths) * config.channels * config.size**2, f"{len(paths):,} images of this size", "choose a smaller data.size")
    x = np.empty((len(paths), config.channels, config.size, config.size), dtype=np.uint8)
    kept = np.ones(len(paths), dtype=bool)
    failed = list(listing.unreadable)
    animated = 0

    def read(start: int) -> tuple[list[tuple[Path, str]], int]:
        failed: list[tuple[Path, str]] = []
        animated = 0
        for i, path in enumerate(paths[start : start + _CHUNK], start):
            try:
                picture = read_picture(path, config.channels)
            except PictureError as error:
                failed.append((path, f"{error}; {error.hint}" if error.hint else str(error)))
                continue
            pixels = np.asarray(resize_and_crop(picture.image, config.size, config.resize))
            x[i] = pixels.reshape(config.size, config.size, config.channels).transpose(2, 0, 1)
            kept[i] = not picture.drawn
            animated += picture.animated
        return failed, animated

    with without_pillow_warnings(), ThreadPoolExecutor(_threads(paths)) as pool:
        for more, count in pool.map(read, range(0, len(paths), _CHUNK)):
            failed += more
            animated += count
    if failed:
        raise _unreadable(listing.root, failed, len(paths))
    if animated:
        warnings.warn(f"of {animated:,} animated images in {listing.root}, the first frame is read", RuntimeWarning, stacklevel=3)
    return x, kept


def _unreadable(root: Path, failed: Sequence[tuple[Path, str]], count: int) -> ConfigError:
    """The error for files that cannot be read; for several, its notes give the reasons."""
    if len(failed) == 1:
        path, reason = failed[0]
        return ConfigError(f"cannot read {path} as an image: {reason}", "remove it, or repair it")
    shown = "".join(f"{path.relative_to(root)}, " for path, _ in failed[:_MAX_NAMED])
    names = (
        shown[:-2] if len(shown) < _MAX_NAMES_WIDTH else f"{shown[:_MAX_NAMES_WIDTH].rpartition(', ')[0] or shown[:_MAX_NAMES_WIDTH]}, ..."
    )
    error = ConfigError(f"cannot read {len(failed):,} of {count:,} files in {root} as images: {names}", "remove them, or repair them")
    for path, reason in failed[:_MAX_NAMED]:
        error.add_note(f"cannot read {path}: {reason}")
    if len(failed) > _MAX_NAMED:
        error.add_note(f"... and {len(failed) - _MAX_NAMED:,} more")
    return error


def _threads(paths: Sequence[Path]) -> int:
    """The number of threads: one per processor, or a single one for small files, where threads would mostly wait for the interpreter."""
    sizes = [path.stat().st_size for path in paths[:: max(1, len(paths) // 64)] if path.exists()]
    return 1 if sum(sizes) < 4096 * len(sizes) or not sizes else min(os.cpu_count() or 1, 16)


def mnist(config: MNISTConfig) -> Data:
    """Loads handwritten digits, uint8 (N, 1, 28, 28) unless the config resizes them.

    Args:
        config: see :class:`zoo_core.datasets.MNISTConfig`.

    Raises:
        ConfigError: if the files are missing or malformed.
        HubError: if the config asks for a download, and it fails.
    """
    return _grey(config, "mnist", ["MNIST/raw", "mnist", ""], lambda root: fetch_idx(root, "MNIST"))


def fashion_mnist(config: FashionMNISTConfig) -> Data:
    """Loads articles of clothing by a :class:`zoo_core.datasets.FashionMNISTConfig`, uint8 (N, 1, 28, 28); raises as :func:`mnist`."""
    folders = ["FashionMNIST/raw", "fashion_mnist", "fashion-mnist", ""]
    return _grey(config, "fashion-mnist", folders, lambda root: fetch_idx(root, "FashionMNIST"))


def cifar10(config: CIFAR10Config) -> Data:
    """Loads small photographs by a :class:`zoo_core.datasets.CIFAR10Config`, uint8 (N, 3, 32, 32); raises as :func:`mnist`."""
    python = [f"data_batch_{i}" for i in range(1, 6)] if config.split == "train" else ["test_batch"]
    binary = [f"{name}.bin" for name in python]
    layouts = [("cifar-10-batches-bin", binary), ("cifar-10-batches-py", python)]
    layouts += [(place, names) for place in ("cifar10", "") for names in (binary, python)]
    batches = [read_cifar10(path) for path in _files(config, layouts, fetch_cifar10)]
    return _image_set(config, np.concatenate([x for x, _ in batches]), np.concatenate([labels for _, labels in batches]), config.resize)


def _grey(config: MNISTConfig | FashionMNISTConfig, name: str, folders: Sequence[str], fetch: Callable[[Path], None]) -> Data:
    prefix = "train" if config.split == "train" else "t10k"
    names = [f"{prefix}-images-idx3-ubyte", f"{prefix}-labels-idx1-ubyte"]
    images, numbers = _files(config, [(place, names) for place in folders], fetch)
    x, labels = read_idx(images, 28, 28)[:, None], read_idx(numbers)
    if len(x) != len(labels):
        raise ConfigError(f"{images} holds {len(x)} images and {numbers.name} {len(labels)} labels", "get both files again")
    if labels.max() > 9:
        raise ConfigError(f"{numbers} holds a label {labels.max()}, beyond the 10 classes", "get the file again")
    known = _LABELS.get(hashlib.sha256(labels.tobytes()).hexdigest())
    if known not in (None, f"{name} {config.split}"):
        raise ConfigError(f"{numbers} is that of {known}, not of {name} {config.split}", "choose another --data or --data-root")
    return _image_set(config, x, labels, config.resize)


def _files(config: ImageSetConfig, layouts: Sequence[Layout], fetch: Callable[[Path], None]) -> Sequence[Path]:
    """The files of the first layout whose files all exist, plain or gzipped; downloaded if they are missing and the config asks for it."""
    try:
        root = Path(expand(config.root))
    except UnsetVariable as error:
        raise UnsetVariable(error.what, "--data-root DIR is the folder with its files; -o data.download=true fetches them there") from error
    paths = [_present(root / place, names) for place, names in layouts]
    if config.download and not any(map(all, paths)):
        fetch(root)
        paths = [_present(root / place, names) for place, names in layouts]
    best = max(range(len(layouts)), key=lambda i: (all(paths[i]), any(paths[i])))
    missing = [name for name, path in zip(layouts[best][1], paths[best], strict=True) if path is None]
    if missing:
        where = f"{root / layouts[best][0]}" if any(paths[best]) else f"{root} or its {layouts[0][0]}"
        where += "" if root.is_absolute() else f", a path from {os.getcwd()}"
        shown = " and ".join(missing) if len(missing) < 3 else f"{missing[0]}, ..., {missing[-1]}"
        raise ConfigError(f"no {shown} in {where}", "put them there, pass another --data-root, or add -o data.download=true")
    return [path for path in paths[best] if path is not None]


def _present(place: Path, names: Sequence[str]) -> list[Path | None]:
    return [next((path for path in (place / name, place / f"{name}.gz") if path.is_file()), None) for name in names]


def _image_set(config: ImageSetConfig, x: NDArray[np.uint8], labels: NDArray[np.uint8], resize: str) -> Data:
    """Selects the config's classes from images uint8 (N, c, h, h) with labels uint8 (N,) below 10, and resizes the images."""
    classes = config.classes or config.names
    number = np.full(len(config.names), -1, dtype=np.int64)
    number[[config.names.index(name) for name in classes]] = np.arange(len(classes))
    kept = number[labels] >= 0
    if not kept.any():
        raise ConfigError(f"there is no image of {', '.join(classes)}")
    x = _resized(x[kept], config.size or x.shape[-1], resize)
    return Data(x=torch.from_numpy(x), labels=torch.from_numpy(number[labels[kept]]), classes=classes, flip=config.flip)


def _resized(x: NDArray[np.uint8], size: int, resize: str) -> NDArray[np.uint8]:
    from PIL import Image

    side = x.shape[-1]
    if size == side:
        return x
    if resize == "pad":
        before = (size - side) // 2
        around = (before, size - side - before)
        return np.pad(x, ((0, 0), (0, 0), around, around))
    out = np.empty((*x.shape[:2], size, size), dtype=np.uint8)
    for image, plane in zip(x.reshape(-1, side, side), out.reshape(-1, size, size), strict=True):
        plane[...] = np.asarray(resize_and_crop(Image.fromarray(image), size, resize))
    return out


def moons(config: MoonsConfig) -> Data:
    """Draws two half moons, float32 (count, 2): (cos t, sin t) and (1 - cos t, 1/2 - sin t) for evenly spaced t in [0, pi], plus noise.

    The shape is that of scikit-learn's ``make_moons``.

    Args:
        config: see :class:`zoo_core.datasets.MoonsConfig`.
    """
    counts = (config.count // 2, config.count - config.count // 2)
    outer, inner = (np.linspace(0, np.pi, count) for count in counts)
    means = np.concatenate([np.stack([np.cos(outer), np.sin(outer)], 1), np.stack([1 - np.cos(inner), 0.5 - np.sin(inner)], 1)])
    x = means + config.noise * generator(config.seed, 0, Stream.DATA).standard_normal(means.shape)
    labels = torch.arange(2).repeat_interleave(torch.tensor(counts))
    return Data(x=torch.from_numpy(x.astype(np.float32)), labels=labels, classes=("outer", "inner"))


def gaussian_mixture(config: GaussianMixtureConfig) -> Data:
    """Draws points, float32 (count, d), by a :class:`zoo_core.datasets.GaussianMixtureConfig`."""
    source = generator(config.seed, 0, Stream.DATA)
    # The last component gets the rest of the unit interval that rounding leaves.
    labels = np.searchsorted(np.cumsum(config.weights)[:-1], source.random(config.count), side="right")
    means = np.array(config.means)
    x = means[labels] + config.std * source.standard_normal((config.count, means.shape[1]))
    return Data(x=torch.from_numpy(x.astype(np.float32)), labels=torch.from_numpy(labels), classes=tuple(map(str, range(len(means)))))
