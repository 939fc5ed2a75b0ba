"""The generator of Miyato & Koyama 2018 (arXiv:1802.05637)."""

from functools import partial
from itertools import pairwise
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from zoo_core.errors import UsageError
from zoo_core.interfaces import Event, Rng
from zoo_core.models.residual import UpBlock
from zoo_projection_cgan.config import ProjectionCGANConfig
from zoo_projection_cgan.nets import ConditionalBatchNorm, initialise

__all__ = ["Generator"]


class Generator(nn.Module):
    """x = G(z, y) in [-1, 1], z ~ N(0, I): a linear layer, residual blocks that each double the side, and a tanh.

    The class y enters only through gain and bias of the blocks' batch norms; the last batch norm does not depend on it.

    Example:
        >>> import torch
        >>> from zoo_core.rng import ImageRng
        >>> net = Generator(ProjectionCGANConfig(shape=(1, 8, 8), latent=4, width=8, multipliers=(1,))).eval()
        >>> net.decode(net.prior(ImageRng(0, range(2))), torch.tensor([0, 7])).shape
        torch.Size([2, 1, 8, 8])
    """

    needs_labels: ClassVar[bool] = True

    def __init__(self, config: ProjectionCGANConfig) -> None:
        super().__init__()
        self.config = config
        self.num_classes = config.num_classes
        widths = [config.width * multiplier for multiplier in config.multipliers]
        side = config.shape[1] >> len(widths)
        self.linear = nn.Linear(config.latent, widths[0] * side**2)
        self.unflatten = nn.Unflatten(1, (widths[0], side, side))
        norm = partial(ConditionalBatchNorm, num_classes=config.num_classes)
        self.blocks = nn.ModuleList(UpBlock(*pair, norm) for pair in pairwise([widths[0], *widths]))
        self.norm = nn.BatchNorm2d(widths[-1])
        self.conv = nn.Conv2d(widths[-1], config.shape[0], 3, padding=1)
        initialise(self)

    @property
    def event(self) -> Event:
        return Event(shape=self.config.shape, range=(-1.0, 1.0))

    def prior(self, rng: Rng) -> Tensor:
        """Standard normal latents, (len(rng), latent)."""
        return rng.normal(self.config.latent)

    def decode(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Images (n, *shape), float32 in [-1, 1], of latents ``z`` (n, latent) and ``labels`` int64 (n,).

        Raises:
            UsageError: if ``labels`` is None.
        """
        if labels is None:
            raise UsageError("the generator is class-conditional only and needs labels", "pass labels=")
        h = self.unflatten(self.linear(z))
        for block in self.blocks:
            h = block(h, labels)
        return self.conv(F.relu(self.norm(h))).float().tanh()
