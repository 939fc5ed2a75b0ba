"""Files of figures: formats, sizes, title lines and what made them; figures of points; figures of runs."""

import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from zoo_core import figures, images
from zoo_core.cli.figure import figure
from zoo_core.cli.sample import sample
from zoo_core.errors import UnknownNameError, UsageError, ZooError
from zoo_core.figures.canvas import canvas, render, to_title
from zoo_core.figures.densities import levels_of
from zoo_core.figures.titles import known_as, walk_text
from zoo_core.figures.training import draw_loss
from zoo_core.images import save_png
from zoo_core.loading import load
from zoo_core.pretrained import Pretrained
from zoo_core.samplers import Ancestral, Heun
from zoo_core.testing import fake_zoo, write_checkpoint
from zoo_core.testing.fake import Fake, FakeDenoiser
from zoo_core.testing.fake_config import FakeConfig, FakeDenoiserConfig
from zoo_core.training.preview import save_sheet

SHAPE = (3, 8, 8)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """``points`` and ``images``, which denoise, and ``flow``, points that a flow draws."""
    monkeypatch.chdir(tmp_path)
    with fake_zoo():
        for name, shape in (("points", (2,)), ("images", SHAPE)):
            config = FakeDenoiserConfig(shape=shape, bounded=name == "images")
            write_checkpoint(tmp_path / name, FakeDenoiser(config), config, Heun(steps=4) if name == "points" else Ancestral(steps=4))
        write_checkpoint(tmp_path / "flow", Fake(FakeConfig()), FakeConfig())
        yield


def opened(name: str) -> Pretrained:
    return load(f"local:{name}")


def drawn(*words: str) -> str:
    done = CliRunner().invoke(figure, list(words))
    assert (done.exception, done.stdout) == (None, ""), done.exception
    return done.stderr


def refused(*words: str) -> ZooError:
    error = CliRunner().invoke(figure, list(words)).exception
    assert isinstance(error, ZooError), error
    return error


def written(path: str) -> dict[str, str]:
    with Image.open(path) as image:
        return dict(image.text)  # type: ignore[attr-defined]  # of a PNG file


def run_folder(rows: list[dict[str, float]]) -> Path:
    """A run folder of which nothing but its metrics.jsonl is left."""
    path = Path("runs/mine")
    path.mkdir(parents=True)
    (path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


# Formats


def test_a_pdf_and_an_svg_say_what_made_them_and_are_the_same_bytes_again() -> None:
    for name in ("x.pdf", "x.svg"):
        drawn("local:points", "forward", "-n", "20", "--seed", "7", "--out", name)
        first = Path(name).read_bytes()
        drawn("local:points", "forward", "-n", "20", "--seed", "7", "--out", name)
        assert Path(name).read_bytes() == first
    assert Path("x.pdf").read_bytes().startswith(b"%PDF")
    assert opened("points").files.digest("model.safetensors") in Path("x.svg").read_text()
    assert b"/Subject" in Path("x.pdf").read_bytes()


def test_a_sheet_of_images_is_a_pdf_of_its_size() -> None:
    drawn("local:images", "forward", "-n", "1", "--out", "x.png")
    drawn("local:images", "forward", "-n", "1", "--out", "x.pdf")
    with Image.open("x.png") as image:
        width, height = (side * 72 / 120 for side in image.size)
    box = Path("x.pdf").read_bytes().split(b"/MediaBox [ ")[1].split(b"]")[0].split()
    assert [float(value) for value in box[2:]] == pytest.approx([width, height], abs=0.1)


def test_dpi_and_width_are_those_of_the_picture() -> None:
    for options, factor in (((), 1.0), (("--dpi", "60"), 0.5), (("--width", "3"), 3 * 120 / 768)):
        drawn("local:points", "reverse", "-n", "3", *options, "--out", "x.png")
        with Image.open("x.png") as image:
            assert image.width == pytest.approx(768 * factor, abs=1)


def test_titles_fit_a_narrow_figure() -> None:
    _, axes = made = canvas(7, 4)
    axes.set_title("lines around 50, 90 and 99 % of the mass; 1,000 of the data", fontsize=9)
    to_title(made[0], "a-checkpoint \u00b7 heun, 18 steps \u00b7 seed 0 \u00b7 and more")
    render(made[0], width=3.0)
    for title in (axes.title, made[0]._suptitle):
        box = title.get_window_extent()
        assert 0 <= box.x0 < box.x1 <= made[0].bbox.width


def test_what_cannot_be_written_is_refused_before_anything_is_drawn() -> None:
    assert "figures are .png, .pdf, .svg files" in str(refused("local:images", "reverse", "--out", "x.jpg"))
    assert "--dpi is for plots" in str(refused("local:images", "reverse", "--dpi", "200"))
    assert "--width means nothing for the figure inpaint" in str(refused("local:images", "inpaint", "--width", "4"))
    assert sorted(path.name for path in Path().iterdir()) == ["flow", "images", "points"]


# Titles


def test_every_figure_has_a_title_line_with_checkpoint_sampler_steps_and_seed() -> None:
    drawn("local:images", "reverse", "-n", "1", "--seed", "3", "--sampler", "ddim", "--steps", "5", "--out", "x.png")
    assert written("x.png")["title"] == "images · ddim, 5 steps · seed 3"
    drawn("local:points", "reverse", "-n", "2", "--out", "x.png")
    assert written("x.png")["title"] == "points · heun, 4 steps · seed 0"
    drawn("local:points", "reverse", "-n", "2", "--title", "mine", "--out", "x.png")
    assert written("x.png")["title"] == "mine"


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"name": "ancestral", "steps": 20, "eta": 0.0, "clip": True}, "ddim, 20 steps"),
        ({"name": "ancestral", "steps": 20, "eta": 0.0, "clip": False}, "euler, 20 steps"),
        ({"name": "ancestral", "steps": 1, "eta": 0.5, "clip": True}, "ancestral, 1 step (eta 0.5)"),
        ({"name": "langevin", "steps": 20, "steps_per_level": 50}, "langevin, 20 levels of 50 steps"),
        ({"name": "somebodys", "steps": 2, "k": 3}, "somebodys, 2 steps (k 3)"),
    ],
)
def test_a_sampler_is_called_as_people_know_it(values: dict[str, Any], name: str) -> None:
    assert walk_text(values) == name


def test_a_scheduler_is_named_with_the_options_that_are_not_its_defaults() -> None:
    assert known_as({"name": "karras", "rho": 7.0, "sigma_max": 80.0}) == ("karras", {"sigma_max": 80.0})
    assert walk_text({"name": "heun", "steps": 5}, {"name": "karras", "sigma_max": 80.0}) == "heun, 5 steps on karras (sigma_max 80)"


def test_a_title_and_gaps_between_groups_move_the_cells_of_a_sheet_and_change_none() -> None:
    cells = torch.randint(0, 200, (4, 3, 3, 40, 40), dtype=torch.uint8)
    plain, made = images.labelled_grid(cells, scale=2), images.labelled_grid(cells, title="one line", group=2, scale=2)
    pitch = 80 + images.GAP
    head = made.shape[1] - plain.shape[1] - images._APART
    assert torch.equal(made[:, head : head + 2 * pitch], plain[:, : 2 * pitch])
    assert torch.equal(made[:, -2 * pitch :], plain[:, -2 * pitch :])
    assert (made[:, head + 2 * pitch + images.GAP : -2 * pitch - images.GAP] == 255).all()


def test_a_long_title_takes_more_lines_and_makes_no_sheet_wider() -> None:
    cells = torch.zeros(1, 2, 3, 40, 40, dtype=torch.uint8)
    short, long = (images.labelled_grid(cells, title=title, scale=2) for title in ("few", "many words " * 12))
    assert short.shape[2] == long.shape[2]
    assert long.shape[1] > short.shape[1] + 60


# Points


def test_ways_of_points_begin_at_their_noise_and_end_at_the_samples() -> None:
    model = opened("points")
    found = figures.sample_trajectories(model, 5, seed=2)
    ends = torch.stack([way.at[-1] for way in found])
    torch.testing.assert_close(ends, model.sample(5, seed=2))
    sigmas = model.sampler.noise_levels(model.model, None)
    assert found[0].sigma.tolist() == pytest.approx(sigmas)
    starts = torch.stack([way.at[0] for way in found])
    assert starts.norm(dim=1).max() < 5  # standard normal, though sigma is in the hundreds


def test_points_have_figures_of_noise_of_ways_and_of_paths_between_them() -> None:
    assert "t = 50 (\u03c3 = 1,010, 100 %)" in drawn("local:points", "forward", "-n", "30")
    assert "the trajectories of 9 samples" in drawn("local:points", "reverse", "-n", "9")
    assert "on each of 2 paths between points of seed 0" in drawn("local:points", "interpolate", "-n", "2", "--points", "3")
    assert "on each of 4 paths between points of seed 0" in drawn("local:flow", "interpolate")
    cells = figures.interpolated(opened("flow"), [(0, 3)], 4)
    torch.testing.assert_close(cells[0, [0, -1]], opened("flow").sample(4)[[0, 3]])


def test_a_picture_is_no_point() -> None:
    save_png(Path("a.png"), torch.zeros(1, *SHAPE))
    for kind in ("forward", "reverse"):
        assert "of images, and points draws samples of shape (2,)" in str(refused("local:points", kind, "--image", "a.png"))


def test_forward_adds_to_points_the_noise_of_each_level() -> None:
    model = opened("points")
    x = model.sample(3)
    states = figures.forward(model, x, [0, 50], seed=1)
    torch.testing.assert_close(states[:, 0], x)
    sigma = figures.level_at(figures.trained_levels(model.model), 50)[1]  # type: ignore[arg-type]  # a FakeDenoiser
    torch.testing.assert_close(states[:, 1], model.add_noise(x, sigma, seed=1))


def test_the_lines_of_a_density_hold_the_shares_of_its_mass() -> None:
    """Of the standard normal in the plane, a share s lies where the density is above (1 - s) / (2 pi)."""
    side, reach = 200, 6.0
    at = (torch.arange(side) + 0.5) / side * 2 * reach - reach
    values = torch.exp(-(at[:, None] ** 2 + at**2) / 2).double() / (2 * torch.pi)
    found = figures.Density(values=values, extent=(-reach, reach, -reach, reach), caption="", mass=1.0)
    assert levels_of(found) == pytest.approx([(1 - share) / (2 * torch.pi) for share in (0.99, 0.9, 0.5)], rel=0.03)
    plot = figures.plot_density(found, torch.zeros(3, 2))
    render(plot)
    panel, bar = (axes.get_window_extent() for axes in (plot.axes[0], plot.axes[0].child_axes[0]))
    assert bar.height == pytest.approx(panel.height)


def test_points_are_drawn_by_the_thousand_where_no_number_is_asked_for() -> None:
    done = CliRunner().invoke(sample, ["local:points", "--out", "x.png"])
    assert done.stderr.startswith("x.png: 1000 from points, seed 0, heun, 4 steps; ")
    model = opened("points")
    save_sheet(Path("sheet.png"), model.model, model.sampler, torch.device("cpu"))
    with Image.open("sheet.png") as sheet:
        blue = (np.asarray(sheet.convert("RGB"))[..., 0] < 120).sum()
    assert blue > 3000  # 2,000 points, of which 64 would cover far less


def test_data_samples_and_density_stand_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    data = "gaussian-mixture"
    assert drawn("local:flow", "samples", "-n", "40", "--data", data).endswith("40 points of the data, 40 samples, the learned density\n")
    assert "of points in the plane" in str(refused("local:images", "samples"))


# Back from a picture


def test_the_way_back_begins_at_the_last_noise_of_the_forward_figure() -> None:
    model = opened("images")
    x0 = model.sample(2, seed=9).clamp(-1, 1)
    percents = [60.0, 30.0, 0.0]
    states, guesses, sigmas = figures.reverse(model, 2, percents, seed=4, x0=x0)
    forward = figures.forward(model, x0, percents, seed=4)
    torch.testing.assert_close(states[:, 0], forward[:, 0], rtol=1e-4, atol=1e-5)
    sigma = figures.level_at(figures.trained_levels(model.model), 60)[1]  # type: ignore[arg-type]  # a FakeDenoiser
    expected = model.sample(x=model.add_noise(x0, sigma, seed=4), sigma=sigma, seed=4)
    assert torch.equal(states[:, -1], expected)
    assert torch.equal(guesses[:, -1], expected)
    assert sigmas[0] == pytest.approx(sigma)
    with pytest.raises(UsageError, match="begins at the largest of the percentages, and that is 0"):
        figures.reverse(model, 2, [0.0], x0=x0)


def test_columns_of_a_walk_are_named_by_the_noise_that_they_show() -> None:
    """Two steps from sigma 9 down pass neither the largest level of the model nor most others."""
    config = json.loads(Path("images/config.json").read_text())
    Path("images/config.json").write_text(json.dumps({**config, "scheduler": {"name": "karras", "sigma_max": 9.0}}))
    said = drawn("local:images", "reverse", "-n", "1", "-o", "steps=2", "--at", "100,0", "--out", "x.png")
    assert said == "x.png: 100 % (\u03c3 = 9), 0 % (\u03c3 = 0)\n"
    assert written("x.png")["title"] == "images · ancestral, 2 steps on karras (sigma_max 9) · seed 0"


def test_the_figure_of_the_way_back_takes_a_picture() -> None:
    save_png(Path("a.png"), torch.zeros(1, *SHAPE))
    drawn("local:images", "reverse", "--image", "a.png", "--at", "50,10", "--out", "x.png")
    assert written("x.png")["title"] == "images · ancestral, 4 steps · seed 0 · from the picture at 50 % noise"


# Runs


def test_few_losses_are_marked_and_many_are_smoothed_and_named() -> None:
    def lines(count: int) -> tuple[list[str], list[str]]:
        _, axes = canvas(7, 4)
        draw_loss(axes, range(10, 10 * count + 10, 10), {"loss.model": [1 / (i + 1) for i in range(count)]})
        return [str(line.get_marker()) for line in axes.lines], [text.get_text() for text in axes.get_legend().get_texts()]

    assert lines(1) == (["o"], ["model"])
    markers, texts = lines(100)
    assert set(markers) == {"None"}
    assert texts == ["model", "faint: as logged, mean of 10 steps", "bold: running mean over 50 steps"]


@pytest.mark.parametrize(("low", "high"), [(0.6, 1.01), (0.0999, 0.101), (0.09, 3.0), (1e-5, 1e3), (2.0, 2.0), (-1.0, 3.0)])
def test_labels_of_losses_never_touch(low: float, high: float) -> None:
    figure, axes = canvas(7, 4)
    draw_loss(axes, range(30), {"loss": [low + (high - low) * (29 - i) / 29 for i in range(30)]})
    render(figure)
    bottom, top = axes.get_ylim()
    labels = [tick.label1 for tick in axes.yaxis.get_major_ticks() if bottom <= tick.get_loc() <= top]
    boxes = sorted((label.get_window_extent() for label in labels if label.get_text()), key=lambda box: box.y0)
    assert len(boxes) >= 2
    assert all(below.y1 < above.y0 for below, above in pairwise(boxes))


def test_what_a_run_measured_is_drawn_over_its_steps() -> None:
    rows = [{"step": 0, "fd": 30.0}, {"step": 10, "loss.model": 1.0}, {"step": 50, "loss.model": 0.5, "fd": 4.0, "recall": 0.5}]
    run = run_folder([*rows, {"step": 100, "fd": 5.0, "recall": 0.7}])
    assert drawn(str(run), "metrics").splitlines()[-1] == (
        "mine-metrics.png: fd 30 at step 0, 5 at step 100; recall 0.5 at step 50, 0.7 at step 100"
    )
    assert written("mine-metrics.png")["title"] == "runs/mine · measured while it trained"
    drawn(str(run), "metrics", "--metric", "recall", "--out", "x.png")
    assert written("x.png")["metrics"] == "recall"
    assert "did not measure kid" in str(refused(str(run), "metrics", "--metric", "kid"))
    assert "`zoo figure local:runs/mine metrics` draws" in str(refused(f"local:{run}", "quality"))


def test_a_run_that_measured_nothing_says_how_to() -> None:
    assert "--eval-every" in str(refused(str(run_folder([{"step": 1, "loss": 1.0}])), "metrics"))


def test_a_model_of_one_pass_has_no_quality_over_cost() -> None:
    record = {"metric": "fd", "value": 1.0, "dataset": "x", "n": {"real": 9, "drawn": 9}, "sampler": {"name": "latent"}, "nfe": 1}
    Path("flow/metrics.json").write_text(json.dumps({"metrics": [record]}))
    assert "draws in one pass" in str(refused("local:flow", "quality"))
    record |= {"nfe": 20, "sampler": {"name": "ddim", "steps": 20}}
    Path("flow/metrics.json").write_text(json.dumps({"metrics": [record]}))
    assert "at 20 evaluations of the net alone" in str(refused("local:flow", "quality"))


# What cannot be drawn


def test_an_unknown_figure_is_told_with_those_of_the_checkpoint() -> None:
    error = refused("local:points", "score-feild")
    assert isinstance(error, UnknownNameError)
    assert "did you mean score-field?; figures of local:points: forward, reverse, langevin, score-field, interpolate" in str(error)
    assert "inpaint" not in str(error)
    assert "figures of local:images: forward, reverse, langevin, inpaint, interpolate" in str(refused("local:images", "nope"))


def test_missing_data_sets_are_told_with_where_they_come_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ZOO_DATA", raising=False)
    config = FakeConfig(shape=(1, 28, 28), classes=0, bounded=True)
    write_checkpoint(Path("digits"), Fake(config), config)
    error = str(refused("local:digits", "reconstruct", "--data", "mnist"))
    assert "--data-root DIR" in error
    assert "torchvision" in error
    assert "--image FILE" in error


@pytest.mark.parametrize(
    "curve",
    [[1], 5, {"step": [1, 2], "loss": [1.0]}, {"step": [None], "loss": [1.0]}, {"step": [1], "loss": ["x"]}, {"step": [1], "loss": 2}],
    ids=str,
)
def test_a_training_record_without_a_proper_curve_has_no_loss(curve: object) -> None:
    Path("flow/training.json").write_text(json.dumps({"curve": curve}))
    assert "has no record of a loss" in refused("local:flow", "loss").what
