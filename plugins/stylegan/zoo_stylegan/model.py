"""The style-based generator of Karras et al. 2019 (arXiv:1812.04948), with the layers of Karras et al. 2020 (arXiv:1912.04958)."""

from itertools import pairwise
from math import sqrt
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo_core.interfaces import Event, Rng
from zoo_stylegan.config import StyleGANConfig
from zoo_stylegan.layers import SLOPE, EqualLinear, ModulatedConv, doubled, normalised

__all__ = ["ONE", "StyleGAN", "StyledConv"]

ONE = 1 << 24
"""Units of ``StyleGAN.grown`` in a level: a whole number, so that a moving average of the weights copies it."""


class StyledConv(nn.Module):
    """A modulated convolution, noise, a bias, and a leaky rectifier of gain sqrt(2).

    Args:
        width_in: number of input channels.
        width: number of output channels.
        style: dimension of w.
        side: side of the outputs.
        taps: filter, if the convolution doubles the side.

    Example:
        >>> layer = StyledConv(3, 2, style=5, side=7, taps=(1, 1))
        >>> layer(torch.zeros(1, 3, 4, 4), torch.zeros(1, 5), torch.zeros(1, 1, 7, 7)).shape
        torch.Size([1, 2, 7, 7])
    """

    def __init__(self, width_in: int, width: int, *, style: int, side: int, taps: tuple[int, ...] = ()) -> None:
        super().__init__()
        self.conv = ModulatedConv(width_in, width, 3, style=style, taps=taps)
        self.side = side
        self.noise = nn.Parameter(torch.zeros(()))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor, w: Tensor, noise: Tensor) -> Tensor:
        """(n, width_in, h, h), styles (n, style) and noise (n, 1, side, side) -> (n, width, side, side)."""
        y, norm = self.conv.parts(x, w)
        assert norm is not None  # it demodulates
        # The gain of the rectifier is in small factors, which takes two passes over the feature maps instead of five.
        shift = noise * (sqrt(2) * self.noise) + (sqrt(2) * self.bias)[:, None, None]
        return F.leaky_relu(torch.addcmul(shift.to(y.dtype), y[:, :, : self.side, : self.side], sqrt(2) * norm), SLOPE)


class StyleGAN(nn.Module):
    """Images from latent rows: z, from which the mapping network makes the styles w, and a noise map for each convolution.

    A learned constant passes two convolutions at each level, which w modulates; each level adds its colours to those of the level below
    (arXiv:1912.04958, figure 7b). Noise is a part of the row, so that an image is a function of its row alone.

    ``grown`` is the number of levels above the coarsest one that take part, in units of 1 / :data:`ONE`; the last may be fading in. The
    trainer moves it (Karras et al. 2018, arXiv:1710.10196); images of fewer levels are upsampled to the whole side.

    Example:
        >>> from zoo_core.rng import ImageRng
        >>> net = StyleGAN(StyleGANConfig(shape=(1, 7, 7), latent=4, style=4, width=4, stages=1)).eval()
        >>> z = net.prior(ImageRng(0, range(2)))
        >>> z.shape, net.decode(z).shape, net.decode(z, truncation=0.5).shape
        (torch.Size([2, 118]), torch.Size([2, 1, 7, 7]), torch.Size([2, 1, 7, 7]))
    """

    truncates: ClassVar[bool] = True
    w_mean: Tensor
    grown: Tensor

    def __init__(self, config: StyleGANConfig) -> None:
        super().__init__()
        self.config = config
        style, widths, sides = config.style, config.widths, config.sides
        wide = [config.latent, *[style] * config.mapping_layers]
        self.mapping = nn.ModuleList(EqualLinear(*pair, lr=config.mapping_lr, gain=sqrt(2)) for pair in pairwise(wide))
        self.constant = nn.Parameter(torch.randn(1, widths[0], sides[0], sides[0]))
        self.first = StyledConv(widths[0], widths[0], style=style, side=sides[0])
        self.up = nn.ModuleList(
            StyledConv(*pair, style=style, side=side, taps=config.taps) for pair, side in zip(pairwise(widths), sides[1:], strict=True)
        )
        self.keep = nn.ModuleList(
            StyledConv(width, width, style=style, side=side) for width, side in zip(widths[1:], sides[1:], strict=True)
        )
        self.colours = nn.ModuleList(ModulatedConv(width, config.shape[0], 1, style=style, demodulate=False) for width in widths)
        self.offsets = nn.Parameter(torch.zeros(config.stages + 1, config.shape[0]))
        self.register_buffer("w_mean", torch.zeros(style))
        self.register_buffer("grown", torch.tensor(config.stages * ONE))

    @property
    def event(self) -> Event:
        return Event(shape=self.config.shape, range=(-1.0, 1.0))

    @property
    def position(self) -> float:
        """Number of levels above the coarsest one that take part, with the share of the one that fades in."""
        return int(self.grown) / ONE

    def prior(self, rng: Rng) -> Tensor:
        """Standard normal rows (len(rng), config.row): z, then the noise maps."""
        return rng.normal(self.config.row)

    def styles(self, z: Tensor) -> Tensor:
        """The styles w (n, style) of rows ``z`` (n, config.row); only z itself matters."""
        w = normalised(z[:, : self.config.latent])
        for layer in self.mapping:
            w = F.leaky_relu(layer(w), SLOPE)
        return w.to(z.dtype)

    def synthesise(self, w: Tensor, z: Tensor) -> Tensor:
        """Images (n, *shape), not clamped, of styles ``w`` (n, config.styles, style) with the noise of rows ``z`` (n, config.row)."""
        config = self.config
        sizes = [side**2 for side in config.noises]
        maps = torch.split(z[:, config.latent :], sizes, dim=1)
        noises = [each.reshape(-1, 1, side, side) for each, side in zip(maps, config.noises, strict=True)]
        x = self.first(self.constant.expand(len(z), -1, -1, -1), w[:, 0], noises[0])
        rgb = self._coloured(0, x, w[:, 1])
        position = self.position
        for level, (up, keep) in enumerate(zip(self.up, self.keep, strict=True), 1):
            rgb = doubled(rgb, config.taps, config.sides[level])
            share = min(1.0, position + 1 - level)
            if share <= 0:  # this level has not begun
                continue
            x = up(x, w[:, 2 * level - 1], noises[2 * level - 1])
            x = keep(x, w[:, 2 * level], noises[2 * level])
            colours = self._coloured(level, x, w[:, 2 * level + 1])
            rgb = rgb + (colours if share == 1 else share * colours)
        return rgb

    def _coloured(self, level: int, x: Tensor, w: Tensor) -> Tensor:
        colours: Tensor = self.colours[level](x, w) + self.offsets[level][:, None, None]
        return colours

    def decode(self, z: Tensor, labels: Tensor | None = None, *, truncation: float | None = None) -> Tensor:
        """Images (n, *shape) in [-1, 1] of rows ``z`` (n, config.row); ``labels`` are ignored.

        Args:
            z: rows, as :meth:`prior` draws them.
            labels: ignored.
            truncation: psi of w' = mean + psi (w - mean), with the tracked mean of w (arXiv:1812.04948, appendix B); None for w itself.
        """
        w = self.styles(z)
        if truncation is not None:
            w = self.w_mean.lerp(w, truncation)
        x = self.synthesise(w[:, None].expand(-1, self.config.styles, -1), z)
        return x.to(z.dtype).clamp(-1, 1)
