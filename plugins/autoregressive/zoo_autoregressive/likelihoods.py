"""Distributions of one value given those before it: its mass, and its quantile."""

import math
from abc import ABC, abstractmethod
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from zoo_autoregressive.config import AutoregressiveConfig

__all__ = ["Bernoulli", "Categorical", "Levels", "LogisticMixture", "likelihood"]

LOWEST = -7.0  # bound of log scale, as in PixelCNN++


class Levels(ABC):
    """A distribution of a level 0 ... count - 1.

    >>> issubclass(Bernoulli, Levels)
    True

    Args:
        count: number of levels.
        outputs: number of outputs of a net for one value.
        space: space of the log-probability.
    """

    count: int
    outputs: int
    space: Literal["binary", "uint8"]

    @abstractmethod
    def log_mass(self, outputs: Tensor, levels: Tensor) -> Tensor:
        """log p(level), (...), of ``levels`` int64 (...) under the ``outputs`` (..., outputs) of a net."""

    @abstractmethod
    def quantile(self, outputs: Tensor, u: Tensor) -> Tensor:
        """The least level whose distribution function exceeds ``u``, int64 (n,), for ``outputs`` (n, outputs) and ``u`` (n,) in [0, 1].

        For a uniform u it has exactly the distribution of :meth:`log_mass`.
        """


class Bernoulli(Levels):
    """A level 0 or 1; the output is the logit of 1.

    Example:
        >>> Bernoulli().quantile(torch.zeros(2, 1), torch.tensor([0.3, 0.7])).tolist()
        [0, 1]
    """

    count, outputs, space = 2, 1, "binary"

    def log_mass(self, outputs: Tensor, levels: Tensor) -> Tensor:
        return F.logsigmoid(outputs[..., 0] * (2 * levels - 1))

    def quantile(self, outputs: Tensor, u: Tensor) -> Tensor:
        return (u >= (-outputs[:, 0].to(u.dtype)).sigmoid()).long()


class Categorical(Levels):
    """A level of 256; the outputs are the logits of all levels.

    Example:
        >>> likelihood = Categorical()
        >>> likelihood.quantile(torch.zeros(2, 256), torch.tensor([0.0, 0.5])).tolist()
        [0, 128]
    """

    count, outputs, space = 256, 256, "uint8"

    def log_mass(self, outputs: Tensor, levels: Tensor) -> Tensor:
        return outputs.log_softmax(-1).gather(-1, levels[..., None])[..., 0]

    def quantile(self, outputs: Tensor, u: Tensor) -> Tensor:
        below = outputs.to(u.dtype).softmax(1).cumsum(1)[:, :-1]
        return (below <= u[:, None]).sum(1)


class LogisticMixture(Levels):
    """A level of 256 of a mixture of logistics in [-1, 1] (arXiv:1701.05517, eq. 2); the outermost bins have no bound.

    The outputs are the logits of the weights, the means, and the logarithms of the scales, as many of each as there are logistics.

    Args:
        mixtures: number of logistics.

    Example:
        >>> likelihood = LogisticMixture(2)
        >>> masses = likelihood.log_mass(torch.zeros(256, 6), torch.arange(256)).exp()
        >>> round(float(masses.sum()), 4)
        1.0
    """

    count, space = 256, "uint8"

    def __init__(self, mixtures: int) -> None:
        self.outputs = 3 * mixtures

    def log_mass(self, outputs: Tensor, levels: Tensor) -> Tensor:
        weights, means, scales = self._parts(outputs)
        x = levels[..., None].to(outputs.dtype) / 127.5 - 1
        upper, lower = (x + 1 / 255 - means) / scales, (x - 1 / 255 - means) / scales
        # F(upper) - F(lower) = F(upper) (1 - F(lower)) (1 - exp(lower - upper))
        inner = F.logsigmoid(upper) + F.logsigmoid(-lower) + (-torch.expm1(-(2 / 255) / scales)).log()
        first, last = (levels == 0)[..., None], (levels == self.count - 1)[..., None]
        masses = torch.where(first, F.logsigmoid(upper), torch.where(last, F.logsigmoid(-lower), inner))
        return (weights.log_softmax(-1) + masses).logsumexp(-1)

    def quantile(self, outputs: Tensor, u: Tensor) -> Tensor:
        weights, means, scales = (part[:, :, None] for part in self._parts(outputs.to(u.dtype)))
        ends = torch.arange(self.count - 1, dtype=u.dtype, device=u.device) / 127.5 - 1 + 1 / 255
        below = (weights.softmax(1) * ((ends - means) / scales).sigmoid()).sum(1)
        return (below <= u[:, None]).sum(1)

    @staticmethod
    def _parts(outputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The logits of the weights, the means and the scales; outputs of zero are means and scales over the whole range."""
        weights, means, log_scales = outputs.chunk(3, dim=-1)
        spread = torch.linspace(-0.8, 0.8, means.shape[-1], dtype=means.dtype, device=means.device)
        return weights, means + spread, (log_scales + math.log(0.3)).clamp(min=LOWEST).exp()


def likelihood(config: AutoregressiveConfig) -> Levels:
    """The distribution that a config names."""
    kinds = {"bernoulli": Bernoulli, "categorical": Categorical}
    return kinds[config.likelihood]() if config.likelihood in kinds else LogisticMixture(config.mixtures)
