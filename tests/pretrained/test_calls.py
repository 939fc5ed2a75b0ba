"""The calls of a script: options as keywords, starting from given samples, and what is wrong said in the zoo's own words."""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import zoo_core
from zoo_core.errors import CapabilityError, ConfigError, UsageError, ZooError
from zoo_core.pretrained import Pretrained
from zoo_core.samplers import Ancestral, DPMSolver2M, Latent
from zoo_core.schedulers import Karras
from zoo_core.testing import fake_zoo, write_checkpoint
from zoo_core.testing.fake import Fake, FakeDenoiser
from zoo_core.testing.fake_config import FakeConfig, FakeDenoiserConfig


@pytest.fixture(autouse=True)
def zoo() -> Iterator[None]:
    with fake_zoo():
        yield


@pytest.fixture
def flow(tmp_path: Path) -> Pretrained:
    return zoo_core.load(f"local:{write_checkpoint(tmp_path / 'flow', Fake(FakeConfig()), FakeConfig())}")


@pytest.fixture
def denoiser(tmp_path: Path) -> Any:
    """Images of a Gaussian of mean 0 and deviation 0.5, in three classes."""
    config = FakeDenoiserConfig(shape=(1, 8, 8), classes=3, bounded=True)
    return zoo_core.load(f"local:{write_checkpoint(tmp_path / 'denoiser', FakeDenoiser(config), config, Ancestral(steps=10))}")


# Options as keywords


def test_options_of_the_sampler_are_keywords(denoiser: Pretrained) -> None:
    expected = denoiser.sample(3, sampler=DPMSolver2M(steps=7), scheduler=Karras())
    assert torch.equal(denoiser.sample(3, sampler="dpmpp-2m", scheduler="karras", steps=7), expected)
    assert torch.equal(denoiser.sample(3, sampler=DPMSolver2M(steps=3), scheduler="karras", steps=np.int64(7)), expected)
    assert torch.equal(denoiser.sample(3, steps=4, eta=0.5), denoiser.sample(3, sampler=Ancestral(steps=4, eta=0.5)))
    x, mask = torch.zeros(1, 1, 8, 8), torch.ones(8, 8)
    assert torch.equal(denoiser.inpaint(x, mask, steps=2, times=1), x)
    assert torch.equal(denoiser.interpolate(0, 1, clip=True), denoiser.interpolate(0, 1))


def test_options_change_a_sampler_of_ones_own_class(denoiser: Pretrained) -> None:
    @dataclass(frozen=True, kw_only=True, slots=True)
    class Own(Ancestral):
        pass

    assert torch.equal(denoiser.sample(1, sampler=Own(), steps=4), denoiser.sample(1, steps=4))


@pytest.mark.parametrize(
    ("keyword", "hint"),
    [
        ("stepz", "did you mean steps"),
        ("lables", "did you mean labels"),
        ("num_inference_steps", "steps="),
        ("guidance_scale", "guidance="),
        ("generator", "seed="),
        ("output_type", "to_pil"),
        ("class_labels", "labels="),
        ("num_images_per_prompt", r"sample\(16\)"),
        ("progress", "on_step="),
        ("rho", 'scheduler={"name": "karras", "rho"'),
    ],
)
def test_a_keyword_that_there_is_not_is_led_to_the_right_one(keyword: str, hint: str, denoiser: Pretrained) -> None:
    with pytest.raises(UsageError, match=f"sample with the sampler ancestral takes no '{keyword}' -- .*{hint}") as told:
        denoiser.sample(2, **{keyword: 3})
    assert len(str(told.value)) <= 300


def test_steps_of_one_pass_are_left_out(flow: Pretrained) -> None:
    with pytest.raises(UsageError, match="takes no 'steps' -- leave it out: this sampler draws in one pass"):
        flow.sample(1, steps=10)
    with pytest.raises(UsageError, match="interpolate of flow takes no 'eta'"):
        flow.interpolate(0, 1, eta=0.5)


def test_an_option_of_a_wrong_value_names_it(denoiser: Pretrained) -> None:
    with pytest.raises(ConfigError, match=r"sampler\.steps must be a whole number, not '10'"):
        denoiser.sample(1, steps="10")


def test_a_call_without_a_number_says_how_to_write_it(denoiser: Pretrained) -> None:
    with pytest.raises(UsageError, match=r"sample needs the number of samples -- sample\(16\) draws 16; batch_size is how many are"):
        denoiser.sample(batch_size=2)


# Starting from given samples


def test_the_walk_from_its_own_start_is_the_walk(denoiser: Pretrained) -> None:
    seen: list[torch.Tensor] = []
    made = denoiser.sample(3, seed=5, first=2, on_step=lambda step, sigma, x, x0: seen.append(x))
    top = denoiser.model.sigma_range[1]
    assert torch.equal(denoiser.sample(x=seen[0], sigma=top, seed=5, first=2), made)
    assert torch.equal(denoiser.sample(3, x=seen[0], sigma=top, seed=5, first=2, batch_size=1), made)


@pytest.mark.parametrize(("sampler", "scheduler"), [("ancestral", None), ("dpmpp-2m", "karras"), ("heun", "geometric"), ("ddim", "linear")])
def test_the_levels_go_from_sigma_down(sampler: str, scheduler: str | None, denoiser: Pretrained) -> None:
    levels: list[float] = []
    x = denoiser.add_noise(torch.zeros(2, 1, 8, 8), 3.0)
    denoiser.sample(x=x, sigma=3.0, sampler=sampler, scheduler=scheduler, steps=6, on_step=lambda step, sigma, x, x0: levels.append(sigma))
    assert (len(levels), levels[0], levels[-1]) == (7, 3.0, 0.0)
    assert levels == sorted(levels, reverse=True)


def test_noise_that_is_added_depends_on_seed_and_number_alone(denoiser: Pretrained) -> None:
    x = torch.linspace(-1, 0.9, 128).view(2, 1, 8, 8)
    both = denoiser.add_noise(x, 2.0, seed=3)
    assert torch.equal(denoiser.add_noise(x[1:], 2.0, seed=3, first=1), both[1:])
    assert torch.equal(denoiser.add_noise(x, 0.0), x)
    torch.testing.assert_close(denoiser.add_noise(x, torch.tensor([2.0, 4.0]), seed=3)[1], x[1] + 2 * (both[1] - x[1]))
    assert abs(((both - x) / 2).std().item() - 1) < 0.1


def test_sdedit_keeps_the_more_of_the_image_the_less_noise_it_is_given(denoiser: Pretrained) -> None:
    """x_0 = 0.6 of a model of N(0, 0.5^2): the posterior's mean given x_0 + sigma eps falls from 0.6 to 0 as sigma grows."""
    x = torch.full((64, 1, 8, 8), 0.6)
    means = [denoiser.sample(x=denoiser.add_noise(x, sigma), sigma=sigma, steps=50).mean().item() for sigma in (0.1, 0.5, 2.0)]
    for mean, sigma in zip(means, (0.1, 0.5, 2.0), strict=True):
        assert abs(mean - 0.6 * 0.25 / (0.25 + sigma**2)) < 0.02


def test_samples_of_a_seed_are_given_other_noise_than_they_were_drawn_from(denoiser: Pretrained) -> None:
    clean = denoiser.sample(64, seed=9, sampler="ddim")  # a multiple of what it starts from
    eps = denoiser.add_noise(clean, 1.0, seed=9) - clean
    assert abs((clean * eps).mean().item()) < 0.03


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"sigma": 1.0}, "x and sigma go together"),
        ({"x": torch.zeros(2, 1, 8, 8)}, "x and sigma go together"),
        ({"n": 3, "x": torch.zeros(2, 1, 8, 8), "sigma": 0.5}, "n is 3, and x has 2 rows"),
        ({"x": torch.zeros(2, 3), "sigma": 0.5}, r"x must have the shape \(n, 1, 8, 8\)"),
        ({"x": torch.zeros(0, 1, 8, 8), "sigma": 0.5}, "rows of x must be at least 1"),
        ({"x": torch.full((2, 1, 8, 8), torch.nan), "sigma": 0.5}, "x must be finite"),
        ({"x": torch.zeros(2, 1, 8, 8), "sigma": 1e9}, r"sigma must be in \["),
        ({"x": torch.zeros(2, 1, 8, 8), "sigma": "high"}, r"sigma must be in \[.*\], the model's noise levels, not high"),
        ({"x": torch.zeros(2, 1, 8, 8), "sigma": torch.ones(2)}, "sigma must be one number"),
        ({"x": torch.zeros(2, 1, 8, 8), "sigma": 3.0, "scheduler": {"name": "karras", "sigma_max": 2.0}}, "begins at noise level 2"),
        ({"x": torch.zeros(2, 1, 8, 8), "sigma": 0.5, "sampler": "latent"}, "cannot be sampled so|samples no denoisers"),
    ],
)
def test_a_start_that_does_not_fit_is_refused(given: dict[str, Any], told: str, denoiser: Pretrained) -> None:
    with pytest.raises((UsageError, CapabilityError), match=told):
        denoiser.sample(**given)


def test_a_flow_starts_from_no_noisy_samples(flow: Pretrained) -> None:
    for call in (lambda: flow.sample(x=torch.zeros(2, 2), sigma=1.0), lambda: flow.add_noise(torch.zeros(2, 2), 1.0)):
        with pytest.raises(CapabilityError, match="its family cannot denoise"):
            call()
    assert flow.sampler == Latent()


def test_clean_images_as_a_start_are_warned_of(denoiser: Pretrained) -> None:
    x = torch.linspace(-1, 0.9, 64).view(1, 1, 8, 8)
    with pytest.warns(RuntimeWarning, match=r"x lies within \[-1, 1\], as clean images do: add_noise\(x, 2\)") as told:
        denoiser.sample(x=x, sigma=2.0)
    assert [Path(each.filename).name for each in told] == ["test_calls.py"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        denoiser.sample(x=denoiser.add_noise(x, 2.0), sigma=2.0)
        denoiser.sample(x=x, sigma=0.1)


# Wrong types


WRONG = ["16", b"x", 1.5, [0.5], {"a": 1}, object(), torch.zeros(2), np.zeros(3), (1, 2), Path("x"), {1, 2}, 1j]


@pytest.mark.parametrize(
    "keyword", ["n", "seed", "sampler", "scheduler", "labels", "guidance", "x", "sigma", "batch_size", "on_step", "first", "steps", "clip"]
)
def test_whatever_sample_is_given_is_refused_in_the_zoos_own_words(keyword: str, denoiser: Pretrained) -> None:
    x = torch.zeros(2, 1, 8, 8)
    others: dict[str, dict[str, Any]] = {"n": {}, "sigma": {"x": x}, "x": {"sigma": 0.5}, "guidance": {"n": 2, "labels": 1}}
    given = others.get(keyword, {"n": 2})
    fitting: dict[str, tuple[type, ...]] = {"guidance": (float,), "sigma": (float,), "labels": (tuple, set)}
    for wrong in WRONG:
        if isinstance(wrong, fitting.get(keyword, ())):
            continue
        with pytest.raises(ZooError) as told:
            denoiser.sample(**{**given, "steps": 2, keyword: wrong})
        assert len(str(told.value)) <= 300


@pytest.mark.parametrize(
    ("call", "keyword"),
    [
        ("inpaint", "x"),
        ("inpaint", "mask"),
        ("inpaint", "jump"),
        ("inpaint", "times"),
        ("inpaint", "on_step"),
        ("interpolate", "a"),
        ("interpolate", "steps"),
        ("interpolate", "spherical"),
        ("log_prob", "x"),
        ("log_prob", "method"),
        ("log_prob", "k"),
        ("denoise", "x"),
        ("denoise", "sigma"),
        ("add_noise", "x"),
        ("add_noise", "seed"),
    ],
)
def test_whatever_other_calls_are_given_is_refused_in_the_zoos_own_words(call: str, keyword: str, denoiser: Pretrained) -> None:
    x = torch.zeros(1, 1, 8, 8)
    given: dict[str, dict[str, Any]] = {
        "inpaint": {"x": x, "mask": "left", "steps": 2},
        "interpolate": {"a": 0, "b": 1, "steps": 2},
        "log_prob": {"x": x},
        "denoise": {"x": x, "sigma": 1.0},
        "add_noise": {"x": x, "sigma": 1.0},
    }
    for wrong in WRONG:
        if keyword == "sigma" and isinstance(wrong, float | list):
            continue
        with pytest.raises(ZooError):
            getattr(denoiser, call)(**{**given[call], keyword: wrong})


@pytest.mark.parametrize(
    "call",
    [
        zoo_core.load,
        zoo_core.info,
        zoo_core.pull,
        zoo_core.verify,
        zoo_core.names,
        lambda wrong: zoo_core.checkpoints(family=wrong),
        lambda wrong: zoo_core.load("fake", device=wrong),
        lambda wrong: zoo_core.publish("fake", wrong, dry_run=True),
        lambda wrong: zoo_core.images.to_pil(wrong),
        lambda wrong: zoo_core.images.to_pil(torch.zeros(4, 1, 2, 2), columns=wrong),
        lambda wrong: zoo_core.images.to_pil(torch.zeros(4, 1, 2, 2), scale=wrong),
    ],
)
def test_whatever_the_module_is_given_is_refused_in_the_zoos_own_words(call: Any) -> None:
    for wrong in WRONG:
        with pytest.raises(ZooError):
            call(wrong)
