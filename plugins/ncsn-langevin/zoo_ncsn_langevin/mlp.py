"""A score network for points: a residual multilayer perceptron, conditioned on log sigma."""

import torch.nn.functional as F
from torch import Tensor, nn

from zoo_ncsn_langevin.config import NCSNConfig
from zoo_ncsn_langevin.embedding import LogSigma

__all__ = ["MLP"]


class Block(nn.Module):
    """Two layers with an embedding added between them, plus the identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Linear(width, width)
        self.embed = nn.Linear(width, width)
        self.second = nn.Linear(width, width)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        out: Tensor = x + self.second(F.silu(self.first(F.silu(x)) + self.embed(embedding)))
        return out


class MLP(nn.Module):
    """Points (n, d) and log sigma (n,) -> (n, d). It is smooth, so that it can be differentiated twice.

    Example:
        >>> import torch
        >>> MLP(NCSNConfig(shape=(2,), net="mlp", width=8))(torch.zeros(3, 2), torch.zeros(3)).shape
        torch.Size([3, 2])
    """

    def __init__(self, config: NCSNConfig) -> None:
        super().__init__()
        (dimension,) = config.shape
        self.embed = LogSigma(config.width)
        self.enter = nn.Linear(dimension, config.width)
        self.blocks = nn.ModuleList([Block(config.width) for _ in range(config.blocks)])
        self.leave = nn.Linear(config.width, dimension)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def forward(self, x: Tensor, log_sigma: Tensor) -> Tensor:
        embedding = self.embed(log_sigma)
        h = self.enter(x)
        for block in self.blocks:
            h = block(h, embedding)
        return self.leave(F.silu(h))
