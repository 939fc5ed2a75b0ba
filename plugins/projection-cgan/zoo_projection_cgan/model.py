"""The generator of Miyato & Koyama 2018 (arXiv:1802.05637)."""

from itertools import pairwise
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from zoo_core.errors import UsageError
from zoo_core.interfaces import Event, Rng
from zoo_projection_cgan.config import ProjectionCGANConfig
from zoo_projection_cgan.nets import UpBlock, initialised

__all__ = ["Generator"]


class Generator(nn.Module):
    """x = G(z, y) in [-1, 1], z ~ N(0, I): a linear layer, residual blocks that each double the side, and a tanh.

    The class is in the gain and the bias of every block's batch norms and nowhere else; the last batch norm has none of it.
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
        self.blocks = nn.ModuleList(UpBlock(*pair, config.num_classes) for pair in pairwise([widths[0], *widths]))
        self.norm = nn.BatchNorm2d(widths[-1])
        self.conv = nn.Conv2d(widths[-1], config.shape[0], 3, padding=1)
        initialised(self)

    @property
    def event(self) -> Event:
        return Event(shape=self.config.shape, range=(-1.0, 1.0))

    def prior(self, rng: Rng) -> Tensor:
        """(rows, latent), standard normal."""
        return rng.normal(self.config.latent)

    def decode(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Images (n, *shape), float32 in [-1, 1], of latents ``z`` (n, latent) and ``labels`` int64 (n,).

        Raises:
            UsageError: there are no labels.
        """
        if labels is None:
            raise UsageError("the generator knows nothing but classes, and so needs labels", "pass labels=")
        h = self.unflatten(self.linear(z))
        for block in self.blocks:
            h = block(h, labels)
        return self.conv(F.relu(self.norm(h))).float().tanh()
