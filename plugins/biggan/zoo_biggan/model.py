"""The generator of Brock et al. 2019 (arXiv:1809.11096)."""

from functools import partial
from itertools import pairwise
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo_biggan.config import BigGANConfig
from zoo_biggan.layers import ConditionNorm, SelfAttention, orthogonal_, truncated
from zoo_core.errors import UsageError
from zoo_core.interfaces import Event, Rng
from zoo_core.models.residual import UpBlock
from zoo_core.models.spectral import Conv, Linear

__all__ = ["BigGAN"]


class BigGAN(nn.Module):
    """x = G(z, y) in [-1, 1], z ~ N(0, I): a linear layer, residual blocks that each double the side, and a tanh.

    z is cut into chunks. The first one passes the linear layer; each block gets one of the others beside the embedding of the class y,
    and gain and bias of its batch norms are linear in both (figure 15 of the paper). The last batch norm depends on neither. Feature maps
    of the sides ``config.attention`` pass self-attention. Every layer but the class embedding is divided by its spectral norm.

    Example:
        >>> from zoo_core.rng import ImageRng
        >>> net = BigGAN(BigGANConfig(shape=(1, 8, 8), latent=4, embedding=3, width=8, multipliers=(1,), attention=())).eval()
        >>> z, labels = net.prior(ImageRng(0, range(2))), torch.tensor([0, 7])
        >>> net.decode(z, labels).shape, net.decode(z, labels, truncation=0.5).shape
        (torch.Size([2, 1, 8, 8]), torch.Size([2, 1, 8, 8]))
    """

    needs_labels: ClassVar[bool] = True
    truncates: ClassVar[bool] = True

    def __init__(self, config: BigGANConfig) -> None:
        super().__init__()
        self.config = config
        self.num_classes = config.num_classes
        widths = [config.width * multiplier for multiplier in config.multipliers]
        side = config.shape[1] >> len(widths)
        self.linear = Linear(config.chunk, widths[0] * side**2, spectral=True)
        self.unflatten = nn.Unflatten(1, (widths[0], side, side))
        norm = partial(ConditionNorm, condition=config.embedding + config.chunk)
        self.blocks = nn.ModuleList(UpBlock(*pair, norm, spectral=True) for pair in pairwise([widths[0], *widths]))
        sides = zip(config.sides, widths, strict=True)
        self.attention = nn.ModuleDict({str(side): SelfAttention(width) for side, width in sides if side in config.attention})
        self.norm = nn.BatchNorm2d(widths[-1])
        self.conv = Conv(widths[-1], config.shape[0], spectral=True)
        self.embed = nn.Embedding(config.num_classes, config.embedding)
        orthogonal_(self)

    @property
    def event(self) -> Event:
        return Event(shape=self.config.shape, range=(-1.0, 1.0))

    def prior(self, rng: Rng) -> Tensor:
        """Standard normal latents, (len(rng), latent)."""
        return rng.normal(self.config.latent)

    def decode(self, z: Tensor, labels: Tensor | None = None, *, truncation: float | None = None) -> Tensor:
        """Images (n, *shape), float32 in [-1, 1], of latents ``z`` (n, latent) and ``labels`` int64 (n,).

        Args:
            z: latents, as :meth:`prior` draws them.
            labels: classes.
            truncation: bound of the latents, see :func:`zoo_biggan.layers.truncated`; None for none.

        Raises:
            UsageError: if ``labels`` is None.
        """
        if labels is None:
            raise UsageError("the generator is class-conditional only and needs labels", "pass labels=")
        if truncation is not None:
            z = truncated(z, truncation)
        shared = self.embed(labels)
        first, *chunks = torch.split(z, self.config.chunk, dim=1)
        h = self.unflatten(self.linear(first))
        for side, block, chunk in zip(self.config.sides, self.blocks, chunks, strict=True):
            h = block(h, torch.cat([shared, chunk.to(shared.dtype)], dim=1))
            if str(side) in self.attention:
                h = self.attention[str(side)](h)
        return self.conv(F.relu(self.norm(h))).float().tanh()
