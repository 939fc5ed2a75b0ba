"""Pixels survive, grids are in reading order, pictures say what made them, and a full disk harms nothing."""

import errno
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from zoo_core import images
from zoo_core.errors import ResourceError, UsageError
from zoo_core.figures import curves, render, scatter
from zoo_core.figures.samples import save_samples


def test_every_pixel_survives_the_way_to_minus_one_one_and_back() -> None:
    pixels = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(images.to_uint8(images.from_uint8(pixels)), pixels)


def test_pixels_are_the_nearest_level_halves_upwards_and_clamped() -> None:
    levels = torch.tensor([0.0, 0.49, 0.51, 1.49, 1.51, 254.51, 255.0])
    assert images.to_uint8(levels / 127.5 - 1).tolist() == [0, 0, 1, 1, 2, 255, 255]
    assert images.to_uint8(torch.tensor([0.0])).tolist() == [128]
    assert images.to_uint8(torch.tensor([-7.0, 7.0, -torch.inf, torch.inf, torch.nan])).tolist() == [0, 255, 0, 255, 0]


def test_a_bfloat16_image_has_the_pixels_of_its_own_values() -> None:
    x = torch.linspace(-1, 1, 300).bfloat16()
    assert torch.equal(images.to_uint8(x), images.to_uint8(x.float()))


@pytest.mark.parametrize(("n", "columns"), [(1, None), (3, 2), (4, None), (5, 5), (7, 3), (2, 9)])
def test_a_grid_holds_image_i_at_row_i_over_columns(n: int, columns: int | None) -> None:
    pixels = torch.arange(n, dtype=torch.uint8).view(n, 1, 1, 1).expand(n, 3, 4, 5).contiguous()
    grid = images.grid(pixels, columns, scale=1)
    wide = min(n, columns or {1: 1, 4: 2}[n])
    for i in range(n):
        row, column = divmod(i, wide)
        top, left = images.GAP + row * (4 + images.GAP), images.GAP + column * (5 + images.GAP)
        assert grid[:, top : top + 4, left : left + 5].unique().tolist() == [i]
    assert (grid == 255).sum() == grid.numel() - n * 60


def test_small_images_are_enlarged_by_whole_pixels() -> None:
    pixels = torch.randint(0, 256, (4, 1, 32, 32), dtype=torch.uint8)
    grid = images.grid(pixels)
    assert grid.shape[1] > 3 * 64
    assert torch.equal(grid[:, 2:130:4, 2:130:4], pixels[0])


@pytest.mark.parametrize("channels", [1, 3])
def test_a_png_carries_its_pixels_and_what_made_them(channels: int, tmp_path: Path) -> None:
    pixels = torch.randint(0, 256, (channels, 6, 7), dtype=torch.uint8)
    (tmp_path / "x.png").write_bytes(images.png(pixels, {"seed": "7", "title": "ε = ½"}))
    with Image.open(tmp_path / "x.png") as image:
        assert image.text == {"seed": "7", "title": "ε = ½"}
        assert np.array_equal(np.asarray(image).reshape(6, 7, channels), pixels.permute(1, 2, 0).numpy())


def test_a_full_disk_is_a_resource_error_and_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    path = tmp_path / "x.png"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ResourceError, match="No space left"):
        images.save_png(path, torch.zeros(1, 3, 8, 8))
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["x.png"]


def test_an_interrupted_write_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        images.save_png(tmp_path / "x.png", torch.zeros(1, 3, 8, 8))
    assert list(tmp_path.iterdir()) == []


def test_an_npz_holds_samples_without_loss(tmp_path: Path) -> None:
    x = torch.randn(5, 2)
    images.save_npz(tmp_path / "x.npz", x, {"seed": "3"}, labels=torch.arange(5))
    with np.load(tmp_path / "x.npz") as data:
        assert np.array_equal(data["samples"], x.numpy())
        assert data["labels"].tolist() == [0, 1, 2, 3, 4]
        assert str(data["seed"]) == "3"


def test_a_folder_holds_one_picture_each_in_its_own_size(tmp_path: Path) -> None:
    x = images.from_uint8(torch.randint(0, 256, (3, 3, 9, 9), dtype=torch.uint8))
    paths = images.save_folder(tmp_path / "cats", x, first=5)
    assert [path.name for path in paths] == ["000005.png", "000006.png", "000007.png"]
    assert torch.equal(images.read_image(paths[1], (3, 9, 9)), x[1])


def test_points_become_a_scatter_plot_and_other_shapes_are_refused(tmp_path: Path) -> None:
    save_samples(tmp_path / "x.png", torch.randn(50, 2), {"seed": "3"})
    with Image.open(tmp_path / "x.png") as image:
        assert image.text == {"seed": "3"}
    for shape in [(4, 3), (4, 2, 8, 8), (4, 8, 8)]:
        with pytest.raises(UsageError, match="npz"):
            save_samples(tmp_path / "y.png", torch.zeros(shape))
    assert not (tmp_path / "y.png").exists()


def test_a_labelled_grid_moves_its_cells_and_changes_none() -> None:
    cells = torch.randint(0, 200, (2, 3, 3, 40, 40), dtype=torch.uint8)
    plain, labelled = (
        images.grid(cells.flatten(0, 1), 3, 2),
        images.labelled_grid(cells, rows=["a", "b"], columns=["1", "2\n3", "4"], scale=2),
    )
    assert torch.equal(labelled[:, -plain.shape[1] :, -plain.shape[2] :], plain)
    assert (labelled[:, : labelled.shape[1] - plain.shape[1]] < 255).any()
    assert (labelled[:, :, : labelled.shape[2] - plain.shape[2]] < 255).any()


@pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n" + b"\0" * 40])
def test_what_is_no_picture_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(content)
    with pytest.raises(UsageError, match="picture"):
        images.read_image(tmp_path / "x.png", (3, 8, 8))


def test_plots_are_the_same_bytes_for_the_same_values() -> None:
    values: dict[str, Any] = {"loss": [3.0, 2.0, 1.5]}
    assert render(curves([1, 2, 3], values)) == render(curves([1, 2, 3], values))
    points = torch.randn(20, 2)
    assert render(scatter(points, labels=torch.arange(20))) == render(scatter(points, labels=torch.arange(20)))


@pytest.mark.parametrize("spread", [(3.0, 0.1), (1.0, 1.0), (0.0, 0.0)])
@pytest.mark.parametrize("seed", [0, 6, 19])
def test_a_plot_of_points_has_equal_scales_and_holds_them_all_without_a_word_in_the_log(
    spread: tuple[float, float], seed: int, caplog: pytest.LogCaptureFixture
) -> None:
    points = torch.randn(20, 2, generator=torch.Generator().manual_seed(seed)) * torch.tensor(spread)
    figure = scatter(points)
    render(figure)
    axes = figure.axes[0]
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    inside = axes.get_window_extent()
    # The layout moves by a pixel or two after the limits are set, since tick labels then differ in width: half a percent of such a plot.
    assert (right - left) / inside.width == pytest.approx((top - bottom) / inside.height, rel=1e-2)
    assert left < points[:, 0].min() <= points[:, 0].max() < right
    assert bottom < points[:, 1].min() <= points[:, 1].max() < top
    assert not caplog.records


def test_a_png_has_the_suffix_of_one_and_its_path_stands_first(tmp_path: Path) -> None:
    x = torch.zeros(1, 3, 8, 8)
    with pytest.raises(UsageError, match=r"save_png writes PNG files.*to_pil"):
        images.save_png(tmp_path / "x.jpg", x)
    with pytest.raises(UsageError, match="the path first"):
        images.save_png(x, "x.png")  # type: ignore[arg-type]
    images.save_png(tmp_path / "X.PNG", x)
    assert [path.name for path in tmp_path.iterdir()] == ["X.PNG"]


def test_a_picture_is_read_as_people_see_it(tmp_path: Path) -> None:
    levels = np.arange(0, 65536, 257, dtype=np.uint16).reshape(16, 16)
    Image.fromarray(levels).save(tmp_path / "deep.png")
    assert np.array_equal(np.asarray(images.open_image(tmp_path / "deep.png", 1)).ravel(), np.arange(256))
    assert images.open_image(tmp_path / "deep.png", 3).mode == "RGB"

    Image.new("RGBA", (4, 4), (0, 0, 0, 0)).save(tmp_path / "clear.png")
    assert np.asarray(images.open_image(tmp_path / "clear.png", 3)).min() == 255

    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("L", (20, 10)).save(tmp_path / "turned.jpg", exif=exif)
    assert images.open_image(tmp_path / "turned.jpg", 1).size == (10, 20)


@pytest.mark.parametrize("data", [b"", b"\x89PNG\r\n\x1a\n" + b"\xff" * 40, b"II*\0" + b"\xff" * 40])
def test_what_is_no_picture_is_named(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(data)
    with pytest.raises(UsageError, match=r"cannot read .*x\.png as a picture"):
        images.open_image(tmp_path / "x.png", 3)
