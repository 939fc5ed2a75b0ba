"""Loaders of the captioned data sets: real grey images, coloured and placed by a seed, with captions of what is seen."""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from zoo_core.data.captioned_sets import CaptionedConfig, CaptionedFashionMNISTConfig, CaptionedMNISTConfig, held_out
from zoo_core.data.captions import ATTRIBUTES, COLOURS, NUMBERS, PLACES, SIZES, Caption
from zoo_core.data.dataset import Attribute, Data
from zoo_core.data.loaders import fashion_mnist, mnist
from zoo_core.datasets import FashionMNISTConfig, MNISTConfig
from zoo_core.rng import Stream, generator

__all__ = ["PALETTE", "SIDE", "captioned_fashion_mnist", "captioned_mnist"]

Numbers = NDArray[Any]

SIDE = 32
"""Side of the images in pixels."""
PALETTE = np.array(
    [(214, 44, 40), (44, 160, 64), (36, 84, 214), (248, 208, 44), (152, 52, 200), (44, 192, 204), (244, 244, 244), (20, 20, 20)],
    dtype=np.float64,
)
"""The colours of :data:`zoo_core.data.captions.COLOURS` in [0, 255], (8, 3); those of an image differ from them by up to 10."""
EXTENT = {"one": {"small": 12, "large": 20}, "two": {"small": 12, "large": 15}}
"""The longer side of an object in pixels."""
GAP = 2
"""Pixels between the squares around two objects."""
_TWICE = 0.3  # share of images with two objects
_JITTER = 0.12  # of the free space by which a place varies
_SHADE = 10.0  # by which a channel of a colour varies
_FAINT = 32  # grey levels below this are no part of an object's outline
_DRAWS = 20
_CHUNK = 4096  # images that are coloured at a time
_LINES = tuple(place for place in PLACES if " " not in place)  # the places of two objects


def captioned_mnist(config: CaptionedMNISTConfig) -> Data:
    """Loads coloured digits with captions, uint8 (N, 3, 32, 32).

    Args:
        config: see :class:`zoo_core.data.captioned_sets.CaptionedConfig`.

    Raises:
        ConfigError: if the files of MNIST are missing or malformed.
        HubError: if the config asks for a download, and it fails.
    """
    return _captioned(config, mnist(MNISTConfig(root=config.root, split=_source_split(config), download=config.download)))


def captioned_fashion_mnist(config: CaptionedFashionMNISTConfig) -> Data:
    """Loads coloured clothes with captions, as :func:`captioned_mnist` loads digits."""
    source = FashionMNISTConfig(root=config.root, split=_source_split(config), download=config.download)
    return _captioned(config, fashion_mnist(source))


def _source_split(config: CaptionedConfig) -> Literal["train", "test"]:
    return "train" if config.split == "train" else "test"


def _captioned(config: CaptionedConfig, source: Data) -> Data:
    assert source.labels is not None
    kinds = source.labels.numpy()
    # Row i of these numbers is the same however many rows there are.
    draws = generator(config.seed, ("train", "test", "heldout").index(config.split), Stream.DATA).random((len(kinds), _DRAWS))
    table = _attributes(kinds, draws, heldout=config.split == "heldout")
    images = _rendered(source.x[:, 0].numpy(), kinds, table, draws)
    captions = tuple(_caption(table, row, draws[row, 14:18] < config.omit).text(config.nouns) for row in range(len(kinds)))
    names = {"colour": COLOURS, "background": COLOURS, "place": PLACES, "size": SIZES, "number": NUMBERS}
    names["class"] = tuple(noun for noun, _ in config.nouns)
    attributes = {name: Attribute(labels=torch.from_numpy(table[name]), names=names[name]) for name in ATTRIBUTES}
    label = attributes[config.label]
    return Data(x=torch.from_numpy(images), labels=label.labels, classes=label.names, captions=captions, attributes=attributes)


def _attributes(kinds: Numbers, draws: Numbers, heldout: bool) -> dict[str, Numbers]:
    """The attributes of all images by name, int64 (N,), of uniform random numbers (N, 20)."""

    def choice(column: int, count: int) -> Numbers:
        return (draws[:, column] * count).astype(np.int64)

    never = np.array([held_out(kind) for kind in range(int(kinds.max()) + 1)])[kinds]
    colour = choice(2, len(COLOURS) - 1)
    colour = never if heldout else colour + (colour >= never)  # any but the one that is held out
    background = choice(3, len(COLOURS) - 1)
    two = draws[:, 0] < _TWICE
    lines = np.array([PLACES.index(place) for place in _LINES])
    return {
        "class": kinds,
        "colour": colour,
        "background": background + (background >= colour),
        "place": np.where(two, lines[choice(4, len(_LINES))], choice(4, len(PLACES))),
        "size": choice(1, len(SIZES)),
        "number": two.astype(np.int64),
    }


def _caption(table: Mapping[str, Numbers], row: int, omitted: Numbers) -> Caption:
    """The caption of an image, without what ``omitted`` says of size, colour, place and background."""
    names = {"size": SIZES, "colour": COLOURS, "place": PLACES, "background": COLOURS}
    told = {name: names[name][table[name][row]] for name, left in zip(names, omitted, strict=True) if not left}
    return Caption(kind=int(table["class"][row]), number=NUMBERS[table["number"][row]], **told)


def _rendered(grey: Numbers, kinds: Numbers, table: Mapping[str, Numbers], draws: Numbers) -> NDArray[np.uint8]:
    """The images, uint8 (N, 3, 32, 32)."""
    members = [np.flatnonzero(kinds == kind) for kind in range(int(kinds.max()) + 1)]
    outlines = _outlines(grey)
    cover = np.zeros((len(grey), SIDE, SIDE), dtype=np.uint8)
    for row in range(len(grey)):
        number, size, place = NUMBERS[table["number"][row]], SIZES[table["size"][row]], PLACES[table["place"][row]]
        side = EXTENT[number][size]
        shown = [row] if number == "one" else [row, members[kinds[row]][int(draws[row, 13] * len(members[kinds[row]]))]]
        for image, (top, left) in zip(shown, _corners(side, len(shown), place, draws[row, 5:7]), strict=True):
            cover[row, top : top + side, left : left + side] = _object(grey[image], outlines[image], side)
    shades = (2 * _SHADE * draws[:, 7:13] - _SHADE).reshape(-1, 2, 3)
    out = np.empty((len(grey), 3, SIDE, SIDE), dtype=np.uint8)
    for first in range(0, len(grey), _CHUNK):
        rows = slice(first, first + _CHUNK)
        colour, background = (
            (PALETTE[table[name][rows]] + shades[rows, i]).astype(np.float32)[:, :, None, None]
            for i, name in enumerate(("colour", "background"))
        )
        pixels = background + cover[rows, None].astype(np.float32) / 255 * (colour - background)
        out[rows] = pixels.clip(0, 255).round()
    return out


def _outlines(grey: Numbers) -> Numbers:
    """The first and the last row and column of the object in each grey image, int64 (N, 4): top, bottom, left, right."""
    solid = grey >= _FAINT
    ends = []
    for axis in (2, 1):
        line: Numbers = np.any(solid, axis=axis)
        ends += [line.argmax(1), line.shape[1] - 1 - line[:, ::-1].argmax(1)]
    return np.stack(ends, axis=1)


def _corners(side: int, count: int, place: str, shift: Numbers) -> list[tuple[int, int]]:
    """The upper left corners (row, column) of the squares around the objects; two stand side by side, or one above the other at a side."""
    upright = place in ("left", "right")
    long = side * count + GAP * (count - 1)
    height, width = (long, side) if upright else (side, long)
    where = [_from(SIDE - height, place, ("top", "bottom"), shift[0]), _from(SIDE - width, place, ("left", "right"), shift[1])]
    step = side + GAP
    return [(where[0] + upright * step * i, where[1] + (not upright) * step * i) for i in range(count)]


def _from(free: int, place: str, ends: tuple[str, str], shift: float) -> int:
    """The first pixel of a stretch that leaves ``free`` pixels, near the end that the place names, or near the middle."""
    jitter = round(_JITTER * free)
    low, high = 0, jitter
    if ends[1] in place:
        low, high = free - jitter, free
    elif ends[0] not in place:
        low, high = free // 2 - jitter // 2, free // 2 + jitter // 2
    return low + int(shift * (high - low + 1))


def _object(grey: NDArray[np.uint8], outline: Numbers, side: int) -> NDArray[np.uint8]:
    """How much an object covers each pixel of a square (side, side), of 255: its outline is scaled until the longer side fills it."""
    from PIL import Image

    top, bottom, left, right = outline.tolist()
    cut = grey[top : bottom + 1, left : right + 1]
    scale = side / max(cut.shape)
    height, width = (max(1, round(length * scale)) for length in cut.shape)
    small = np.asarray(Image.fromarray(cut).resize((width, height), Image.Resampling.BILINEAR))
    inside = np.sort(small[small > 0])
    bright = int(inside[int(0.8 * len(inside))]) if len(inside) else 255  # most of an object is opaque, however dark it is
    out = np.zeros((side, side), dtype=np.uint8)
    y, x = (side - height) // 2, (side - width) // 2
    out[y : y + height, x : x + width] = np.minimum(small.astype(np.int64) * 255 // bright, 255)
    return out
