"""Log-probabilities of values x given the parameters of their distribution, in nats, elementwise, and the KL of two Gaussians."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["bernoulli", "discretised_logistic", "gaussian", "kl_to_standard_normal", "level_of"]

LEVELS = 256


def bernoulli(x: Tensor, logits: Tensor) -> Tensor:
    """log p(x) of ``x`` = -1 (off) or 1 (on), where on has the probability sigmoid(``logits``).

    Both are the logarithm of a sigmoid: log sigmoid(x * logits).
    """
    return F.logsigmoid(x * logits)


def level_of(x: Tensor) -> Tensor:
    """The 8-bit level 0 ... 255 that ``x`` in [-1, 1] is nearest to, in the dtype of ``x``: x = level / 127.5 - 1."""
    return ((x.clamp(-1, 1) + 1) * 127.5 + 0.5).floor()


def discretised_logistic(x: Tensor, mean: Tensor, log_scale: Tensor) -> Tensor:
    """log of the mass that a logistic distribution gives to the bin of ``x``'s 8-bit level (arXiv:1701.05517, eq. 2).

    A bin reaches half a level, 1/255, to both sides; those of the darkest and the lightest level reach to infinity. With a and b the
    bin's ends in units of the scale, measured from the mean,

        sigmoid(a) - sigmoid(b) = sigmoid(a) sigmoid(-b) (1 - exp(b - a)),

    so that its logarithm is exact far out in the tails too, where the difference would cancel.

    Args:
        x: in [-1, 1]; what is between levels counts as the nearest.
        mean: of the logistic, in the same units; broadcasts against ``x``.
        log_scale: of the logistic; broadcasts against ``x``.
    """
    level = level_of(x)
    offset, per_scale = level / 127.5 - 1 - mean, torch.exp(-log_scale)
    above, below = (offset + 1 / 255) * per_scale, (offset - 1 / 255) * per_scale
    first, last = level == 0, level == LEVELS - 1
    inside = torch.log(-torch.expm1(-2 / 255 * per_scale))
    total = F.logsigmoid(above).masked_fill(last, 0) + F.logsigmoid(-below).masked_fill(first, 0)
    return total + inside.expand_as(total).masked_fill(first | last, 0)


def gaussian(x: Tensor, mean: Tensor, log_std: Tensor) -> Tensor:
    """log N(``x``; mean, std^2), a density by each value of ``x``; both parameters broadcast against ``x``."""
    return -0.5 * ((x - mean) * torch.exp(-log_std)) ** 2 - log_std - 0.5 * math.log(2 * math.pi)


def kl_to_standard_normal(mu: Tensor, log_sigma: Tensor) -> Tensor:
    """KL(N(mu, sigma^2) || N(0, 1)) = (mu^2 + sigma^2 - log sigma^2 - 1) / 2, elementwise (arXiv:1312.6114, appendix B)."""
    return 0.5 * (mu**2 + torch.exp(2 * log_sigma) - 1) - log_sigma
