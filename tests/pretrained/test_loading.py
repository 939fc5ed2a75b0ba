"""A loaded model draws what its seed says, does what its family can, and refuses arguments that do not fit."""

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load
from torch import Tensor

import zoo_core
from zoo_core.checkpoint.files import Files
from zoo_core.errors import (
    CapabilityError,
    ConfigError,
    PluginError,
    ResourceError,
    UsageError,
)
from zoo_core.images import to_uint8
from zoo_core.interfaces import LogProb
from zoo_core.pretrained import Pretrained
from zoo_core.rng import ImageRng
from zoo_core.samplers import Ancestral, Latent
from zoo_core.samplers.factory import as_sampler, as_scheduler
from zoo_core.schedulers import Karras
from zoo_core.testing import fake_zoo, write_checkpoint
from zoo_core.testing.fake import Fake, FakeDenoiser
from zoo_core.testing.fake_config import FakeConfig, FakeDenoiserConfig


@pytest.fixture(autouse=True)
def zoo() -> Iterator[None]:
    with fake_zoo():
        yield


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
        (lambda: flow.denoise(x, 1.0), "fake-conditional, fake-denoiser"),
        (lambda: flow.sample(2, sampler="ddim"), "fake-conditional, fake-denoiser"),
        (lambda: flow.sample(2, labels=1, guidance=2.0), "fake-conditional, fake-denoiser"),
        (lambda: denoiser.sample(2, sampler="latent"), "fake"),
        (lambda: denoiser.encode(x), "fake, fake-latent"),
        (lambda: denoiser.decode(x), "fake"),
        (lambda: denoiser.reconstruct(x), "fake, fake-latent"),
        (lambda: denoiser.log_prob(x, method="own"), "fake, fake-text"),
        (lambda: flow.log_prob(x, method="ode"), "fake-conditional, fake-denoiser"),
        (lambda: denoiser.interpolate(x[0], x[1]), "fake, fake-latent"),
    ]
    for call, able in cases:
        with pytest.raises(CapabilityError) as caught:
            call()
        assert caught.value.hint == f"families that can: {able}"


def test_what_is_missing_is_said_in_words_that_fit(denoiser: Pretrained, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(denoiser, "capabilities", frozenset())
    with pytest.raises(CapabilityError, match=r"denoiser cannot give features: its family has no features"):
        denoiser.require("features", "give features")
    with pytest.raises(CapabilityError, match=r"denoiser cannot decode latents: its family cannot decode"):
        denoiser.require("decode", "decode latents")


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
