"""Picture files as people have them: the formats that are read, the limits of a file, and its pixels as people see them."""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import cache
from importlib import import_module
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["MAX_ASPECT", "MAX_PIXELS", "Picture", "PictureError", "drawn_by_zoo", "formats", "quietly", "read_picture", "suffixes"]

MAX_PIXELS = 1 << 26
"""Pixels of a picture at most: 8192 x 8192, which are 200 MB in colour."""
MAX_ASPECT = 32
"""How many times longer than its shorter side a picture is at most."""

_MAX_BYTES = 1 << 29
_MAX_SCANNED = 1 << 31  # pixels times scans of a progressive JPEG, each of which goes through all pixels
_LARGE = 1 << 24  # pixels from which pictures are decoded one at a time, so that many threads do not take gigabytes
_ONE_LARGE = Lock()

_SUFFIXES = {
    "AVIF": (".avif",),
    "BMP": (".bmp",),
    "HEIF": (".heic", ".heif", ".hif"),
    "JPEG": (".jfif", ".jpe", ".jpeg", ".jpg"),
    "PNG": (".apng", ".png"),
    "PPM": (".pbm", ".pgm", ".pnm", ".ppm"),
    "TIFF": (".tif", ".tiff"),
    "WEBP": (".webp",),
}


class PictureError(Exception):
    """A file cannot be read as a picture; the message says why, and does not name the file.

    Args:
        reason: what is wrong with it.
        hint: what to do; empty where another file is all that helps.
    """

    def __init__(self, reason: str, hint: str = "") -> None:
        super().__init__(reason)
        self.hint = hint


class Picture(NamedTuple):
    """A decoded picture.

    Args:
        image: in mode L or RGB.
        drawn: it was written by the zoo: samples, a sheet of them, or a figure.
        animated: it has more frames; the first is read.
    """

    image: "Image.Image"
    drawn: bool
    animated: bool


@cache
def formats() -> tuple[str, ...]:
    """Pillow's names of the formats that are read: AVIF if Pillow was built with it, HEIF if pillow-heif is installed."""
    from PIL import features

    optional = {"AVIF": "avif" in features.modules and bool(features.check_module("avif")), "HEIF": _registers_heif()}
    return tuple(name for name in _SUFFIXES if optional.get(name, True))


def _registers_heif() -> bool:
    try:
        import_module("pillow_heif").register_heif_opener()
    except Exception:  # not installed, or its library does not load
        return False
    return True


@cache
def suffixes() -> frozenset[str]:
    """The suffixes of files that are read as pictures, in lower case."""
    return frozenset(suffix for name in formats() for suffix in _SUFFIXES[name])


def drawn_by_zoo(info: Mapping[Any, Any]) -> bool:
    """True for the text chunks of a PNG that the zoo wrote: samples, sheets of samples and figures."""
    software, sampler = info.get("Software"), info.get("sampler")
    return str(software).startswith("zoo-core ") or ("seed" in info and str(sampler).startswith('{"name"'))


def read_picture(path: Path, channels: int, size: tuple[int, int] | None = None) -> Picture:
    """Decodes a picture file in 8 bits: turned as its EXIF says, over white where it is transparent, 16-bit levels scaled down.

    Args:
        path: path of the file.
        channels: 1 for grey (mode L), 3 for colour (mode RGB).
        size: the least (width, height) that is needed, by which a JPEG is decoded smaller and faster.

    Raises:
        PictureError: if the file is no picture, is damaged, or has more than MAX_PIXELS or a side longer than MAX_ASPECT times the other.
    """
    from PIL import Image

    try:
        _check_file(path)
        # The formats by name: Pillow would otherwise try all that it knows, and run Ghostscript for one of them.
        with Image.open(path, formats=formats()) as image:
            _check_size(*image.size)
            if image.info.get("progressive"):
                _check_scans(path, image.width * image.height)
            if size:
                image.draft("RGB", (max(size), max(size)))  # the EXIF may still turn it
            with _ONE_LARGE if image.width * image.height > _LARGE else nullcontext():
                image.load()
                shown = _shown(image, "RGB" if channels == 3 else "L")
            animated = image.format in ("AVIF", "PNG", "WEBP") and bool(getattr(image, "is_animated", False))
            return Picture(shown, drawn_by_zoo(image.info), animated)
    except PictureError:
        raise
    except Exception as error:  # not all of PIL's errors are its own: SyntaxError, struct.error, zlib.error, DecompressionBombError, ...
        raise PictureError(*_reason(error)) from error


@contextmanager
def quietly() -> Iterator[None]:
    """Inside, Pillow warns of nothing: large pictures are refused here, and damaged EXIF is no news. It changes all threads' filters."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        yield


def _check_file(path: Path) -> None:
    """Refuses what would block, such as a pipe, or is no picture by its size."""
    size = path.stat().st_size
    if not path.is_file():
        raise PictureError("it is no file")
    if size == 0:
        raise PictureError("it is empty")
    if size > _MAX_BYTES:
        raise PictureError(f"it is larger than {_MAX_BYTES >> 20} MiB")


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise PictureError(f"it has {width:,} x {height:,} pixels, more than {MAX_PIXELS / 1e6:.0f} million", "make it smaller")
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise PictureError(f"it has {width:,} x {height:,} pixels, and one side is over {MAX_ASPECT} times the other", "crop it")


def _check_scans(path: Path, pixels: int) -> None:
    # In the data of a scan, a byte 0xff never stands before 0xda.
    if path.read_bytes().count(b"\xff\xda") * pixels > _MAX_SCANNED:
        raise PictureError("it is a JPEG of too many scans, which would take minutes", "save it again")


def _shown(image: "Image.Image", mode: str) -> "Image.Image":
    """A loaded picture in ``mode``, as people see it."""
    import numpy as np
    from PIL import Image, ImageOps

    try:
        shown = ImageOps.exif_transpose(image)
    except Exception:  # EXIF that is damaged: other programs show such a picture as it lies
        shown = image
    if shown.mode == "F" or (shown.mode == "I" and image.format == "TIFF"):
        raise PictureError("its levels have 32 bits, and their range is not known", "save it with 8 or 16 bits")
    if shown.mode.startswith("I"):  # 16-bit levels, some of which PIL opens as 32-bit
        levels = np.asarray(shown).astype(np.int64).clip(0, 0xFFFF)
        shown = Image.fromarray(((levels + 128) // 257).astype(np.uint8))
    if shown.has_transparency_data:
        shown = shown.convert("RGBA")
        shown = Image.alpha_composite(Image.new("RGBA", shown.size, "white"), shown)
    return shown.convert(mode)


def _reason(error: Exception) -> tuple[str, str]:
    from PIL import Image, UnidentifiedImageError

    if isinstance(error, UnidentifiedImageError):
        return f"it is none of {', '.join(formats())}", ""
    if isinstance(error, Image.DecompressionBombError):
        return f"it has more than {MAX_PIXELS / 1e6:.0f} million pixels", "make it smaller"
    if isinstance(error, MemoryError):
        return "there is not enough memory", "make it smaller"
    text = (error.strerror if isinstance(error, OSError) else None) or " ".join(str(error).split())[:120] or type(error).__name__
    return text, ""
