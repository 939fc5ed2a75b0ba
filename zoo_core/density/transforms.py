"""Bijections that carry their Jacobian, and what makes a density out of 8-bit pixels.

With y = f(x), log p(x) = log p(y) + log |det dy/dx|: each ``forward`` returns both y and that log-determinant, so that a chain of them adds
up and no constant is forgotten.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from zoo_core.errors import UsageError
from zoo_core.images import from_uint8, to_uint8
from zoo_core.interfaces import Rng

__all__ = ["LEVEL", "UNIT", "Affine", "Compose", "Logit", "Transform", "dequantise", "dequantised"]

LEVEL = 2 / 255
"""The width of an 8-bit level for images in [-1, 1]."""


class Transform(Protocol):
    """A bijection of samples. Shapes may change, the number of dimensions of a sample does not."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """y = f(x) for ``x`` (n, ...), and log |det dy/dx| (n,)."""
        ...

    def inverse(self, y: Tensor) -> Tensor:
        """x with f(x) = ``y``."""
        ...


@dataclass(frozen=True, slots=True)
class Affine:
    """y = scale x + shift.

    Raises:
        UsageError: ``scale`` is 0, or one of them is not finite.
    """

    scale: float
    shift: float = 0.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.scale) and math.isfinite(self.shift) and self.scale):
            raise UsageError(f"scale must be a finite number other than 0, and shift finite, not {self.scale}, {self.shift}")

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.scale * x + self.shift, x.new_full((len(x),), math.log(abs(self.scale)) * math.prod(x.shape[1:]))

    def inverse(self, y: Tensor) -> Tensor:
        return (y - self.shift) / self.scale


UNIT = Affine(scale=255 / 512, shift=0.5)
"""From [-1, 1] to the middle of the 256 equal parts of [0, 1] that the 8-bit levels have, so that dequantised images fill all of it.

Level l is (l + 1/2) / 256, and ``to_uint8`` of an inverse is the level whose part it comes from.
"""


@dataclass(frozen=True, slots=True)
class Logit:
    """y = logit(alpha + (1 - 2 alpha) x), for x in [0, 1]: images without bounds (Papamakarios et al. 2017, arXiv:1705.07057, appendix E).

    ``alpha`` in [0, 1/2) keeps y finite at the ends: |y| is at most logit(1 - alpha). What an inverse gives can leave [0, 1] by
    alpha / (1 - 2 alpha), and what it rounds to that end comes back finite: as the last number before it, whose logit is 16.6 in float32.
    Dinh et al. 2017 (arXiv:1605.08803, section 4.1), whose alpha is 0.05, leave a margin at the lower end alone.

    Raises:
        UsageError: ``alpha`` is not in [0, 1/2).
    """

    alpha: float = 0.05

    def __post_init__(self) -> None:
        if not 0 <= self.alpha < 0.5:
            raise UsageError(f"alpha must be in [0, 1/2), not {self.alpha}")

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = torch.logit(_inside(self.alpha + (1 - 2 * self.alpha) * x))
        # dp/dy = p (1 - p), of which softplus(y) + softplus(-y) is minus the logarithm.
        return y, (math.log1p(-2 * self.alpha) + F.softplus(y) + F.softplus(-y)).flatten(1).sum(1)

    def inverse(self, y: Tensor) -> Tensor:
        return (torch.sigmoid(y) - self.alpha) / (1 - 2 * self.alpha)


def _inside(p: Tensor) -> Tensor:
    """``p``, of which what rounding took to 0 or 1, or a little beyond, is the nearest number between them."""
    eps = torch.finfo(p.dtype).eps
    nearest = p.clamp(eps / 2, 1 - eps / 2)
    return nearest.where((nearest - p).abs() <= 8 * eps, p)


@dataclass(frozen=True, slots=True)
class Compose:
    """One transform after the other; their log-determinants add up."""

    parts: tuple[Transform, ...]

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        total = x.new_zeros(len(x))
        for part in self.parts:
            x, volume = part.forward(x)
            total = total + volume
        return x, total

    def inverse(self, y: Tensor) -> Tensor:
        for part in reversed(self.parts):
            y = part.inverse(y)
        return y


def dequantise(x: Tensor, rng: Rng) -> tuple[Tensor, Tensor]:
    """Uniform noise of one level's width on 8-bit images (Theis et al. 2016, arXiv:1511.01844, section 3.1).

    Args:
        x: images in [-1, 1], (n, ...); what lies between the levels is rounded to the nearest first.
        rng: its rows are the images'.

    Returns:
        x + noise, in [-1 - 1/255, 1 + 1/255), and the logarithm (n,) of the volume that an image is spread over: with a density p,
        log P(image) >= E[log p(x + noise)] + volume, in nats.
    """
    levels = from_uint8(to_uint8(x)).to(x.dtype)
    noise = rng.uniform(*x.shape[1:]).to(x) - 0.5
    return levels + LEVEL * noise, x.new_full((len(x),), math.log(LEVEL) * math.prod(x.shape[1:]))


def dequantised(log_density: Callable[[Tensor], Tensor], x: Tensor, rng: Rng, k: int = 1) -> Tensor:
    """A lower bound, in nats (n,), on the log-mass that a density gives to 8-bit images: the logarithm of a mean over ``k`` draws.

    In expectation the bound rises with ``k``, to the log-mass itself (Burda et al. 2016, arXiv:1509.00519, theorem 1; for dequantisation,
    Hoogeboom et al. 2020, arXiv:2001.11235).

    Args:
        log_density: of continuous images (n, ...), in nats (n,).
        x: images in [-1, 1], (n, ...).
        rng: its rows are the images'.
        k: number of draws of the noise.

    Raises:
        UsageError: ``k`` is less than 1.
    """
    if k < 1:
        raise UsageError(f"k must be at least 1, not {k}")
    bounds = []
    for _ in range(k):
        y, volume = dequantise(x, rng)
        bounds.append(log_density(y) + volume)
    return torch.stack(bounds).logsumexp(0) - math.log(k)
