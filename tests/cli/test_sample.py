"""``zoo sample`` and the figures of a checkpoint: what is drawn, and what the file says of its making."""

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from zoo_core.hub.fetch import fetch
from zoo_core.images import grid, to_uint8

pytestmark = pytest.mark.usefixtures("quiet")

Zoo = Callable[..., Any]


def test_sample_writes_a_grid_that_says_what_made_it(zoo: Zoo, fakes: Path) -> None:
    code, out, err = zoo("sample", "fake-images", "-n", 4, "--seed", 3, "--labels", "0,2", "--steps", 7, "-o", "eta=0.5", "--device", "cpu")
    assert (code, out) == (0, "")
    assert err.startswith("fake-images.png: 4 from fake-images, seed 3, ancestral, 7 steps (eta 0.5); ")
    with Image.open("fake-images.png") as image:
        text = image.text
    assert text["reference"] == "fake-images"
    assert text["weights"] == "sha256:" + fetch("fake-images").digest("model.safetensors")
    assert json.loads(text["sampler"]) == {"name": "ancestral", "steps": 7, "eta": 0.5, "clip": True, "variance": "small"}
    assert (text["seed"], json.loads(text["labels"]), text["images"]) == ("3", [0, 2, 0, 2], "0-3")


@pytest.mark.parametrize(
    ("labels", "classes", "columns"),
    [("0-2", [0, 1, 2], 3), ("1-2,0", [1, 2, 0], 3), ("2-2", [2], 5), ("0,2", [0, 2], 4), ("1,1,0,0,2,2", [1, 1, 0, 0, 2, 2], 6)],
)
def test_classes_take_turns_and_have_columns_of_their_own(zoo: Zoo, fakes: Path, labels: str, classes: list[int], columns: int) -> None:
    for out in ("x.png", "x.npz"):
        assert zoo("sample", "fake-images", "-n", 14, "--labels", labels, "--out", out).code == 0
    with np.load("x.npz") as data:
        assert data["labels"].tolist() == [classes[i % len(classes)] for i in range(14)]
        expected = grid(torch.from_numpy(data["samples"]), columns)
    with Image.open("x.png") as image:
        assert np.array_equal(np.asarray(image), expected.permute(1, 2, 0).numpy())


def test_the_same_images_come_as_grid_folder_and_npz(zoo: Zoo, fakes: Path) -> None:
    for out in ("x.npz", "cats", "x.png"):
        assert zoo("sample", "fake-images", "-n", 3, "--out", out).code == 0
    with np.load("x.npz") as data:
        pixels = to_uint8(torch.from_numpy(data["samples"]))
    for i, path in enumerate(sorted(Path("cats").iterdir())):
        with Image.open(path) as image:
            assert np.array_equal(np.asarray(image), pixels[i].permute(1, 2, 0).numpy())


def test_points_are_drawn_as_a_scatter_plot_and_not_clipped(zoo: Zoo, fakes: Path) -> None:
    assert zoo("sample", "fake-points", "-n", 400, "--out", "x.png").code == 0
    assert zoo("sample", "fake-points", "-n", 400, "--out", "x.npz").code == 0
    with np.load("x.npz") as data:
        assert np.abs(data["samples"]).max() > 1
    with Image.open("x.png") as image:
        assert image.width > 400


def test_naming_a_sampler_starts_from_its_own_defaults(zoo: Zoo, fakes: Path) -> None:
    assert "seed 0, ddim, 50 steps;" in zoo("sample", "fake-images", "-n", 1, "--sampler", "ddim").err
    assert "seed 0, ancestral, 5 steps;" in zoo("sample", "fake-images", "-n", 1).err
    assert ", 5 steps on karras;" in zoo("sample", "fake-images", "-n", 1, "--scheduler", "karras").err


def test_options_of_the_scheduler_change_the_noise_levels(zoo: Zoo, fakes: Path) -> None:
    for rho, name in ((3, "a.png"), (7, "b.png")):
        assert zoo("sample", "fake-images", "-n", 1, "--scheduler", "karras", "-o", f"scheduler.rho={rho}", "--out", name).code == 0
    with Image.open("a.png") as a, Image.open("b.png") as b:
        assert json.loads(a.info["scheduler"])["rho"] == 3
        assert a.tobytes() != b.tobytes()


def test_the_forward_figure_starts_at_the_picture_and_ends_in_noise(zoo: Zoo, fakes: Path) -> None:
    pixels = np.full((8, 8, 3), 200, dtype=np.uint8)
    Image.fromarray(pixels).save("grey.png")
    code, out, err = zoo("figure", "fake-images", "forward", "--image", "grey.png", "--out", "x.png")
    assert (code, out) == (0, "")
    assert "x.png: t = 0 (\u03c3 = 0, 0 %), t = 5 (\u03c3 = 0.169, 10 %), " in err
    assert err.endswith(", t = 50 (\u03c3 = 1,010, 100 %)\n")
    with Image.open("x.png") as image:
        cells = np.asarray(image.convert("RGB"))[-130:, :].astype(float)
    spread = [cells[5:120, left : left + 115].std() for left in range(5, 5 * 130, 130)]
    assert spread[0] == 0
    assert all(earlier < later + 5 for earlier, later in pairwise(spread))
    assert spread[-1] > 50


def test_the_reverse_figure_ends_with_the_sample(zoo: Zoo, fakes: Path) -> None:
    assert zoo("figure", "fake-images", "reverse", "-n", 1, "--out", "x.png").code == 0
    assert zoo("sample", "fake-images", "-n", 1, "--out", "s.npz").code == 0
    with Image.open("x.png") as image, np.load("s.npz") as data:
        cell = np.asarray(image)[-258:-130, -130:-2][8::16, 8::16]
        assert np.array_equal(cell, to_uint8(torch.from_numpy(data["samples"]))[0].permute(1, 2, 0).numpy())
        assert image.text["reference"] == "fake-images"


def test_the_loss_of_a_run_is_drawn_from_its_metrics(zoo: Zoo, tmp_path: Path) -> None:
    run_folder = tmp_path / "run"
    run_folder.mkdir()
    lines = [json.dumps({"step": step, "loss.model": 1 / step, "seconds": step}) for step in range(1, 50)]
    (run_folder / "metrics.jsonl").write_text("\n".join(lines) + '\n{"step": 50, "lo')
    code, out, err = zoo("figure", "run", "loss", "--out", "x.png")
    assert (code, out, err) == (0, "", "x.png: loss.model over 49 steps\n")
    assert zoo("figure", "local:run", "loss").err == "run-loss.png: loss.model over 49 steps\n"
    with Image.open("x.png") as image:
        assert image.width > 600
