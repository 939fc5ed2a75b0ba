"""Generator and discriminator of Radford et al. 2015 (arXiv:1511.06434); details that the paper omits follow the authors' code."""

from itertools import pairwise

from torch import Tensor, nn

from zoo_core.models.convolutional import UpsamplingGenerator, initialise
from zoo_dcgan.config import DCGANConfig

__all__ = ["DCGAN", "Discriminator"]

_SLOPE = 0.2  # of the leaky rectifier, for negative inputs


class DCGAN(UpsamplingGenerator):
    """The generator; see the base class.

    Example:
        >>> from zoo_core.rng import ImageRng
        >>> net = DCGAN(DCGANConfig(latent=8, width=4)).eval()
        >>> z = net.prior(ImageRng(0, range(2)))
        >>> z.shape, net.decode(z).shape
        (torch.Size([2, 8]), torch.Size([2, 1, 28, 28]))
    """

    config: DCGANConfig


class Discriminator(nn.Module):
    """Images (n, *shape) -> logits (n,) of being real: convolutions with the stride 2, LeakyReLU, one linear output.

    Batch norm follows each convolution but the first: in train mode, a logit depends on the whole batch of its image.

    Args:
        config: the generator's config, for shape, stages and kernel.
        width: channels of the finest feature maps.

    Example:
        >>> import torch
        >>> Discriminator(DCGANConfig(), width=4)(torch.zeros(2, 1, 28, 28)).shape
        torch.Size([2])
    """

    def __init__(self, config: DCGANConfig, width: int) -> None:
        super().__init__()
        widths = [width << stage for stage in range(len(config.widths))]
        layers: list[nn.Module] = [_downsampling(config.shape[0], width, config.kernel), nn.LeakyReLU(_SLOPE)]
        for width_in, width_out in pairwise(widths):
            layers += [_downsampling(width_in, width_out, config.kernel), nn.BatchNorm2d(width_out), nn.LeakyReLU(_SLOPE)]
        layers += [nn.Flatten(), nn.Linear(widths[-1] * config.sides[-1] ** 2, 1, bias=False), nn.Flatten(0)]
        self.net = nn.Sequential(*layers)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.net(x)
        return logits


def _downsampling(width_in: int, width: int, kernel: int) -> nn.Module:
    return nn.Conv2d(width_in, width, kernel, stride=2, padding=(kernel - 1) // 2, bias=False)
