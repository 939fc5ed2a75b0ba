"""Figures of Langevin dynamics, of scores and of inpainting."""

import math
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image
from torch import Tensor

from zoo_core import figures
from zoo_core.cli.figure import figure
from zoo_core.errors import CapabilityError, ConfigError, UsageError, ZooError
from zoo_core.figures import clouds, render, score_fields
from zoo_core.images import save_png
from zoo_core.loading import load
from zoo_core.pretrained import Pretrained
from zoo_core.rng import ImageRng
from zoo_core.samplers import Ancestral, Heun, Langevin
from zoo_core.samplers.masks import PARTS, part_mask, read_mask
from zoo_core.schedulers import Cosine
from zoo_core.testing import fake_zoo, write_checkpoint
from zoo_core.testing.fake import Fake, FakeDenoiser
from zoo_core.testing.fake_config import FakeConfig, FakeDenoiserConfig

SHAPE, MEAN, STD = (3, 8, 8), 0.2, 0.5
LANGEVIN = Langevin(steps=5, steps_per_level=4)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """``points`` and ``images``, whose components are N(MEAN, STD^2), and a flow, which has no score."""
    monkeypatch.chdir(tmp_path)
    with fake_zoo():
        for name, shape in (("points", (2,)), ("images", SHAPE)):
            config = FakeDenoiserConfig(shape=shape, bounded=name == "images", mean=MEAN, std=STD)
            write_checkpoint(tmp_path / name, FakeDenoiser(config), config, LANGEVIN if name == "points" else Ancestral(steps=4))
        write_checkpoint(tmp_path / "flow", Fake(FakeConfig()), FakeConfig())
        yield


def opened(name: str) -> Pretrained:
    return load(f"local:{name}")


def drawn(*words: str) -> Result:
    done = CliRunner().invoke(figure, list(words))
    assert (done.exception, done.stdout) == (None, ""), done.exception
    return done


def refused(*words: str) -> ZooError:
    error = CliRunner().invoke(figure, list(words)).exception
    assert isinstance(error, ZooError), error
    assert "\n" not in str(error)
    return error


# Langevin dynamics


@pytest.mark.parametrize("name", ["points", "images"])
def test_the_path_of_langevin_dynamics_goes_from_the_start_to_the_samples_step_by_step(name: str) -> None:
    """Every step on the way, T at a level: x + step/2 (D(x, sigma) - x) + sqrt(step) sigma z."""
    model = opened(name)
    states, shown = figures.langevin(model, 3, range(21), seed=7, sampler=LANGEVIN)
    sigmas = LANGEVIN.noise_levels(model.model, None)
    assert shown == [*((step, sigmas[step // 4]) for step in range(20)), (20, 0.0)]
    assert torch.equal(states[:, -1], model.sample(3, seed=7, sampler=LANGEVIN))
    rng = ImageRng(7, range(3))
    x = model.model.start(rng, sigmas[0])  # type: ignore[operator]  # a fake denoiser
    for step in range(20):
        torch.testing.assert_close(states[:, step], x, rtol=1e-4, atol=1e-4)
        sigma = sigmas[step // 4]
        guess = model.denoise(x, sigma)
        guess = guess.clamp(-1, 1) if name == "images" else guess
        x = x + LANGEVIN.step / 2 * (guess - x) + math.sqrt(LANGEVIN.step) * sigma * rng.normal(*model.event.shape)


def test_by_default_every_fifth_of_the_way_is_shown_and_last_is_the_sample() -> None:
    model = opened("points")
    assert [step for step, _ in figures.langevin(model, 1)[1]] == [0, 4, 8, 12, 16, 20]
    thousand = Langevin(steps=10, steps_per_level=100)
    assert [step for step, _ in figures.langevin(model, 1, sampler=thousand)[1]] == [0, 200, 400, 600, 800, 1000]
    states, shown = figures.langevin(model, 2, [0, None])
    assert shown[1] == (20, 0.0)
    assert torch.equal(states[:, 1], model.sample(2))


def test_another_checkpoints_dynamics_are_langevins_defaults_and_another_sampler_is_refused() -> None:
    assert figures.annealed(opened("images")) == Langevin()
    assert figures.annealed(opened("points")) == LANGEVIN
    with pytest.raises(UsageError, match="of Langevin dynamics, not of Heun"):
        figures.annealed(opened("points"), Heun())


def test_the_figure_of_langevin_dynamics_says_what_it_shows() -> None:
    done = drawn("local:points", "langevin", "--show", "0,7,last", "-n", "50", "--seed", "3")
    sigmas = LANGEVIN.noise_levels(opened("points").model, None)
    assert done.stderr == f"points-langevin.png: step 0 (\u03c3 = 1,010), step 7 (\u03c3 = {sigmas[1]:.3g}), step 20 (the end)\n"
    with Image.open("points-langevin.png") as image:
        assert (image.text["steps"], image.text["seed"], image.text["reference"]) == ("0,7,20", "3", "local:points")
        assert '"steps_per_level": 4' in image.text["sampler"]
        one_row = image.height
    drawn("local:points", "langevin", "-n", "50")
    with Image.open("points-langevin.png") as image:
        assert image.height > 1.8 * one_row  # six panels, in two rows
    drawn("local:images", "langevin", "-n", "2", "-o", "steps=3", "-o", "steps_per_level=2", "--out", "x.png")
    with Image.open("x.png") as image:
        assert image.text["steps"] == "0,1,2,3,4,6"


def test_clouds_show_every_panel_and_are_the_same_bytes_again() -> None:
    points = torch.randn(9, 3, 2)
    assert render(clouds(points, ["a$", "b", "c"])) == render(clouds(points, ["a$", "b", "c"]))
    assert render(clouds(torch.ones(1, 1, 2), ["one point"]))


# The score


def test_the_score_field_is_the_gradient_of_the_log_density_around_the_samples() -> None:
    """Of N(m, s^2 I) under noise sigma: -(x - m) / (s^2 + sigma^2)."""
    model = opened("points")
    x = model.sample(200)
    for sigma in (0.1, 2.0):
        field = figures.score_field(model, sigma, x, side=9)
        assert field.at.shape == field.score.shape == (81, 2)
        torch.testing.assert_close(field.score, -(field.at - MEAN) / (STD**2 + sigma**2), rtol=1e-3, atol=1e-4)
        assert (field.at.min(0).values < x.min(0).values).all()
        assert (field.at.max(0).values > x.max(0).values).all()


def test_paths_end_at_the_samples_and_begin_where_they_stay_on_the_field() -> None:
    model = opened("points")
    field = figures.score_field(model, 0.1, model.sample(500))
    low, high = field.at.min(0).values, field.at.max(0).values
    found = figures.langevin_trajectories(model, 6, field)
    states, shown = figures.langevin(model, 6, range(21))
    for path, state in zip(found, states, strict=True):
        begin = 21 - len(path.at)
        assert torch.equal(path.at, state[begin:])
        assert path.sigma.tolist() == pytest.approx([sigma for _, sigma in shown[begin:]])
        assert ((path.at >= low) & (path.at <= high)).all()
        if begin:
            before = state[begin - 1]
            assert ((before < low) | (before > high)).any()


def test_the_figure_of_the_score_says_at_which_levels() -> None:
    levels = Cosine(T=50).levels
    done = drawn("local:points", "score-field", "-n", "2", "--at", "0,50")
    expected = f"the score at sigma {levels[0]:.3g}, {levels[24]:.3g}; 2 trajectories of Langevin dynamics, from circle to star"
    assert done.stderr == f"points-score-field.png: {expected}\n"
    with Image.open("points-score-field.png") as image:
        assert image.text["sigma"] == f"{levels[0]:g},{levels[24]:g}"
        two = image.width
    drawn("local:points", "score-field")
    with Image.open("points-score-field.png") as image:
        assert image.width * 3 == pytest.approx(2 * two, rel=0.01)  # a panel for each level, and one for the walks


def test_a_score_that_is_0_everywhere_is_drawn() -> None:
    at = torch.cartesian_prod(torch.arange(3.0), torch.arange(3.0))
    end = figures.Trajectory(at=torch.ones(1, 2), sigma=torch.zeros(1))
    assert render(score_fields([figures.Field(sigma=1.0, at=at, score=torch.zeros(9, 2))], [end]))


# Inpainting


def test_an_image_its_known_part_and_completions_stand_in_a_row() -> None:
    model, mask = opened("images"), part_mask("left", SHAPE)
    x = model.sample(2, seed=4).clamp(-1, 1)
    cells = figures.inpainted(model, x, mask, 3, seed=1, sampler=Heun(steps=3), times=2, first=5)
    assert cells.shape == (2, 5, *SHAPE)
    assert torch.equal(cells[:, 0], x)
    assert torch.equal(cells[:, 1, :, :, :4], x[:, :, :, :4])
    assert not cells[:, 1, :, :, 4:].any()
    expected = model.inpaint(x.repeat_interleave(3, 0), mask, seed=1, sampler=Heun(steps=3), times=2, first=5)
    assert torch.equal(cells[:, 2:].flatten(0, 1), expected)
    assert not torch.equal(cells[:, 2], cells[:, 3])


SHARES = {"top": 0.5, "bottom": 0.5, "left": 0.5, "right": 0.5, "centre": 0.25, "border": 0.75}


def test_a_mask_is_a_part_or_the_white_of_a_picture(tmp_path: Path) -> None:
    assert set(SHARES) == set(PARTS)
    for name, share in SHARES.items():
        mask = read_mask(name, SHAPE)
        assert (mask.shape, mask.dtype, mask.float().mean().item()) == ((1, 8, 8), torch.bool, share)
    assert torch.equal(part_mask("top", SHAPE) ^ part_mask("bottom", SHAPE), torch.ones(1, 8, 8, dtype=torch.bool))
    assert torch.equal(part_mask("centre", SHAPE), ~part_mask("border", SHAPE))
    assert part_mask("right", SHAPE)[:, :, 4:].all()
    assert part_mask("top", SHAPE)[:, :4].all()
    picture: Tensor = part_mask("right", SHAPE) * 2.0 - 1
    save_png(tmp_path / "mask.png", picture[None])
    with Image.open(tmp_path / "mask.png") as image:
        image.crop((0, 0, image.width, image.height)).resize((8, 8), Image.Resampling.NEAREST).save(tmp_path / "small.png")
    assert torch.equal(read_mask(str(tmp_path / "small.png"), SHAPE), part_mask("right", SHAPE))
    with pytest.raises(UsageError, match="no mask middle -- name a picture whose white pixels are known, or one of top, bottom"):
        read_mask("middle", SHAPE)


def test_the_figure_of_inpainting_says_what_was_known() -> None:
    done = drawn("local:images", "inpaint", "--mask", "border", "-n", "2", "--times", "2", "--steps", "3", "--sampler", "heun")
    assert done.stderr == "images-inpaint.png: 4 images of which 75% is known (border), 2 completions of each\n"
    with Image.open("images-inpaint.png") as image:
        assert (image.text["mask"], image.text["times"]) == ("border", "2")
        assert '"heun", "steps": 3' in image.text["sampler"]
        wide = image.width
    drawn("local:images", "inpaint", "--image", "images-inpaint.png", "-n", "1", "--times", "1")
    with Image.open("images-inpaint.png") as image:
        assert image.width < wide


def test_the_figure_of_inpainting_walks_the_levels_that_are_asked_for() -> None:
    drawn("local:images", "inpaint", "-n", "1", "--steps", "3", "--scheduler", "karras", "-o", "scheduler.rho=3", "--out", "karras.png")
    drawn("local:images", "inpaint", "-n", "1", "--steps", "3", "--out", "own.png")
    with Image.open("karras.png") as karras, Image.open("own.png") as own:
        assert '"karras"' in karras.text["scheduler"]
        assert '"rho": 3' in karras.text["scheduler"]
        assert "scheduler" not in own.text
        assert karras.tobytes() != own.tobytes()


def test_completions_of_samples_are_not_the_samples_again() -> None:
    """They are images 4 and on, where the samples are images 0 to 3."""
    drawn("local:images", "inpaint", "-n", "1", "--times", "1", "--out", "x.png")
    model, mask = opened("images"), part_mask("left", SHAPE)
    x = model.sample(4)
    assert (model.inpaint(x, mask, times=1, first=4) - x).abs().mean() > 2 * (model.inpaint(x, mask, times=1) - x).abs().mean()


# What cannot be drawn


@pytest.mark.parametrize(
    ("kind", "option", "value"),
    [
        ("forward", "--mask", "top"),
        ("forward", "--steps", "3"),
        ("loss", "--seed", "0"),
        ("quality", "-n", "3"),
        ("inpaint", "--show", "1"),
        ("density", "-o", "k=3"),
    ],
)
def test_an_option_that_means_nothing_for_a_figure_is_refused(kind: str, option: str, value: str) -> None:
    assert str(refused("local:images", kind, option, value)).startswith(f"{option} means nothing for the figure {kind} -- ")


def test_what_has_no_such_figure_says_why() -> None:
    assert "of points in the plane, and images draws" in str(refused("local:images", "score-field"))
    assert "of images, and points draws" in str(refused("local:points", "inpaint"))
    assert "there is no Langevin step 21: 5 levels of 4 make 20" in str(refused("local:points", "langevin", "--show", "21"))
    assert "is not a list of steps" in str(refused("local:points", "langevin", "--show", "one"))
    assert "choose --sampler langevin" in str(refused("local:points", "langevin", "--sampler", "heun"))
    assert "room for 64" in str(refused("local:images", "langevin", "-n", "65"))
    assert "no mask middle" in str(refused("local:images", "inpaint", "--mask", "middle"))
    assert "masked_score is for inpainting" in str(refused("local:points", "langevin", "-o", "masked_score=true"))
    masked = refused("local:images", "inpaint", "--sampler", "langevin", "-o", "masked_score=true")
    assert isinstance(masked, ConfigError)
    assert "step must be below" in str(masked)
    for kind in ("langevin", "score-field", "inpaint"):
        assert isinstance(refused("local:flow", kind), CapabilityError)
    assert not list(Path().glob("*.png"))
