"""The test kit itself: distributions and checkpoints written on the spot are real ones, and the fake families are what they say."""

import math
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
import torch
from torch import Tensor

import zoo_core
from zoo_core.errors import ConfigError, IntegrityError
from zoo_core.registry import registry
from zoo_core.rng import ImageRng, StepRng, Stream, isolated
from zoo_core.samplers import Latent
from zoo_core.specs import CheckpointSpec, ModelSpec
from zoo_core.testing import (
    environment,
    fake_zoo,
    installed,
    pins_of,
    write_checkpoint,
    write_checkpoint_plugin,
    write_fake_plugin,
    write_plugin,
)
from zoo_core.testing.fake import Fake, FakeDenoiser, FakeTrainer, fake_data
from zoo_core.testing.fake_config import FakeConfig, FakeDataConfig, FakeDenoiserConfig, FakeTrainerConfig

SOURCE = """
from zoo_core.hookspecs import hookimpl
from zoo_core.specs import ModelSpec

@hookimpl
def zoo_specs():
    return [ModelSpec(name="mine")]
"""


def fake(config: FakeConfig | None = None) -> Fake:
    with isolated(0, stream=Stream.INIT):
        return Fake(config or FakeConfig())


# Plugins


def test_a_written_plugin_is_an_installed_distribution(tmp_path: Path) -> None:
    write_plugin(tmp_path, "zoo-mine", SOURCE, version="2.5")
    with installed(tmp_path, names=["zoo-mine"]) as found:
        assert found.plugins[-1].version == distribution("zoo-mine").version == "2.5"
        assert all((tmp_path / str(file)).is_file() for file in distribution("zoo-mine").files or [])
        assert registry() is found
        assert found.spec(ModelSpec, "mine")
    with pytest.raises(PackageNotFoundError):
        distribution("zoo-mine")


def test_a_plugin_is_forgotten_when_its_block_ends(tmp_path: Path) -> None:
    before, path = registry(), list(sys.path)
    for name in ("one", "two"):
        write_plugin(tmp_path / name, "zoo-mine", SOURCE.replace("mine", name))
        with installed(tmp_path / name, names=["zoo-mine"]) as found:
            assert list(found.claims(ModelSpec)) == [name]
    assert registry() is before
    assert sys.path == path
    assert "zoo_mine" not in sys.modules


def test_a_plugin_may_name_another_entry_point(tmp_path: Path) -> None:
    write_plugin(tmp_path, "zoo-mine", SOURCE, entry="short = zoo_mine")
    with installed(tmp_path, names=["short"]) as found:
        assert found.plugins[-1].name == "short"


def test_plugins_are_installed_for_a_subprocess_whatever_its_folder(tmp_path: Path) -> None:
    write_fake_plugin(tmp_path / "a")
    write_plugin(tmp_path / "b", "zoo-mine", SOURCE)
    source = "from zoo_core.registry import registry; print(*registry().claims('family'))"
    env = {**environment(tmp_path / "a", tmp_path / "b"), "ZOO_PLUGINS": "zoo-fake,zoo-mine"}
    done = subprocess.run([sys.executable, "-c", source], env=env, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "fake fake-conditional fake-denoiser fake-filler fake-latent fake-text mine\n"


def test_the_fake_zoo_holds_the_core_and_the_fakes_alone() -> None:
    with fake_zoo() as found:
        assert [plugin.dist for plugin in found.plugins] == ["zoo-core", "zoo-fake"]
        assert not found.failures


# Checkpoints


def test_a_written_checkpoint_loads_as_the_model_it_was(tmp_path: Path) -> None:
    model = fake()
    with fake_zoo():
        folder = write_checkpoint(tmp_path / "blobs", model, FakeConfig(), Latent(temperature=0.5))
        loaded = zoo_core.load(f"local:{folder}")
        assert loaded.config == FakeConfig()
        assert loaded.sampler == Latent(temperature=0.5)
        assert torch.equal(
            loaded.sample(4, labels=1), model.decode(0.5 * ImageRng(0, range(4)).normal(2), torch.ones(4, dtype=torch.int64))
        )


def test_a_written_checkpoint_of_a_plugin_is_pinned(tmp_path: Path) -> None:
    write_fake_plugin(tmp_path)
    with fake_zoo():
        write_checkpoint_plugin(tmp_path, "blobs", fake(), FakeConfig(), Latent())
        noise = write_checkpoint_plugin(tmp_path, "noise", FakeDenoiser(FakeDenoiserConfig()), FakeDenoiserConfig())
    with installed(tmp_path, names=["zoo-fake", "zoo-blobs"]) as found:
        assert list(found.claims(CheckpointSpec)) == ["blobs", "noise"]
        spec = found.spec(CheckpointSpec, "noise")
        assert (spec.folder, spec.family) == (noise, "fake-denoiser")
        assert set(spec.files) == set(pins_of(noise)["files"]) == {"config.json", "model.safetensors", "README.md"}
        assert zoo_core.load("blobs").family.name == "fake"
        weights = bytearray((noise / "model.safetensors").read_bytes())
        weights[-1] ^= 1
        (noise / "model.safetensors").write_bytes(weights)
        with pytest.raises(IntegrityError):
            zoo_core.load("noise")


# The fake families


@pytest.mark.parametrize("bounded", [False, True])
@pytest.mark.parametrize("label", [None, 0, 2])
def test_the_fake_density_integrates_to_one(bounded: bool, label: int | None) -> None:
    model, side = fake(FakeConfig(bounded=bounded)).double(), 400
    edge = 1.0 if bounded else 4.0
    axis = ((torch.arange(side, dtype=torch.float64) + 0.5) / side * 2 - 1) * edge
    x = torch.cartesian_prod(axis, axis)
    labels = None if label is None else torch.full((len(x),), label)
    mass = model.log_prob(x, labels).value.exp().sum().item() * (2 * edge / side) ** 2
    assert mass == pytest.approx(1, abs=1e-3)


def test_the_fake_log_prob_is_the_closed_form() -> None:
    model = fake(FakeConfig(classes=2)).double()
    x, labels = StepRng(0, 0, 5).normal(2).double(), torch.tensor([0, 1, 1, 0, 1])
    normal = torch.distributions.Normal(model.shift + model.means[labels], model.log_scale.exp())
    torch.testing.assert_close(model.log_prob(x, labels).value, normal.log_prob(x).sum(dim=1))


def test_bounded_fakes_stay_in_the_range_of_images() -> None:
    model = fake(FakeConfig(shape=(3, 4, 4), bounded=True))
    x = model.decode(10 * ImageRng(0, range(8)).normal(3, 4, 4))
    assert model.event.range == (-1, 1)
    assert x.abs().max() <= 1
    assert fake().event.range is None


def test_the_fake_denoiser_is_the_posterior_mean() -> None:
    """E[x_0 | x_sigma] by quadrature over x_0."""
    model = FakeDenoiser(FakeDenoiserConfig(shape=(1,), mean=0.4, std=0.7)).double()
    x_0 = torch.linspace(-8, 8, 20_001, dtype=torch.float64)
    for sigma, x in ((0.1, 0.9), (1.0, -0.3), (5.0, 2.0)):
        weight = torch.exp(-0.5 * ((x_0 - 0.4) / 0.7) ** 2 - 0.5 * ((x - x_0) / sigma) ** 2)
        expected = (weight * x_0).sum() / weight.sum()
        got = model.denoise(torch.tensor([[x]], dtype=torch.float64), torch.tensor([sigma], dtype=torch.float64))
        assert got.item() == pytest.approx(expected.item(), abs=1e-6)


def test_the_fake_critic_is_the_trainers_own() -> None:
    with isolated(0, stream=Stream.INIT):
        trainer = FakeTrainer(fake(), FakeTrainerConfig(every=2))
    assert [trainer.phases(step) for step in range(3)] == [("critic", "generator"), ("critic",), ("critic", "generator")]
    assert not any(name.startswith("critic") for name in trainer.model.state_dict())


def test_fake_data_are_class_blobs_and_the_same_every_time() -> None:
    data, again = fake_data(FakeDataConfig()), fake_data(FakeDataConfig())
    assert data.digest == again.digest != fake_data(FakeDataConfig(seed=1)).digest
    assert data.labels is not None
    assert data.event.range is None
    for y in range(3):
        blob: Tensor = data.x[data.labels == y]
        angle = 2 * math.pi * y / 3
        assert blob.mean(dim=0).tolist() == pytest.approx([0.8 * math.cos(angle), 0.8 * math.sin(angle)], abs=0.05)
        assert blob.std(dim=0).tolist() == pytest.approx([0.1, 0.1], abs=0.03)


def test_fake_images_are_bytes() -> None:
    data = fake_data(FakeDataConfig(shape=(3, 8, 8), count=6))
    assert (data.x.shape, data.x.dtype, data.event.range) == ((6, 3, 8, 8), torch.uint8, (-1.0, 1.0))


@pytest.mark.parametrize("shape", [(), (0,), (2, -1), (1 << 21,)])
def test_a_shape_without_elements_or_with_too_many_is_refused(shape: tuple[int, ...]) -> None:
    for config in (FakeConfig, FakeDenoiserConfig, FakeDataConfig):
        with pytest.raises(ConfigError, match="shape must have"):
            config(shape=shape)
