"""Image files: the formats that are read, the limits of a file, and its pixels as image viewers show them."""

import io
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

__all__ = [
    "MAX_ASPECT",
    "MAX_PIXELS",
    "Picture",
    "PictureError",
    "drawn_by_zoo",
    "formats",
    "read_picture",
    "suffixes",
    "without_pillow_warnings",
]

MAX_PIXELS = 1 << 26
"""The largest number of pixels of an image: 8192 x 8192, which are 200 MB in colour."""
MAX_ASPECT = 32
"""The largest ratio of the longer side of an image to the shorter one."""

_MAX_BYTES = 1 << 29
_MAX_SCANNED = 1 << 31  # pixels times scans of a progressive JPEG: each scan decodes all pixels
_LARGE = 1 << 24  # larger images are decoded one at a time, so that many threads do not take gigabytes
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
    """A file cannot be read as an image. The message gives the reason and does not name the file.

    Args:
        reason: reason.
        hint: next step; empty if only another file helps.

    >>> PictureError("it is empty").hint
    ''
    """

    def __init__(self, reason: str, hint: str = "") -> None:
        super().__init__(reason)
        self.hint = hint


class Picture(NamedTuple):
    """A decoded image.

    Args:
        image: Pillow image of mode L or RGB.
        drawn: True if the zoo wrote the file: samples, a grid of samples, or a figure.
        animated: True if the file has several frames, of which the first is read.

    >>> from PIL import Image
    >>> Picture(Image.new("L", (8, 4)), drawn=False, animated=False).image.size
    (8, 4)
    """

    image: "Image.Image"
    drawn: bool
    animated: bool


@cache
def formats() -> tuple[str, ...]:
    """Pillow's names of the formats that are read; AVIF if Pillow was built with it, HEIF if pillow-heif is installed."""
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
    """The suffixes of files that are read as images, in lower case."""
    return frozenset(suffix for name in formats() for suffix in _SUFFIXES[name])


def drawn_by_zoo(info: Mapping[Any, Any]) -> bool:
    """True if ``info``, the text chunks of a PNG, shows that the zoo wrote it: samples, grids of samples and figures."""
    software, sampler = info.get("Software"), info.get("sampler")
    return str(software).startswith("zoo-core ") or ("seed" in info and str(sampler).startswith('{"name"'))


def read_picture(source: Path | bytes, channels: int, size: tuple[int, int] | None = None) -> Picture:
    """Decodes an image file to 8 bits: rotated by its EXIF, transparent parts over white, 16-bit levels scaled down.

    Args:
        source: path of the file, or its bytes.
        channels: 1 for grey (mode L), 3 for colour (mode RGB).
        size: smallest (width, height) that is needed, so that a JPEG may be decoded smaller and faster; None for the full size.

    Raises:
        PictureError: if the file is not an image, is damaged, has more than MAX_PIXELS pixels, or a side longer than MAX_ASPECT times the
            other.
    """
    from PIL import Image

    try:
        _check_file(source)
        # The formats by name: otherwise Pillow would try all its formats, and run Ghostscript for one of them.
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source, formats=formats()) as image:
            _check_size(*image.size)
            if image.info.get("progressive"):
                _check_scans(source, image.width * image.height)
            if size:
                image.draft("RGB", (max(size), max(size)))  # the EXIF may still rotate it
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
def without_pillow_warnings() -> Iterator[None]:
    """Context in which Pillow does not warn: large images are refused here, and damaged EXIF is harmless. Affects all threads."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        yield


def _check_file(source: Path | bytes) -> None:
    """Refuses files that would block, such as a pipe, or whose size is not that of an image."""
    size = len(source) if isinstance(source, bytes) else source.stat().st_size
    if isinstance(source, Path) and not source.is_file():
        raise PictureError("it is not a file")
    if size == 0:
        raise PictureError("it is empty")
    if size > _MAX_BYTES:
        raise PictureError(f"it is larger than {_MAX_BYTES >> 20} MiB")


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise PictureError(f"it has {width:,} x {height:,} pixels, more than {MAX_PIXELS / 1e6:.0f} million", "make it smaller")
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise PictureError(f"it has {width:,} x {height:,} pixels, and one side is over {MAX_ASPECT} times the other", "crop it")


def _check_scans(source: Path | bytes, pixels: int) -> None:
    # In the data of a scan, a byte 0xff never precedes 0xda.
    if (source if isinstance(source, bytes) else source.read_bytes()).count(b"\xff\xda") * pixels > _MAX_SCANNED:
        raise PictureError("it is a JPEG of too many scans, which would take minutes", "save it again")


def _shown(image: "Image.Image", mode: str) -> "Image.Image":
    """A loaded image in ``mode``, as image viewers show it."""
    import numpy as np
    from PIL import Image, ImageOps

    try:
        shown = ImageOps.exif_transpose(image)
    except Exception:  # damaged EXIF: other programs show such an image unrotated
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
        return f"it is not of the formats {', '.join(formats())}", ""
    if isinstance(error, Image.DecompressionBombError):
        return f"it has more than {MAX_PIXELS / 1e6:.0f} million pixels", "make it smaller"
    if isinstance(error, MemoryError):
        return "there is not enough memory", "make it smaller"
    text = (error.strerror if isinstance(error, OSError) else None) or " ".join(str(error).split())[:120] or type(error).__name__
    return text, ""
