"""Generator and discriminator of Radford et al. 2015 (arXiv:1511.06434); details that the paper omits follow the authors' code."""

from itertools import pairwise

from torch import Tensor, nn

from zoo_core.interfaces import Event, Rng
from zoo_dcgan.config import DCGANConfig

__all__ = ["DCGAN", "Discriminator"]

_STD = 0.02  # standard deviation of all initial weights; section 4
_SLOPE = 0.2  # of the leaky rectifier, for negative inputs


class DCGAN(nn.Module):
    """x = tanh(net(z)), z ~ N(0, I): a projection to the coarsest feature maps, then convolutions with the stride 1/2 up to the image.

    Batch norm and ReLU follow each layer but the last; no layer has a bias of its own. The projection's batch norm is that of a fully
    connected layer, with statistics for each feature at each pixel. The paper draws z from a uniform distribution.

    Example:
        >>> from zoo_core.rng import ImageRng
        >>> net = DCGAN(DCGANConfig(latent=8, width=4)).eval()
        >>> z = net.prior(ImageRng(0, range(2)))
        >>> z.shape, net.decode(z).shape
        (torch.Size([2, 8]), torch.Size([2, 1, 28, 28]))
    """

    def __init__(self, config: DCGANConfig) -> None:
        super().__init__()
        self.config = config
        widths = config.widths[::-1]
        side, *sides = config.sides[::-1]
        features = widths[0] * side**2
        layers: list[nn.Module] = [
            nn.Linear(config.latent, features, bias=False),
            nn.BatchNorm1d(features),
            nn.ReLU(),
            nn.Unflatten(1, (widths[0], side, side)),
        ]
        for (width_in, width), doubled in zip(pairwise(widths), sides[:-1], strict=True):
            layers += [_upsampling(width_in, width, config.kernel, doubled), nn.BatchNorm2d(width), nn.ReLU()]
        self.net = nn.Sequential(*layers, _upsampling(widths[-1], config.shape[0], config.kernel, sides[-1]))
        _initialise(self)

    @property
    def event(self) -> Event:
        return Event(shape=self.config.shape, range=(-1.0, 1.0))

    def prior(self, rng: Rng) -> Tensor:
        return rng.normal(self.config.latent)

    def decode(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        x: Tensor = self.net(z)
        return x.to(z.dtype).tanh()


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
        _initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.net(x)
        return logits


def _upsampling(width_in: int, width: int, kernel: int, side: int) -> nn.Module:
    """A transposed convolution with the stride 2 whose outputs have the side ``side``: twice that of its inputs, or 1 less."""
    padding = (kernel - 1) // 2
    return nn.ConvTranspose2d(width_in, width, kernel, stride=2, padding=padding, output_padding=kernel % 2 - side % 2, bias=False)


def _downsampling(width_in: int, width: int, kernel: int) -> nn.Module:
    return nn.Conv2d(width_in, width, kernel, stride=2, padding=(kernel - 1) // 2, bias=False)


def _initialise(net: nn.Module) -> None:
    """Weights N(0, 0.02^2), those of batch norm N(1, 0.02^2), biases 0."""
    for name, parameter in net.named_parameters():
        if name.endswith("bias"):
            nn.init.zeros_(parameter)
        else:
            nn.init.normal_(parameter, 1.0 if parameter.ndim == 1 else 0.0, _STD)
