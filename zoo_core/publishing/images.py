"""Checks of the pictures of a checkpoint: they are PNG and nothing else; their text is decompressed for a search."""

import struct
import zlib
from collections.abc import Iterator

from zoo_core.errors import UnsafeContentError

__all__ = ["check_png", "chunk_text"]

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_KINDS = frozenset(
    {
        *(b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"sBIT", b"bKGD", b"hIST", b"pHYs", b"sPLT"),
        *(b"tIME", b"tEXt", b"zTXt", b"iTXt", b"eXIf", b"cICP"),
    }
)
_TEXTS = (b"tEXt", b"zTXt", b"iTXt", b"eXIf", b"iCCP")
_MAX_TEXT = 1 << 20


def check_png(name: str, data: bytes) -> bytes:
    """Checks that a file is a PNG from its first byte to its last, and returns the text in it.

    A file can be a PNG and, for other programs, something else, such as a zip archive behind the last chunk.

    Args:
        name: name of the file, for messages.
        data: its bytes.

    Returns:
        The text chunks, decompressed, a line each.

    Raises:
        UnsafeContentError: if it is not a PNG, is damaged, has bytes behind its end or chunks of unknown kinds, or
            holds more than 1 MiB of text.
    """
    texts = []
    size = 0
    for text in (chunk_text(kind, body, name) for kind, body in _chunks(name, data) if kind in _TEXTS):
        texts.append(text)
        size += len(text)
        if size > _MAX_TEXT:  # many small chunks hold much too
            raise _too_long(name)
    return b"\n".join(texts)


def _chunks(name: str, data: bytes) -> Iterator[tuple[bytes, bytes]]:
    def demand(condition: bool, what: str) -> None:
        if not condition:
            raise UnsafeContentError(f"{name} {what}", "save it again as a PNG")

    demand(data.startswith(_SIGNATURE), "is not a PNG")
    place = len(_SIGNATURE)
    number = 0
    last = b""
    while last != b"IEND":
        demand(place + 12 <= len(data), "is cut short")
        size, kind = struct.unpack_from(">I4s", data, place)
        demand(kind in _KINDS and (kind == b"IHDR") == (number == 0), f"has a chunk {kind!r}, which pictures of a checkpoint do not have")
        demand(place + 12 + size <= len(data), "is cut short")
        body = data[place + 8 : place + 8 + size]
        demand(zlib.crc32(kind + body) == struct.unpack_from(">I", data, place + 8 + size)[0], "is damaged")
        yield kind, body
        place += 12 + size
        number += 1
        last = kind
    demand(place == len(data), f"has {len(data) - place} bytes behind its end: it may be something else than a picture too")


def chunk_text(kind: bytes, body: bytes, name: str) -> bytes:
    """The text of a chunk, decompressed.

    Raises:
        UnsafeContentError: if it cannot be decompressed, or is longer than 1 MiB.
    """
    keyword, _, rest = body.partition(b"\0")
    if kind in (b"tEXt", b"eXIf"):
        return body
    packed = rest[:1] == b"\1" if kind == b"iTXt" else True
    text = rest[2:].split(b"\0", 2)[-1] if kind == b"iTXt" else rest[1:]
    if not packed:
        return keyword + b" " + text
    unpacking = zlib.decompressobj()
    try:
        text = unpacking.decompress(text, _MAX_TEXT)
    except zlib.error:
        raise _damaged(name) from None
    if not unpacking.eof:
        raise _too_long(name) if len(text) == _MAX_TEXT else _damaged(name)
    return keyword + b" " + text


def _too_long(name: str) -> UnsafeContentError:
    return UnsafeContentError(f"{name} has more than 1 MiB of text", "save it again as a PNG without it")


def _damaged(name: str) -> UnsafeContentError:
    return UnsafeContentError(f"{name} has text that cannot be decompressed", "save it again as a PNG")
