"""The dtype of exported weights."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import zoo_core
from zoo_core.errors import ConfigError
from zoo_core.recipes import Recipe
from zoo_core.testing import fake_zoo
from zoo_core.testing.fake import FakeDenoiser
from zoo_core.testing.fake_config import NOISE, TINY, FakeDenoiserConfig
from zoo_core.training.export import stored
from zoo_core.training.fit import fit


@pytest.fixture(autouse=True)
def _zoo() -> Iterator[None]:
    with fake_zoo():
        yield


def with_fit(recipe: Recipe, **changes: Any) -> Recipe:
    return replace(recipe, fit=replace(recipe.fit, **changes))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_a_finished_run_is_exported_anew_in_half_precision_without_training(tmp_path: Path, dtype: str) -> None:
    folder = fit(with_fit(NOISE, steps=3), tmp_path)
    whole = load_file(folder / "model.safetensors")
    size = (folder / "model.safetensors").stat().st_size
    assert fit(with_fit(NOISE, steps=3, export_dtype=dtype), tmp_path) == folder
    half = load_file(folder / "model.safetensors")
    floating = [name for name, value in whole.items() if value.is_floating_point()]
    assert floating
    for name, value in whole.items():
        assert torch.equal(half[name], value.to(getattr(torch, dtype)) if name in floating else value)
    assert (folder / "model.safetensors").stat().st_size < size


def test_the_sheet_and_the_golden_samples_are_those_of_the_stored_weights(tmp_path: Path) -> None:
    folder = fit(with_fit(NOISE, steps=3, export_dtype="bfloat16"), tmp_path)
    model = zoo_core.load(f"local:{folder}")
    assert all(value.dtype == torch.float32 for value in model.model.state_dict().values() if value.is_floating_point())
    golden = load_file(folder / "golden.safetensors")["samples"]
    assert torch.equal(model.sample(len(golden), seed=0), golden)


def test_weights_that_half_precision_cannot_hold_are_refused() -> None:
    model = FakeDenoiser(FakeDenoiserConfig())
    next(model.parameters()).data.fill_(1e6)
    with pytest.raises(ConfigError, match="too large for float16 -- choose bfloat16"):
        stored(model, torch.float16, "fit.export_dtype")
    assert next(iter(stored(model, torch.bfloat16, "fit.export_dtype").values())).dtype == torch.bfloat16


def test_recipes_of_a_net_of_two_phases_are_exported_too(tmp_path: Path) -> None:
    folder = fit(with_fit(TINY, steps=2, export_dtype="float16"), tmp_path)
    assert {value.dtype for value in load_file(folder / "model.safetensors").values() if value.is_floating_point()} == {torch.float16}
