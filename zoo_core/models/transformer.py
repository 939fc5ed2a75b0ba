"""A small Transformer encoder of texts (Vaswani et al. 2017, arXiv:1706.03762), with norms before its parts."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["AttentionBlock", "TextEncoder"]


class AttentionBlock(nn.Module):
    """Attention among all places, then a net of each place; both are added to their inputs.

    >>> AttentionBlock(width=8, heads=2)(torch.zeros(3, 4, 8)).shape
    torch.Size([3, 4, 8])

    Args:
        width: length of the vectors.
        heads: number of heads; it divides the width.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.project = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(self.norm1(x)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)  # (n, head, place, c) each
        x = x + self.project(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        out: Tensor = x + self.mlp(self.norm2(x))
        return out


class TextEncoder(nn.Module):
    """A vector for each place of texts of one length, of the numbers of their tokens.

    Padding has a vector of its own, as in Stable Diffusion: an empty text is a text too, the one of models without a condition.

    >>> encoder = TextEncoder(categories=5, length=4, width=8, layers=1, heads=2)
    >>> encoder(torch.zeros(3, 4, dtype=torch.int64)).shape
    torch.Size([3, 4, 8])

    Args:
        categories: number of tokens, the padding included.
        length: number of places.
        width: length of the vectors.
        layers: number of layers of attention.
        heads: number of heads of each; it divides the width.
    """

    def __init__(self, *, categories: int, length: int, width: int, layers: int, heads: int) -> None:
        super().__init__()
        self.tokens = nn.Embedding(categories, width)
        self.places = nn.Parameter(torch.empty(length, width))
        nn.init.normal_(self.tokens.weight, std=0.5)
        nn.init.normal_(self.places, std=0.1)
        self.blocks = nn.Sequential(*(AttentionBlock(width, heads) for _ in range(layers)))
        self.norm = nn.LayerNorm(width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Vectors (n, length, width) of tokens, int64 (n, length)."""
        out: Tensor = self.norm(self.blocks(self.tokens(tokens) + self.places))
        return out
