"""The residual critic of Karras et al. 2020 (arXiv:1912.04958), and images at a level between two sides."""

from itertools import pairwise
from math import sqrt

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo_stylegan.config import StyleGANConfig, StyleGANTrainerConfig, levels_of
from zoo_stylegan.layers import SLOPE, EqualConv, EqualLinear, doubled, halved

__all__ = ["Critic", "DownBlock", "group_deviation", "seen_at"]


def group_deviation(x: Tensor, group: int) -> Tensor:
    """``x`` (n, c, h, w) with one more channel: the mean standard deviation within each group of consecutive rows.

    Karras et al. 2018, arXiv:1710.10196, section 3: the deviation over the rows, at each place of each channel, averaged over all places.

    >>> group_deviation(torch.tensor([-1.0, 1.0, 4.0, 8.0]).view(4, 1, 1, 1), 2)[:, 1].flatten()
    tensor([1., 1., 2., 2.])

    Args:
        x: feature maps.
        group: number of rows of a group. If it does not divide n, all rows are one group.
    """
    n, _, height, width = x.shape
    size = group if n % group == 0 else n
    grouped = x.float().reshape(n // size, size, -1)
    deviation = ((grouped - grouped.mean(dim=1, keepdim=True)).square().mean(dim=1) + 1e-8).sqrt().mean(dim=1)
    channel = deviation.repeat_interleave(size).view(n, 1, 1, 1).expand(-1, -1, height, width)
    return torch.cat([x, channel.to(x.dtype)], dim=1)


def _even(x: Tensor) -> Tensor:
    """Images with an even side: odd ones repeat their last row and column."""
    odd = x.shape[-1] % 2
    return F.pad(x, (0, odd, 0, odd), mode="replicate") if odd else x


def seen_at(x: Tensor, position: float, sides: tuple[int, ...], taps: tuple[int, ...]) -> Tensor:
    """Real images ``x`` (n, c, h, h) as those of a generator that has grown to ``position``, at the same side.

    At a whole level they have no more detail than its side; between two levels, both images are mixed (arXiv:1710.10196, section 2 and
    the appendix on training).

    >>> seen_at(torch.eye(2)[None, None], 0.5, (1, 2), (1, 1)).tolist()
    [[[[0.75, 0.25], [0.25, 0.75]]]]

    Args:
        x: images.
        position: number of levels above the coarsest one, with the share of the one that fades in.
        sides: sides of the levels, the coarsest first.
        taps: filter.
    """
    finest = len(sides) - 1
    if position >= finest:
        return x
    level = int(position)
    share = position - level
    scales = [x]
    for _ in range(finest - level):
        scales.append(halved(_even(scales[-1]), taps))
    out = doubled(scales.pop(), taps, sides[level + 1])
    if share:
        out = out.lerp(scales[-1], share)
    for side in sides[level + 2 :]:
        out = doubled(out, taps, side)
    return out


class DownBlock(nn.Module):
    """Two 3x3 convolutions, the second of which halves the side, and a shortcut; the sum is divided by sqrt(2).

    Args:
        width_in: number of input channels.
        width: number of output channels.
        taps: filter of the halving.

    Example:
        >>> DownBlock(3, 2, (1, 3, 3, 1))(torch.zeros(1, 3, 7, 7)).shape
        torch.Size([1, 2, 4, 4])
    """

    def __init__(self, width_in: int, width: int, taps: tuple[int, ...]) -> None:
        super().__init__()
        self.taps = taps
        self.conv1 = EqualConv(width_in, width_in, 3, gain=sqrt(2))
        self.conv2 = EqualConv(width_in, width, 3, taps=taps)  # gain sqrt(2), divided by that of the sum
        self.shortcut = EqualConv(width_in, width, 1, bias=False, gain=sqrt(0.5))

    def forward(self, x: Tensor) -> Tensor:
        """(n, width_in, h, h) -> (n, width, ceil(h / 2), ceil(h / 2))."""
        x = _even(x)
        h = F.leaky_relu(self.conv2(F.leaky_relu(self.conv1(x), SLOPE)), SLOPE)
        out: Tensor = h + self.shortcut(halved(x, self.taps))
        return out


class Critic(nn.Module):
    """Images (n, *shape) -> outputs (n,): residual blocks down to the coarsest side, the deviation of groups of rows, two linear layers.

    A critic that grows has a layer for the colours of every level: at position k + a, the features of level k are (1 - a) times those of
    the image at the side of level k, and a times those that the block of level k + 1 makes (arXiv:1710.10196, figure 2).

    Args:
        model: config of the generator, for shape, sides and filter.
        config: widths and group; whether the critic grows.

    Example:
        >>> critic = Critic(StyleGANConfig(shape=(1, 7, 7), stages=1), StyleGANTrainerConfig(width=4))
        >>> critic(torch.zeros(4, 1, 7, 7)).shape
        torch.Size([4])
    """

    def __init__(self, model: StyleGANConfig, config: StyleGANTrainerConfig) -> None:
        super().__init__()
        widths = levels_of(config.width, config.most, model.stages)
        coloured = range(model.stages + 1) if config.growing else [model.stages]
        self.sides = model.sides
        self.taps = model.taps
        self.group = config.group
        self.colours = nn.ModuleDict({str(level): EqualConv(model.shape[0], widths[level], 1, gain=sqrt(2)) for level in coloured})
        self.blocks = nn.ModuleList(DownBlock(finer, coarser, model.taps) for coarser, finer in pairwise(widths))
        self.conv = EqualConv(widths[0] + bool(config.group), widths[0], 3, gain=sqrt(2))
        self.hidden = EqualLinear(widths[0] * model.sides[0] ** 2, widths[0], gain=sqrt(2))
        self.out = EqualLinear(widths[0], 1)

    def forward(self, x: Tensor, position: float | None = None) -> Tensor:
        """Outputs (n,) of images ``x`` (n, *shape).

        Args:
            x: images.
            position: number of levels above the coarsest one that take part, with the share of the one that fades in; None for all.
        """
        finest = len(self.sides) - 1
        position = finest if position is None else position
        top = -int(-position // 1)  # rounded up
        for _ in range(finest - top):
            x = halved(_even(x), self.taps)
        h = self._features(top, x)
        for level in reversed(range(top)):
            h = self.blocks[level](h)
            if level + 1 == top and position < top:
                h = self._features(level, halved(_even(x), self.taps)).lerp(h, position - level)
        if self.group:
            h = group_deviation(h, self.group)
        h = F.leaky_relu(self.conv(h), SLOPE)
        h = F.leaky_relu(self.hidden(h.flatten(1)), SLOPE)
        out: Tensor = self.out(h).flatten()
        return out

    def _features(self, level: int, x: Tensor) -> Tensor:
        return F.leaky_relu(self.colours[str(level)](x), SLOPE)
