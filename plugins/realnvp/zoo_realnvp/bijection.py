"""Bijections with parameters, and what puts them together."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from math import prod

import torch
from einops import rearrange
from torch import Tensor, nn

__all__ = ["Bijection", "Chain", "Flattened", "OnHalf", "Squeezed"]


class Bijection(nn.Module, ABC):
    """y = f(x), of the shape of x."""

    @abstractmethod
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """y = f(x) for ``x`` (n, ...), and log |det dy/dx| (n,)."""

    @abstractmethod
    def inverse(self, y: Tensor) -> Tensor:
        """x with f(x) = ``y``."""


class Chain(Bijection):
    """One bijection after the other."""

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
            y = part.inverse(y)  # type: ignore[operator]  # a ModuleList does not know what it holds
        return y


class Squeezed(Bijection):
    """``inner`` on images whose squares of 2 x 2 pixels became 4 times the channels (Dinh et al. 2017, section 3.6).

    The upper two pixels of all channels come first, then the lower two.
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
    """``inner`` on the first half of the channels; the second half is done (Dinh et al. 2017, section 3.6, eqs. 13 and 14)."""

    def __init__(self, inner: Bijection) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        on, done = x.chunk(2, dim=1)
        y, volume = self.inner(on)
        return torch.cat([y, done], dim=1), volume

    def inverse(self, y: Tensor) -> Tensor:
        on, done = y.chunk(2, dim=1)
        return torch.cat([self.inner.inverse(on), done], dim=1)


class Flattened(Bijection):
    """``inner`` on samples as rows of numbers."""

    def __init__(self, inner: Bijection) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y, volume = self.inner(x.reshape(len(x), prod(x.shape[1:])))
        return y.view(x.shape), volume

    def inverse(self, y: Tensor) -> Tensor:
        return self.inner.inverse(y.reshape(len(y), prod(y.shape[1:]))).view(y.shape)
