"""Log-probabilities of values x given the parameters of their distribution, in nats, elementwise, and the KL of two Gaussians."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["bernoulli", "discretised_logistic", "gaussian", "kl_to_standard_normal", "nearest_level"]

LEVELS = 256


def bernoulli(x: Tensor, logits: Tensor) -> Tensor:
    """log p(x) of ``x`` = -1 (off) or 1 (on), where on has the probability sigmoid(``logits``): log sigmoid(x * logits)."""
    return F.logsigmoid(x * logits)


def nearest_level(x: Tensor) -> Tensor:
    """The 8-bit level 0 ... 255 nearest to ``x`` in [-1, 1], in the dtype of ``x``; level l is at l / 127.5 - 1."""
    return ((x.clamp(-1, 1) + 1) * 127.5 + 0.5).floor()


def discretised_logistic(x: Tensor, mean: Tensor, log_scale: Tensor) -> Tensor:
    """Log-probability of the bin of ``x``'s 8-bit level under a logistic distribution (arXiv:1701.05517, eq. 2).

    A bin extends half a level, 1/255, to both sides; the bins of the darkest and the lightest level extend to infinity. With a and b the
    ends of the bin in units of the scale, measured from the mean,

        sigmoid(a) - sigmoid(b) = sigmoid(a) sigmoid(-b) (1 - exp(b - a)),

    whose logarithm is accurate in the tails too, where the difference would cancel.

    Args:
        x: values in [-1, 1], rounded to the nearest level.
        mean: mean of the logistic, in the same units; broadcasts against ``x``.
        log_scale: logarithm of its scale; broadcasts against ``x``.
    """
    level = nearest_level(x)
    offset = level / 127.5 - 1 - mean
    per_scale = torch.exp(-log_scale)
    above = (offset + 1 / 255) * per_scale
    below = (offset - 1 / 255) * per_scale
    first = level == 0
    last = level == LEVELS - 1
    inside = torch.log(-torch.expm1(-2 / 255 * per_scale))
    total = F.logsigmoid(above).masked_fill(last, 0) + F.logsigmoid(-below).masked_fill(first, 0)
    return total + inside.expand_as(total).masked_fill(first | last, 0)


def gaussian(x: Tensor, mean: Tensor, log_std: Tensor) -> Tensor:
    """log N(``x``; mean, std^2), elementwise; both parameters broadcast against ``x``."""
    return -0.5 * ((x - mean) * torch.exp(-log_std)) ** 2 - log_std - 0.5 * math.log(2 * math.pi)


def kl_to_standard_normal(mu: Tensor, log_sigma: Tensor) -> Tensor:
    """KL(N(mu, sigma^2) || N(0, 1)) = (mu^2 + sigma^2 - log sigma^2 - 1) / 2, elementwise (arXiv:1312.6114, appendix B)."""
    return 0.5 * (mu**2 + torch.exp(2 * log_sigma) - 1) - log_sigma
