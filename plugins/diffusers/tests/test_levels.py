"""Noise levels and times are those of diffusers' schedulers."""

import warnings
from importlib import import_module
from typing import Any

import pytest
import torch
from torch import Tensor

from zoo_core.config import decode
from zoo_core.errors import ConfigError
from zoo_core.interfaces import Scheduler
from zoo_core.schedulers import VariancePreserving
from zoo_diffusers.noise import LevelTimes
from zoo_diffusers.sampling import SCHEDULERS, levels_of, sampler_of
from zoo_diffusers.schedulers import Diffusers


def scheduler(name: str, **options: Any) -> Any:
    """A scheduler of diffusers, from its own module: the package itself takes seconds to import."""
    words = {"DDPM": "ddpm", "DDIM": "ddim", "PNDM": "pndm", "EulerDiscrete": "euler_discrete", "HeunDiscrete": "heun_discrete"}
    words |= {"EulerAncestralDiscrete": "euler_ancestral_discrete", "LMSDiscrete": "lms_discrete"}
    words |= {"DPMSolverMultistep": "dpmsolver_multistep"}
    words |= {"DPMSolverSinglestep": "dpmsolver_singlestep", "DEISMultistep": "deis_multistep", "UniPCMultistep": "unipc_multistep"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = import_module(f"diffusers.schedulers.scheduling_{words[name]}")
    return getattr(module, f"{name}Scheduler")(**options)


def ours(theirs: Any) -> Diffusers:
    """Our schedule for the config that a scheduler of diffusers writes."""
    made = decode(Scheduler, levels_of({"_class_name": type(theirs).__name__, **dict(theirs.config)}))  # type: ignore[type-abstract]
    assert isinstance(made, Diffusers)
    return made


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012},
        {"beta_schedule": "squaredcos_cap_v2"},
        {"beta_schedule": "sigmoid"},
        {"trained_betas": [0.1, 0.2, 0.5], "num_train_timesteps": 3},
        {"rescale_betas_zero_snr": True},
    ],
)
def test_the_levels_are_those_of_its_alphas(options: dict[str, Any]) -> None:
    theirs = scheduler("DDPM", **options)
    abars = theirs.alphas_cumprod.double()
    if options.get("rescale_betas_zero_snr"):  # DDPM's own are 0 there, as are those of DDIM; Euler's are not
        abars[-1] = min(2.0**-24, float(abars[-2]) / 2)
    expected = ((1 - abars) / abars).sqrt()
    torch.testing.assert_close(torch.tensor(ours(theirs).levels, dtype=torch.float64), expected, rtol=2e-4, atol=1e-5)  # theirs are float32


@pytest.mark.parametrize("spacing", ["leading", "linspace", "trailing"])
@pytest.mark.parametrize("name", sorted(name.removesuffix("Scheduler") for name in SCHEDULERS if not name.startswith("KDPM2")))
def test_steps_are_placed_where_diffusers_places_them(name: str, spacing: str) -> None:
    """All but KDPM2, which adds times of its own between the steps."""
    options: dict[str, Any] = {"timestep_spacing": spacing}
    if name == "DPMSolverSinglestep":
        options = {}
    if name == "PNDM":
        options["skip_prk_steps"] = True
    theirs = scheduler(name, **options)
    theirs.set_timesteps(12)
    schedule = ours(theirs)
    sigmas = torch.tensor(schedule.sigmas(12, *schedule.bounds)[:-1], dtype=torch.float64)
    times: Tensor = theirs.timesteps.double().unique().flip(0)
    torch.testing.assert_close(LevelTimes(schedule.levels)(sigmas).double(), times, rtol=0, atol=2e-3)
    if hasattr(theirs, "sigmas"):
        placed = theirs.sigmas[:-1].double().unique().flip(0)
        torch.testing.assert_close(sigmas, placed, rtol=2e-4, atol=1e-5)


def test_a_part_of_the_range_and_odd_numbers_of_steps_have_evenly_spaced_times() -> None:
    schedule = Diffusers()
    low, high = schedule.bounds
    for steps, lo, hi in ((1, low, high), (1001, low, high), (10, low, 3.0)):
        assert schedule.sigmas(steps, lo, hi) == VariancePreserving.sigmas(schedule, steps, lo, hi)
    assert Diffusers(offset=1).sigmas(1000, low, high) == VariancePreserving.sigmas(schedule, 1000, low, high)


def test_other_noise_is_refused() -> None:
    for options in (
        {"_class_name": "ScoreSdeVeScheduler"},
        {"_class_name": "DPMSolverMultistepScheduler", "use_flow_sigmas": True},
        {"_class_name": "EulerDiscreteScheduler", "timestep_type": "continuous"},
    ):
        with pytest.raises(ConfigError, match=r"the bridge (reads no|does not read)|which the bridge does not read"):
            levels_of(options)
    with pytest.raises(ConfigError, match="increase from above 0"):
        Diffusers(T=2, trained_betas=(0.0, 0.5))


def test_the_options_of_a_scheduler_choose_the_sampler() -> None:
    assert sampler_of({"_class_name": "DDIMScheduler", "clip_sample": False})[0] == {"name": "ddim", "steps": 50, "clip": False}
    assert sampler_of({"_class_name": "DDPMScheduler", "num_train_timesteps": 100})[0] == {"name": "ancestral", "steps": 100, "clip": True}
    sde = {"_class_name": "DPMSolverMultistepScheduler", "algorithm_type": "sde-dpmsolver++", "use_exponential_sigmas": True}
    assert sampler_of(sde) == ({"name": "dpmpp-2m-sde", "steps": 50, "clip": False}, {"name": "geometric"})
    thresholds = {"_class_name": "DDIMScheduler", "thresholding": True}
    assert sampler_of(thresholds)[0]["clip"] is True
    assert sampler_of({**thresholds, "sample_max_value": 5.0})[0]["clip"] == 0.995
