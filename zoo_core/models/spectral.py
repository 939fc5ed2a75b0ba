"""Layers whose weights may be divided by their spectral norm, in critics and in generators whose weights are averaged."""

from contextlib import nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["Conv", "Embedding", "Linear", "SpectralNorm", "settle"]

_SETTLED = 15  # power iterations at the start, as in torch


class SpectralNorm(nn.Module):
    """W / sigma, with the estimate sigma of the largest singular value of the matrix of output channels by all else.

    Miyato et al. 2018, arXiv:1802.05957, algorithm 1: a vector u is kept, and each pass in train mode takes one step of power iteration,
    v = W^T u / |W^T u|, u = W v / |W v|, sigma = u^T W v. In eval mode u stays, and sigma = |W^T u| / |u|, whatever the length of u is: a
    moving average of a generator averages u as well, which then is shorter than 1. (torch's own parametrisation keeps u and v, and its
    sigma is wrong for averages of both. Nor can its modules be pickled.)

    Args:
        outputs: first dimension of the weight.

    Example:
        >>> norm, weight = SpectralNorm(2), torch.tensor([[3.0, 0.0], [0.0, 1.0]])
        >>> for _ in range(20):
        ...     normalised = norm(weight)
        >>> normalised
        tensor([[1.0000, 0.0000],
                [0.0000, 0.3333]])
    """

    u: Tensor

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.register_buffer("u", F.normalize(torch.randn(outputs), dim=0))

    def forward(self, weight: Tensor) -> Tensor:
        """``weight`` (outputs, ...) divided by the estimate."""
        device = weight.device.type
        with torch.autocast(device, enabled=False) if torch.amp.is_autocast_available(device) else nullcontext():
            matrix = weight.flatten(1)
            if not self.training:
                return weight / (torch.mv(matrix.T, self.u).norm() / self.u.norm())
            v = self.iterate(weight)
            # A copy, because the next pass changes u before this one's gradient is computed.
            return weight / torch.dot(self.u.clone(), torch.mv(matrix, v))

    @torch.no_grad()
    def iterate(self, weight: Tensor) -> Tensor:
        """Takes one step of power iteration, which changes u; returns v."""
        matrix = weight.flatten(1)
        v = F.normalize(torch.mv(matrix.T, self.u), dim=0)
        self.u.copy_(F.normalize(torch.mv(matrix, v), dim=0))
        return v


class Conv(nn.Conv2d):
    """A convolution of stride 1 that keeps the side.

    Args:
        width_in: number of input channels.
        width: number of output channels.
        side: side of the kernel, odd.
        bias: whether it has a bias.
        spectral: whether its weight is divided by its spectral norm.

    Example:
        >>> Conv(3, 2, spectral=True)(torch.zeros(1, 3, 4, 4)).shape
        torch.Size([1, 2, 4, 4])
    """

    def __init__(self, width_in: int, width: int, side: int = 3, *, bias: bool = True, spectral: bool = False) -> None:
        super().__init__(width_in, width, side, padding=side // 2, bias=bias)
        self.spectral = SpectralNorm(width) if spectral else None

    @property
    def kernel(self) -> Tensor:
        """The weight that is used. In train mode, reading it takes a step of power iteration."""
        return self.weight if self.spectral is None else self.spectral(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        return self._conv_forward(x, self.kernel, self.bias)


class Linear(nn.Linear):
    """A linear layer.

    Args:
        width_in: number of inputs.
        width: number of outputs.
        bias: whether it has a bias.
        spectral: whether its weight is divided by its spectral norm.

    Example:
        >>> Linear(3, 2, spectral=True)(torch.zeros(1, 3)).shape
        torch.Size([1, 2])
    """

    def __init__(self, width_in: int, width: int, *, bias: bool = True, spectral: bool = False) -> None:
        super().__init__(width_in, width, bias=bias)
        self.spectral = SpectralNorm(width) if spectral else None

    @property
    def kernel(self) -> Tensor:
        """The weight that is used; see :attr:`Conv.kernel`."""
        return self.weight if self.spectral is None else self.spectral(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.kernel, self.bias)


class Embedding(nn.Embedding):
    """A vector for each of some classes.

    Args:
        count: number of classes.
        width: dimension of the vectors.
        spectral: whether the matrix of classes by dimensions is divided by its spectral norm.

    Example:
        >>> Embedding(3, 2, spectral=True)(torch.tensor([0, 2])).shape
        torch.Size([2, 2])
    """

    def __init__(self, count: int, width: int, *, spectral: bool = False) -> None:
        super().__init__(count, width)
        self.spectral = SpectralNorm(count) if spectral else None

    @property
    def kernel(self) -> Tensor:
        """The vectors that are used; see :attr:`Conv.kernel`."""
        return self.weight if self.spectral is None else self.spectral(self.weight)

    def forward(self, labels: Tensor) -> Tensor:
        return F.embedding(labels, self.kernel)


def settle(net: nn.Module) -> None:
    """Takes steps of power iteration for all spectral norms of a net, once its initial weights are set."""
    for layer in net.modules():
        if isinstance(layer, Conv | Linear | Embedding) and layer.spectral is not None:
            for _ in range(_SETTLED):
                layer.spectral.iterate(layer.weight)
