"""Theorems about picture files: each kind looks as people see it, and no file takes more memory or time than its limits allow."""

import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, features
from PIL.PngImagePlugin import PngInfo

from zoo_core.data.decoding import MAX_PIXELS, PictureError, read_picture, without_pillow_warnings
from zoo_core.data.loaders import folder
from zoo_core.data.readers import resize_and_crop
from zoo_core.datasets import FolderConfig
from zoo_core.errors import ConfigError, UsageError
from zoo_core.images import open_image, read_image


def shown(path: Path, channels: int = 3) -> Any:
    with without_pillow_warnings():
        return np.asarray(read_picture(path, channels).image)


def claimed(path: Path, width: int, height: int) -> Path:
    """A PNG that claims a size, and has no pixels."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", head), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")]
    body = b"".join(len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big") for kind, data in chunks)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    return path


@pytest.mark.parametrize("suffix", [".bmp", ".JPG", ".jpeg", ".jfif", ".PNG", ".ppm", ".tif", ".TIFF", ".webp", ".avif"])
def test_each_format_is_read_whatever_the_case_of_its_suffix(suffix: str, tmp_path: Path) -> None:
    if suffix == ".avif" and not features.check("avif"):
        pytest.skip("Pillow was built without AVIF")
    Image.new("RGB", (16, 12), (200, 100, 50)).save(tmp_path / f"x{suffix}")
    data = folder(FolderConfig(path=str(tmp_path), size=12))
    assert (data.x.float().mean((0, 2, 3)) - data.x.new_tensor([200, 100, 50])).abs().max() < 4


@pytest.mark.parametrize(
    ("mode", "colour", "seen"),
    [
        ("1", 1, (255, 255, 255)),
        ("L", 70, (70, 70, 70)),
        ("LA", (70, 0), (255, 255, 255)),
        ("LA", (70, 255), (70, 70, 70)),
        ("P", 0, (255, 0, 0)),
        ("RGBA", (255, 0, 0, 0), (255, 255, 255)),
        ("RGBA", (255, 0, 0, 255), (255, 0, 0)),
        ("I;16", 70 * 257, (70, 70, 70)),
    ],
)
def test_each_mode_of_a_png_looks_as_people_see_it(mode: str, colour: Any, seen: tuple[int, ...], tmp_path: Path) -> None:
    image = Image.new(mode, (4, 4), colour)
    if mode == "P":
        image.putpalette([255, 0, 0])
    image.save(tmp_path / "x.png")
    assert shown(tmp_path / "x.png")[0, 0].tolist() == list(seen)


def test_a_transparent_colour_of_a_palette_is_white(tmp_path: Path) -> None:
    image = Image.new("P", (4, 4), 0)
    image.putpalette([255, 0, 0])
    image.save(tmp_path / "x.png", transparency=0)
    assert shown(tmp_path / "x.png").min() == 255


def test_cmyk_and_16_bit_tiff_are_read_and_floats_are_refused(tmp_path: Path) -> None:
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "x.jpg")
    red = shown(tmp_path / "x.jpg")[0, 0]
    assert red[0] > 240
    assert red[1:].max() < 15
    Image.new("I;16", (4, 4), 70 * 257).save(tmp_path / "x.tiff")
    assert shown(tmp_path / "x.tiff")[0, 0].tolist() == [70, 70, 70]
    for mode in ("F", "I"):
        Image.new(mode, (4, 4), 1).save(tmp_path / "x.tiff")
        with pytest.raises(PictureError, match="32 bits"):
            shown(tmp_path / "x.tiff")


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tiff", ".webp"])
def test_a_picture_is_turned_as_its_exif_says(suffix: str, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (20, 10)).save(tmp_path / f"x{suffix}", exif=exif)
    assert shown(tmp_path / f"x{suffix}").shape == (20, 10, 3)


def test_a_picture_with_damaged_exif_is_read_as_it_lies(tmp_path: Path) -> None:
    Image.new("RGB", (20, 10)).save(tmp_path / "x.jpg", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff\xff\xff")
    assert shown(tmp_path / "x.jpg").shape == (10, 20, 3)


def test_of_an_animated_picture_the_first_frame_is_read(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "x.webp", save_all=True, append_images=frames[1:], lossless=True)
    assert shown(tmp_path / "x.webp")[0, 0].tolist() == [255, 0, 0]
    with pytest.warns(RuntimeWarning, match="of 1 animated images in .*, the first frame is read"):
        folder(FolderConfig(path=str(tmp_path), size=8))


@pytest.mark.parametrize(
    ("size", "words"),
    [
        ((1, 200_000), r"1 x 200,000 pixels, and one side is over 32 times the other"),
        ((12_000, 12_000), r"12,000 x 12,000 pixels, more than 67 million"),
        ((60_000, 60_000), r"more than 67 million pixels"),
    ],
)
def test_a_picture_that_is_too_large_or_too_thin_is_refused_by_name(size: tuple[int, int], words: str, tmp_path: Path) -> None:
    claimed(tmp_path / "bomb.png", *size)
    with pytest.raises(ConfigError, match=rf"bomb\.png as an image: it has {words}"):
        folder(FolderConfig(path=str(tmp_path)))
    with pytest.raises(UsageError, match=rf"bomb\.png as a picture: it has {words}"):
        read_image(tmp_path / "bomb.png", (3, 8, 8))


def test_the_largest_picture_that_is_read_has_as_many_pixels_as_the_limit(tmp_path: Path) -> None:
    side = int(MAX_PIXELS**0.5)
    with pytest.raises(PictureError, match=r"truncated|broken"):  # its pixels, which are not there, were looked for
        read_picture(claimed(tmp_path / "x.png", side, side), 3)
    with pytest.raises(PictureError, match="more than 67 million"), without_pillow_warnings():
        read_picture(claimed(tmp_path / "x.png", side, side + 1), 3)


def test_text_chunks_that_unpack_to_gigabytes_are_refused_in_little_memory(tmp_path: Path) -> None:
    info = PngInfo()
    for i in range(100):
        info.add_text(f"k{i}", "x" * 1_000_000, zip=True)
    Image.new("RGB", (8, 8)).save(tmp_path / "x.png", pnginfo=info)
    assert (tmp_path / "x.png").stat().st_size < 150_000
    with pytest.raises(UsageError, match=r"x\.png as a picture: .*text"):
        open_image(tmp_path / "x.png", 3)


def test_a_progressive_jpeg_of_very_many_scans_is_refused(tmp_path: Path) -> None:
    Image.new("L", (6000, 6000)).save(tmp_path / "x.jpg", progressive=True)
    plain = (tmp_path / "x.jpg").read_bytes()
    last = plain.rindex(b"\xff\xda")
    (tmp_path / "x.jpg").write_bytes(plain[:last] + plain[last:-2] * 100 + plain[-2:])
    with pytest.raises(UsageError, match="too many scans"):
        open_image(tmp_path / "x.jpg", 1)


def test_a_long_picture_is_cropped_before_it_is_resized(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes, resize = list[tuple[int, int]](), Image.Image.resize
    monkeypatch.setattr(Image.Image, "resize", lambda self, size, *rest: sizes.append(size) or resize(self, size, *rest))
    pixels = np.zeros((4, 120), dtype=np.uint8)
    pixels[:, 58:62] = 200
    assert np.asarray(resize_and_crop(Image.fromarray(pixels), 32, "box")).min() == 200
    assert sizes == [(128, 32)]


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "x.png")
    with pytest.raises(UsageError, match="it is not a file"):
        open_image(tmp_path / "x.png", 3)


LIMITED = """
import resource, sys
from pathlib import Path
from zoo_core.data.decoding import PictureError, without_pillow_warnings, read_picture
import numpy, PIL.Image
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    with without_pillow_warnings():
        read_picture(Path(sys.argv[1]), 3)
except PictureError as error:
    print(error)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.parametrize("kind", ["png", "webp", "tiff", "bmp"])
def test_a_small_file_that_claims_144_million_pixels_takes_no_memory(kind: str, tmp_path: Path) -> None:
    path = claimed(tmp_path / "x.png", 12_000, 12_000)
    if kind != "png":
        Image.new("1", (12_000, 12_000)).save(path := tmp_path / f"x.{kind}", **({"lossless": True} if kind == "webp" else {}))
    done = subprocess.run([sys.executable, "-c", LIMITED, str(path)], capture_output=True, text=True, check=True)
    reason, grown = done.stdout.splitlines()
    assert "more than 67 million" in reason
    assert int(grown) * (1 if sys.platform == "darwin" else 1024) < 100e6
