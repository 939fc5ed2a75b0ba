"""Checkpoints whose weights are stored in another dtype."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file, save_file

import zoo_core
from zoo_core.cli.export import export as command
from zoo_core.errors import ConfigError, UsageError
from zoo_core.evaluation.golden import check_golden
from zoo_core.testing import fake_zoo
from zoo_core.testing.fake_config import NOISE
from zoo_core.training.convert import convert
from zoo_core.training.fit import fit


@pytest.fixture(autouse=True)
def _zoo() -> Iterator[None]:
    with fake_zoo():
        yield


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    return fit(replace(NOISE, fit=replace(NOISE.fit, steps=3)), tmp_path / "run")


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_the_weights_are_the_originals_in_another_dtype(trained: Path, tmp_path: Path, dtype: str) -> None:
    folder = convert(zoo_core.load(f"local:{trained}"), tmp_path / "half", dtype)
    whole, half = load_file(trained / "model.safetensors"), load_file(folder / "model.safetensors")
    assert whole.keys() == half.keys()
    assert all(torch.equal(half[name], value.to(getattr(torch, dtype))) for name, value in whole.items() if value.is_floating_point())
    assert check_golden(f"local:{folder}").largest == 0.0


def test_the_record_names_the_dtype_and_the_original(trained: Path, tmp_path: Path) -> None:
    folder = convert(zoo_core.load(f"local:{trained}"), tmp_path / "half", "float16")
    record, original = (json.loads((each / "training.json").read_text()) for each in (folder, trained))
    assert record.pop("converted_from") == hashlib.sha256((trained / "model.safetensors").read_bytes()).hexdigest()
    assert record["recipe"]["fit"].pop("export_dtype") == "float16"
    assert original["recipe"]["fit"].pop("export_dtype") == "float32"
    assert record == original
    assert not (folder / "metrics.json").exists()


def test_a_folder_with_files_is_left_alone(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="is not empty -- name a new folder"):
        convert(zoo_core.load(f"local:{trained}"), tmp_path / "mine", "float16")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes.txt"]


def test_weights_too_large_for_the_dtype_are_refused_before_anything_is_written(trained: Path, tmp_path: Path) -> None:
    path = trained / "model.safetensors"
    save_file({name: value + 1e6 for name, value in load_file(path).items()}, path, metadata={"format": "pt"})
    with pytest.raises(ConfigError, match=r"^dtype: .* too large for float16 -- choose bfloat16"):
        convert(zoo_core.load(f"local:{trained}"), tmp_path / "half", "float16")
    assert not (tmp_path / "half").exists()


def test_the_command_writes_the_folder_and_refuses_options_of_other_formats(trained: Path, tmp_path: Path) -> None:
    def run(*words: str) -> str:
        result = CliRunner().invoke(command, [f"local:{trained}", *words])
        return str(result.exception) if result.exception else result.output

    out = tmp_path / "half"
    assert "of weights in bfloat16" in run("--format", "safetensors", "--dtype", "bfloat16", "--out", str(out))
    assert zoo_core.load(f"local:{out}").sample(2, seed=0).isfinite().all()
    assert "--part is of the formats onnx and torch" in run("--format", "safetensors", "--part", "denoise")
    assert "--dtype is of the format safetensors" in run("--dtype", "float16")
