"""A checkpoint's own sampler with its own noise levels: what is drawn by them, and who tells of them."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

import zoo_core
from zoo_core.cards.metrics_json import by_sampler
from zoo_core.cli.group import main
from zoo_core.config import encode
from zoo_core.errors import UsageError
from zoo_core.evaluation.evaluate import evaluate
from zoo_core.evaluation.golden import GOLDEN, check_golden, write_golden
from zoo_core.pretrained import Pretrained
from zoo_core.samplers import Ancestral, DPMSolver2M
from zoo_core.schedulers import Cosine, Karras
from zoo_core.testing import fake_zoo, write_checkpoint
from zoo_core.testing.fake import FakeDenoiser
from zoo_core.testing.fake_config import NOISE, FakeDataConfig, FakeDenoiserConfig
from zoo_core.training.fit import fit

OWN, LEVELS = DPMSolver2M(steps=4), Karras(sigma_max=20.0)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    config = FakeDenoiserConfig(shape=(3, 8, 8), std=0.5, bounded=True)
    with fake_zoo():
        yield write_checkpoint(tmp_path / "own", FakeDenoiser(config), config, OWN, LEVELS)


@pytest.fixture
def model(folder: Path) -> Pretrained:
    return zoo_core.load(f"local:{folder}")


def levels_of(model: Pretrained, **how: object) -> list[float]:
    seen: list[float] = []
    model.sample(1, on_step=lambda step, sigma, x, x0: seen.append(sigma), **how)  # type: ignore[arg-type]
    return seen


def test_a_checkpoints_sampler_walks_along_its_own_levels_and_other_samplers_along_the_trained_ones(model: Pretrained) -> None:
    low, high = model.model.sigma_range  # type: ignore[misc]
    own = [*LEVELS.sigmas(4, low, high)]
    assert levels_of(model) == levels_of(model, sampler="dpmpp-2m", steps=4) == levels_of(model, sampler=OWN) == own
    assert levels_of(model, steps=6) == [*LEVELS.sigmas(6, low, high)]
    assert levels_of(model, sampler={"name": "ancestral", "steps": 4}) == [*Ancestral(steps=4).noise_levels(model.model, None)]
    assert levels_of(model, scheduler=Karras()) == [*Karras().sigmas(4, low, high)]
    assert levels_of(model, scheduler="cosine") == [*Cosine().sigmas(4, low, high)]


def test_inpainting_walks_along_them_too(model: Pretrained) -> None:
    seen: list[float] = []
    model.inpaint(torch.zeros(1, 3, 8, 8), torch.ones(8), times=1, on_step=lambda step, sigma, x, x0: seen.append(sigma))
    assert seen == levels_of(model)


def test_noisy_samples_above_the_first_of_them_are_taken_up_where_they_are(model: Pretrained) -> None:
    x = model.add_noise(torch.zeros(1, 3, 8, 8), 50.0)
    assert levels_of(model, x=x, sigma=50.0)[0] == 50
    assert levels_of(model, x=x, sigma=2.0)[0] == 2
    with pytest.raises(UsageError, match="take another scheduler"):
        model.sample(x=x, sigma=50.0, scheduler=LEVELS)


def test_golden_samples_say_along_which_levels_they_were_drawn(folder: Path) -> None:
    write_golden(folder)
    assert check_golden(f"local:{folder}").state == "ok"
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "scheduler": None}))  # they are drawn as they were
    assert check_golden(f"local:{folder}").state == "ok"
    assert b"sigma_max" in (folder / GOLDEN).read_bytes()[:2000]


def test_records_say_them_and_are_those_of_the_checkpoints_own_sampler(folder: Path) -> None:
    data = FakeDataConfig(shape=(3, 8, 8))
    records = evaluate(
        f"local:{folder}", ["pixel-std"], data=data, features="identity", n=4, samplers=[None, {"steps": 2}, {"name": "ddim", "steps": 2}]
    )
    assert [record.get("scheduler") for record in records] == [encode(LEVELS), encode(LEVELS), None]
    older = {**records[0], "scheduler": {"name": "karras", "sigma_max": 20.0}}  # than the options rho and sigma_min
    facts = zoo_core.info(f"local:{folder}")
    assert by_sampler([older, *records[1:]], facts["sampler"], facts["scheduler"]) == [older]


def test_the_command_line_and_the_card_tell_them(folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    out = tmp_path / "x.png"
    with pytest.raises(SystemExit, match="0"):
        main(["sample", f"local:{folder}", "-n", "1", "--out", str(out), "--device", "cpu"])
    assert "dpmpp-2m, 4 steps on karras (sigma_max 20); " in capsys.readouterr().err
    assert json.loads(Image.open(out).text["scheduler"])["sigma_max"] == 20  # type: ignore[attr-defined]
    told = "sampled by `dpmpp-2m: steps=4, clip=true on karras: sigma_max=20.0, rho=7.0`"
    assert told in (folder / "README.md").read_text()


def test_a_recipes_levels_become_the_checkpoints(tmp_path: Path) -> None:
    recipe = replace(NOISE, sampler=OWN, scheduler=LEVELS, fit=replace(NOISE.fit, steps=2, sample_every=2))
    with fake_zoo():
        fit(recipe, tmp_path / "run")
        trained = zoo_core.load(f"local:{tmp_path / 'run'}")
        assert levels_of(trained)[0] == 20
        assert check_golden(f"local:{tmp_path / 'run'}").state == "ok"
