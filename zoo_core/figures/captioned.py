"""Images in a grid, each with its caption below."""

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["captioned_sheet"]

_WIDTH = 128
"""Least width of an image in pixels."""
_SIZE, _LINE, _APART, _MOST = 12, 15, 10, 4  # pixels, and lines of a caption


def captioned_sheet(images: "Tensor", captions: Sequence[str], columns: int | None = None) -> "Tensor":
    """Arranges images in a grid, each above its caption.

    >>> import torch
    >>> captioned_sheet(torch.zeros(3, 3, 32, 32), ["a one", "a two", "a three"]).shape[0]
    3

    Args:
        images: (n, c, h, w) in [-1, 1].
        captions: a text for each image.
        columns: number of columns; near a square if None.

    Returns:
        uint8 (3, height, width).
    """
    import numpy as np
    import torch
    from PIL import Image, ImageDraw, ImageFont

    from zoo_core.images import to_uint8

    scale = max(1, round(_WIDTH / images.shape[-1]))
    pixels = to_uint8(images).expand(-1, 3, -1, -1).repeat_interleave(scale, 2).repeat_interleave(scale, 3)
    height, width = pixels.shape[2:]
    font = ImageFont.load_default(_SIZE)
    letters = max(4, int(width / font.getlength("n")))
    lines = [textwrap.wrap(text, letters)[:_MOST] or [""] for text in captions]
    columns = columns or min(len(pixels), max(1, round(len(pixels) ** 0.5)))
    cell = height + 4 + _LINE * max(map(len, lines)) + _APART
    rows = -(-len(pixels) // columns)
    page = Image.new("RGB", (columns * (width + _APART) + _APART, rows * cell + _APART), "white")
    draw = ImageDraw.Draw(page)
    for place, image in enumerate(pixels):
        x, y = _APART + place % columns * (width + _APART), _APART + place // columns * cell
        page.paste(Image.fromarray(image.permute(1, 2, 0).numpy()), (x, y))
        for number, line in enumerate(lines[place]):
            draw.text((x, y + height + 2 + number * _LINE), line, fill="black", font=font)
    return torch.from_numpy(np.asarray(page).copy()).permute(2, 0, 1)
