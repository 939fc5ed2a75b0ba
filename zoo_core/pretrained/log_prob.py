"""Log-probabilities of samples: choice of the method, its call, and a check of the samples' space."""

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from zoo_core.capabilities import capability_error
from zoo_core.density import denoiser as denoiser_density
from zoo_core.errors import UsageError
from zoo_core.images import exact_uint8
from zoo_core.interfaces import Denoiser, Density, LogProb, Rng

if TYPE_CHECKING:
    from zoo_core.pretrained.loaded import Loaded

__all__ = ["check_space", "concatenate", "log_prob_of", "method_of"]


def method_of(pretrained: "Loaded", method: str | None) -> str:
    """Returns the given method, or the default one if it is None: ``own`` if the model has a density, otherwise ``ode``.

    Raises:
        CapabilityError: if the model has no log-probability, or not by that method.
        UsageError: if there is no such method.
    """
    needs = denoiser_density.METHODS
    if method is None:
        able = [name for name in ("own", "ode") if needs[name] in pretrained.capabilities]
        if not able and "latent" in pretrained.capabilities:
            pretrained.require("density", "give a log-probability")
        if not able:
            message = f"{pretrained.name} cannot give a log-probability: its model has neither density nor denoise"
            raise capability_error(message, "density denoise")
        return able[0]
    if not isinstance(method, str) or method not in needs:
        raise UsageError(f"method must be one of {', '.join(needs)}, not {str(method)[:40]!r}")
    pretrained.require(needs[method], f"give a log-probability by the method {method}")
    return method


def log_prob_of(model: nn.Module, method: str, x: Tensor, rng: Rng, labels: Tensor | None, k: int | None) -> LogProb:
    """Computes the log-probability of each row.

    Args:
        model: the model.
        method: ``own``, ``ode`` or ``bound``.
        x: samples (n, *event.shape).
        rng: random numbers, one row for each sample.
        labels: int64 (n,), or None.
        k: number of draws; None for the default of the method.
    """
    if method == "own":
        return cast(Density, model).log_prob(x, labels, rng=rng, k=k or 1)
    denoiser = cast(Denoiser, model)
    function = denoiser_density.ode if method == "ode" else denoiser_density.bound
    return function(denoiser, x, rng, labels, k=k)


def check_space(x: Tensor, space: str) -> None:
    """Checks that samples ``x`` belong to the space of a log-probability.

    Raises:
        UsageError: if a value is not one of the 256 levels in ``uint8``, or not in [-1, 1] in ``binary``.
    """
    if space == "uint8":
        exact_uint8(x)
    if space == "binary" and x.abs().amax() > 1:
        raise UsageError("x must be in [-1, 1] for a model of binary images: -1 is 0, 1 is 1, and grey values are probabilities")


def concatenate(parts: Sequence[LogProb]) -> LogProb:
    """Concatenates log-probabilities of parts of the rows, on the CPU."""
    if len(parts) == 1 and parts[0].value.device.type == "cpu":
        return parts[0]
    columns = {item.name: [getattr(part, item.name) for part in parts] for item in fields(parts[0])}
    tensors: dict[str, Any] = {name: torch.cat(column).cpu() for name, column in columns.items() if isinstance(column[0], Tensor)}
    return replace(parts[0], **tensors)
