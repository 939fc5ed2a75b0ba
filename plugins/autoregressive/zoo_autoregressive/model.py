"""Autoregressive models of images: exact log-probabilities, pixel by pixel."""

from math import log, prod
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from zoo_autoregressive.config import AutoregressiveConfig, PixelCNNConfig, PixelTransformerConfig
from zoo_autoregressive.likelihoods import likelihood
from zoo_autoregressive.pixelcnn import PixelCNNNet
from zoo_autoregressive.transformer import TransformerNet
from zoo_core.arguments import level_dtype
from zoo_core.data.dataset import Batch
from zoo_core.images import to_uint8
from zoo_core.interfaces import Event, LogProb, Rng
from zoo_core.rng import ImageRng
from zoo_core.training.trainer import Loss

__all__ = ["Autoregressive", "PixelCNN", "PixelTransformer"]


class Autoregressive(nn.Module):
    """log p(x) = sum_i log p(x_i | x_1 ... x_(i-1)), over the values of an image in raster order; channels are columns.

    A latent has one standard normal number for each value. ``decode`` draws value i as the quantile at u_i = Phi(z_i) of its distribution
    given the values before it, so that it is a function of z, and a standard normal z gives samples of p.

    >>> from zoo_autoregressive.config import PixelCNNConfig
    >>> model = PixelCNN(PixelCNNConfig(shape=(1, 3, 3), channels=4))
    >>> model.decode(torch.zeros(2, 1, 3, 3)).shape
    torch.Size([2, 1, 3, 3])

    Args:
        config: shape and likelihood.
        net: net with ``forward(levels)`` and ``draw(u, pick)``.
    """

    def __init__(self, config: AutoregressiveConfig, net: PixelCNNNet | TransformerNet) -> None:
        super().__init__()
        self.config = config
        self.likelihood = likelihood(config)
        self.net = net

    @property
    def event(self) -> Event:
        return Event(shape=self.config.shape, range=(-1.0, 1.0))

    @property
    def space(self) -> Literal["binary", "uint8"]:
        """The space of the log-probability: of binary or of 8-bit images."""
        return self.likelihood.space

    def prior(self, rng: Rng) -> Tensor:
        return rng.normal(*self.config.shape)

    def decode(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        u = torch.special.ndtr(_grid(z).to(level_dtype(z.device)))
        levels = self.net.draw(u, self.likelihood.quantile)
        values = 2 * levels.to(z.dtype) / (self.likelihood.count - 1) - 1
        channels, height, width = self.config.shape
        return values.view(-1, height, width, channels).permute(0, 3, 1, 2).contiguous()

    def observed(self, x: Tensor, rng: Rng) -> Tensor:
        """The levels int64 (n, height, width * channels) of images ``x`` (n, *event.shape).

        8-bit images are rounded to the nearest level. For a model of binary images, a value is 1 with the probability (x + 1) / 2, drawn
        by the row's own random numbers; values -1 and 1 do not change.
        """
        if self.space == "uint8":
            return _grid(to_uint8(x).long())
        return _grid((rng.uniform(*self.config.shape) < (x + 1) / 2).long())

    def log_prob(self, x: Tensor, labels: Tensor | None = None, *, rng: Rng | None = None, k: int = 1) -> LogProb:
        """The exact log-probability (n,) of the image, binary or of 8 bits, that :meth:`observed` gives.

        Args:
            x: images (n, *event.shape) in [-1, 1].
            labels: ignored.
            rng: random numbers of the binary draw; None for those of images 0 ... n - 1 of seed 0.
            k: ignored: nothing else is drawn.
        """
        rng = ImageRng(0, range(len(x)), x.device) if rng is None else rng
        return LogProb(value=self._log_mass(self.observed(x, rng)).to(x.dtype), kind="exact", space=self.space)

    def loss(self, batch: Batch, rng: Rng) -> Loss:
        """-log p(x) in nats per value; binary images are drawn from the grey levels anew at every step."""
        dims = prod(self.config.shape)
        nats = -self._log_mass(self.observed(batch.x, rng)).mean()
        logs = {"nats": nats.detach()}
        if self.space == "uint8":
            logs["bits_per_dim"] = nats.detach() / (dims * log(2))
        return Loss(value=nats / dims, logs=logs)

    def _log_mass(self, levels: Tensor) -> Tensor:
        outputs = self.net(levels)
        outputs = outputs.float() if outputs.dtype in (torch.bfloat16, torch.float16) else outputs
        return self.likelihood.log_mass(outputs, levels).flatten(1).sum(1)


def _grid(x: Tensor) -> Tensor:
    """Images (n, c, h, w) as (n, h, w * c): the channels of a pixel follow each other."""
    return x.permute(0, 2, 3, 1).flatten(2)


class PixelCNN(Autoregressive):
    """The gated PixelCNN (van den Oord et al. 2016, arXiv:1606.05328).

    Example:
        >>> net = PixelCNN(PixelCNNConfig(shape=(1, 5, 5), layers=2, channels=4)).eval()
        >>> net.decode(torch.zeros(3, 1, 5, 5)).abs().unique().tolist(), net.log_prob(torch.ones(3, 1, 5, 5)).kind
        ([1.0], 'exact')
    """

    channels_last: ClassVar[bool] = False

    def __init__(self, config: PixelCNNConfig) -> None:
        levels = likelihood(config)
        super().__init__(config, PixelCNNNet(config, levels.count, levels.outputs))


class PixelTransformer(Autoregressive):
    """A causal Transformer over pixels.

    Example:
        >>> net = PixelTransformer(PixelTransformerConfig(shape=(1, 5, 5), layers=1, width=8, heads=2)).eval()
        >>> net.log_prob(torch.ones(3, 1, 5, 5)).space
        'binary'
    """

    def __init__(self, config: PixelTransformerConfig) -> None:
        levels = likelihood(config)
        super().__init__(config, TransformerNet(config, levels.count, levels.outputs))
