"""Weights and configs: those that do not belong together are refused, older versions are upgraded."""

import dataclasses
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load, save

import zoo_core
from zoo_core.checkpoint.config import CheckpointConfig, default_sampler, read_config
from zoo_core.config import encode
from zoo_core.errors import (
    CapabilityError,
    ConfigError,
    IncompatibleCheckpoint,
    NameConflictError,
    PluginLoadError,
    UnknownNameError,
    UsageError,
)
from zoo_core.hub.fetch import fetch
from zoo_core.pretrained import Pretrained
from zoo_core.samplers import Ancestral, Latent
from zoo_core.testing import environment, fake_zoo, installed, write_checkpoint, write_checkpoint_plugin, write_fake_plugin, write_plugin
from zoo_core.testing.fake import Fake, FakeDenoiser
from zoo_core.testing.fake_config import FakeConfig, FakeDenoiserConfig


@pytest.fixture(autouse=True)
def zoo() -> Iterator[None]:
    with fake_zoo():
        yield


def change(folder: Path, edit: Callable[[dict[str, torch.Tensor]], object]) -> str:
    state = load((folder / "model.safetensors").read_bytes())
    edit(state)
    (folder / "model.safetensors").write_bytes(save(state))
    return f"local:{folder}"


def test_missing_extra_reshaped_and_retyped_tensors_are_named(folder: Path) -> None:
    original = (folder / "model.safetensors").read_bytes()
    edits: list[tuple[Callable[[dict[str, torch.Tensor]], object], str]] = [
        (lambda state: state.pop("shift"), "missing: shift"),
        (lambda state: state.update({f"x{i}": torch.zeros(1) for i in range(5)}), "extra: x0, x1, x2 and 2 more"),
        (lambda state: state.update(shift=torch.zeros(3)), "reshaped: shift"),
        (lambda state: state.update(shift=torch.zeros(2, dtype=torch.int64)), "of another type: shift"),
    ]
    for edit, words in edits:
        (folder / "model.safetensors").write_bytes(original)
        with pytest.raises(IncompatibleCheckpoint, match=words):
            zoo_core.load(change(folder, edit))


def test_weights_that_are_stored_narrower_are_widened(folder: Path, flow: Pretrained) -> None:
    narrow = zoo_core.load(change(folder, lambda state: state.update(means=state["means"].bfloat16())))
    assert narrow.model.means.dtype == torch.float32
    assert torch.equal(narrow.model.means, flow.model.means.bfloat16().float())


def edited(folder: Path, edit: Callable[[dict[str, Any]], object]) -> str:
    config = json.loads((folder / "config.json").read_text())
    edit(config)
    (folder / "config.json").write_text(json.dumps(config))
    return f"local:{folder}"


BAD_CONFIGS: dict[str, tuple[Callable[[dict[str, Any]], object], type[Exception]]] = {
    "unknown key": (lambda config: config.update(weights="x"), ConfigError),
    "unknown model key": (lambda config: config["model"].update(depth=3), ConfigError),
    "true for an int": (lambda config: config["model"].update(classes=True), ConfigError),
    "NaN": (lambda config: config["model"].update(classes=float("nan")), ConfigError),
    "10^9 channels": (lambda config: config["model"].update(shape=[10**9]), ConfigError),
    "unknown sampler": (lambda config: config.update(sampler={"name": "os.system"}), ConfigError),
    "a sampler's bad option": (lambda config: config["sampler"].update(temperature="1"), ConfigError),
    "missing model": (lambda config: config.pop("model"), ConfigError),
    "missing version": (lambda config: config.pop("weights_version"), ConfigError),
    "version zero": (lambda config: config.update(weights_version=0), ConfigError),
    "newer format": (lambda config: config.update(format=2), ConfigError),
    "older format": (lambda config: config.update(format=0), ConfigError),
    "unregistered family": (lambda config: config["model"].update(name="os.system"), UnknownNameError),
}


@pytest.mark.parametrize("case", BAD_CONFIGS)
def test_a_bad_config_is_refused(case: str, tmp_path: Path) -> None:
    edit, error = BAD_CONFIGS[case]
    folder = write_checkpoint(tmp_path / "bad", Fake(FakeConfig()), FakeConfig(), Latent())
    with pytest.raises(error):
        zoo_core.load(edited(folder, edit))
    with pytest.raises(error):
        zoo_core.info(f"local:{folder}")


def test_a_bad_config_is_refused_before_torch_is_imported(tmp_path: Path) -> None:
    write_fake_plugin(tmp_path / "fake")
    for case, (edit, error) in BAD_CONFIGS.items():
        folder = write_checkpoint(tmp_path / case.replace(" ", "-"), Fake(FakeConfig()), FakeConfig(), Latent())
        edited(folder, edit)
        assert error
    source = (
        "import sys, zoo_core\n"
        "for folder in sys.argv[1:]:\n"
        "    try: zoo_core.load('local:' + folder)\n"
        "    except zoo_core.errors.ZooError: continue\n"
        "    raise SystemExit(folder)\n"
        "assert 'torch' not in sys.modules and 'numpy' not in sys.modules\n"
    )
    folders = [str(tmp_path / case.replace(" ", "-")) for case in BAD_CONFIGS]
    subprocess.run([sys.executable, "-c", source, *folders], env=environment(tmp_path / "fake"), check=True)


VERSIONED = """
from dataclasses import dataclass
import torch
from torch import nn
from zoo_core.hookspecs import hookimpl
from zoo_core.interfaces import Event, ModelConfig
from zoo_core.specs import ModelSpec

@dataclass(frozen=True, kw_only=True, slots=True)
class Config(ModelConfig):
    stray: bool = False

class Model(nn.Module):
    weights_version = 3

    def __init__(self, config):
        super().__init__()
        self.event = Event(shape=(2,))
        self.new = nn.Linear(2, 2)
        if config.stray:
            self.register_buffer("stray", torch.ones(2), persistent=False)

    def prior(self, rng): return rng.normal(2)
    def decode(self, z, labels=None): return self.new(z)

    @staticmethod
    def upgrade_state(state, version):
        assert version == 2
        return {name.replace("old.", "new."): value for name, value in state.items()}

@hookimpl
def zoo_specs():
    return [ModelSpec(name="versioned", target="zoo_versioned:Model", config="zoo_versioned:Config", capabilities={"decode"})]
"""


@pytest.fixture
def versioned(tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Writes a checkpoint of a family whose weights are at version 3."""

    def write(version: int, prefix: str = "new", **config: object) -> str:
        folder = tmp_path / f"v{version}"
        folder.mkdir(exist_ok=True)
        plain = {"format": 1, "weights_version": version, "model": {"name": "versioned", **config}, "sampler": None}
        (folder / "config.json").write_text(json.dumps(plain))
        (folder / "model.safetensors").write_bytes(save({f"{prefix}.weight": torch.eye(2), f"{prefix}.bias": torch.ones(2)}))
        return f"local:{folder}"

    with installed(write_plugin(tmp_path / "plugin", "zoo-versioned", VERSIONED), names=["zoo-versioned"]):
        yield write


def test_an_older_checkpoint_is_upgraded_and_a_newer_one_refused(versioned: Callable[..., str]) -> None:
    assert torch.equal(zoo_core.load(versioned(2, "old")).model.new.bias, torch.ones(2))
    assert zoo_core.load(versioned(3)).sampler == Latent()
    with pytest.raises(IncompatibleCheckpoint, match="version 4"):
        zoo_core.load(versioned(4))
    with pytest.raises(IncompatibleCheckpoint, match="missing"):
        zoo_core.load(versioned(3, "old"))


def test_a_buffer_that_no_file_holds_is_the_familys_fault(versioned: Callable[..., str]) -> None:
    with pytest.raises(PluginLoadError, match="stray"):
        zoo_core.load(versioned(3, stray=True))


def test_checkpoints_are_listed_and_a_name_claimed_twice_by_its_distributions(tmp_path: Path) -> None:
    write_fake_plugin(tmp_path / "fake")
    for dist in ("zoo-p", "zoo-q"):
        write_checkpoint_plugin(tmp_path / dist, "fake-blobs", Fake(FakeConfig()), FakeConfig(), dist=dist)
    write_checkpoint_plugin(tmp_path / "zoo-q", "fake-more", Fake(FakeConfig()), FakeConfig(), dist="zoo-q")
    with installed(tmp_path / "fake", tmp_path / "zoo-p", tmp_path / "zoo-q", names=["zoo-fake", "zoo-p", "zoo-q"]):
        assert zoo_core.checkpoints() == ("zoo-p:fake-blobs", "zoo-q:fake-blobs", "fake-more")
        for name in zoo_core.checkpoints():
            assert zoo_core.load(name).sample(1).shape == (1, 2)


def test_info_tells_config_capabilities_size_and_pins_without_torch(tmp_path: Path) -> None:
    write_fake_plugin(tmp_path / "fake")
    write_checkpoint_plugin(tmp_path / "blobs", "fake-blobs", Fake(FakeConfig()), FakeConfig())
    source = (
        "import json, sys, zoo_core\n"
        "print(json.dumps(zoo_core.info('fake-blobs')))\n"
        "assert not {'torch', 'numpy', 'timm', 'huggingface_hub'} & set(sys.modules)\n"
    )
    env = environment(tmp_path / "fake", tmp_path / "blobs")
    done = subprocess.run([sys.executable, "-c", source], env=env, check=True, capture_output=True, text=True)
    info = json.loads(done.stdout)
    assert (info["name"], info["family"], info["parameters"], info["pinned"]) == ("fake-blobs", "fake", 10, True)
    assert info["config"]["model"] == {"name": "fake", "shape": [2], "classes": 3, "bounded": False}
    assert info["sampler"] == {"name": "latent", "temperature": 1.0, "truncation": None}
    assert all(len(pin["sha256"]) == 64 for pin in info["files"].values())


def test_the_version_range_of_a_config_is_checked() -> None:
    with pytest.raises(ConfigError, match="weights_version"):
        CheckpointConfig(format=1, weights_version=0, model=FakeConfig())


@pytest.mark.parametrize(
    "options",
    [{"seed": 0.7}, {"seed": "1"}, {"seed": -1}, {"seed": 2**64}, {"n": 2.5}, {"n": 0}, {"batch_size": 1.0}, {"first": -1}],
    ids=str,
)
def test_counts_and_seeds_are_whole_numbers(options: dict[str, Any], flow: Pretrained) -> None:
    with pytest.raises(UsageError, match=next(iter(options))):
        flow.sample(**{"n": 1, **options})


@pytest.mark.parametrize("sigma", [-1.0, float("nan"), torch.ones(3), torch.ones(2, 1), "x"], ids=str)
def test_noise_levels_that_do_not_fit_are_refused(sigma: Any, denoiser: Pretrained) -> None:
    with pytest.raises(UsageError, match="sigma"):
        denoiser.denoise(denoiser.sample(2), sigma)


def test_a_reference_that_is_no_string_is_refused() -> None:
    with pytest.raises(UsageError, match="5 is not a checkpoint reference"):
        zoo_core.load(5)  # type: ignore[arg-type]


def test_a_checkpoint_that_was_trained_without_labels_says_so(tmp_path: Path) -> None:
    config = FakeDenoiserConfig(classes=0)
    model = zoo_core.load(f"local:{write_checkpoint(tmp_path / 'free', FakeDenoiser(config), config, Ancestral(steps=2))}")
    with pytest.raises(CapabilityError, match="trained without labels"):
        model.sample(1, labels=0)


def test_names_in_a_checkpoint_mean_those_of_its_own_plugin(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "it", Fake(FakeConfig()), FakeConfig())
    write_fake_plugin(tmp_path / "site")
    source = "from zoo_core.hookspecs import hookimpl\nfrom zoo_core.specs import *\n\n@hookimpl\ndef zoo_specs():\n    return "
    write_plugin(
        tmp_path / "sly", "zoo-sly", source + "[ModelSpec(name='fake', config='sly:C'), SamplerSpec(name='latent', target='sly:S')]"
    )
    with installed(tmp_path / "site", tmp_path / "sly", names=["zoo-fake", "zoo-sly"]):
        files = fetch(f"local:{folder}")
        config = read_config(dataclasses.replace(files, dist="zoo-fake"))
        assert config.model == FakeConfig()
        assert default_sampler(config) == Latent()
        assert encode(config)["model"]["name"] == "zoo-fake:fake"
        with pytest.raises(NameConflictError):
            read_config(files)
