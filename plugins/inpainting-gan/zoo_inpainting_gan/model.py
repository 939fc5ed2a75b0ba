"""A net that fills holes in images."""

import torch
from torch import Tensor, nn

from zoo_core.interfaces import Event, Rng
from zoo_core.models.unet import UNet
from zoo_inpainting_gan.config import InpaintingGANConfig, net_config

__all__ = ["InpaintingGAN"]


class InpaintingGAN(nn.Module):
    """A U-Net g that gives a whole image from the known part of one: x' = g(M x, M), with M = 1 where x is known.

    Pathak et al. 2016 (arXiv:1604.07379); a U-Net in place of their encoder and decoder. Their M is 1 where x is hidden.

    Example:
        >>> model = InpaintingGAN(InpaintingGANConfig(image_size=8, dim=8, multipliers=(1, 2), attention=()))
        >>> model.fill(torch.zeros(2, 3, 8, 8), torch.ones(2, 3, 8, 8, dtype=torch.bool), rng=None).shape
        torch.Size([2, 3, 8, 8])
    """

    def __init__(self, config: InpaintingGANConfig) -> None:
        super().__init__()
        self.config = config
        self.net = UNet(net_config(config))

    @property
    def event(self) -> Event:
        return Event(shape=(self.config.channels, self.config.image_size, self.config.image_size), range=(-1.0, 1.0))

    def fill(self, x: Tensor, mask: Tensor, rng: Rng | None) -> Tensor:
        """Whole images (n, *event.shape) in [-1, 1]; a net without noise, so ``rng`` is not used.

        Args:
            x: images (n, *event.shape), 0 where they are unknown.
            mask: True where ``x`` is known, bool (n, *event.shape) or (n, 1, side, side); a pixel is known where all of its channels are.
            rng: random numbers.
        """
        known = mask.all(dim=1, keepdim=True).to(x)
        weight = self.net.conv_in.weight
        given = torch.cat([x * mask.to(x), known], dim=1).to(weight.dtype)
        out = self.net(given, torch.zeros(len(x), device=x.device))
        return out[:, : self.config.channels].tanh().to(x.dtype)
