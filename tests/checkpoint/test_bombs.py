"""Small or sparse checkpoints that ask for hours and gigabytes are refused in a second and little memory, before they are built or read."""

import json
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import zoo_core
from zoo_core.errors import ConfigError, IncompatibleCheckpoint, IntegrityError, ResourceError, UnsafeContentError, ZooError
from zoo_core.hub.fetch import fetch, pull
from zoo_core.publishing.bundle import prepare
from zoo_core.recipes import Recipe
from zoo_core.registry import registry
from zoo_core.samplers import Ancestral
from zoo_core.specs import ModelSpec
from zoo_core.testing import fake_zoo, installed, write_checkpoint, write_checkpoint_plugin, write_fake_plugin
from zoo_core.testing.fake import Fake
from zoo_core.testing.fake_config import FakeConfig, FakeDataConfig, FakeTrainerConfig

# Configs within the ranges of each family, whose models would have up to millions of modules, or gigabytes of anything.
BOMBS: dict[str, dict[str, Any]] = {
    "realnvp": {"shape": [3, 256, 256], "couplings": 1024, "scales": 8, "blocks": 64},
    "maf": {"shape": [3, 1024, 1024], "layers": 256, "hidden": 16, "width": 16_384, "order": "random"},
    "ddpm": {"image_size": 4096, "multipliers": [1] * 12, "blocks": 32, "linear_attention": [4096, 2048, 1024]},
    "ncsn-langevin": {
        "shape": [1, 4096, 4096],
        "multipliers": [1] * 12,
        "dilations": [1] * 12,
        "blocks": 32,
        "units": 32,
        "levels": 100_000,
    },
    "classifier": {"image_size": 4096, "widths": [1] * 12, "blocks": 64},
    "dcgan": {"shape": [1, 1024, 1024], "stages": 8, "width": 1024},
    "wgan-gp": {"shape": [1, 1024, 1024], "width": 2048, "stages": 6},
    "stylegan": {"shape": [3, 4096, 4096], "stages": 10, "width": 4096, "style": 65_536, "mapping_layers": 64},
    "projected-gan": {"shape": [1, 1024, 1024], "stages": 8, "width": 1024},
    "biggan": {"shape": [3, 4096, 4096], "multipliers": [1] * 12, "num_classes": 100_000, "latent": 65_520, "attention": []},
    "projection-cgan": {"shape": [3, 4096, 4096], "multipliers": [1] * 12, "num_classes": 100_000},
    "vae": {"shape": [3, 4096, 4096], "hidden": [65_536] * 12},
}


@pytest.fixture
def fakes() -> Iterator[None]:
    with fake_zoo():
        yield


@pytest.fixture
def flow(tmp_path: Path, fakes: None) -> Path:
    return write_checkpoint(tmp_path / "flow", Fake(FakeConfig()), FakeConfig())


def rewrite(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def sparse(path: Path, tensors: dict[str, Any], size: int) -> None:
    """A safetensors file of ``size`` bytes of numbers that takes no room on the disk."""
    header = json.dumps(tensors).encode()
    header += b" " * (-len(header) % 8)
    path.write_bytes(struct.pack("<Q", len(header)) + header)
    with path.open("r+b") as file:
        file.truncate(8 + len(header) + size)


# --- configs


@pytest.mark.parametrize("family", BOMBS)
def test_a_config_that_describes_far_more_than_the_weights_is_refused_in_a_second(family: str, tmp_path: Path) -> None:
    if family not in registry().claims(ModelSpec):
        pytest.skip(f"no plugin has the family {family}")
    save_file({f"w{i}": torch.zeros(3) for i in range(40)}, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps({"format": 1, "weights_version": 1, "model": {"name": family, **BOMBS[family]}}))
    with pytest.raises(ZooError):
        zoo_core.load(f"local:{tmp_path}")  # imports the family
    started = time.process_time()
    with pytest.raises(IncompatibleCheckpoint, match="describes a model far larger than its weights, which are 40 tensors"):
        zoo_core.load(f"local:{tmp_path}")
    assert time.process_time() - started < 1


def test_modules_without_weights_are_counted_too(tmp_path: Path, write_dots: Callable[..., Path]) -> None:
    site = write_dots(
        tmp_path / "site", "self.mean = nn.P", "self.none = nn.ModuleList(nn.Identity() for _ in range(10**7)); self.mean = nn.P"
    )
    folder = tmp_path / "dot"
    folder.mkdir()
    save_file({"mean": torch.zeros(2)}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"format": 1, "weights_version": 1, "model": {"name": "dot"}}))
    with installed(site), pytest.raises(IncompatibleCheckpoint, match="far larger than its weights, which are 1 tensor"):
        zoo_core.load(f"local:{folder}")


@pytest.mark.parametrize(
    "sampler",
    [
        {"name": "ancestral", "steps": 100_000},
        {"name": "langevin", "steps": 500, "steps_per_level": 500},
        {"name": "predictor-corrector", "steps": 6000, "corrections": 1},
    ],
    ids=lambda sampler: sampler["name"],
)
def test_a_default_of_very_many_steps_is_refused(sampler: dict[str, Any], flow: Path) -> None:
    rewrite(flow, sampler=sampler)
    with pytest.raises(ConfigError, match=r"sampler: \S+ steps by default, more than 10,000"):
        zoo_core.load(f"local:{flow}")


def test_a_recipe_whose_checkpoint_would_be_refused_is_refused_before_training() -> None:
    with pytest.raises(ConfigError, match="10,001 steps by default"):
        Recipe(model=FakeConfig(), trainer=FakeTrainerConfig(), data=FakeDataConfig(), sampler=Ancestral(steps=10_001))


# --- weights

LIMITED = """
import resource, sys, time
import zoo_core.checkpoint.build, zoo_core.publishing.bundle, zoo_core.pretrained, zoo_core.testing
from zoo_core.errors import ZooError
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
started = time.process_time()
with zoo_core.testing.fake_zoo():
    for act in (zoo_core.load, lambda reference: zoo_core.publish(reference, "org/name", license="mit", dry_run=True)):
        try:
            act("local:" + sys.argv[1])
        except ZooError as error:
            print(type(error).__name__)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, time.process_time() - started)
"""


def test_a_sparse_file_of_15_gib_is_refused_by_its_header(flow: Path) -> None:
    sparse(flow / "model.safetensors", {"w": {"dtype": "F32", "shape": [15 << 28], "data_offsets": [0, 15 << 30]}}, 15 << 30)
    done = subprocess.run([sys.executable, "-c", LIMITED, str(flow)], capture_output=True, text=True, check=True)
    *errors, used = done.stdout.splitlines()
    assert errors == ["IncompatibleCheckpoint"] * 2
    grown, seconds = used.split()
    # What grows are modules that are imported on the way; the file is thirty times as large.
    assert int(grown) * (1 if sys.platform == "darwin" else 1024) < 500e6
    assert float(seconds) < 10


def test_weights_that_fit_the_config_and_not_the_memory_are_refused_with_numbers(flow: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zoo_core.hardware.memory._SMALL", 0)
    monkeypatch.setattr("zoo_core.checkpoint.files.demand_memory", lambda *arguments: None)
    monkeypatch.setattr("zoo_core.hardware.memory.available_memory", lambda: 10)
    with pytest.raises(ResourceError, match=r"the weights of local:.* take 0\.0 GB of memory, and 0\.0 GB are available"):
        zoo_core.load(f"local:{flow}")


def test_loading_takes_the_memory_of_the_weights_once(tmp_path: Path) -> None:
    script = """
import resource, sys
import torch, zoo_core.checkpoint.build, zoo_core.pretrained
from zoo_core.hub.fetch import fetch
from zoo_core.checkpoint.build import _read
files = fetch("local:" + sys.argv[1])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
state = files.stream("model.safetensors", lambda stream: _read(stream, stream.header()))
assert state["w"].shape == (1 << 26,)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    (tmp_path / "config.json").write_text("{}")
    sparse(tmp_path / "model.safetensors", {"w": {"dtype": "F32", "shape": [1 << 26], "data_offsets": [0, 1 << 28]}}, 1 << 28)
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True)
    assert int(done.stdout) * (1 if sys.platform == "darwin" else 1024) < 1.15 * (1 << 28)


@pytest.mark.parametrize("value", [1e300, -1e300, 3.5e38, float(torch.finfo(torch.float32).max) * (1 + 2**-24)])
def test_float64_weights_beyond_float32_are_refused_everywhere(value: float, flow: Path) -> None:
    wide = {name: tensor.double() for name, tensor in load_file(flow / "model.safetensors").items()}
    next(iter(wide.values())).view(-1)[0] = value
    save_file(wide, flow / "model.safetensors")
    reference = f"local:{flow}"
    for act in (zoo_core.load, pull, lambda reference: prepare(reference, "org/name", license="mit")):
        with pytest.raises(UnsafeContentError, match=r"numbers beyond those of float32 in its tensor"):
            act(reference)


def test_infinite_half_precision_weights_are_called_that(flow: Path) -> None:
    half = {name: tensor.half() for name, tensor in load_file(flow / "model.safetensors").items()}
    next(iter(half.values())).view(-1)[0] = torch.inf
    save_file(half, flow / "model.safetensors")
    with pytest.raises(UnsafeContentError, match="infinity"):
        zoo_core.load(f"local:{flow}")


def test_float64_and_half_precision_weights_within_float32_are_loaded(flow: Path) -> None:
    plain = load_file(flow / "model.safetensors")
    largest = float(torch.finfo(torch.float32).max)
    for dtype, value in ((torch.float64, largest), (torch.float16, 2.0**-24), (torch.bfloat16, 2.0**-133)):
        stored = {name: torch.full_like(tensor, value, dtype=dtype) for name, tensor in plain.items()}
        save_file(stored, flow / "model.safetensors")
        pull(f"local:{flow}")
        loaded = zoo_core.load(f"local:{flow}").model.state_dict()
        assert all(tensor.dtype == torch.float32 and bool((tensor == value).all()) for tensor in loaded.values())


def test_integers_in_the_place_of_floats_are_refused(flow: Path) -> None:
    save_file({name: tensor.long() + 2**62 for name, tensor in load_file(flow / "model.safetensors").items()}, flow / "model.safetensors")
    with pytest.raises(IncompatibleCheckpoint, match="of another type"):
        zoo_core.load(f"local:{flow}")


def test_a_file_that_shrinks_while_it_is_read_is_refused(flow: Path) -> None:
    def consume(stream: Any) -> None:
        stream.header()
        with (flow / "model.safetensors").open("r+b") as file:
            file.truncate(100)
        stream.finish()

    with pytest.raises(UnsafeContentError, match="became shorter while it was read"):
        fetch(f"local:{flow}").stream("model.safetensors", consume)


@pytest.mark.parametrize("place", [0, 20, -1])
def test_pinned_weights_with_a_changed_byte_fail_by_their_digest_wherever_it_is(place: int, tmp_path: Path, fakes: None) -> None:
    site = write_fake_plugin(tmp_path / "site")
    carried = write_checkpoint_plugin(site, "blobs", Fake(FakeConfig()), FakeConfig())
    data = bytearray((carried / "model.safetensors").read_bytes())
    data[place] ^= 1
    (carried / "model.safetensors").write_bytes(data)
    with installed(site, names=["zoo-fake", "zoo-blobs"]), pytest.raises(IntegrityError, match=r"the sha256 of model\.safetensors"):
        zoo_core.load("blobs")
