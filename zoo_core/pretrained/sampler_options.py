"""Choice of the sampler with its options, and of the noise levels, from the largest one or a given one down to 0."""

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, cast

from zoo_core.arguments import as_int
from zoo_core.config import encode
from zoo_core.errors import UnknownNameError, UsageError
from zoo_core.interfaces import Denoiser, Event, Sampler, Scheduler
from zoo_core.registry import registry
from zoo_core.samplers.factory import as_sampler, scheduler_with_option
from zoo_core.suggestions import keywords_of, unknown_keyword

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["check_callback", "check_denoises", "check_noisy", "how_many", "levels_from", "with_options"]


def with_options(sampler: Sampler, options: Mapping[str, Any], call: Callable[..., object]) -> Sampler:
    """The sampler with the options that a caller passed as keywords of ``call``.

    Raises:
        UsageError: if the sampler has no such option.
        ConfigError: if an option has a wrong value.
    """
    if not options:
        return sampler
    known = [item.name for item in fields(cast(Any, sampler)) if item.init]
    for key in options:
        if key not in known:
            raise unknown_keyword(
                f"{call.__name__} with the sampler {_title(sampler)}", key, [*known, *keywords_of(call)], _hint(sampler, key)
            )
    # Scalars of numpy and torch become plain numbers.
    plain = {key: value.item() if getattr(value, "shape", None) == () else value for key, value in options.items()}
    try:
        values = encode(sampler)
    except UnknownNameError:  # a class of the caller's own, which is not registered
        return replace(cast(Any, sampler), **plain)
    return as_sampler({**values, **plain})


def _title(sampler: Sampler) -> str:
    try:
        return registry().name_of(Sampler.kind, type(sampler))
    except UnknownNameError:
        return type(sampler).__name__


def _hint(sampler: Sampler, key: str) -> str:
    if key in ("steps", "num_inference_steps") and sampler.requires != "denoise":
        return "leave it out: this sampler draws in one pass"
    owner = scheduler_with_option(key)
    return f'it is an option of schedulers: scheduler={{"name": "{owner}", "{key}": ...}}' if owner else ""


def check_denoises(sampler: Sampler, what: str) -> None:
    """Raises UsageError unless the sampler is one of denoisers; ``what`` is the action that needs one."""
    if sampler.requires != "denoise":
        raise UsageError(f"{type(sampler).__name__} samples no denoisers, and so cannot {what}", "`zoo list samplers` shows what does")


class _Bounded:
    """A denoiser with a smaller largest noise level."""

    def __init__(self, model: Denoiser, sigma: float) -> None:
        self._model = model
        self.sigma_range = model.sigma_range[0], sigma

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)


def levels_from(sampler: Sampler, model: Denoiser, scheduler: Scheduler | None, sigma: object) -> tuple[float, ...]:
    """The noise levels from exactly ``sigma`` down to 0, as many as the sampler walks along from the largest one.

    Raises:
        UsageError: if ``sigma`` is not a number in the range of the model, or the scheduler cannot begin there.
        ConfigError: if the scheduler cannot place that many levels below it.
    """
    check_denoises(sampler, "start from noisy samples")
    low, high = model.sigma_range
    try:
        level = math.nan if isinstance(sigma, str | bytes) else float(cast(float, sigma))
    except (TypeError, ValueError, RuntimeError):
        raise UsageError(f"sigma must be one number, not {str(sigma)[:40]!r}") from None
    if not low <= level <= high * (1 + 1e-6):
        raise UsageError(f"sigma must be in [{low:.4g}, {high:.4g}], the model's noise levels, not {str(sigma)[:40]}")
    level = min(level, high)
    first, *rest = sampler.noise_levels(_Bounded(model, level), scheduler)
    if not math.isclose(first, level, rel_tol=1e-6):
        raise UsageError(f"the scheduler begins at noise level {first:.4g}, and x is at {level:.4g}", "take another scheduler")
    return (level, *rest)


def check_callback(on_step: object) -> None:
    """Raises UsageError unless ``on_step`` is None or can be called."""
    if on_step is not None and not callable(on_step):
        raise UsageError(f"on_step must be a function of (step, sigma, x, x0), not {str(on_step)[:40]!r}")


def how_many(n: object, x: "Tensor | None", sigma: object, condition: "Tensor | None" = None) -> int:
    """The number of samples: ``n``, or the number of rows of ``x`` or of ``condition``.

    Raises:
        UsageError: if both are missing, if they differ, or if one of ``x`` and ``sigma`` is missing.
    """
    if (x is None) != (sigma is None):
        hint = "add_noise(images, sigma) makes x of clean images; scheduler= chooses the levels of a walk from pure noise"
        raise UsageError("x and sigma go together: noisy samples, and their noise level", hint)
    if x is None and n is None and condition is not None:
        return as_int("the number of rows of condition", len(condition), 1)
    if x is None and n is None:
        raise UsageError("sample needs the number of samples", "sample(16) draws 16; batch_size is how many are computed at once")
    rows = None if x is None else as_int("the number of rows of x", len(x), 1)
    count = as_int("n", n, 1) if n is not None else None
    if rows and count and rows != count:
        raise UsageError(f"n is {count}, and x has {rows} rows", "leave n out")
    return cast(int, rows or count)


def check_noisy(x: "Tensor | None", sigmas: Sequence[float], event: Event) -> None:
    """Warns of samples that should have noise of level ``sigmas[0]`` and look clean; does nothing without samples.

    Raises:
        UsageError: if they are not finite.
    """
    if x is None:
        return
    sigma = sigmas[0]
    low, high = map(float, x.aminmax())  # both are NaN if any value is
    if not -math.inf < low <= high < math.inf:
        raise UsageError("x must be finite")
    if event.range and sigma >= 1 and x.numel() >= 64 and event.range[0] <= low <= high <= event.range[1]:
        message = (
            f"x lies within [{event.range[0]:g}, {event.range[1]:g}], as clean images do: add_noise(x, {sigma:g}) gives them their noise"
        )
        warnings.warn(message, RuntimeWarning, stacklevel=3)
