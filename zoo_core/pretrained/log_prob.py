"""Log-probabilities of a model's rows: which method there is, what it says, and whether the samples are of its space."""

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from zoo_core.capabilities import capability_error
from zoo_core.density import denoiser as likelihood
from zoo_core.errors import UsageError
from zoo_core.images import exact_uint8
from zoo_core.interfaces import Denoiser, Density, LogProb, Rng

if TYPE_CHECKING:
    from zoo_core.pretrained.loaded import Loaded

__all__ = ["check_space", "concatenate", "log_prob_of", "method_of"]


def method_of(pretrained: "Loaded", method: str | None) -> str:
    """The method of that name, or the model's own where it is None: ``own`` if it has one, and otherwise ``ode``.

    Raises:
        CapabilityError: the model cannot give a log-probability, or not by that method.
        UsageError: there is no such method.
    """
    needs = likelihood.METHODS
    if method is None:
        able = [name for name in ("own", "ode") if needs[name] in pretrained.capabilities]
        if not able:
            what = f"{pretrained.name} cannot give a log-probability: its model has neither density nor denoise"
            raise capability_error(what, "density denoise")
        return able[0]
    if not isinstance(method, str) or method not in needs:
        raise UsageError(f"method must be one of {', '.join(needs)}, not {str(method)[:40]!r}")
    pretrained.require(needs[method], f"give a log-probability by the method {method}")
    return method


def log_prob_of(model: nn.Module, method: str, x: Tensor, rng: Rng, labels: Tensor | None, k: int | None) -> LogProb:
    """The log-probability of each row by the method ``own``, ``ode`` or ``bound``."""
    if method == "own":
        return cast(Density, model).log_prob(x, labels, rng=rng, k=k or 1)
    denoiser = cast(Denoiser, model)
    return likelihood.ode(denoiser, x, rng, labels, k=k) if method == "ode" else likelihood.bound(denoiser, x, rng, labels, k=k)


def check_space(x: Tensor, space: str) -> None:
    """Raises UsageError unless ``x`` is of the space that a log-probability says it is of."""
    if space == "uint8":
        exact_uint8(x)
    if space == "binary" and x.abs().amax() > 1:
        raise UsageError("x must be in [-1, 1] for a model of binary images: -1 is 0, 1 is 1, and what is grey between them is drawn")


def concatenate(parts: Sequence[LogProb]) -> LogProb:
    """The log-probabilities of all rows, on the CPU."""
    if len(parts) == 1 and parts[0].value.device.type == "cpu":
        return parts[0]
    columns = {item.name: [getattr(part, item.name) for part in parts] for item in fields(parts[0])}
    tensors: dict[str, Any] = {name: torch.cat(each).cpu() for name, each in columns.items() if isinstance(each[0], Tensor)}
    return replace(parts[0], **tensors)
