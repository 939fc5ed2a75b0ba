"""The layout of diffusers: safetensors are read; pickles, code and other layouts are refused."""

import json
import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import zoo_core
from zoo_core.errors import ConfigError, IncompatibleCheckpoint, TrustError, ZooError
from zoo_core.hub.fetch import fetch
from zoo_core.training.convert import convert

Write = Callable[..., Path]
WEIGHTS = "diffusion_pytorch_model.safetensors"


@pytest.fixture
def tiny(written: Write) -> Path:
    from diffusers.schedulers.scheduling_ddim import DDIMScheduler

    return written(DDIMScheduler(num_train_timesteps=20))


def change(path: Path, **values: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def drawn(folder: Path) -> torch.Tensor:
    return zoo_core.load(f"diffusers:local:{folder}").sample(1, seed=1, steps=2)


def refused(folder: Path, error: type[ZooError] = TrustError) -> str:
    with pytest.raises(error) as caught:
        zoo_core.load(f"diffusers:{folder}")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_components_may_lie_beside_the_index(tiny: Path, tmp_path: Path) -> None:
    flat = tmp_path / "flat"
    flat.mkdir()
    for path in (tiny / "model_index.json", *(tiny / "unet").iterdir(), *(tiny / "scheduler").iterdir()):
        shutil.copy(path, flat)
    assert torch.equal(drawn(flat), drawn(tiny))


def test_weights_in_shards_are_the_same_weights(tiny: Path) -> None:
    expected, tensors = drawn(tiny), load_file(tiny / "unet" / WEIGHTS)
    (tiny / "unet" / WEIGHTS).unlink()
    names = sorted(tensors)
    shards = {f"diffusion_pytorch_model-0000{i}-of-00002.safetensors": names[i - 1 :: 2] for i in (1, 2)}
    for shard, own in shards.items():
        save_file({name: tensors[name] for name in own}, tiny / "unet" / shard)
    index = {"metadata": {}, "weight_map": {name: shard for shard, own in shards.items() for name in own}}
    (tiny / "unet" / f"{WEIGHTS}.index.json").write_text(json.dumps(index))
    assert torch.equal(drawn(tiny), expected)
    index["weight_map"]["conv_in.weight"] = "../../other.safetensors"
    (tiny / "unet" / f"{WEIGHTS}.index.json").write_text(json.dumps(index))
    assert "is not in the layout of diffusers" in refused(tiny)


def test_old_names_of_attention_are_read(tiny: Path) -> None:
    expected, tensors = drawn(tiny), load_file(tiny / "unet" / WEIGHTS)
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    for new, name in old.items():
        tensors = {key.replace(f".{new}.", f".{name}."): value for key, value in tensors.items()}
    assert any(".proj_attn." in key for key in tensors)
    save_file(tensors, tiny / "unet" / WEIGHTS)
    assert torch.equal(drawn(tiny), expected)


def test_the_digest_is_that_of_the_weights_as_one_file(tiny: Path, tmp_path: Path) -> None:
    files = fetch(f"diffusers:{tiny}")
    whole = files.read("model.safetensors")
    (tmp_path / "whole.safetensors").write_bytes(whole)
    stored = load_file(tmp_path / "whole.safetensors")
    original = load_file(tiny / "unet" / WEIGHTS)
    assert {f"net.{name}" for name in original} == set(stored)
    assert all(torch.equal(stored[f"net.{name}"], value) for name, value in original.items())
    assert files.digest("model.safetensors") == sha256(whole).hexdigest()
    assert files.size("model.safetensors") == len(whole)


def test_it_can_be_exported_as_a_checkpoint_of_the_zoo(tiny: Path, tmp_path: Path) -> None:
    convert(zoo_core.load(f"diffusers:local:{tiny}"), tmp_path / "mine", "float32")
    assert torch.equal(zoo_core.load(tmp_path / "mine").sample(1, seed=1, steps=2), drawn(tiny))


def test_pickles_alone_are_refused(tiny: Path) -> None:
    (tiny / "unet" / WEIGHTS).rename(tiny / "unet" / "diffusion_pytorch_model.bin")
    assert "holds its weights only as a pickle, unet/diffusion_pytorch_model.bin, which runs code when it is read" in refused(tiny)


@pytest.mark.parametrize("named", [["my_unet", "MyUNet"], ["diffusers", 3], ["diffusers"]])
def test_code_of_its_own_is_refused(tiny: Path, named: Any) -> None:
    change(tiny / "model_index.json", unet=named)
    assert "names code of its own" in refused(tiny)


def test_a_pipeline_of_its_own_is_refused(tiny: Path) -> None:
    change(tiny / "model_index.json", _class_name=["pipeline", "MyPipeline"])
    assert "names code of its own, pipeline.MyPipeline" in refused(tiny)


def test_an_auto_map_is_refused(tiny: Path) -> None:
    change(tiny / "unet" / "config.json", auto_map={"AutoModel": "mine.Model"})
    assert "names code of its own in unet/config.json" in refused(tiny)


@pytest.mark.parametrize("missing", ["model_index.json", "unet/config.json", "scheduler/scheduler_config.json", f"unet/{WEIGHTS}"])
def test_another_layout_is_refused(tiny: Path, missing: str) -> None:
    (tiny / missing).unlink()
    message = refused(tiny)
    assert "is not in the layout of diffusers" in message
    assert missing in message


def test_classes_that_contradict_each_other_are_refused(tiny: Path) -> None:
    change(tiny / "unet" / "config.json", _class_name="UNet1DModel")
    assert "name different classes" in refused(tiny)


def test_a_net_that_the_bridge_does_not_read_is_a_wrong_config(tiny: Path) -> None:
    change(tiny / "model_index.json", unet=["diffusers", "UNet1DModel"])
    change(tiny / "unet" / "config.json", _class_name="UNet1DModel")
    assert "the bridge reads no UNet1DModel as its unet" in refused(tiny, ConfigError)


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ({"sample_size": None}, ConfigError),
        ({"down_block_types": ["os.system", "DownBlock2D"]}, ConfigError),
        ({"layers_per_block": 10**9}, IncompatibleCheckpoint),
        ({"block_out_channels": [16, 16]}, IncompatibleCheckpoint),
    ],
)
def test_a_config_that_does_not_fit_is_one_line(tiny: Path, values: dict[str, Any], error: type[ZooError]) -> None:
    change(tiny / "unet" / "config.json", **values)
    refused(tiny, error)


def test_options_that_this_version_does_not_know_are_left_out_with_a_warning(tiny: Path, caplog: pytest.LogCaptureFixture) -> None:
    expected = drawn(tiny)
    change(tiny / "unet" / "config.json", later_option=1)
    assert torch.equal(drawn(tiny), expected)
    assert "has no option later_option of UNet2DModel" in caplog.text
