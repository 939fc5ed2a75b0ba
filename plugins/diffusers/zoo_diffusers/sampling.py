"""The zoo's sampler and noise levels for a scheduler_config.json of diffusers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from zoo_core.errors import ConfigError

__all__ = ["SCHEDULERS", "levels_of", "prediction_of", "sampler_of"]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Scheduler:
    """A scheduler class of diffusers: the sampler that corresponds to it, and the defaults of options that older configs leave out."""

    sampler: str
    steps: int = 50
    spacing: str = "linspace"
    rounded: bool = False
    drop_last: bool = False
    clip: bool = False
    beta_start: float = 1e-4
    beta_end: float = 0.02


_LEADING: dict[str, Any] = {"spacing": "leading", "rounded": True}
_SOLVER: dict[str, Any] = {"rounded": True, "drop_last": True}
_K: dict[str, Any] = {"beta_start": 0.00085, "beta_end": 0.012}
SCHEDULERS: Mapping[str, _Scheduler] = {
    "DDPMScheduler": _Scheduler(sampler="ancestral", steps=1000, clip=True, **_LEADING),
    "DDIMScheduler": _Scheduler(sampler="ddim", clip=True, **_LEADING),
    "PNDMScheduler": _Scheduler(sampler="lms", **_LEADING),
    "EulerDiscreteScheduler": _Scheduler(sampler="euler"),
    "EulerAncestralDiscreteScheduler": _Scheduler(sampler="ancestral"),
    "HeunDiscreteScheduler": _Scheduler(sampler="heun", **_K),
    "KDPM2DiscreteScheduler": _Scheduler(sampler="heun", **_K),
    "KDPM2AncestralDiscreteScheduler": _Scheduler(sampler="ancestral", **_K),
    "LMSDiscreteScheduler": _Scheduler(sampler="lms"),
    "DPMSolverMultistepScheduler": _Scheduler(sampler="dpmpp-2m", **_SOLVER),
    "DPMSolverSinglestepScheduler": _Scheduler(sampler="dpmpp-2m", **_SOLVER),
    "DEISMultistepScheduler": _Scheduler(sampler="lms", **_SOLVER),
    "UniPCMultistepScheduler": _Scheduler(sampler="unipc", **_SOLVER),
}
"""The scheduler classes that are read: those of variance-preserving noise, which they define by betas."""


def levels_of(options: Mapping[str, Any]) -> dict[str, Any]:
    """The plain values of the scheduler ``diffusers`` for a scheduler_config.json.

    >>> levels_of({"_class_name": "DDIMScheduler", "beta_schedule": "scaled_linear"})["beta_schedule"]
    'scaled_linear'

    Raises:
        ConfigError: if the scheduler is not one of :data:`SCHEDULERS`, or its noise is not variance-preserving.
    """
    defaults = _defaults(options)
    for key in ("use_flow_sigmas", "use_dynamic_shifting"):
        if options.get(key):
            raise ConfigError(f"{key} of the scheduler is for flow models, which the bridge does not read", "name another checkpoint")
    if options.get("timestep_type", "discrete") != "discrete":
        raise ConfigError("the scheduler's timestep_type is continuous, which the bridge does not read", "name another checkpoint")
    trained = options.get("trained_betas")
    return {
        "name": "zoo-diffusers:diffusers",
        "T": options.get("num_train_timesteps", 1000),
        "beta_start": options.get("beta_start", defaults.beta_start),
        "beta_end": options.get("beta_end", defaults.beta_end),
        "beta_schedule": options.get("beta_schedule", "linear"),
        "trained_betas": [] if trained is None else trained,
        "rescale_zero_snr": bool(options.get("rescale_betas_zero_snr", False)),
        "spacing": options.get("timestep_spacing", defaults.spacing),
        "offset": options.get("steps_offset", 0),
        "rounded": defaults.rounded,
        "drop_last": defaults.drop_last,
    }


def prediction_of(options: Mapping[str, Any]) -> Any:
    """The value ``prediction`` of a model's config for a scheduler_config.json."""
    return options.get("prediction_type", "epsilon")


def sampler_of(options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """The plain values of the sampler that corresponds to a scheduler_config.json, and of the scheduler of its levels, if it has its own.

    >>> sampler_of({"_class_name": "DPMSolverMultistepScheduler", "use_karras_sigmas": True})
    ({'name': 'dpmpp-2m', 'steps': 50, 'clip': False}, {'name': 'karras'})
    """
    defaults = _defaults(options)
    name = defaults.sampler
    if str(options.get("algorithm_type")).startswith("sde-"):
        name = "dpmpp-2m-sde"
    clip: bool | float = bool(options.get("clip_sample", defaults.clip))
    if clip and options.get("clip_sample_range", 1.0) != 1.0:
        clip = False
    if options.get("thresholding"):
        # The scheduler bounds s by sample_max_value: with 1, thresholding is clamping.
        clip = True if options.get("sample_max_value", 1.0) == 1.0 else options.get("dynamic_thresholding_ratio", 0.995)
    own = "karras" if options.get("use_karras_sigmas") else "geometric" if options.get("use_exponential_sigmas") else ""
    return {"name": name, "steps": min(defaults.steps, _count(options)), "clip": clip}, {"name": own} if own else None


def _count(options: Mapping[str, Any]) -> int:
    count = options.get("num_train_timesteps", 1000)
    return count if type(count) is int and count > 0 else 1


def _defaults(options: Mapping[str, Any]) -> _Scheduler:
    name = options.get("_class_name")
    if not isinstance(name, str) or name not in SCHEDULERS:
        known = ", ".join(each.removesuffix("Scheduler") for each in SCHEDULERS)
        raise ConfigError(f"the bridge reads no {str(name)[:60]!r} as the scheduler of a pipeline", f"it reads {known}")
    return SCHEDULERS[name]
