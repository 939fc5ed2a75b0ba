"""Bijections with parameters, and their compositions."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from math import prod

import torch
from einops import rearrange
from torch import Tensor, nn

__all__ = ["Bijection", "Chain", "Flattened", "OnHalf", "Squeezed"]


class Bijection(nn.Module, ABC):
    """Base of bijections y = f(x) that keep the shape.

    Example:
        >>> class Double(Bijection):
        ...     def forward(self, x):
        ...         return 2 * x, torch.full((len(x),), x[0].numel()) * torch.tensor(2.0).log()
        ...     def inverse(self, y):
        ...         return y / 2
        >>> y, log_det = Double()(torch.ones(3, 2))
        >>> y[0].tolist(), log_det.shape
        ([2.0, 2.0], torch.Size([3]))
    """

    @abstractmethod
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """y = f(x) for ``x`` (n, ...), and log |det dy/dx| (n,)."""

    @abstractmethod
    def inverse(self, y: Tensor) -> Tensor:
        """The x with f(x) = ``y``, of the shape of ``y``."""


class Chain(Bijection):
    """The composition of bijections, the first of ``parts`` first.

    Example:
        >>> Chain([])(torch.ones(3, 2))[1].tolist()
        [0.0, 0.0, 0.0]
    """

    def __init__(self, parts: Iterable[Bijection]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        total = x.new_zeros(len(x))
        for part in self.parts:
            x, volume = part(x)
            total = total + volume
        return x, total

    def inverse(self, y: Tensor) -> Tensor:
        for part in reversed(self.parts):
            y = part.inverse(y)  # type: ignore[operator]  # torch types the items of a ModuleList as Module
        return y


class Squeezed(Bijection):
    """``inner`` on squeezed images: squares of 2 x 2 pixels become 4 times the channels (Dinh et al. 2017, section 3.6).

    The upper two pixels of all channels come first, then the lower two.

    Example:
        >>> Squeezed(Chain([]))(torch.ones(1, 3, 4, 4))[0].shape
        torch.Size([1, 3, 4, 4])
    """

    def __init__(self, inner: Bijection) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y, volume = self.inner(rearrange(x, "n c (h a) (w b) -> n (a b c) h w", a=2, b=2))
        return rearrange(y, "n (a b c) h w -> n c (h a) (w b)", a=2, b=2), volume

    def inverse(self, y: Tensor) -> Tensor:
        x = self.inner.inverse(rearrange(y, "n c (h a) (w b) -> n (a b c) h w", a=2, b=2))
        return rearrange(x, "n (a b c) h w -> n c (h a) (w b)", a=2, b=2)


class OnHalf(Bijection):
    """``inner`` on the first half of the channels; the second half passes unchanged (Dinh et al. 2017, section 3.6, eqs. 13 and 14).

    Example:
        >>> OnHalf(Chain([]))(torch.ones(1, 4, 2, 2))[0].shape
        torch.Size([1, 4, 2, 2])
    """

    def __init__(self, inner: Bijection) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        first, second = x.chunk(2, dim=1)
        y, volume = self.inner(first)
        return torch.cat([y, second], dim=1), volume

    def inverse(self, y: Tensor) -> Tensor:
        first, second = y.chunk(2, dim=1)
        return torch.cat([self.inner.inverse(first), second], dim=1)


class Flattened(Bijection):
    """``inner`` on flattened samples, (n, d).

    Example:
        >>> Flattened(Chain([]))(torch.ones(2, 1, 4, 4))[0].shape
        torch.Size([2, 1, 4, 4])
    """

    def __init__(self, inner: Bijection) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y, volume = self.inner(x.reshape(len(x), prod(x.shape[1:])))
        return y.view(x.shape), volume

    def inverse(self, y: Tensor) -> Tensor:
        return self.inner.inverse(y.reshape(len(y), prod(y.shape[1:]))).view(y.shape)
