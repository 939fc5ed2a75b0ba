"""Theorems about golden samples: they are drawn again, and nothing that they depend on can change unnoticed."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from safetensors.torch import load_file, save_file

import zoo_core.evaluation.golden
from zoo_core.cli.verify import verify
from zoo_core.errors import ConfigError, IntegrityError, NotFoundError
from zoo_core.evaluation.golden import GOLDEN, check_golden
from zoo_core.pretrained import Pretrained
from zoo_core.samplers import Ancestral
from zoo_core.testing import fake_zoo
from zoo_core.testing.fake_config import IMAGES, NOISE, FakeDenoiserConfig
from zoo_core.training.fit import fit


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A checkpoint of a labelled denoiser of images."""
    recipe = replace(
        NOISE,
        model=FakeDenoiserConfig(shape=(3, 8, 8), classes=3, bounded=True),
        data=IMAGES.data,
        fit=replace(NOISE.fit, steps=3),
    )
    with fake_zoo():
        yield fit(recipe, tmp_path / "run")


def edit(path: Path, change: Any) -> None:
    """Changes the metadata of a safetensors file."""
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    change(header["__metadata__"])
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + size :])


def test_golden_samples_are_drawn_again(folder: Path) -> None:
    found = check_golden(f"local:{folder}")
    assert (found.state, found.same_build) == ("ok", True)
    assert found.largest <= 1e-5
    assert found.pixels == 1
    assert load_file(folder / GOLDEN)["samples"].shape == (4, 3, 8, 8)


def test_one_changed_weight_is_noticed(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    weights["mean"].view(-1)[0] += 0.01
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    assert check_golden(f"local:{folder}").state == "differs"


def test_changed_arithmetic_of_the_sampler_is_noticed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    levels = Ancestral.noise_levels

    def other(self: Ancestral, *arguments: Any) -> tuple[float, ...]:
        return tuple(1.01 * sigma for sigma in levels(self, *arguments))

    monkeypatch.setattr(Ancestral, "noise_levels", other)
    assert check_golden(f"local:{folder}").state == "differs"


@pytest.mark.parametrize(
    "change",
    [
        lambda facts: facts.update(seed="1"),
        lambda facts: facts.update(labels="[2, 1, 0, 0]"),
        lambda facts: facts.update(sampler=facts["sampler"].replace('"steps": 10', '"steps": 5')),
    ],
    ids=["seed", "labels", "sampler"],
)
def test_an_edited_record_is_noticed(folder: Path, change: Any) -> None:
    edit(folder / GOLDEN, change)
    assert check_golden(f"local:{folder}").state == "differs"


def test_another_build_may_differ_in_the_last_digits(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = load_file(folder / GOLDEN)["samples"]
    monkeypatch.setattr(zoo_core.evaluation.golden, "build", lambda: {"torch": "another"})
    monkeypatch.setattr(Pretrained, "sample", lambda self, *_, **__: kept + 5e-5)
    found = check_golden(f"local:{folder}")
    assert (found.state, found.same_build) == ("ok", False)
    monkeypatch.setattr(Pretrained, "sample", lambda self, *_, **__: kept + 2e-4)
    assert check_golden(f"local:{folder}").state == "differs"


def test_what_is_missing_or_malformed_says_so(folder: Path) -> None:
    edit(folder / GOLDEN, lambda facts: facts.pop("seed"))
    with pytest.raises(ConfigError, match=r"golden.safetensors is not what the zoo writes"):
        check_golden(f"local:{folder}")
    (folder / GOLDEN).unlink()
    with pytest.raises(NotFoundError, match=r"has no golden.safetensors"):
        check_golden(f"local:{folder}")


def test_the_command_says_how_far_they_are_apart_and_fails_where_they_are(folder: Path) -> None:
    done = CliRunner().invoke(verify, [f"local:{folder}", "--quick"], catch_exceptions=False)
    assert done.exit_code == 0
    assert done.stdout.startswith("ok ")
    assert "100.00% of pixels equal, on the build that drew them" in done.stdout
    edit(folder / GOLDEN, lambda facts: facts.update(seed="1"))
    with pytest.raises(IntegrityError, match=r"cannot be drawn again"):
        CliRunner().invoke(verify, [f"local:{folder}", "--quick"], catch_exceptions=False)
