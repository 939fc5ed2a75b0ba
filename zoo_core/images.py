"""Conversion of tensors in [-1, 1] to pictures and back: 8-bit pixels, grids, and PNG files with metadata."""

import io
import math
import os
import re
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import Tensor

from zoo_core.arguments import as_int
from zoo_core.atomic import write_file
from zoo_core.data.decoding import PictureError, read_picture, without_pillow_warnings
from zoo_core.errors import UsageError

if TYPE_CHECKING:
    from PIL import Image, ImageFont

__all__ = [
    "class_columns",
    "class_sheet",
    "exact_uint8",
    "from_uint8",
    "grid",
    "is_image",
    "labelled_grid",
    "npz",
    "open_image",
    "png",
    "read_image",
    "save_folder",
    "save_npz",
    "save_png",
    "to_pil",
    "to_uint8",
]

GAP = 2
WIDTH = 800
_WHITE = 255
_MOST_COLUMNS = 32
_NAME_WIDTH = 84
_LONG = re.compile(r"([ /])")  # places where the name of a class may be broken into lines
_LINE, _APART = 17, 10  # pixels: a line of text, and a gap between groups of rows
_ASCII = str.maketrans(
    {"\N{GREEK SMALL LETTER SIGMA}": "sigma", "\N{MINUS SIGN}": "-", "\u0302": "^", "·": "-", "→": "->"}
    | {"\u2080": "_0", "\u2081": "_1", "\u2082": "_2", "\u209c": "_t"}
)
_MOST_SCALE = 1000


def to_uint8(images: Tensor) -> Tensor:
    """Converts images in [-1, 1] of any shape to 8-bit pixels, uint8: the nearest of the 256 levels, halves rounded up.

    Values outside [-1, 1] are clamped; NaN becomes black.

    >>> to_uint8(torch.tensor([-1.0, 0.0, 1.0])).tolist()
    [0, 128, 255]
    """
    levels = (images.float().nan_to_num(nan=-1.0).clamp(-1, 1) + 1) * 127.5
    return (levels + 0.5).floor().to(torch.uint8)


def from_uint8(pixels: Tensor) -> Tensor:
    """Converts 8-bit pixels of any shape to images in [-1, 1], float32; ``to_uint8`` is the exact inverse.

    >>> from_uint8(torch.tensor([0, 255])).tolist()
    [-1.0, 1.0]
    """
    return pixels.float() / 127.5 - 1


def exact_uint8(images: Tensor) -> Tensor:
    """Converts images on the 256 levels of [-1, 1], level / 127.5 - 1, to 8-bit pixels, uint8.

    Raises:
        UsageError: if a value is more than a thousandth of a step away from every level.
    """
    levels = (images.double() + 1) * 127.5
    off = (levels - levels.round().clamp(0, 255)).abs()
    if not bool((off <= 1e-3).all()):
        wrong = images[~(off <= 1e-3)][0].item()
        raise UsageError(f"{wrong:.6g} is not a level of an 8-bit image in [-1, 1]", "round with zoo_core.images: from_uint8(to_uint8(x))")
    return levels.round().to(torch.uint8)


def is_image(shape: Sequence[int]) -> bool:
    """Whether a sample of that shape is an image: (1, h, w) or (3, h, w)."""
    return len(shape) == 3 and shape[0] in (1, 3)


def _pixels(images: Tensor) -> Tensor:
    if not isinstance(cast(object, images), Tensor):
        raise UsageError(f"images must be a tensor, not {type(images).__name__}", "torch.as_tensor makes one")
    if not is_image(images.shape[1:]):
        raise UsageError(f"images must have the shape (n, 1 or 3, height, width), not {tuple(images.shape)}", "save other samples as .npz")
    return images if images.dtype == torch.uint8 else to_uint8(images)


def _enlarged(pixels: Tensor, scale: int) -> Tensor:
    return pixels.repeat_interleave(scale, dim=-2).repeat_interleave(scale, dim=-1)


def _scale(columns: int, width: int, most: int = 4) -> int:
    return max(1, min(most, WIDTH // (columns * width)))


def class_columns(classes: int, n: int) -> int | None:
    """Returns the number of columns of a grid of ``n`` images whose classes alternate, so that every column has one class.

    It is the multiple of ``classes`` that is nearest to a square; None, for a free choice, with fewer than 2 or more than 32 classes.

    >>> class_columns(10, 100)
    10
    """
    return classes * max(1, round(math.sqrt(n) / classes)) if 2 <= classes <= _MOST_COLUMNS else None


def _columns(n: int) -> int:
    """Returns the number of columns, between a square and 8 : 5, that leaves the fewest places empty."""
    side = math.sqrt(n)
    return min(range(math.ceil(side), max(3, int(1.6 * side)) + 1), key=lambda columns: (-n % columns, columns))


def grid(images: Tensor, columns: int | None = None, scale: int | None = None) -> Tensor:
    """Arranges images in a grid, row by row, with a thin white gap between and around them.

    >>> grid(torch.zeros(6, 1, 8, 8), columns=3, scale=1).shape
    torch.Size([1, 22, 32])

    Args:
        images: images in [-1, 1], or uint8 pixels, (n, c, h, w) with c = 1 or 3.
        columns: number of images in a row; if None, a number near a square that leaves the fewest places empty.
        scale: enlargement by repeated pixels; if None, up to 4 as long as the grid is at most 800 pixels wide.

    Returns:
        The pixels of the grid, uint8 (c, height, width).

    Raises:
        UsageError: if images are not a tensor of that shape, or columns or scale is out of range.
    """
    pixels = _pixels(images)
    n, c, h, w = pixels.shape
    columns = min(n, as_int("columns", columns, 1) if columns is not None else _columns(n))
    scale = as_int("scale", scale, 1, _MOST_SCALE) if scale is not None else _scale(columns, w)
    rows, h, w = math.ceil(n / columns), h * scale, w * scale
    out = torch.full((c, rows * (h + GAP) + GAP, columns * (w + GAP) + GAP), _WHITE, dtype=torch.uint8)
    for i, image in enumerate(_enlarged(pixels, scale)):
        top, left = (GAP + place * (side + GAP) for place, side in zip(divmod(i, columns), (h, w), strict=True))
        out[:, top : top + h, left : left + w] = image
    return out


def labelled_grid(
    cells: Tensor,
    *,
    title: str = "",
    rows: Sequence[str] = (),
    columns: Sequence[str] = (),
    below: Sequence[Sequence[str]] = (),
    group: int = 0,
    scale: int | None = None,
) -> Tensor:
    """Arranges images in a grid with a title, and a caption beside each row, above each column, and below each cell.

    Args:
        cells: images in [-1, 1], or uint8 pixels, (rows, columns, c, h, w) with c = 1 or 3.
        title: text above the grid, broken into lines.
        rows: captions of the rows, of one or more lines each; may be empty.
        columns: captions of the columns, of one or more lines each; may be empty.
        below: captions of the cells, of one line each, row by row; may be empty.
        group: number of rows of a group, with a gap between groups; 0 for no groups.
        scale: enlargement by repeated pixels; if None, up to 16 as long as the grid is at most 800 pixels wide.

    Returns:
        The pixels of the grid, uint8 (3, height, width).
    """
    from PIL import Image, ImageDraw

    k, _, h, w = cells.shape[1:]
    scale = scale or _scale(k, w, 16)
    pixels = _enlarged(_pixels(cells.flatten(0, 1)), scale)
    h, w = h * scale, w * scale
    room = 18 if below else 0
    font = _font(13)
    rows = [_displayable(text, font) for text in rows]
    columns = [_displayable(text, font) for text in columns]
    left = 12 + max(math.ceil(font.getlength(line)) for text in rows for line in text.split("\n")) if rows else 0
    wide = left + k * (w + GAP) + GAP
    heading = _lines(title, font, wide - 8)
    head = 8 + _LINE * len(heading) if heading else 0
    top = head + (10 + _LINE * max(text.count("\n") + 1 for text in columns) if columns else 0)
    tops = [top + i * (h + room + GAP) + (_APART * (i // group) if group else 0) for i in range(len(cells))]
    sheet = Image.new("RGB", (wide, tops[-1] + h + room + 2 * GAP), "white")
    for y, row in zip(tops, torch.split(pixels, k), strict=True):
        sheet.paste(_to_pil(grid(row, k, 1)).convert("RGB"), (left, y))
    draw = ImageDraw.Draw(sheet)
    middles = [left + GAP + j * (w + GAP) + w // 2 for j in range(k)]
    for i, line in enumerate(heading):
        draw.text((GAP + 4, 6 + _LINE * i), line, fill="black", font=font)
    for y, text in zip(tops, rows, strict=False):
        place = left - 6, y + GAP + h // 2
        draw.multiline_text(place, text, fill="black", font=font, anchor="rm", align="right", spacing=2)
    for x, text in zip(middles, columns, strict=False):
        draw.multiline_text((x, top - 3), text, fill="black", font=font, anchor="md", align="center", spacing=2)
    for y, texts in zip(tops, below, strict=False):
        for x, text in zip(middles, texts, strict=False):
            draw.text((x, y + GAP + h + room // 2), _displayable(text, font), fill="black", font=font, anchor="mm")
    return torch.from_numpy(np.asarray(sheet).copy()).permute(2, 0, 1)


def _font(size: int) -> "ImageFont.FreeTypeFont":
    """Returns the font of plots if matplotlib is installed; otherwise Pillow's own, which has no Greek."""
    from PIL import ImageFont

    package = find_spec("matplotlib")
    for folder in (package.submodule_search_locations or ()) if package else ():
        if (path := Path(folder, "mpl-data/fonts/ttf/DejaVuSans.ttf")).is_file():
            return ImageFont.truetype(path, size)
    return cast("ImageFont.FreeTypeFont", ImageFont.load_default(size + 1))


def _displayable(text: str, font: "ImageFont.FreeTypeFont") -> str:
    """Returns ``text`` in letters of the font: Pillow's own has no Greek, subscripts, arrows and minus sign."""
    return text if "DejaVu" in str(font.getname()[0]) else text.translate(_ASCII)


def _lines(text: str, font: "ImageFont.FreeTypeFont", width: int) -> list[str]:
    """Breaks ``text`` between words into lines of at most ``width`` pixels; a longer word has a line of its own."""
    lines: list[str] = []
    for word in _displayable(text, font).split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and font.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def _to_pil(pixels: Tensor) -> "Image.Image":
    from PIL import Image

    array = pixels.cpu().permute(1, 2, 0).numpy()
    return Image.fromarray(array[:, :, 0] if len(pixels) == 1 else np.ascontiguousarray(array))


def png(pixels: Tensor, metadata: Mapping[str, str] | None = None) -> bytes:
    """Encodes pixels, uint8 (c, h, w) with c = 1 or 3, as a PNG file with a text chunk for each entry of ``metadata``.

    >>> png(torch.zeros(1, 8, 8, dtype=torch.uint8))[1:4]
    b'PNG'
    """
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    file = io.BytesIO()
    for key, value in (metadata or {}).items():
        info.add_text(key, value)
    _to_pil(pixels).save(file, format="PNG", pnginfo=info, optimize=True)
    return file.getvalue()


def to_pil(images: Tensor, columns: int | None = None, scale: int | None = None) -> "Image.Image":
    """Converts one image (c, h, w), or a :func:`grid` of several (n, c, h, w), to a picture, which notebooks display.

    >>> to_pil(torch.zeros(3, 8, 8), scale=2).size
    (20, 20)

    Raises:
        UsageError: if images are not a tensor of such a shape.
    """
    return _to_pil(grid(_several(images), columns, scale))


def _several(images: Tensor) -> Tensor:
    """Returns one image or several as (n, c, h, w)."""
    return images[None] if getattr(images, "ndim", 0) == 3 else images


def save_png(path: "str | os.PathLike[str]", images: Tensor, metadata: Mapping[str, str] | None = None, columns: int | None = None) -> None:
    """Writes one image (c, h, w), or a grid of several (n, c, h, w), as a PNG file with ``metadata``.

    Raises:
        UsageError: if images are not a tensor of such a shape, or the path has the suffix of another format.
        ResourceError: if the file cannot be written.
    """
    if isinstance(path, Tensor):
        raise UsageError("save_png takes the path first, and then the images", 'save_png("images.png", images)')
    if Path(path).suffix.lower() not in (".png", ""):
        hint = "name it .png; to_pil(images).save(path) writes other formats"
        raise UsageError(f"save_png writes PNG files, and {os.fspath(path)!r} has another suffix", hint)
    write_file(Path(path), png(grid(_several(images), columns), metadata))


def save_folder(path: "str | os.PathLike[str]", images: Tensor, metadata: Mapping[str, str] | None = None, first: int = 0) -> list[Path]:
    """Writes each image as ``NUMBER.png`` in its own size into a folder, numbered from ``first``; raises as :func:`save_png` does."""
    paths = [Path(path) / f"{first + i:06d}.png" for i in range(len(images))]
    for place, pixels in zip(paths, _pixels(images), strict=True):
        write_file(place, png(pixels, metadata))
    return paths


def npz(samples: Tensor, metadata: Mapping[str, str] | None = None, **arrays: Tensor) -> bytes:
    """Encodes samples (n, ...) without loss as an .npz file: the array ``samples``, further arrays and ``metadata``.

    >>> npz(torch.zeros(2, 2))[:2]
    b'PK'
    """
    file = io.BytesIO()
    named: dict[str, Any] = {key: np.array(value) for key, value in (metadata or {}).items()}
    named |= {name: array.numpy() for name, array in {**arrays, "samples": samples}.items()}
    np.savez_compressed(file, **named)
    return file.getvalue()


def save_npz(path: "str | os.PathLike[str]", samples: Tensor, metadata: Mapping[str, str] | None = None, **arrays: Tensor) -> None:
    """Writes samples (n, ...) as an .npz file; see :func:`npz`.

    Raises:
        ResourceError: if the file cannot be written.
    """
    write_file(Path(path), npz(samples, metadata, **arrays))


def class_sheet(images: Tensor, names: Sequence[str]) -> Tensor:
    """Arranges images (n, c, h, w) in a grid with a captioned column for each of ``names``; uint8 (3, height, width)."""
    pixels = _pixels(images)
    empty = pixels.new_full((-len(pixels) % len(names), *pixels.shape[1:]), _WHITE)
    pixels = torch.cat([pixels, empty])
    cells = pixels.view(-1, len(names), *pixels.shape[1:])
    # Room for a word of about ten letters, at whole pixels.
    return labelled_grid(cells, columns=[_LONG.sub(r"\1\n", name) for name in names], scale=max(1, round(_NAME_WIDTH / pixels.shape[-1])))


def open_image(path: Path, channels: int, size: tuple[int, int] | None = None) -> "Image.Image":
    """Reads an image file in 8 bits; see :func:`zoo_core.data.decoding.read_picture`, which has the same arguments.

    Raises:
        UsageError: if the file cannot be read as a picture, or is too large or too thin.
    """
    try:
        with without_pillow_warnings():
            return read_picture(path, channels, size).image
    except PictureError as error:
        raise UsageError(f"cannot read {path} as a picture: {error}", error.hint or "choose a PNG or JPEG file") from error


def read_image(path: Path, shape: Sequence[int]) -> Tensor:
    """Reads an image file as a sample: resized until it covers (h, w), cropped at the centre; float32 (c, h, w) in [-1, 1].

    Raises:
        UsageError: if the file cannot be read as a picture, or is too large or too thin.
    """
    from PIL import Image, ImageOps

    c, h, w = shape
    pixels = ImageOps.fit(open_image(path, c, (4 * w, 4 * h)), (w, h), Image.Resampling.LANCZOS)
    array = torch.from_numpy(np.array(pixels)).view(h, w, c).permute(2, 0, 1)
    return from_uint8(array)
