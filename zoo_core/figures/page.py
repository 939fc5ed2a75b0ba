"""Texts as a picture: a page in a typewriter's letters."""

import textwrap
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from PIL import ImageFont
    from torch import Tensor

__all__ = ["lines_of", "text_page"]

COLUMNS = 72
"""Characters of a line, after which it is broken."""
_SIZE, _LINE, _MARGIN, _APART = 13, 17, 12, 9  # pixels
_LEFT = 44  # pixels for the names
_INK, _PALE = "black", "#9aa0a6"


def lines_of(text: str, width: int = COLUMNS) -> list[str]:
    """The lines of a text, broken where they are longer than a page is wide; control characters are shown as spaces.

    >>> lines_of("a zoo\\nis open", 4)
    ['a', 'zoo', 'is', 'open']
    """
    shown = ["".join(letter if letter.isprintable() else " " for letter in line) for line in text.split("\n")]
    options = {"drop_whitespace": True, "break_on_hyphens": False, "replace_whitespace": False}
    lines = [part for line in shown for part in (textwrap.wrap(line, width, **options) if len(line) > width else [line])]  # type: ignore[arg-type]  # all of them are bool
    return lines or [""]


def text_page(texts: Sequence[str], *, title: str = "", names: Sequence[str] = ()) -> "Tensor":
    """Writes texts below each other on a white page.

    >>> text_page(["a zoo"], names=["0"]).shape[0]
    3

    Args:
        texts: the texts; their line ends are kept, and hidden places are pale.
        title: line above them.
        names: a short name beside each text; may be empty.

    Returns:
        The pixels of the page, uint8 (3, height, width).
    """
    import numpy as np
    import torch
    from PIL import Image, ImageDraw

    from zoo_core.vocabulary import HIDDEN

    font = _typewriter()
    blocks = [lines_of(text) for text in texts]
    left = _MARGIN + (_LEFT if names else 0)
    cell = font.getlength("x")
    widest = max([len(line) for lines in blocks for line in lines] + [40, len(title) - 4 * bool(names)])
    head = _MARGIN + (_LINE + _APART if title else 0)
    height = head + sum(_LINE * len(lines) + _APART for lines in blocks) + _MARGIN - _APART
    page = Image.new("RGB", (int(left + cell * widest) + _MARGIN, height), "white")
    draw = ImageDraw.Draw(page)
    if title:
        draw.text((_MARGIN, _MARGIN), title, fill=_INK, font=font)
    y = head
    for place, lines in enumerate(blocks):
        if names:
            draw.text((_MARGIN, y), names[place], fill=_PALE, font=font)
        for line in lines:
            for column, letter in enumerate(line):
                draw.text((left + cell * column, y), letter, fill=_PALE if letter == HIDDEN else _INK, font=font)
            y += _LINE
        y += _APART
        if place + 1 < len(blocks):
            draw.line((left, y - _APART // 2, page.width - _MARGIN, y - _APART // 2), fill="#e8eaed")
    return torch.from_numpy(np.asarray(page).copy()).permute(2, 0, 1)


def _typewriter() -> "ImageFont.FreeTypeFont":
    """DejaVu Sans Mono if matplotlib is installed; otherwise Pillow's own font, set in cells of one width."""
    from PIL import ImageFont

    package = find_spec("matplotlib")
    for folder in (package.submodule_search_locations or ()) if package else ():
        if (path := Path(folder, "mpl-data/fonts/ttf/DejaVuSansMono.ttf")).is_file():
            return ImageFont.truetype(path, _SIZE)
    return cast("ImageFont.FreeTypeFont", ImageFont.load_default(_SIZE))
