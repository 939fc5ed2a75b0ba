"""Autoregressive layers: each dimension is moved and scaled by what came before it."""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo_core.rng import permutation
from zoo_realnvp.bijection import Bijection

__all__ = ["BOUND", "MADE", "Autoregressive", "MaskedLinear", "Permuted"]

BOUND = 3.0  # of |alpha|


class MaskedLinear(nn.Linear):
    """A linear layer in which output i sees input j where ``degree_out[i]`` >= ``degree_in[j]``."""

    def __init__(self, degree_in: range | list[int], degree_out: range | list[int]) -> None:
        super().__init__(len(degree_in), len(degree_out))
        self.degree_in, self.degree_out = list(degree_in), list(degree_out)

    def mask(self) -> Tensor:
        """0 and 1, (outputs, inputs). Made when it is used: it follows from the config, and no weights file can say otherwise."""
        to, of = (torch.tensor(degree, device=self.weight.device) for degree in (self.degree_out, self.degree_in))
        return (to[:, None] >= of).to(self.weight.dtype)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight * self.mask(), self.bias)


class MADE(nn.Module):
    """A masked net from (n, d) to two numbers for each dimension, (n, 2, d), that see the dimensions before it alone.

    Germain et al. 2015 (arXiv:1502.03509, section 4): input i has the degree i, output i the degree i - 1, hidden units those from 0 to
    d - 2 in turn, and what has a degree sees no higher one. So the first output is a constant. All begin as 0.
    """

    def __init__(self, dimension: int, *, hidden: int, width: int) -> None:
        super().__init__()
        self.dimension = dimension
        units = [i % max(dimension - 1, 1) for i in range(width)]
        degrees = [list(range(dimension)), *[units] * hidden, list(range(-1, dimension - 1)) * 2]
        self.layers = nn.ModuleList(MaskedLinear(of, to) for of, to in pairwise(degrees))
        for parameter in self.layers[-1].parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        *hidden, leave = self.layers
        for layer in hidden:
            x = F.relu(layer(x))
        return leave(x).view(-1, 2, self.dimension)


class Autoregressive(Bijection):
    """y_i = (x_i - mu_i) exp(-alpha_i), with mu_i and alpha_i of x_1 ... x_{i-1} (Papamakarios et al. 2017, arXiv:1705.07057, eqs. 3 to 5).

    From x to y takes one pass of the net, back again one for each dimension. Unlike the paper's, alpha is held within (-3, 3), softly: far
    from the data a net's alpha grows as x does, and a few layers of exp(-alpha) end in infinity less infinity, which is no density.
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
    """``inner`` on dimensions in another order: reversed, or in the random order of the layer's number."""

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
