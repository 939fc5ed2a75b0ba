"""A Transformer encoder over the places of a text, which attends to all of them."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo_text_diffusion.config import TextEncoderConfig

__all__ = ["Block", "TextEncoder", "rotated"]

_LONGEST = 100.0  # radians per place fall from 1 to 1 / this


def rotated(x: Tensor) -> Tensor:
    """Rotary embeddings: turns pairs of components by angles proportional to the place (Su et al. 2021, arXiv:2104.09864, eq. 34).

    The product of a turned query and a turned key depends on the distance of their places alone.

    Args:
        x: queries or keys (..., places, size), of an even size.
    """
    places, size = x.shape[-2:]
    rates = _LONGEST ** (-torch.arange(size // 2, device=x.device, dtype=torch.float32) / (size // 2))
    angles = torch.arange(places, device=x.device, dtype=torch.float32)[:, None] * rates
    cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, first * sin + second * cos], dim=-1)


class Block(nn.Module):
    """Neighbours, attention and a perceptron, on the normalised residual stream.

    A convolution of each channel over neighbouring places goes before the attention: short words need no attention to be seen
    (So et al. 2021, arXiv:2109.08668, section 3).

    Args:
        width: width of the residual stream.
        heads: number of heads.
        hidden: width of the perceptron.
        kernel: odd number of places of the convolution.

    Example:
        >>> Block(8, 2, 16, 3)(torch.zeros(3, 5, 8)).shape
        torch.Size([3, 5, 8])
    """

    def __init__(self, width: int, heads: int, hidden: int, kernel: int) -> None:
        super().__init__()
        self.heads = heads
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.near = nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=width)
        self.attend = nn.Linear(width, 3 * width)
        self.project = nn.Linear(width, width)
        self.perceptron = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))
        for last in (self.project, self.perceptron[2]):
            nn.init.zeros_(last.weight)  # type: ignore[arg-type]  # both are linear

    def forward(self, x: Tensor) -> Tensor:
        """The stream (n, places, width) after the block."""
        n, places, _ = x.shape
        h = self.first(x)
        h = h + self.near(h.transpose(1, 2)).transpose(1, 2)
        query, key, value = self.attend(h).view(n, places, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(rotated(query), rotated(key), value)
        x = x + self.project(attended.transpose(1, 2).flatten(2))
        out: Tensor = x + self.perceptron(self.second(x))
        return out


class TextEncoder(nn.Module):
    """A stack of blocks, and a linear layer on its normalised output.

    Args:
        config: sizes of the net.
        outputs: number of outputs of a place.

    Example:
        >>> TextEncoder(TextEncoderConfig(width=8, heads=2, layers=1), 3)(torch.zeros(2, 5, 8)).shape
        torch.Size([2, 5, 3])
    """

    def __init__(self, config: TextEncoderConfig, outputs: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(config.width, config.heads, config.hidden, config.kernel) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.width)
        self.leave = nn.Linear(config.width, outputs)
        nn.init.normal_(self.leave.weight, std=0.5 / math.sqrt(config.width))

    def forward(self, h: Tensor) -> Tensor:
        """The outputs (n, places, outputs) for a stream (n, places, width)."""
        for block in self.blocks:
            h = block(h)
        out: Tensor = self.leave(self.norm(h))
        return out
