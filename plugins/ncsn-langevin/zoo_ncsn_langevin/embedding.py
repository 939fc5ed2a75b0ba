"""The embedding of the noise level: sinusoids of log sigma and two layers."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["LogSigma", "sinusoids"]

# Radians for each factor of e in sigma. Over a range of 10^3 the slowest makes a quarter of a turn; the fastest resolves a few percent.
SLOWEST = 0.25
FASTEST = 16.0


def sinusoids(log_sigma: Tensor, count: int) -> Tensor:
    """Sines and cosines of ``log_sigma`` (n,) at geometric frequencies, (n, 2 * count)."""
    frequency = torch.linspace(math.log(SLOWEST), math.log(FASTEST), count, device=log_sigma.device, dtype=log_sigma.dtype).exp()
    angle = log_sigma[:, None] * frequency
    return torch.cat([angle.sin(), angle.cos()], dim=1)


class LogSigma(nn.Module):
    """An embedding of log sigma (n,) as (n, width): sinusoids and two layers.

    Args:
        width: width of the embedding.

    Example:
        >>> LogSigma(8)(torch.zeros(3)).shape
        torch.Size([3, 8])
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Linear(2 * width, width)
        self.second = nn.Linear(width, width)

    def forward(self, log_sigma: Tensor) -> Tensor:
        h = sinusoids(log_sigma, self.first.in_features // 2).to(self.first.weight.dtype)
        return F.silu(self.second(F.silu(self.first(h))))
