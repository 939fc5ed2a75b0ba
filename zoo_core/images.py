"""Between tensors in [-1, 1] and pictures: 8-bit pixels, grids, PNG files that say what made them."""

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
from zoo_core.data.image_files import PictureError, quietly, read_picture
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
_LONG = re.compile(r"([ /])")  # where the name of a class may go on in another line
_LINE, _APART = 17, 10  # pixels: a line of text, and a gap between groups of rows
_ASCII = str.maketrans(
    {"\N{GREEK SMALL LETTER SIGMA}": "sigma", "\N{MINUS SIGN}": "-", "\u0302": "^", "·": "-", "→": "->"}
    | {"\u2080": "_0", "\u2081": "_1", "\u2082": "_2", "\u209c": "_t"}
)
_MOST_SCALE = 1000


def to_uint8(images: Tensor) -> Tensor:
    """8-bit pixels, uint8, of images in [-1, 1] of any shape: the nearest of the 256 levels, halves upwards.

    Values outside are clamped; NaN is black.
    """
    levels = (images.float().nan_to_num(nan=-1.0).clamp(-1, 1) + 1) * 127.5
    return (levels + 0.5).floor().to(torch.uint8)


def from_uint8(pixels: Tensor) -> Tensor:
    """Images in [-1, 1], float32, of 8-bit pixels of any shape; ``to_uint8`` gives exactly those pixels back."""
    return pixels.float() / 127.5 - 1


def exact_uint8(images: Tensor) -> Tensor:
    """8-bit pixels, uint8, of images that lie on the 256 levels of [-1, 1], level / 127.5 - 1, to a thousandth of a step.

    Raises:
        UsageError: some value is none of the levels.
    """
    levels = (images.double() + 1) * 127.5
    off = (levels - levels.round().clamp(0, 255)).abs()
    if not bool((off <= 1e-3).all()):
        wrong = images[~(off <= 1e-3)][0].item()
        raise UsageError(f"{wrong:.6g} is no level of an 8-bit image in [-1, 1]", "with zoo_core.images: from_uint8(to_uint8(x))")
    return levels.round().to(torch.uint8)


def is_image(shape: Sequence[int]) -> bool:
    """Whether a sample of that shape is an image: (1, h, w) or (3, h, w)."""
    return len(shape) == 3 and shape[0] in (1, 3)


def _pixels(images: Tensor) -> Tensor:
    if not isinstance(cast(object, images), Tensor):
        raise UsageError(f"pictures are made of a tensor, not of {type(images).__name__}", "torch.as_tensor makes one")
    if not is_image(images.shape[1:]):
        raise UsageError(f"pictures have the shape (n, 1 or 3, height, width), not {tuple(images.shape)}", "save such samples as .npz")
    return images if images.dtype == torch.uint8 else to_uint8(images)


def _enlarged(pixels: Tensor, scale: int) -> Tensor:
    return pixels.repeat_interleave(scale, dim=-2).repeat_interleave(scale, dim=-1)


def _scale(columns: int, width: int, most: int = 4) -> int:
    return max(1, min(most, WIDTH // (columns * width)))


def class_columns(classes: int, n: int) -> int | None:
    """How many columns a grid of ``n`` images has whose classes take turns, so that every column is of one class.

    The multiple of ``classes`` that is nearest to a square; None, for any number, where there are fewer than 2 classes or more than 32.
    """
    return classes * max(1, round(math.sqrt(n) / classes)) if 2 <= classes <= _MOST_COLUMNS else None


def _columns(n: int) -> int:
    """From a square on up to 8 : 5, the number of columns that leaves the fewest places empty."""
    side = math.sqrt(n)
    return min(range(math.ceil(side), max(3, int(1.6 * side)) + 1), key=lambda columns: (-n % columns, columns))


def grid(images: Tensor, columns: int | None = None, scale: int | None = None) -> Tensor:
    """All images in one: row by row, with a thin white gap between and around them.

    Args:
        images: in [-1, 1], or uint8 (n, c, h, w), c = 1 or 3.
        columns: images in a row; when None as many as leave the fewest places empty, near to a square.
        scale: enlargement, by repeating pixels; up to 4, as far as the grid stays 800 wide, when None.

    Returns:
        uint8 (c, height, width).
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
    """A grid with a title line, and a caption beside each row, above each column, and below each cell.

    Args:
        cells: in [-1, 1], or uint8 (rows, columns, c, h, w), c = 1 or 3.
        title: above all; as many lines as it takes.
        rows: a caption of one or more lines for each row; none when empty.
        columns: a caption of one or more lines for each column; none when empty.
        below: a caption of one line for each cell, row by row; none when empty.
        group: rows that belong together, with a gap between one group and the next; 0 for no groups.
        scale: as for :func:`grid`, up to 16.

    Returns:
        uint8 (3, height, width).
    """
    from PIL import Image, ImageDraw

    k, _, h, w = cells.shape[1:]
    scale = scale or _scale(k, w, 16)
    pixels = _enlarged(_pixels(cells.flatten(0, 1)), scale)
    h, w, room, font = h * scale, w * scale, 18 if below else 0, _font(13)
    rows, columns = ([_written(text, font) for text in texts] for texts in (rows, columns))
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
            draw.text((x, y + GAP + h + room // 2), _written(text, font), fill="black", font=font, anchor="mm")
    return torch.from_numpy(np.asarray(sheet).copy()).permute(2, 0, 1)


def _font(size: int) -> "ImageFont.FreeTypeFont":
    """The font of plots where matplotlib is installed; otherwise Pillow's own, which has no Greek."""
    from PIL import ImageFont

    found = find_spec("matplotlib")
    for folder in (found.submodule_search_locations or ()) if found else ():
        if (path := Path(folder, "mpl-data/fonts/ttf/DejaVuSans.ttf")).is_file():
            return ImageFont.truetype(path, size)
    return cast("ImageFont.FreeTypeFont", ImageFont.load_default(size + 1))


def _written(text: str, font: "ImageFont.FreeTypeFont") -> str:
    """``text`` with what the font has: Pillow's own has neither Greek nor subscripts, arrows and the minus sign."""
    return text if "DejaVu" in str(font.getname()[0]) else text.translate(_ASCII)


def _lines(text: str, font: "ImageFont.FreeTypeFont", width: int) -> list[str]:
    """``text`` in lines that are ``width`` pixels wide at most, as far as its words are."""
    lines: list[str] = []
    for each in _written(text, font).split():
        longer = f"{lines[-1]} {each}" if lines else each
        if lines and font.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(each)
    return lines


def _to_pil(pixels: Tensor) -> "Image.Image":
    from PIL import Image

    array = pixels.cpu().permute(1, 2, 0).numpy()
    return Image.fromarray(array[:, :, 0] if len(pixels) == 1 else np.ascontiguousarray(array))


def png(pixels: Tensor, metadata: Mapping[str, str] | None = None) -> bytes:
    """A PNG file of uint8 (c, h, w), c = 1 or 3, with a text chunk for each entry of ``metadata``."""
    from PIL.PngImagePlugin import PngInfo

    info, file = PngInfo(), io.BytesIO()
    for key, value in (metadata or {}).items():
        info.add_text(key, value)
    _to_pil(pixels).save(file, format="PNG", pnginfo=info, optimize=True)
    return file.getvalue()


def to_pil(images: Tensor, columns: int | None = None, scale: int | None = None) -> "Image.Image":
    """A picture to look at, which notebooks show: of one image (c, h, w), or a grid of several (n, c, h, w), as :func:`grid` makes it.

    Raises:
        UsageError: they are no images.
    """
    return _to_pil(grid(_several(images), columns, scale))


def _several(images: Tensor) -> Tensor:
    """(n, c, h, w) of one image or of several."""
    return images[None] if getattr(images, "ndim", 0) == 3 else images


def save_png(path: "str | os.PathLike[str]", images: Tensor, metadata: Mapping[str, str] | None = None, columns: int | None = None) -> None:
    """Writes an image (c, h, w), or a grid of images (n, c, h, w), as a PNG file that carries ``metadata``.

    Raises:
        UsageError: they are no images, or the name has the suffix of another format.
        ResourceError: the file cannot be written.
    """
    if isinstance(path, Tensor):
        raise UsageError("save_png takes the path first, and then the images", 'save_png("images.png", images)')
    if Path(path).suffix.lower() not in (".png", ""):
        hint = "name it .png; to_pil(images).save(path) writes other formats"
        raise UsageError(f"save_png writes PNG files, and {os.fspath(path)!r} is named otherwise", hint)
    write_file(Path(path), png(grid(_several(images), columns), metadata))


def save_folder(path: "str | os.PathLike[str]", images: Tensor, metadata: Mapping[str, str] | None = None, first: int = 0) -> list[Path]:
    """Writes each image as ``NUMBER.png`` in its own size, numbered from ``first``, into a folder; raises as :func:`save_png` does."""
    paths = [Path(path) / f"{first + i:06d}.png" for i in range(len(images))]
    for place, pixels in zip(paths, _pixels(images), strict=True):
        write_file(place, png(pixels, metadata))
    return paths


def save_npz(path: "str | os.PathLike[str]", samples: Tensor, metadata: Mapping[str, str] | None = None, **arrays: Tensor) -> None:
    """Writes samples (n, ...) without loss, as the array ``samples`` of an .npz file; further arrays and ``metadata`` stand beside it.

    Raises:
        ResourceError: the file cannot be written.
    """
    file = io.BytesIO()
    named: dict[str, Any] = {key: np.array(value) for key, value in (metadata or {}).items()}
    named |= {name: array.numpy() for name, array in {**arrays, "samples": samples}.items()}
    np.savez_compressed(file, **named)
    write_file(Path(path), file.getvalue())


def class_sheet(images: Tensor, names: Sequence[str]) -> Tensor:
    """A grid of images (n, c, h, w) with a column for each of ``names``, which stand above; uint8 (3, height, width)."""
    pixels = _pixels(images)
    empty = pixels.new_full((-len(pixels) % len(names), *pixels.shape[1:]), _WHITE)
    pixels = torch.cat([pixels, empty])
    cells = pixels.view(-1, len(names), *pixels.shape[1:])
    # Room for a word of about ten letters, at whole pixels.
    return labelled_grid(cells, columns=[_LONG.sub(r"\1\n", name) for name in names], scale=max(1, round(_NAME_WIDTH / pixels.shape[-1])))


def open_image(path: Path, channels: int, size: tuple[int, int] | None = None) -> "Image.Image":
    """A picture in 8 bits, as people see it; see :func:`zoo_core.data.image_files.read_picture`, which has the same arguments.

    Raises:
        UsageError: if the file cannot be read as a picture, or is too large or too thin.
    """
    try:
        with quietly():
            return read_picture(path, channels, size).image
    except PictureError as error:
        raise UsageError(f"cannot read {path} as a picture: {error}", error.hint or "choose a PNG or JPEG file") from error


def read_image(path: Path, shape: Sequence[int]) -> Tensor:
    """A picture as a sample: resized until it covers (h, w), cropped at the centre; float32 (c, h, w) in [-1, 1].

    Raises:
        UsageError: if the file cannot be read as a picture, or is too large or too thin.
    """
    from PIL import Image, ImageOps

    c, h, w = shape
    pixels = ImageOps.fit(open_image(path, c, (4 * w, 4 * h)), (w, h), Image.Resampling.LANCZOS)
    array = torch.from_numpy(np.array(pixels)).view(h, w, c).permute(2, 0, 1)
    return from_uint8(array)
