"""An exact denoiser, and the error of every sampler with every scheduler on it, which is then the sampler's alone.

``python -m zoo_core.testing.gaussian_mixture`` prints two tables of docs/samplers.md.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from math import sqrt
from typing import TYPE_CHECKING, Any, ClassVar

from zoo_core.interfaces import Event, Rng, Sampler, Scheduler
from zoo_core.registry import registry
from zoo_core.samplers import Heun
from zoo_core.samplers.factory import as_sampler, as_scheduler, rules
from zoo_core.schedulers import Geometric, Karras
from zoo_core.specs import SamplerSpec, SchedulerSpec

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "FEW",
    "PASSES",
    "GaussianMixture",
    "Misfit",
    "distances",
    "few_passes_table",
    "measure",
    "mixture",
    "names",
    "passes",
    "table",
    "within",
]

PASSES = 200
FEW = (8, 12, 20)
SOLVERS = ("euler", "heun", "dpmpp-2m", "unipc", "lms")


@dataclass(frozen=True, kw_only=True, slots=True)
class Misfit:
    """The distance of samples from the mixture.

    >>> Misfit(weight=0.01, mean=0.2, std=0.02).reasons
    ('mean off by 0.20',)

    Args:
        weight: largest error of a weight.
        mean: largest error of a coordinate of a mean.
        std: largest relative error of a standard deviation.
    """

    weight: float
    mean: float
    std: float

    LIMITS: ClassVar[tuple[tuple[str, float], ...]] = (("weight", 0.03), ("mean", 0.1), ("std", 0.05))

    @property
    def reasons(self) -> tuple[str, ...]:
        """The errors above their limits, in words; empty for good samples."""
        return tuple(f"{name} off by {getattr(self, name):.2f}" for name, limit in self.LIMITS if not getattr(self, name) <= limit)


class GaussianMixture:
    """The exact denoiser of p(x_0) = sum_k w_k N(mu_k, s_k^2 I):

        D(x, sigma) = sum_k p(k | x) (s_k^2 x + sigma^2 mu_k) / (s_k^2 + sigma^2)
        p(k | x) ~ w_k N(x; mu_k, (s_k^2 + sigma^2) I)

    >>> import torch
    >>> model = GaussianMixture((0.5, 0.5), ((-1.0,), (1.0,)), (0.1, 0.1))
    >>> model.denoise(torch.zeros(1, 1), torch.ones(1, dtype=torch.float64)).item()
    0.0

    Args:
        weights: weights w_k, with the sum 1.
        means: means mu_k, each (d,).
        stds: standard deviations s_k.
        sigma_range: smallest and largest level that it declares.

    Attributes:
        passes: number of calls of ``denoise``.
    """

    def __init__(
        self,
        weights: Sequence[float],
        means: Sequence[Sequence[float]],
        stds: Sequence[float],
        *,
        sigma_range: tuple[float, float] = (0.02, 50.0),
    ) -> None:
        self.weights = tuple(weights)
        self.means = tuple(tuple(mean) for mean in means)
        self.stds = tuple(stds)
        self.event = Event(shape=(len(self.means[0]),))
        self.sigma_range = sigma_range
        self.scheduler: Scheduler = Geometric()
        self.passes = 0

    def start(self, rng: Rng, sigma: float) -> "Tensor":
        """Draws from the Gaussian with the mean of the mixture, and its variance in an average direction."""
        z = rng.normal(*self.event.shape)
        w, mu, s = (z.new_tensor(value) for value in (self.weights, self.means, self.stds))
        mean = w @ mu
        variance = w @ (s**2 + ((mu - mean) ** 2).mean(1))
        return mean + z * sqrt(variance.item() + sigma**2)

    def denoise(self, x: "Tensor", sigma: "Tensor", labels: "Tensor | None" = None) -> "Tensor":
        """E[x_0 | x_sigma = x], (n, d), computed in float64."""
        self.passes += 1
        wide = x.double()
        level = sigma[:, None] ** 2
        mu = wide.new_tensor(self.means)
        s = wide.new_tensor(self.stds)
        p = self._logits(wide, level).softmax(1)
        share = s**2 / (s**2 + level)
        return (wide * (p * share).sum(1, keepdim=True) + (p * (1 - share)) @ mu).to(x)

    def _logits(self, x: "Tensor", level: "Tensor") -> "Tensor":
        """log p(k | x) up to a constant, float64 (n, k); ``level`` is sigma^2, (n, 1)."""
        w, mu, s = (x.new_tensor(value) for value in (self.weights, self.means, self.stds))
        variance = s**2 + level
        square = (x**2).sum(1, keepdim=True) - 2 * x @ mu.T + (mu**2).sum(1)
        return w.log() - len(self.means[0]) / 2 * variance.log() - square / (2 * variance)

    def misfit(self, x: "Tensor") -> Misfit:
        """The distance of samples (n, d) from the mixture; each sample counts to its most probable component."""
        x = x.double()
        component = self._logits(x, x.new_zeros(len(x), 1)).argmax(1)
        parts = [x[component == k] for k in range(len(self.weights))]
        mu = x.new_tensor(self.means)
        return Misfit(
            weight=max(abs(len(part) / len(x) - w) for part, w in zip(parts, self.weights, strict=True)),
            mean=max((part.mean(0) - mean).abs().max().item() for part, mean in zip(parts, mu, strict=True)),
            std=max(abs(part.std(0).square().mean().sqrt().item() / s - 1) for part, s in zip(parts, self.stds, strict=True)),
        )


def mixture() -> GaussianMixture:
    """Three components of different weights and widths, far apart from each other."""
    return GaussianMixture((0.2, 0.3, 0.5), ((-3.0, -1.0), (3.0, -1.0), (0.0, 3.0)), (0.6, 0.4, 0.5))


def names() -> tuple[list[str], list[str]]:
    """The samplers of denoisers and the rules of schedulers of zoo-core, without the list of levels.

    A plugin's samplers may be meant for models of a kind, as `consistency` is.
    """
    samplers = [spec.name for spec in _specs(SamplerSpec) if spec.requires == "denoise"]
    return sorted(samplers), sorted(spec.name for spec in _specs(SchedulerSpec) if spec.name in rules())


def _specs(kind: Any) -> list[Any]:
    return [claim.spec for claims in registry().claims(kind).values() for claim in claims if claim.plugin.dist == "zoo-core"]


def passes(sampler: Sampler) -> int:
    """The number of forward passes that a sampler makes."""
    from zoo_core.rng import ImageRng

    model = mixture()
    sampler(model, ImageRng(0, [0]))
    return model.passes


def within(name: str, limit: int = PASSES, options: Mapping[str, Any] | None = None) -> Sampler:
    """The sampler ``name`` with the most ``steps`` that ``limit`` forward passes allow."""
    chosen: Any = as_sampler({"name": name, **(options or {})})
    few, more = (passes(replace(chosen, steps=steps)) for steps in (2, 3))
    each = more - few
    return replace(chosen, steps=max(2 + (limit - few) // each, 1))


def measure(sampler: str, scheduler: str, *, n: int = 6000, seed: int = 0) -> Misfit:
    """The misfit of ``n`` samples of :func:`mixture`, drawn with default options in at most PASSES forward passes."""
    from zoo_core.rng import StepRng

    model = mixture()
    chosen = within(sampler)
    sigmas = chosen.noise_levels(model, as_scheduler(scheduler))
    return model.misfit(chosen(model, StepRng(seed, 0, n), sigmas=sigmas))


def table() -> str:
    """A Markdown table of every sampler with every scheduler."""
    samplers, schedulers = names()
    lines = [f"| sampler | steps | passes | {' | '.join(schedulers)} |", "|---" * (len(schedulers) + 3) + "|"]
    for name in samplers:
        chosen: Any = within(name)
        cells = [", ".join(measure(name, scheduler).reasons) or "ok" for scheduler in schedulers]
        lines.append(f"| `{name}` | {chosen.steps} | {passes(chosen)} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def distances(sampler: str, *, n: int = 500) -> tuple[float, ...]:
    """The median distances of samples to the ends of their paths along the ODE, in at most FEW forward passes on the levels of ``karras``.

    Args:
        sampler: name of a solver of the ODE.
        n: number of samples.
    """
    from zoo_core.rng import ImageRng

    model = mixture()
    x, ends = _paths(n)
    chosen: list[Any] = [within(sampler, limit) for limit in FEW]
    found = [walker(model, ImageRng(1, range(n)), sigmas=Karras().sigmas(walker.steps, *model.sigma_range), x=x) for walker in chosen]
    return tuple((samples - ends).norm(dim=1).median().item() for samples in found)


@cache
def _paths(n: int) -> "tuple[Tensor, Tensor]":
    """Starts of paths along the ODE, and their ends."""
    from zoo_core.rng import ImageRng

    model = mixture()
    x = model.start(ImageRng(1, range(n)), model.sigma_range[1]).double()
    return x, Heun()(model, ImageRng(1, range(n)), sigmas=Karras().sigmas(500, *model.sigma_range), x=x)


def few_passes_table() -> str:
    """A Markdown table of :func:`distances` of the solvers of the ODE."""
    lines = [f"| sampler | {' | '.join(f'{limit} passes' for limit in FEW)} |", "|---" * (len(FEW) + 1) + "|"]
    for name in SOLVERS:
        lines.append(f"| `{name}` | {' | '.join(f'{value:.2f}' for value in distances(name))} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(f"{table()}\n{few_passes_table()}")
