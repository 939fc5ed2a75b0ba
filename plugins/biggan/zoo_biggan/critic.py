"""The projection critic with self-attention."""

from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from zoo_biggan.config import BigGANTrainerConfig, check_attention
from zoo_biggan.layers import SelfAttention, orthogonal_
from zoo_core.models.config import check_blocks
from zoo_core.models.residual import DownBlock, Projection

__all__ = ["Critic"]


class Critic(nn.Module):
    """h(x, y) = v_y . phi(x) + psi(phi(x)), where phi(x) is the sum over the pixels of a residual net's output.

    The projection is that of Miyato & Koyama 2018 (arXiv:1802.05637, eq. 9). Every layer, the class embedding too, is divided by its
    spectral norm. Feature maps of the sides ``config.attention`` pass self-attention.

    Args:
        shape: shape of an image, (channels, side, side).
        num_classes: number of classes.
        config: widths, number and attention of the blocks.

    Raises:
        ConfigError: if the side of the images does not halve ``config.halvings`` times, or no block makes a side of ``config.attention``.

    Example:
        >>> import torch
        >>> critic = Critic((1, 8, 8), 10, BigGANTrainerConfig(width=4, multipliers=(1, 1), halvings=1, attention=(4,)))
        >>> critic(torch.zeros(2, 1, 8, 8), torch.tensor([0, 7])).shape
        torch.Size([2])
    """

    def __init__(self, shape: tuple[int, int, int], num_classes: int, config: BigGANTrainerConfig) -> None:
        super().__init__()
        check_blocks(shape, config.multipliers, config.halvings)
        sides = config.sides(shape[1])
        check_attention(config.attention, sides)
        widths = [shape[0], *(config.width * multiplier for multiplier in config.multipliers)]
        self.blocks = nn.ModuleList(
            DownBlock(*pair, first=i == 0, halves=i < config.halvings, wide=True, spectral=True) for i, pair in enumerate(pairwise(widths))
        )
        attending = {sides.index(side) for side in config.attention}
        self.attention = nn.ModuleDict({str(block): SelfAttention(widths[block + 1]) for block in sorted(attending)})
        self.project = Projection(widths[-1], num_classes, spectral=True)
        orthogonal_(self)

    def features(self, x: Tensor) -> Tensor:
        """phi(x), float32 (n, width), of images ``x`` (n, *shape)."""
        for number, block in enumerate(self.blocks):
            x = block(x)
            if str(number) in self.attention:
                x = self.attention[str(number)](x)
        return F.relu(x).float().sum(dim=(2, 3))

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        """Outputs (n,) of images ``x`` (n, *shape) and ``labels`` int64 (n,)."""
        out: Tensor = self.project(self.features(x), labels)
        return out
