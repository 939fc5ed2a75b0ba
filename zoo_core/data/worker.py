"""Worker process that decodes pictures: ``python -m zoo_core.data.worker FILE CHANNELS SIZE FILTER`` writes pixels into a file of images.

Each line of its input is a chunk of pictures as JSON, each line of its output the result of that chunk. It ends with its input, and so with
the process that started it. A program of its own, since forking a process that has threads is not safe, and spawning runs the user's script
again.
"""

import json
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from zoo_core.data.decoding import PictureError, read_picture, without_pillow_warnings
from zoo_core.data.tables import TableError, encoded_pictures

__all__ = ["decode_chunk", "main"]


def decode_chunk(chunk: Mapping[str, Any], target: int, channels: int, size: int, resize: str) -> dict[str, Any]:
    """Decodes the pictures of a chunk into their places in a file.

    Args:
        chunk: ``start``, the number of the first picture, and its pictures: ``paths`` of files, or ``table``, as
            :func:`zoo_core.data.tables.encoded_pictures` takes it.
        target: descriptor of the file of images, uint8 (N, channels, size, size).
        channels: 1 or 3.
        size: side of the images.
        resize: name of a Pillow filter, in lower case.

    Returns:
        ``failed``, numbers and reasons of pictures that cannot be read; ``drawn``, numbers of those that the zoo drew; ``animated``, how
        many have several frames; ``broken``, a reason if the rest of the table cannot be read.
    """
    import numpy as np

    from zoo_core.data.readers import resize_and_crop

    result: dict[str, Any] = {"failed": [], "drawn": [], "animated": 0}
    length = channels * size * size
    try:
        for i, source in enumerate(_sources(chunk), chunk["start"]):
            try:
                picture = read_picture(source, channels)
            except PictureError as error:
                result["failed"].append((i, f"{error}; {error.hint}" if error.hint else str(error)))
                continue
            pixels = np.asarray(resize_and_crop(picture.image, size, resize)).reshape(size, size, channels)
            os.pwrite(target, pixels.transpose(2, 0, 1).tobytes(), i * length)
            result["animated"] += picture.animated
            if picture.drawn:
                result["drawn"].append(i)
    except TableError as error:
        result["broken"] = str(error)
    return result


def _sources(chunk: Mapping[str, Any]) -> Iterator[Path | bytes]:
    return map(Path, chunk["paths"]) if "paths" in chunk else encoded_pictures(chunk["table"])


def main(file: str, channels: str, size: str, resize: str) -> None:
    """Decodes the chunks of standard input until it ends."""
    target = os.open(file, os.O_WRONLY)
    with without_pillow_warnings():
        for line in sys.stdin.buffer:
            try:
                result = decode_chunk(json.loads(line), target, int(channels), int(size), resize)
            except OSError as error:  # a full disk
                result = {"errno": error.errno or 0}
            sys.stdout.write(json.dumps(result) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
