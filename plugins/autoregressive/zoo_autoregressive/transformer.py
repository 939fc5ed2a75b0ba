"""A decoder-only Transformer over the values of an image in raster order, with a cache of keys and values for drawing."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo_autoregressive.config import PixelTransformerConfig
from zoo_autoregressive.pixelcnn import Pick

__all__ = ["Block", "TransformerNet"]


class Block(nn.Module):
    """Causal attention and a perceptron, each on the normalised residual stream (Vaswani et al. 2017, with the norm first).

    Args:
        width: width of the residual stream.
        heads: number of heads.

    Example:
        >>> Block(8, 2)(torch.zeros(3, 5, 8)).shape
        torch.Size([3, 5, 8])
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attend = nn.Linear(width, 3 * width)
        self.project = nn.Linear(width, width)
        self.perceptron = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        """The stream (n, places, width) after the block; a place attends to itself and to those before it."""
        query, key, value = self._heads(x)
        return self._after(x, F.scaled_dot_product_attention(query, key, value, is_causal=True))

    def step(self, x: Tensor, cache: Tensor, place: int) -> Tensor:
        """The stream (n, 1, width) of one place; adds its key and value to ``cache`` (2, n, heads, places, width / heads)."""
        query, key, value = self._heads(x)
        cache[0, :, :, place], cache[1, :, :, place] = key[:, :, 0], value[:, :, 0]
        seen = cache[:, :, :, : place + 1]
        return self._after(x, F.scaled_dot_product_attention(query, seen[0], seen[1]))

    def _heads(self, x: Tensor) -> Any:
        """Queries, keys and values, each (n, heads, places, width / heads)."""
        n, places, _ = x.shape
        return self.attend(self.first(x)).view(n, places, 3, self.heads, -1).permute(2, 0, 3, 1, 4)

    def _after(self, x: Tensor, attended: Tensor) -> Tensor:
        x = x + self.project(attended.transpose(1, 2).flatten(2))
        return x + self.perceptron(self.second(x))


class TransformerNet(nn.Module):
    """Outputs for every value, each a function of the values before it in raster order alone.

    Args:
        config: sizes of the net.
        count: number of levels of a value.
        outputs: number of outputs for a value.

    Example:
        >>> net = TransformerNet(PixelTransformerConfig(shape=(1, 5, 5), layers=1, width=8, heads=2), 2, 1)
        >>> net(torch.zeros(3, 5, 5, dtype=torch.int64)).shape
        torch.Size([3, 5, 5, 1])
    """

    def __init__(self, config: PixelTransformerConfig, count: int, outputs: int) -> None:
        super().__init__()
        channels, height, width = config.shape
        self.start = count
        self.values = nn.Embedding(count + 1, config.width)  # the last one stands before the first value
        self.rows = nn.Parameter(0.02 * torch.randn(height, 1, config.width))
        self.columns = nn.Parameter(0.02 * torch.randn(width * channels, config.width))
        self.blocks = nn.ModuleList(Block(config.width, config.heads) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.width)
        self.leave = nn.Linear(config.width, outputs)

    def forward(self, levels: Tensor) -> Tensor:
        """The outputs (n, rows, columns, outputs) for ``levels`` int64 (n, rows, columns)."""
        before = F.pad(levels.flatten(1), (1, -1), value=self.start)
        x = self.values(before) + self._places()
        for block in self.blocks:
            x = block(x)
        out: Tensor = self.leave(self.norm(x))
        return out.view(*levels.shape, -1)

    def draw(self, u: Tensor, pick: Pick) -> Tensor:
        """Draws levels int64 (n, rows, columns): each is ``pick(outputs, u)`` for the outputs given the levels before it.

        Every block keeps the keys and values of the places before, so that a place takes one pass of that place alone.
        """
        flat = u.flatten(1)
        n, count = flat.shape
        places = self._places()
        blocks = [block for block in self.blocks if isinstance(block, Block)]
        size = places.shape[1] // blocks[0].heads
        caches = [places.new_zeros(2, n, block.heads, count, size) for block in blocks]
        levels = torch.full((n, count + 1), self.start, dtype=torch.int64, device=u.device)
        for place in range(count):
            x = self.values(levels[:, place : place + 1]) + places[place]
            for block, cache in zip(blocks, caches, strict=True):
                x = block.step(x, cache, place)
            levels[:, place + 1] = pick(self.leave(self.norm(x))[:, 0], flat[:, place])
        return levels[:, 1:].view(u.shape)

    def _places(self) -> Tensor:
        """The embeddings of the places, (places, width)."""
        return (self.rows + self.columns).flatten(0, 1)
