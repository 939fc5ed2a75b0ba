"""Exact moments of a sampler's samples of a Gaussian: each step is affine, so that no samples have to be drawn.

``python -m zoo_core.testing.gaussian_moments`` prints two tables of docs/samplers.md: the share of the data's variance that samplers
draw, and their completions of a known part.
"""

import sys
from collections.abc import Sequence
from math import sqrt
from typing import TYPE_CHECKING, NoReturn

from zoo_core.cards.markdown import describe
from zoo_core.interfaces import Denoiser, Event, Rng, Sampler, Scheduler
from zoo_core.samplers import Inpainted, resampled
from zoo_core.samplers.factory import as_sampler, as_scheduler
from zoo_core.schedulers import Cosine, Karras

if TYPE_CHECKING:
    from torch import Tensor, device

__all__ = ["Gaussian", "beside", "drawn", "inpainting_table", "variance_table"]

TRAINED = Cosine(T=50)
VARIANCES = (0.01, 0.1, 1, 10, 100)
WALKS: tuple[tuple[dict[str, object], dict[str, object] | None], ...] = (
    ({"name": "ancestral", "steps": 50}, None),
    ({"name": "ancestral", "steps": 50, "variance": "large"}, None),
    ({"name": "ancestral", "steps": 20}, None),
    ({"name": "ancestral", "steps": 20, "variance": "large"}, None),
    ({"name": "ddim", "steps": 50}, None),
    ({"name": "ddim", "steps": 10}, {"name": "karras", "sigma_max": 80.0}),
    ({"name": "dpmpp-2m", "steps": 10}, {"name": "karras"}),
    ({"name": "dpmpp-2m", "steps": 10}, {"name": "karras", "sigma_max": 80.0}),
    ({"name": "dpmpp-2m", "steps": 20}, {"name": "karras", "sigma_max": 80.0}),
    ({"name": "heun", "steps": 10}, {"name": "karras", "sigma_max": 80.0}),
)
CORRELATION = 0.8
KNOWN = -1.0
TIMES = (1, 5, 20, 60)
BESIDE = (
    {"name": "heun", "steps": 30},
    {"name": "ddim", "steps": 30},
    {"name": "dpmpp-2m", "steps": 30},
    {"name": "ancestral", "steps": 30},
    {"name": "ancestral", "steps": 30, "variance": "large"},
)


class Gaussian:
    """The exact denoiser of x_0 ~ N(0, C): D(x, sigma) = C (C + sigma^2 I)^-1 x, in float64.

    >>> import torch
    >>> model = Gaussian(((1.0,),), Karras(), (0.02, 50.0))
    >>> model.denoise(torch.ones(1, 1), torch.ones(1)).item()
    0.5

    Args:
        covariance: covariance C, (d, d).
        scheduler: scheduler of the model.
        sigma_range: smallest and largest level that it declares.
    """

    def __init__(self, covariance: Sequence[Sequence[float]], scheduler: Scheduler, sigma_range: tuple[float, float]) -> None:
        self.covariance = covariance
        self.event = Event(shape=(len(covariance),))
        self.scheduler = scheduler
        self.sigma_range = sigma_range

    def start(self, rng: Rng, sigma: float) -> "Tensor":
        """Draws with the variance of x_sigma, averaged over directions."""
        d = len(self.covariance)
        return rng.normal(d).double() * sqrt(sum(self.covariance[i][i] for i in range(d)) / d + sigma**2)

    def denoise(self, x: "Tensor", sigma: "Tensor", labels: "Tensor | None" = None) -> "Tensor":
        """E[x_0 | x_sigma = x], (n, d); all rows are at one level."""
        import torch

        C = torch.tensor(self.covariance, dtype=torch.float64)
        return x.double() @ torch.linalg.solve(C + float(sigma[0]) ** 2 * torch.eye(len(C)), C)


class _Impulses:
    """An Rng whose row 0 is 0, and whose other rows are 1 in one coordinate of one of ``draws`` draws each."""

    def __init__(self, draws: int) -> None:
        self.draws = draws
        self.made = 0
        self.rows = 1

    @property
    def device(self) -> "device":
        import torch

        return torch.device("cpu")

    def __len__(self) -> int:
        return self.rows

    def normal(self, *shape: int) -> "Tensor":
        import torch

        (d,) = shape
        self.rows = 1 + self.draws * d
        z = torch.zeros(self.rows, d, dtype=torch.float64)
        z[1 + self.made * d : 1 + (self.made + 1) * d] = torch.eye(d)[: max(self.rows - 1 - self.made * d, 0)]
        self.made += 1
        return z

    def uniform(self, *shape: int) -> NoReturn:
        raise NotImplementedError

    def integers(self, low: int, high: int, *shape: int) -> NoReturn:
        raise NotImplementedError


def drawn(sampler: Sampler, model: Denoiser, sigmas: Sequence[float]) -> "tuple[Tensor, Tensor]":
    """The exact mean (d,) and covariance (d, d) of a sampler's samples from a model whose ``denoise`` is affine.

    The samples are affine in the noise, x = m + sum_k A_k z_k, so that their covariance is sum_k A_k A_k^T.
    """
    counting = _Impulses(0)
    sampler(model, counting, sigmas=sigmas)
    x = sampler(model, _Impulses(counting.made), sigmas=sigmas).double()
    return x[0], (x[1:] - x[0]).T @ (x[1:] - x[0])


def variance_table() -> str:
    """A Markdown table: the share of the variance c of N(0, c) that samplers draw."""
    lines = [f"| sampler | {' | '.join(f'c = {c:g}' for c in VARIANCES)} |", "|---" * (len(VARIANCES) + 1) + "|"]
    trained = (TRAINED.levels[0], TRAINED.levels[-1])
    for walk, levels in WALKS:
        sampler = as_sampler(walk)
        shares = []
        for c in VARIANCES:
            model = Gaussian(((float(c),),), TRAINED, trained)
            sigmas = sampler.noise_levels(model, as_scheduler(levels) if levels else None)
            shares.append(f"{drawn(sampler, model, sigmas)[1].item() / c:.2f}")
        name = " on ".join(describe(part) for part in (walk, levels) if part)
        lines.append(f"| `{name}` | {' | '.join(shares)} |")
    return "\n".join(lines) + "\n"


def beside(sampler: Sampler, times: int) -> tuple[float, float]:
    """The mean and the standard deviation of x_2 beside x_1 = -1, for a Gaussian with variances 1 and correlation 0.8.

    The sampler passes ``times`` times over each level of ``karras`` from 20 to 0.05. The exact values are -0.8 and 0.6.
    """
    import torch

    model = Gaussian(((1.0, CORRELATION), (CORRELATION, 1.0)), Karras(), (0.05, 20.0))
    around = Inpainted(model, torch.tensor([KNOWN, 0.0]).double(), torch.tensor([1.0, 0.0]).double())
    mean, covariance = drawn(sampler, around, resampled(sampler.noise_levels(model, None), times=times))
    return mean[1].item(), covariance[1, 1].sqrt().item()


def inpainting_table() -> str:
    """A Markdown table: mean and standard deviation of a coordinate beside a known one, by sampler."""
    lines = [f"| `times` | {' | '.join(map(str, TIMES))} |", "|---" * (len(TIMES) + 1) + "|"]
    for walk in BESIDE:
        moments = (beside(as_sampler(walk), times) for times in TIMES)
        lines.append(f"| `{describe(walk)}` | {' | '.join(f'{mean:.2f} ± {std:.2f}' for mean, std in moments)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(f"{variance_table()}\n{inpainting_table()}")
