"""How a net learns of the noise level."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["LogSigma", "waves"]

SLOWEST, FASTEST = 0.25, 16.0  # radians for each e-fold of sigma: over a range of 10^3, from a quarter of a turn to steps of a few percent


def waves(log_sigma: Tensor, count: int) -> Tensor:
    """Sines and cosines of ``log_sigma`` (n,) at geometric frequencies, (n, 2 * count)."""
    frequency = torch.linspace(math.log(SLOWEST), math.log(FASTEST), count, device=log_sigma.device, dtype=log_sigma.dtype).exp()
    angle = log_sigma[:, None] * frequency
    return torch.cat([angle.sin(), angle.cos()], dim=1)


class LogSigma(nn.Module):
    """An embedding of log sigma (n,) as (n, width): waves and two layers."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Linear(2 * width, width)
        self.second = nn.Linear(width, width)

    def forward(self, log_sigma: Tensor) -> Tensor:
        h = waves(log_sigma, self.first.in_features // 2).to(self.first.weight.dtype)
        return F.silu(self.second(F.silu(self.first(h))))
