"""Bijections with their Jacobians, and dequantisation of 8-bit pixels.

With y = f(x), log p(x) = log p(y) + log |det dy/dx|: each ``forward`` returns both y and the log-determinant, so that those of a chain add
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
from zoo_core.interfaces import LogProb, Rng
from zoo_core.rng import ImageRng

__all__ = ["LEVEL", "UNIT", "Affine", "Compose", "Logit", "Transform", "continuous_log_prob", "dequantise", "dequantised_bound"]

LEVEL = 2 / 255
"""The width of an 8-bit level for images in [-1, 1]."""


class Transform(Protocol):
    """A bijection of samples. It may change the shape of a sample, but not its number of dimensions.

    >>> class Reverse:
    ...     def forward(self, x):
    ...         return x.flip(1), x.new_zeros(len(x))
    ...     def inverse(self, y):
    ...         return y.flip(1)
    >>> chain = Compose((Reverse(), Affine(2.0)))
    >>> chain.inverse(chain.forward(torch.tensor([[1.0, 2.0]]))[0])
    tensor([[1., 2.]])
    """

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Returns y = f(x) for ``x`` (n, ...), and log |det dy/dx| (n,)."""
        ...

    def inverse(self, y: Tensor) -> Tensor:
        """Returns the x (n, ...) with f(x) = ``y``."""
        ...


@dataclass(frozen=True, slots=True)
class Affine:
    """y = scale x + shift.

    Args:
        scale: factor other than 0.
        shift: summand.

    Raises:
        UsageError: if ``scale`` is 0, or one of them is not finite.

    >>> y, log_det = Affine(scale=3.0, shift=1.0).forward(torch.ones(1, 2))
    >>> y.tolist(), round(log_det.item(), 4)  # 2 log 3
    ([[4.0, 4.0]], 2.1972)
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
"""Maps the 8-bit levels in [-1, 1] to the centres of 256 equal parts of [0, 1], which dequantised images fill.

Level l becomes (l + 1/2) / 256; ``to_uint8`` of an inverse is the level whose part it lies in.
"""


@dataclass(frozen=True, slots=True)
class Logit:
    """y = logit(alpha + (1 - 2 alpha) x) for x in [0, 1]: unbounded images (Papamakarios et al. 2017, arXiv:1705.07057, appendix E).

    ``alpha`` keeps y finite at the ends: |y| is at most logit(1 - alpha). An inverse may leave [0, 1] by alpha / (1 - 2 alpha). If it is
    rounded to that end, ``forward`` maps it to the logit of the last number before the end, 16.6 in float32. Dinh et al. 2017
    (arXiv:1605.08803, section 4.1), with alpha 0.05, leave a margin at the lower end alone.

    Args:
        alpha: margin in [0, 1/2).

    Raises:
        UsageError: if ``alpha`` is not in [0, 1/2).

    >>> y, log_det = Logit(alpha=0.05).forward(torch.tensor([[0.5, 1.0]]))
    >>> [round(value, 4) for value in y[0].tolist()]
    [0.0, 2.9444]
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
    """``p`` with values that rounding moved to 0 or 1, or slightly beyond, replaced by the nearest number between 0 and 1."""
    eps = torch.finfo(p.dtype).eps
    nearest = p.clamp(eps / 2, 1 - eps / 2)
    return nearest.where((nearest - p).abs() <= 8 * eps, p)


@dataclass(frozen=True, slots=True)
class Compose:
    """A chain of transforms, the first one first; their log-determinants add up.

    Args:
        parts: transforms.

    >>> y, log_det = Compose((Affine(2.0), Affine(1.0, shift=3.0))).forward(torch.ones(1, 1))
    >>> y.item(), round(log_det.item(), 4)  # log 2
    (5.0, 0.6931)
    """

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
    """Adds uniform noise of one level's width to 8-bit images (Theis et al. 2016, arXiv:1511.01844, section 3.1).

    Args:
        x: images in [-1, 1], (n, ...); values between the levels are rounded to the nearest one first.
        rng: generator of the noise, with a row for each image.

    Returns:
        The noisy images in [-1 - 1/255, 1 + 1/255), and the logarithm (n,) of the volume over which the noise spreads an image. For a
        density p, log P(image) >= E[log p(x + noise)] + log volume, in nats.
    """
    levels = from_uint8(to_uint8(x)).to(x.dtype)
    noise = rng.uniform(*x.shape[1:]).to(x) - 0.5
    return levels + LEVEL * noise, x.new_full((len(x),), math.log(LEVEL) * math.prod(x.shape[1:]))


def dequantised_bound(log_density: Callable[[Tensor], Tensor], x: Tensor, rng: Rng, k: int = 1) -> Tensor:
    """A lower bound, in nats (n,), of the log-mass of 8-bit images under a density: the logarithm of a mean over ``k`` draws.

    In expectation the bound rises with ``k`` to the log-mass itself (Burda et al. 2016, arXiv:1509.00519, theorem 1; for dequantisation,
    Hoogeboom et al. 2020, arXiv:2001.11235).

    Args:
        log_density: log-density of continuous images (n, ...), in nats (n,).
        x: images in [-1, 1], (n, ...).
        rng: generator of the noise, with a row for each image.
        k: number of draws of the noise.

    Raises:
        UsageError: if ``k`` is less than 1.
    """
    if k < 1:
        raise UsageError(f"k must be at least 1, not {k}")
    bounds = []
    for _ in range(k):
        y, volume = dequantise(x, rng)
        bounds.append(log_density(y) + volume)
    return torch.stack(bounds).logsumexp(0) - math.log(k)


def continuous_log_prob(log_density: Callable[[Tensor], Tensor], x: Tensor, *, images: bool, rng: Rng | None = None, k: int = 1) -> LogProb:
    """The log-probability of a model with a density: exact for points, and :func:`dequantised_bound` for 8-bit images.

    >>> continuous_log_prob(lambda x: x.sum(1), torch.ones(2, 3), images=False).kind
    'exact'

    Args:
        log_density: log-density of continuous samples (n, ...), in nats (n,).
        x: samples (n, ...); images are rounded to the nearest of the 256 levels.
        images: whether samples are 8-bit images in [-1, 1].
        rng: generator of the noise; None for that of images 0 ... n - 1 of seed 0.
        k: number of draws of the noise.

    Raises:
        UsageError: if ``k`` is less than 1.
    """
    if not images:
        return LogProb(value=log_density(x), kind="exact", space="continuous")
    rng = ImageRng(0, range(len(x)), x.device) if rng is None else rng
    return LogProb(value=dequantised_bound(log_density, x, rng, k), kind="lower_bound", space="uint8")
