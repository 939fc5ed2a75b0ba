"""Affine couplings and their masks (Dinh et al. 2017, arXiv:1605.08803, sections 3.2 to 3.4)."""

from collections.abc import Callable
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo_realnvp.bijection import Bijection

__all__ = ["AffineCoupling", "Mask", "NormedConv2d", "NormedLinear", "ResNet", "checkerboard", "halves", "stripes"]

Mask = Callable[[Tensor, int], Tensor]
"""From samples and a parity, 0 or 1, to the mask b that broadcasts against them: 1 for values that pass unchanged, 0 for others."""


def checkerboard(x: Tensor, parity: int) -> Tensor:
    """Mask (h, w) of images ``x`` (n, c, h, w): 1 where row + column is even for parity 0, odd for parity 1 (figure 3, left)."""
    rows, columns = (torch.arange(side, device=x.device) for side in x.shape[2:])
    return ((rows[:, None] + columns + parity) % 2 == 0).to(x.dtype)


def halves(x: Tensor, parity: int) -> Tensor:
    """Mask (c, 1, 1) of images ``x`` (n, c, h, w): 1 in the first half of the channels for parity 0, else in the second (figure 3)."""
    channels = torch.arange(x.shape[1], device=x.device)
    return ((2 * channels < x.shape[1]) == (parity == 0)).to(x.dtype)[:, None, None]


def stripes(x: Tensor, parity: int) -> Tensor:
    """Mask (d,) of points ``x`` (n, d): 1 in the even dimensions for parity 0, in the odd ones for parity 1."""
    return ((torch.arange(x.shape[1], device=x.device) + parity) % 2 == 0).to(x.dtype)


class WeightNorm(nn.Module):
    """A weight with a learned norm for each output, w = g v / |v| (Salimans & Kingma 2016, arXiv:1602.07868, eq. 2).

    Its parameters have the names of ``torch.nn.utils.parametrizations.weight_norm``: ``original0`` is g and ``original1`` is v. Layers with
    torch's own can neither be pickled nor be passed to another process.

    Args:
        weight: initial value of w, (outputs, ...).
    """

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        weight = weight.detach()
        self.original0 = nn.Parameter(torch.norm_except_dim(weight, 2, 0))
        self.original1 = nn.Parameter(weight)

    def forward(self) -> Tensor:
        return torch._weight_norm(self.original1, self.original0, 0)


class _WeightNormed(nn.Module):
    """Base that gives a layer a :class:`WeightNorm`; it stands before the layer among the bases."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        weight = cast(Tensor, self._parameters.pop("weight"))
        self.parametrizations = nn.ModuleDict({"weight": WeightNorm(weight)})

    @property
    def weight(self) -> Tensor:
        return cast(Tensor, self.parametrizations["weight"]())


class NormedLinear(_WeightNormed, nn.Linear):  # type: ignore[override]  # torch declares weight as an attribute
    """A linear layer with weight norm; arguments as those of ``torch.nn.Linear``.

    Example:
        >>> sorted(name for name, _ in NormedLinear(3, 2).named_parameters())
        ['bias', 'parametrizations.weight.original0', 'parametrizations.weight.original1']
    """


class NormedConv2d(_WeightNormed, nn.Conv2d):  # type: ignore[override]  # torch declares weight as an attribute
    """A convolution with weight norm; arguments as those of ``torch.nn.Conv2d``.

    Example:
        >>> NormedConv2d(3, 2, 1)(torch.zeros(1, 3, 4, 4)).shape
        torch.Size([1, 2, 4, 4])
    """


def _layer(kernel: int | None, inputs: int, outputs: int) -> nn.Module:
    """A layer with weight norm: linear for points (``kernel`` None), otherwise a convolution that keeps the side."""
    if kernel is None:
        return NormedLinear(inputs, outputs)
    return NormedConv2d(inputs, outputs, kernel, padding=kernel // 2)


class Block(nn.Module):
    """Two layers, each after a rectifier, plus the identity."""

    def __init__(self, kernel: int | None, width: int) -> None:
        super().__init__()
        self.first = _layer(kernel, width, width)
        self.second = _layer(kernel, width, width)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(F.relu(self.first(F.relu(x))))


class ResNet(nn.Module):
    """A residual net with weight norm, from ``inputs`` to ``outputs`` channels; for points (``kernel`` None), from (n, d) to (n, d').

    Its output is initially 0, so that a coupling begins as the identity. Unlike the paper's, it has no batch norm inside: the
    log-likelihood of a row must not depend on the other rows.

    Example:
        >>> ResNet(2, 4, width=8, blocks=1, kernel=None)(torch.ones(3, 2)).shape
        torch.Size([3, 4])
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

    Args:
        channels: channels of images, or dimensions of points.
        mask: function of samples and a parity that gives b.
        parity: 0 or 1, for the mask.
        net: net from samples to twice as many channels.

    Example:
        >>> coupling = AffineCoupling(2, stripes, 0, ResNet(2, 4, width=8, blocks=1, kernel=None))
        >>> y, log_det = coupling(torch.ones(3, 2))
        >>> coupling.inverse(y).tolist() == torch.ones(3, 2).tolist(), log_det.shape
        (True, torch.Size([3]))
    """

    def __init__(self, channels: int, mask: Mask, parity: int, net: nn.Module) -> None:
        super().__init__()
        self.mask = mask
        self.parity = parity
        self.net = net
        self.scale = nn.Parameter(torch.ones(channels))

    def _map(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """s and t as functions of the values where the mask is 1; there both are 0."""
        b = self.mask(x, self.parity)
        s, t = self.net(b * x).chunk(2, dim=1)
        return (1 - b) * self.scale.view(-1, *[1] * (x.ndim - 2)) * s.tanh(), (1 - b) * t

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        s, t = self._map(x)
        return x * s.exp() + t, s.flatten(1).sum(1)

    def inverse(self, y: Tensor) -> Tensor:
        s, t = self._map(y)
        return (y - t) * (-s).exp()
