"""Normalizing flows: RealNVP (Dinh et al. 2017, arXiv:1605.08803) and MAF (Papamakarios et al. 2017, arXiv:1705.07057)."""

import math
from typing import ClassVar

import torch
from torch import Tensor, nn

from zoo_core.density.transforms import UNIT, Compose, Logit, continuous_log_prob
from zoo_core.interfaces import Event, LogProb, Rng
from zoo_realnvp.bijection import Bijection, Chain, Flattened, OnHalf, Squeezed
from zoo_realnvp.config import MAFConfig, RealNVPConfig
from zoo_realnvp.coupling import AffineCoupling, Mask, ResNet, checkerboard, halves, stripes
from zoo_realnvp.made import MADE, Autoregressive, Permuted
from zoo_realnvp.norms import make_norm

__all__ = ["MAF", "Flow", "RealNVP"]


class Flow(nn.Module):
    """A bijection f between samples and standard normal latents: log p(x) = log N(f(x); 0, I) + log |det df/dx|.

    For images, f begins with the map from [-1, 1] to [0, 1] and a logit. A latent has the shape of a sample. Everything is computed in the
    dtype of the weights, under autocast too: in bfloat16, the inverse would not recover x.

    Args:
        shape: shape of a sample: (channels, height, width) of images, (dimension,) of points.
        bijection: bijection of samples (n, *shape), for images after the logit.
        alpha: margin of the logit.

    Example:
        >>> flow = Flow((2,), Chain([]), alpha=0.05)
        >>> round(flow.log_prob(torch.zeros(1, 2)).value.item(), 4)  # -log(2 pi)
        -1.8379
    """

    def __init__(self, shape: tuple[int, ...], bijection: Bijection, alpha: float) -> None:
        super().__init__()
        self.shape = shape
        self.images = len(shape) == 3
        self.pixels = Compose((UNIT, Logit(alpha)) if self.images else ())
        self.bijection = bijection

    @property
    def event(self) -> Event:
        return Event(shape=self.shape, range=(-1.0, 1.0) if self.images else None)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """f(x), and log |det df/dx| (n,), of samples ``x`` (n, *event.shape); images are in [-1 - 1/255, 1 + 1/255]."""
        with torch.autocast(x.device.type, enabled=False):
            y, around = self.pixels.forward(x)
            z, volume = self.bijection(y)
            return z, around + volume

    def inverse(self, z: Tensor) -> Tensor:
        """The x with f(x) = ``z``; images can leave [-1, 1] by the logit's margin."""
        with torch.autocast(z.device.type, enabled=False):
            return self.pixels.inverse(self.bijection.inverse(z))

    def log_density(self, x: Tensor) -> Tensor:
        """The log-density (n,) of continuous samples ``x`` (n, *event.shape), per unit of volume, in nats."""
        z, volume = self(x)
        return volume - 0.5 * (z**2 + math.log(2 * math.pi)).flatten(1).sum(1)

    def prior(self, rng: Rng) -> Tensor:
        return rng.normal(*self.shape)

    def decode(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        x = self.inverse(z)
        return x.clamp(-1, 1) if self.images else x

    def encode(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        z: Tensor = self(x)[0]
        return z

    def log_prob(self, x: Tensor, labels: Tensor | None = None, *, rng: Rng | None = None, k: int = 1) -> LogProb:
        """Exact for points; for images a lower bound on the log-mass of the 8-bit image, from ``k`` draws of dequantising noise.

        Args:
            x: (n, *event.shape); images are rounded to the nearest of the 256 levels.
            labels: ignored.
            rng: source of the noise; None for that of images 0 ... n - 1 of seed 0.
            k: number of draws; more give a tighter bound.
        """
        return continuous_log_prob(self.log_density, x, images=self.images, rng=rng, k=k)


class RealNVP(Flow):
    """Affine couplings; for images at several scales, with masks that are checkerboards or halves of the channels (figures 3 and 4).

    Both directions take one pass of each net.

    Example:
        >>> flow = RealNVP(RealNVPConfig(shape=(2,), couplings=2, blocks=1, width=8)).eval()
        >>> x = torch.ones(3, 2)
        >>> torch.allclose(flow.decode(flow.encode(x)), x), flow.log_prob(x).kind
        (True, 'exact')
    """

    channels_last: ClassVar[bool] = False  # channels-last is 5 % slower

    def __init__(self, config: RealNVPConfig) -> None:
        shape = config.shape
        first = make_norm(config.norm, shape[0])
        rest = _scales(config, shape[0], 0) if len(shape) == 3 else _couplings(config, shape[0], stripes, config.couplings)
        super().__init__(shape, Chain([first, *rest]), config.alpha)


def _scales(config: RealNVPConfig, channels: int, scale: int) -> list[Bijection]:
    """The layers of one scale, with those of the further scales inside."""
    last = scale == config.scales - 1
    checkerboards = _couplings(config, channels, checkerboard, config.couplings + last, scale)
    if last:
        return checkerboards
    rest = OnHalf(Chain(_scales(config, 2 * channels, scale + 1)))
    return [*checkerboards, Squeezed(Chain([*_couplings(config, 4 * channels, halves, config.couplings, scale + 1), rest]))]


def _couplings(config: RealNVPConfig, channels: int, mask: Mask, count: int, scale: int = 0) -> list[Bijection]:
    """Couplings whose masks alternate, each followed by a norm."""
    layers: list[Bijection] = []
    kernel = 3 if len(config.shape) == 3 else None
    for i in range(count):
        net = ResNet(channels, 2 * channels, width=config.width * 2**scale, blocks=config.blocks, kernel=kernel)
        layers += [AffineCoupling(channels, mask, i % 2, net), make_norm(config.norm, channels)]
    return layers


class MAF(Flow):
    """Autoregressive layers with permutations between them: a density takes one pass of each net, a sample one for each dimension.

    Example:
        >>> flow = MAF(MAFConfig(shape=(2,), layers=2, hidden=1, width=8)).eval()
        >>> flow.log_prob(torch.ones(3, 2)).value.shape
        torch.Size([3])
    """

    def __init__(self, config: MAFConfig) -> None:
        dimension = math.prod(config.shape)
        layers: list[Bijection] = [make_norm(config.norm, dimension)]
        for i in range(config.layers):
            layer = Autoregressive(MADE(dimension, hidden=config.hidden, width=config.width))
            permuted = Permuted(layer, dimension, order=config.order, layer=i) if i else layer
            layers += [permuted, make_norm(config.norm, dimension)]
        super().__init__(config.shape, Flattened(Chain(layers)), config.alpha)
