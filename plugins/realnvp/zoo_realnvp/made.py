"""Autoregressive layers: each dimension is shifted and scaled by functions of the dimensions before it."""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo_core.rng import permutation
from zoo_realnvp.bijection import Bijection

__all__ = ["BOUND", "MADE", "Autoregressive", "MaskedLinear", "Permuted"]

BOUND = 3.0  # bound of |alpha|


class MaskedLinear(nn.Linear):
    """A linear layer in which output i depends on input j only if ``degree_out[i]`` >= ``degree_in[j]``.

    Example:
        >>> MaskedLinear(range(3), [0, 1]).mask().tolist()
        [[1.0, 0.0, 0.0], [1.0, 1.0, 0.0]]
    """

    def __init__(self, degree_in: range | list[int], degree_out: range | list[int]) -> None:
        super().__init__(len(degree_in), len(degree_out))
        self.degree_in = list(degree_in)
        self.degree_out = list(degree_out)

    def mask(self) -> Tensor:
        """The mask of 0 and 1, (outputs, inputs), computed from the degrees at each use, so that no file of weights can change it."""
        degree_out, degree_in = (torch.tensor(degree, device=self.weight.device) for degree in (self.degree_out, self.degree_in))
        return (degree_out[:, None] >= degree_in).to(self.weight.dtype)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight * self.mask(), self.bias)


class MADE(nn.Module):
    """A masked net from (n, d) to two numbers for each dimension, (n, 2, d), which depend only on the dimensions before it.

    Germain et al. 2015 (arXiv:1502.03509, section 4): input i has the degree i, output i the degree i - 1, hidden units the degrees 0 to
    d - 2 in turn, and no unit depends on units of a higher degree. So the first output is a constant. All outputs are initially 0.

    Args:
        dimension: number of dimensions d.
        hidden: number of hidden layers.
        width: units of each hidden layer.

    Example:
        >>> MADE(3, hidden=1, width=8)(torch.ones(5, 3)).shape
        torch.Size([5, 2, 3])
    """

    def __init__(self, dimension: int, *, hidden: int, width: int) -> None:
        super().__init__()
        self.dimension = dimension
        units = [i % max(dimension - 1, 1) for i in range(width)]
        degrees = [list(range(dimension)), *[units] * hidden, list(range(-1, dimension - 1)) * 2]
        self.layers = nn.ModuleList(MaskedLinear(*pair) for pair in pairwise(degrees))
        for parameter in self.layers[-1].parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        *hidden, last = self.layers
        for layer in hidden:
            x = F.relu(layer(x))
        return last(x).view(-1, 2, self.dimension)


class Autoregressive(Bijection):
    """y_i = (x_i - mu_i) exp(-alpha_i), with mu_i and alpha_i of x_1 ... x_{i-1} (Papamakarios et al. 2017, arXiv:1705.07057, eqs. 3 to 5).

    From x to y takes one pass of the net, the inverse one for each dimension. Unlike the paper's, alpha is bounded to (-3, 3) by a tanh:
    far from the data the alpha of a net grows with x, and a few layers of exp(-alpha) would overflow to an undefined density.

    Example:
        >>> layer = Autoregressive(MADE(3, hidden=1, width=8))
        >>> layer.inverse(layer(torch.ones(5, 3))[0]).shape
        torch.Size([5, 3])
    """

    def __init__(self, net: MADE) -> None:
        super().__init__()
        self.net = net

    def _affine(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mu, alpha = self.net(x).unbind(1)
        return mu, BOUND * (alpha / BOUND).tanh()

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mu, alpha = self._affine(x)
        return (x - mu) * (-alpha).exp(), -alpha.sum(1)

    def inverse(self, y: Tensor) -> Tensor:
        x = torch.zeros_like(y)
        places = torch.arange(y.shape[1], device=y.device)
        for i in range(y.shape[1]):
            mu, alpha = self._affine(x)
            x = torch.where(places == i, y * alpha.exp() + mu, x)
        return x


class Permuted(Bijection):
    """``inner`` on permuted dimensions.

    Args:
        inner: bijection of rows (n, dimension).
        dimension: number of dimensions.
        order: ``reverse``, or ``random`` for the random permutation of the layer's number.
        layer: the layer's number.

    Example:
        >>> Permuted(Autoregressive(MADE(3, hidden=1, width=8)), 3, order="reverse", layer=1).order
        [2, 1, 0]
    """

    def __init__(self, inner: Bijection, dimension: int, *, order: str, layer: int) -> None:
        super().__init__()
        self.inner = inner
        self.order = list(range(dimension))[::-1] if order == "reverse" else permutation(0, layer, dimension).tolist()

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y, volume = self.inner(x[:, self.order])
        return y, volume

    def inverse(self, y: Tensor) -> Tensor:
        back = sorted(range(len(self.order)), key=self.order.__getitem__)
        return self.inner.inverse(y)[:, back]
