"""Affine couplings and their masks (Dinh et al. 2017, arXiv:1605.08803, sections 3.2 to 3.4)."""

from collections.abc import Callable
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo_realnvp.bijection import Bijection

__all__ = ["AffineCoupling", "Mask", "NormedConv2d", "NormedLinear", "ResNet", "checkerboard", "halves", "stripes"]

Mask = Callable[[Tensor, int], Tensor]
"""From samples and a parity, 0 or 1, to the mask b that broadcasts against them: 1 is known and stays, 0 is changed."""


def checkerboard(x: Tensor, parity: int) -> Tensor:
    """(h, w) of ``x`` (n, c, h, w): 1 where row + column is even for parity 0, odd for parity 1 (figure 3, left)."""
    rows, columns = (torch.arange(side, device=x.device) for side in x.shape[2:])
    return ((rows[:, None] + columns + parity) % 2 == 0).to(x.dtype)


def halves(x: Tensor, parity: int) -> Tensor:
    """(c, 1, 1) of ``x`` (n, c, h, w): 1 in the first half of the channels for parity 0, in the second for parity 1 (figure 3, right)."""
    channels = torch.arange(x.shape[1], device=x.device)
    return ((2 * channels < x.shape[1]) == (parity == 0)).to(x.dtype)[:, None, None]


def stripes(x: Tensor, parity: int) -> Tensor:
    """(d,) of points ``x`` (n, d): 1 in the even dimensions for parity 0, in the odd ones for parity 1."""
    return ((torch.arange(x.shape[1], device=x.device) + parity) % 2 == 0).to(x.dtype)


class WeightNorm(nn.Module):
    """A weight of a norm of its own for each output, w = g v / |v| (Salimans & Kingma 2016, arXiv:1602.07868, eq. 2).

    It names its parameters as ``torch.nn.utils.parametrizations.weight_norm`` does: ``original0`` is g and ``original1`` is v. Layers with
    torch's own can neither be pickled nor be passed to another process.

    Args:
        weight: (outputs, ...), that w begins with.
    """

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        weight = weight.detach()
        self.original0 = nn.Parameter(torch.norm_except_dim(weight, 2, 0))
        self.original1 = nn.Parameter(weight)

    def forward(self) -> Tensor:
        return torch._weight_norm(self.original1, self.original0, 0)


class NormedLinear(nn.Linear):
    """A linear layer with :class:`WeightNorm`; arguments as those of ``torch.nn.Linear``."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.parametrizations = nn.ModuleDict({"weight": WeightNorm(self._parameters.pop("weight"))})  # type: ignore[arg-type]  # it has one

    @property
    def weight(self) -> Tensor:  # type: ignore[override]  # computed, where torch's layer has a parameter
        return cast(Tensor, self.parametrizations["weight"]())


class NormedConv2d(nn.Conv2d):
    """A convolution with :class:`WeightNorm`; arguments as those of ``torch.nn.Conv2d``."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.parametrizations = nn.ModuleDict({"weight": WeightNorm(self._parameters.pop("weight"))})  # type: ignore[arg-type]  # it has one

    @property
    def weight(self) -> Tensor:  # type: ignore[override]  # computed, where torch's layer has a parameter
        return cast(Tensor, self.parametrizations["weight"]())


def _layer(kernel: int | None, inputs: int, outputs: int) -> nn.Module:
    """Weight-normed: linear for points (``kernel`` None), else a convolution that keeps the side."""
    if kernel is None:
        return NormedLinear(inputs, outputs)
    return NormedConv2d(inputs, outputs, kernel, padding=kernel // 2)


class Block(nn.Module):
    """Two layers, each after a rectifier, beside the identity."""

    def __init__(self, kernel: int | None, width: int) -> None:
        super().__init__()
        self.first = _layer(kernel, width, width)
        self.second = _layer(kernel, width, width)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(F.relu(self.first(F.relu(x))))


class ResNet(nn.Module):
    """A residual net with weight norm, from ``inputs`` to ``outputs`` channels; for points (``kernel`` None), from (n, d) to (n, d').

    Its output begins as 0, so that a coupling begins as the identity. It has no batch norm inside, unlike the paper's: a row's
    log-likelihood must not depend on the rows beside it.
    """

    def __init__(self, inputs: int, outputs: int, *, width: int, blocks: int, kernel: int | None) -> None:
        super().__init__()
        self.enter = _layer(kernel, inputs, width)
        self.blocks = nn.Sequential(*(Block(kernel, width) for _ in range(blocks)))
        self.leave = nn.Linear(width, outputs) if kernel is None else nn.Conv2d(width, outputs, 1)
        nn.init.zeros_(self.leave.weight)
        assert self.leave.bias is not None
        nn.init.zeros_(self.leave.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.leave(F.relu(self.blocks(self.enter(x))))


class AffineCoupling(Bijection):
    """y = b x + (1 - b) (x exp(s(b x)) + t(b x)) with a mask b (eq. 9); log |det| is the sum of (1 - b) s.

    One net gives t and, through ``scale`` tanh with a learned scale for each channel, s (section 4.1).
    """

    def __init__(self, channels: int, mask: Mask, parity: int, net: nn.Module) -> None:
        super().__init__()
        self.mask, self.parity, self.net = mask, parity, net
        self.scale = nn.Parameter(torch.ones(channels))

    def _map(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """s and t, 0 where the mask is 1, of samples that are looked at only there."""
        b = self.mask(x, self.parity)
        s, t = self.net(b * x).chunk(2, dim=1)
        return (1 - b) * self.scale.view(-1, *[1] * (x.ndim - 2)) * s.tanh(), (1 - b) * t

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        s, t = self._map(x)
        return x * s.exp() + t, s.flatten(1).sum(1)

    def inverse(self, y: Tensor) -> Tensor:
        s, t = self._map(y)
        return (y - t) * (-s).exp()
