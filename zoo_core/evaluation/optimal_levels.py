"""Noise levels at which a solver with few steps comes nearest to the solution of the probability-flow ODE of a checkpoint."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from math import exp, log
from typing import Any, cast

import torch
from torch import Tensor

from zoo_core.errors import UsageError
from zoo_core.interfaces import Denoiser, Sampler
from zoo_core.pretrained import Pretrained
from zoo_core.samplers import Heun
from zoo_core.schedulers import Karras, Levels

__all__ = ["OptimalLevels", "optimise_levels"]

FINE = 48  # steps of Heun's method that stand for the solution


@dataclass(frozen=True, kw_only=True, slots=True)
class OptimalLevels:
    """Levels, and the errors of samples: means over samples of the root mean square, over values, of the distance to the path's end.

    >>> OptimalLevels(scheduler=Levels(levels=(80.0, 1.0)), before=0.2, after=0.1, seen=0.09).after
    0.1

    Args:
        scheduler: the levels.
        before: error on the levels of ``karras``, on images that the search did not see.
        after: error on the levels found, on the same images.
        seen: error on the levels found, on the images of the search.
    """

    scheduler: Levels
    before: float
    after: float
    seen: float


def optimise_levels(
    model: Pretrained,
    sampler: Sampler,
    *,
    n: int = 16,
    seed: int = 0,
    sigma_max: float = 80.0,
    rounds: int = 6,
    on_round: Callable[[int, float], None] = lambda done, error: None,
) -> OptimalLevels:
    """Searches the noise levels of a solver of the ODE, by the error of its samples; the first level stays.

    Sabour et al. 2024 (arXiv:2404.14507) minimise a bound of the error of a first-order solver of the SDE. This search takes the error of
    the given sampler itself, against Heun's method with 48 steps from the same noise. It begins with the levels of ``karras`` and moves one
    level after the other between its neighbours, by a share of the distance that halves where a round finds nothing.

    >>> from zoo_core import load
    >>> from zoo_core.samplers import DPMSolver2M
    >>> found = optimise_levels(load("ncsn-gaussian-mixture"), DPMSolver2M(steps=6), n=64, rounds=1, sigma_max=20.0)
    >>> found.after < found.before
    True

    Args:
        model: checkpoint of a denoiser.
        sampler: sampler with its number of steps, 2 at least, that adds no noise.
        n: number of images of the search; as many further ones measure the result. Samples of few values need hundreds.
        seed: seed of the images.
        sigma_max: first level, or the model's largest one if that is less.
        rounds: number of rounds.
        on_round: callback with the number of rounds done and the error, before the first one too.

    Raises:
        UsageError: if the sampler adds noise, or takes fewer than 2 steps.
        CapabilityError: if the model cannot denoise.
    """
    model.require_walk("be sampled at noise levels")
    steps = int(getattr(sampler, "steps", 0))
    if sampler.requires != "denoise" or steps < 2:
        raise UsageError("levels are searched for samplers of denoisers with at least 2 steps", "choose --sampler dpmpp-2m --steps 8")
    low, high = cast(Denoiser, model.sampled_model).sigma_range
    rule = Karras(sigma_max=min(sigma_max, high))
    _check_deterministic(model, sampler, rule.sigma_max or high)
    search = _Search(model, sampler, rule, n, seed)
    logs = [log(sigma) for sigma in rule.sigmas(steps, low, high)[:-1]]
    error = search.error(logs, first=0)
    before = search.error(logs, first=n)
    share = 0.3
    on_round(0, error)
    for done in range(rounds):
        logs, error, moved = search.round(logs, error, share, log(low))
        share = share if moved else share / 2
        on_round(done + 1, error)
    return OptimalLevels(scheduler=_levels(logs), before=before, after=search.error(logs, first=n), seen=error)


def _levels(logs: list[float]) -> Levels:
    return Levels(levels=tuple(float(f"{exp(value):.5g}") for value in logs))


def _check_deterministic(model: Pretrained, sampler: Sampler, sigma: float) -> None:
    x = sigma * torch.ones(1, *cast(Denoiser, model.sampled_model).event.shape)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a start that is not like noise
        first, second = (model.sample(x=x, sigma=sigma, seed=seed, sampler=sampler, scheduler="karras") for seed in (0, 1))
    if not torch.equal(first, second):
        raise UsageError("the sampler adds noise, and so has no path to come near to", "choose dpmpp-2m, unipc, lms, heun, ddim or euler")


class _Search:
    """The error of a sampler's samples as a function of the logarithms of its levels."""

    def __init__(self, model: Pretrained, sampler: Sampler, rule: Karras, n: int, seed: int) -> None:
        self.model = model
        self.sampler = sampler
        self.drawn: dict[str, Any] = {"n": n, "seed": seed}
        self.ends = {first: self._ends(rule, first) for first in (0, n)}

    def _ends(self, rule: Karras, first: int) -> Tensor:
        return self.model.sample(**self.drawn, first=first, sampler=Heun(steps=FINE), scheduler=rule)

    def error(self, logs: list[float], first: int) -> float:
        samples = self.model.sample(**self.drawn, first=first, sampler=self.sampler, scheduler=_levels(logs))
        return float((samples - self.ends[first]).double().square().flatten(1).mean(1).sqrt().mean())

    def round(self, logs: list[float], error: float, share: float, lowest: float) -> tuple[list[float], float, bool]:
        """Moves each level but the first by ``share`` of the way to a neighbour, where that lowers the error."""
        moved = False
        for i in range(1, len(logs)):
            below = logs[i + 1] if i + 1 < len(logs) else lowest
            for neighbour in (logs[i - 1], below):
                trial = [*logs[:i], logs[i] + share * (neighbour - logs[i]), *logs[i + 1 :]]
                if (value := self.error(trial, first=0)) < error:
                    logs, error, moved = trial, value, True
                    break
        return logs, error, moved
