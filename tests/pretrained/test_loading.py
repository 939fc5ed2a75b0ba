"""A loaded model draws what its seed says, does what its family can, and refuses weights that are not its own."""

import dataclasses
import json
import math
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor

import zoo_core
from zoo_core.checkpoint.config import CheckpointConfig, default_sampler, family_of, read_config
from zoo_core.checkpoint.files import Files
from zoo_core.config import encode
from zoo_core.errors import (
    CapabilityError,
    ConfigError,
    IncompatibleCheckpoint,
    NameConflictError,
    PluginError,
    PluginLoadError,
    ResourceError,
    UnknownNameError,
    UsageError,
)
from zoo_core.hub.fetch import fetch
from zoo_core.images import to_uint8
from zoo_core.interfaces import LogProb
from zoo_core.pretrained import Pretrained
from zoo_core.rng import ImageRng
from zoo_core.samplers import Ancestral, Latent
from zoo_core.samplers.choice import as_sampler, as_scheduler
from zoo_core.schedulers import Karras
from zoo_core.testing import environment, fake_zoo, installed, write_checkpoint, write_checkpoint_plugin, write_fake_plugin, write_plugin
from zoo_core.testing.fake import Fake, FakeDenoiser
from zoo_core.testing.fake_config import FakeConfig, FakeDenoiserConfig


@pytest.fixture(autouse=True)
def zoo() -> Iterator[None]:
    with fake_zoo():
        yield


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_checkpoint(tmp_path / "flow", Fake(FakeConfig()), FakeConfig())


@pytest.fixture
def flow(folder: Path) -> Pretrained:
    return zoo_core.load(f"local:{folder}")


@pytest.fixture
def denoiser(tmp_path: Path) -> Pretrained:
    config = FakeDenoiserConfig(classes=3)
    return zoo_core.load(f"local:{write_checkpoint(tmp_path / 'denoiser', FakeDenoiser(config), config, Ancestral(steps=10))}")


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_image_i_does_not_depend_on_batch_size_or_on_where_counting_begins(batch_size: int, flow: Pretrained, denoiser: Pretrained) -> None:
    for model in (flow, denoiser):
        whole = model.sample(7, seed=5)
        assert torch.equal(model.sample(7, seed=5, batch_size=batch_size), whole)
        assert torch.equal(model.sample(4, seed=5, batch_size=batch_size, first=3), whole[3:])
        assert not torch.equal(model.sample(7, seed=6), whole)


def test_samples_are_float32_without_gradients_and_usable_under_autograd(flow: Pretrained) -> None:
    x = flow.sample(3)
    assert (x.dtype, x.shape, x.requires_grad, x.is_inference()) == (torch.float32, (3, 2), False, False)
    assert all(not weight.requires_grad for weight in flow.model.parameters())
    assert not flow.model.training


def test_the_global_rng_is_untouched(flow: Pretrained, denoiser: Pretrained) -> None:
    before = torch.random.get_rng_state()
    flow.sample(3)
    flow.interpolate(0, 1)
    denoiser.sample(3, labels=1, guidance=2.0)
    flow.log_prob(flow.reconstruct(flow.sample(3)))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_samples_are_what_the_model_makes_of_the_images_noise(flow: Pretrained) -> None:
    z = flow.model.prior(ImageRng(9, range(4)))
    assert torch.equal(flow.sample(4, seed=9), flow.decode(z))
    assert torch.equal(flow.sample(4, seed=9, sampler={"temperature": 0.0}), flow.decode(z * 0))


@pytest.mark.parametrize("wrong", [lambda x: x[:1], lambda x: x[0], lambda x: x.to(torch.uint8), lambda x: None])
def test_what_a_sampler_makes_must_be_samples(flow: Pretrained, monkeypatch: pytest.MonkeyPatch, wrong: Callable[[Any], Any]) -> None:
    decode = Fake.decode
    monkeypatch.setattr(Fake, "decode", lambda *arguments: wrong(decode(*arguments)))
    with pytest.raises(PluginError, match=r"test_loading.py:\d+\): .* returns .*, not floats of shape \(4, 2\)"):
        flow.sample(4)
    monkeypatch.undo()

    class Odd(Latent):
        def __call__(self, *arguments: Any, **options: Any) -> Tensor:
            made: Tensor = wrong(super().__call__(*arguments, **options))
            return made

    with pytest.raises(PluginError, match=r"test_loading.py:\d+\): Odd returns .*, not floats of shape \(4, 2\)"):
        flow.sample(4, sampler=Odd())


def test_a_pretrained_has_the_weights_of_the_file(folder: Path, flow: Pretrained) -> None:
    for name, value in load((folder / "model.safetensors").read_bytes()).items():
        assert torch.equal(flow.model.state_dict()[name], value)


def test_the_weights_are_read_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    opened = Files._open
    monkeypatch.setattr(Files, "_open", lambda self, name: read.append(name) or opened(self, name))
    model = zoo_core.load(f"local:{folder}")
    assert read == ["config.json", "model.safetensors"]
    assert model.card.license == "unknown"
    assert model.card is model.card
    assert read == ["config.json", "model.safetensors", "README.md"]


def test_what_a_model_can_do_is_what_its_family_declares_and_its_config_allows(
    flow: Pretrained, denoiser: Pretrained, tmp_path: Path
) -> None:
    assert flow.capabilities == {"decode", "encode", "density", "labels"}
    assert denoiser.capabilities == {"denoise", "labels"}
    config = FakeConfig(classes=0)
    plain = zoo_core.load(f"local:{write_checkpoint(tmp_path / 'plain', Fake(config), config)}")
    assert plain.capabilities == {"decode", "encode", "density"}
    with pytest.raises(CapabilityError):
        plain.sample(2, labels=0)


def test_what_a_model_cannot_do_names_the_families_that_can(flow: Pretrained, denoiser: Pretrained) -> None:
    x = torch.zeros(2, 2)
    cases: list[tuple[Callable[[], object], str]] = [
        (lambda: flow.denoise(x, 1.0), "fake-denoiser"),
        (lambda: flow.sample(2, sampler="ddim"), "fake-denoiser"),
        (lambda: flow.sample(2, labels=1, guidance=2.0), "fake-denoiser"),
        (lambda: denoiser.sample(2, sampler="latent"), "fake"),
        (lambda: denoiser.encode(x), "fake"),
        (lambda: denoiser.decode(x), "fake"),
        (lambda: denoiser.reconstruct(x), "fake"),
        (lambda: denoiser.log_prob(x, method="own"), "fake"),
        (lambda: flow.log_prob(x, method="ode"), "fake-denoiser"),
        (lambda: denoiser.interpolate(x[0], x[1]), "fake"),
    ]
    for call, able in cases:
        with pytest.raises(CapabilityError) as caught:
            call()
        assert caught.value.hint == f"families that can: {able}"


def test_encode_inverts_decode_and_log_prob_is_exact(flow: Pretrained) -> None:
    x = flow.sample(5)
    torch.testing.assert_close(flow.reconstruct(x), x)
    found = flow.log_prob(x)
    assert found.kind == "exact"
    scale = flow.model.log_scale.exp()
    expected = torch.distributions.Normal(flow.model.shift, scale).log_prob(x).sum(dim=1)
    torch.testing.assert_close(found.value, expected)


def test_labels_choose_the_class_of_each_row(flow: Pretrained) -> None:
    each = torch.cat([flow.sample(1, labels=label, first=i) for i, label in enumerate([2, 0, 1])])
    assert torch.equal(flow.sample(3, labels=[2, 0, 1], batch_size=2), each)
    assert torch.equal(flow.sample(3, labels=torch.tensor([2, 0, 1])), each)


def test_a_model_that_knows_nothing_but_classes_draws_one_after_the_other(flow: Pretrained, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow.model, "needs_labels", True, raising=False)
    assert torch.equal(flow.sample(5, first=4, batch_size=2), flow.sample(5, first=4, labels=[1, 2, 0, 1, 2]))
    torch.testing.assert_close(
        flow.interpolate(4, 6, steps=3)[[0, -1]], torch.cat([flow.sample(1, first=4, labels=1), flow.sample(1, first=6, labels=1)])
    )
    z = flow.encode(torch.zeros(1, 2), labels=2)
    for without in (lambda: flow.decode(z), lambda: flow.encode(torch.zeros(1, 2)), lambda: flow.log_prob(torch.zeros(1, 2))):
        with pytest.raises(UsageError, match="flow needs labels: it is class-conditional only -- pass labels="):
            without()


def test_a_model_that_knows_nothing_but_classes_is_not_guided(denoiser: Pretrained, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(denoiser.model, "needs_labels", True, raising=False)
    with pytest.raises(CapabilityError, match="class-conditional only"):
        denoiser.sample(1, labels=0, guidance=2.0)


def test_one_class_for_all_is_a_whole_number_of_any_kind(flow: Pretrained) -> None:
    for one in (np.int64(1), torch.tensor(1), [1, 1], np.array([1, 1])):
        assert torch.equal(flow.sample(2, labels=one), flow.sample(2, labels=1))  # type: ignore[arg-type]  # users have them


ASKED: dict[str, Callable[[Pretrained, Tensor], object]] = {
    "encode": lambda model, x: model.encode(x),
    "reconstruct": lambda model, x: model.reconstruct(x),
    "log_prob": lambda model, x: model.log_prob(x),
}


@pytest.mark.parametrize("name", ASKED)
def test_samples_that_are_handed_over_are_floats_in_the_range_of_the_model(tmp_path: Path, name: str) -> None:
    """Of any float type; a little out of range, as samples of a model may be; whoever hands over images from 0 to 1 is warned."""
    config, ask = FakeConfig(shape=(1, 4, 4), bounded=True, classes=0), ASKED[name]
    model = zoo_core.load(f"local:{write_checkpoint(tmp_path / 'images', Fake(config), config)}")
    x = torch.linspace(-0.9, 0.9, 48).view(3, 1, 4, 4)
    plain, wide = ask(model, x), ask(model, x.double().requires_grad_())
    torch.testing.assert_close(*((each.value if isinstance(each, LogProb) else each) for each in (wide, plain)))
    for wrong, words in {
        "bytes": (to_uint8(x), "x must be floats, not uint8 -- zoo_core.images.from_uint8"),
        "whole numbers": (x.long(), r"x must be floats, not int64 -- x.float\(\)"),
        "levels": (255 * x.abs(), "x goes from .* to 230, and images from -1 to 1"),
        "NaN": (torch.where(x > 0.8, math.nan, x), "x must be finite"),
        "a list": (x.tolist(), "x must be a tensor, not list"),
        "one": (x[0], r"x must have the shape \(n, 1, 4, 4\), not \(1, 4, 4\)"),
    }.values():
        with pytest.raises(UsageError, match=words):
            ask(model, wrong)  # type: ignore[arg-type]  # wrong
    with pytest.warns(RuntimeWarning, match=r"x goes from 0.05 to 0.95, and images from -1 to 1: convert images in \[0, 1\] by 2 \* x - 1"):
        ask(model, (x + 1) / 2)


def test_the_warning_of_images_from_0_to_1_points_at_the_callers_line(tmp_path: Path) -> None:
    config = FakeConfig(shape=(1, 4, 4), bounded=True, classes=0)
    model = zoo_core.load(f"local:{write_checkpoint(tmp_path / 'images', Fake(config), config)}")
    with pytest.warns(RuntimeWarning, match="from 0 to 1") as told:
        model.encode(torch.linspace(0, 1, 16).view(1, 1, 4, 4))
    assert [Path(each.filename).name for each in told] == ["test_loading.py"]


def test_latents_have_the_shape_of_the_prior_and_a_path_goes_between_whole_numbers(flow: Pretrained, denoiser: Pretrained) -> None:
    for z in (torch.zeros(3, 5), torch.zeros(2), np.zeros((3, 2))):
        with pytest.raises(UsageError, match="z must"):
            flow.decode(z)  # type: ignore[arg-type]  # wrong
    torch.testing.assert_close(flow.decode(torch.ones(2, 2).double()), flow.decode(torch.ones(2, 2)))
    for model in (flow, denoiser):
        with pytest.raises(UsageError, match=r"an image's number must be a whole number, not '1.5'"):
            model.interpolate(0, 1.5)  # type: ignore[arg-type]  # wrong
        assert torch.equal(model.interpolate(np.int64(0), 1, steps=3), model.interpolate(0, 1, steps=3))  # type: ignore[arg-type]  # users have them


def test_what_is_no_choice_and_what_no_memory_holds_is_refused(flow: Pretrained) -> None:
    for choice in (5, ("ddim",)):
        with pytest.raises(ConfigError, match="sampler must be a name or a mapping of options, not"):
            flow.sample(1, sampler=choice)  # type: ignore[arg-type]  # wrong
    with pytest.raises(ResourceError, match="no memory for 1000000000000000 samples -- draw them in parts"):
        flow.sample(10**15)


@pytest.mark.parametrize("labels", [3, -1, [0, 1], [0, 1, 3], [], [0, 1, 1.7], torch.zeros(3), "012", {0, 1, 2}])
def test_labels_that_do_not_fit_are_refused(labels: Any, flow: Pretrained) -> None:
    with pytest.raises(UsageError, match="labels"):
        flow.sample(3, labels=labels)


def test_guidance_one_is_the_conditional_model_and_zero_the_unconditional_one(denoiser: Pretrained) -> None:
    torch.testing.assert_close(denoiser.sample(4, labels=1, guidance=1.0), denoiser.sample(4, labels=1))
    torch.testing.assert_close(denoiser.sample(4, labels=1, guidance=0.0), denoiser.sample(4))
    with pytest.raises(UsageError, match="labels"):
        denoiser.sample(4, guidance=1.0)
    with pytest.raises(ConfigError, match="guidance"):
        denoiser.sample(4, labels=1, guidance=float("nan"))


def test_denoise_takes_one_level_or_one_for_each_row(denoiser: Pretrained) -> None:
    x = torch.randn(3, 2)
    assert torch.equal(denoiser.denoise(x, 0.5), denoiser.denoise(x, torch.full((3,), 0.5)))
    with pytest.raises(UsageError, match="shape"):
        denoiser.denoise(torch.randn(3, 5), 0.5)


def test_every_step_is_seen_and_the_last_is_the_sample(denoiser: Pretrained) -> None:
    seen: list[tuple[int, float, torch.Tensor]] = []
    x = denoiser.sample(2, on_step=lambda step, sigma, x, x0: seen.append((step, sigma, x)))
    assert [step for step, _, _ in seen] == list(range(11))
    assert [sigma for _, sigma, _ in seen] == sorted((sigma for _, sigma, _ in seen), reverse=True)
    assert torch.equal(seen[-1][2], x)


def test_another_scheduler_and_sampler_change_the_walk(denoiser: Pretrained) -> None:
    sigmas: list[float] = []
    denoiser.sample(1, sampler="ddim", scheduler="karras", on_step=lambda step, sigma, x, x0: sigmas.append(sigma))
    assert sigmas == list(Karras().sigmas(50, *denoiser.model.sigma_range))


def test_an_interpolation_ends_at_its_ends(flow: Pretrained, denoiser: Pretrained) -> None:
    for spherical in (True, False):
        path = flow.interpolate(2, 5, steps=5, seed=1, spherical=spherical)
        whole = flow.sample(6, seed=1)
        torch.testing.assert_close((path[0], path[-1]), (whole[2], whole[5]))
        path = flow.interpolate(whole[0], whole[1], steps=3, labels=1, spherical=spherical)
        torch.testing.assert_close((path[0], path[-1]), (whole[0], whole[1]))
    path, whole = denoiser.interpolate(0, 1, steps=4), denoiser.sample(2, sampler="ddim", batch_size=2)
    torch.testing.assert_close((path[0], path[-1]), (whole[0], whole[1]))


def test_a_spherical_path_keeps_the_length_of_gaussian_vectors(tmp_path: Path) -> None:
    config = FakeConfig(shape=(1000,), classes=0)
    model = zoo_core.load(f"local:{write_checkpoint(tmp_path / 'wide', Fake(config), config)}")
    middle = {spherical: model.encode(model.interpolate(0, 1, steps=3, spherical=spherical))[1].norm() for spherical in (True, False)}
    assert abs(middle[True] / 1000**0.5 - 1) < 0.1
    assert abs(middle[False] / 500**0.5 - 1) < 0.1


def test_sampler_choices_mean_what_they_say(denoiser: Pretrained) -> None:
    own = denoiser.sampler
    assert as_sampler("ddim", own) == Ancestral(eta=0.0)
    assert as_sampler({"steps": 3}, own) == Ancestral(steps=3)
    assert as_sampler({"name": "ancestral", "eta": 0.5}, own) == Ancestral(eta=0.5)
    assert as_sampler(own) is own
    assert as_scheduler({"name": "karras", "rho": 5}) == Karras(rho=5.0)
    for wrong in ("ddmi", {"steps": 0}, {"steps": True}, {"stepz": 3}, {"eta": float("nan")}):
        with pytest.raises(ConfigError):
            denoiser.sample(1, sampler=wrong)
    with pytest.raises(ConfigError):
        denoiser.sample(1, scheduler="cosines")


def test_without_a_sampler_of_its_own_a_checkpoint_takes_its_familys(flow: Pretrained, tmp_path: Path) -> None:
    assert flow.sampler == Latent()
    config = FakeDenoiserConfig()
    assert zoo_core.load(f"local:{write_checkpoint(tmp_path / 'd', FakeDenoiser(config), config)}").sampler == Ancestral()


def test_bad_counts_and_seeds_are_refused(flow: Pretrained) -> None:
    for options in ({"n": 0}, {"n": 1, "first": -1}, {"n": 1, "batch_size": 0}):
        with pytest.raises(UsageError):
            flow.sample(**options)
    with pytest.raises(UsageError, match="seed"):
        flow.sample(1, seed=-1)
    with pytest.raises(UsageError, match="steps"):
        flow.interpolate(0, 1, steps=1)


def test_a_device_or_dtype_that_is_not_there_is_a_usage_error(flow: Pretrained) -> None:
    for wrong in ({"device": "abacus"}, {"device": "cuda:99"}, {"dtype": "int8"}, {"dtype": torch.float64}):
        with pytest.raises(UsageError):
            flow.to(**wrong)


def test_only_the_net_is_narrowed(tmp_path: Path) -> None:
    config = FakeDenoiserConfig()
    model = zoo_core.load(f"local:{write_checkpoint(tmp_path / 'd', FakeDenoiser(config), config)}", dtype="bfloat16")
    seen: list[torch.dtype] = []
    assert model.sample(2, on_step=lambda step, sigma, x, x0: seen.append(x.dtype)).dtype == torch.float32
    assert set(seen) == {torch.float32}
    assert all(weight.dtype == torch.float32 for weight in model.model.parameters())


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
    assert info["sampler"] == {"name": "latent", "temperature": 1.0}
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
        assert default_sampler(config, family_of(config)) == Latent()
        assert encode(config)["model"]["name"] == "zoo-fake:fake"
        with pytest.raises(NameConflictError):
            read_config(files)
