"""Generator and discriminator of Radford et al. 2015 (arXiv:1511.06434), by the authors' code where the paper leaves something open."""

from itertools import pairwise

from torch import Tensor, nn

from zoo_core.interfaces import Event, Rng
from zoo_dcgan.config import DCGANConfig

__all__ = ["DCGAN", "Discriminator"]

_STD = 0.02  # of all initial weights; section 4
_SLOPE = 0.2  # of the leaky rectifier


class DCGAN(nn.Module):
    """x = tanh(net(z)), z ~ N(0, I): a projection to the coarsest feature maps, then convolutions with the stride 1/2 up to the image.

    Batch norm and ReLU follow each layer but the last, and no layer has a bias besides. The projection's batch norm is that of a fully
    connected layer, one for each feature at each place. (The paper draws z from a uniform distribution.)
    """

    def __init__(self, config: DCGANConfig) -> None:
        super().__init__()
        self.config = config
        widths, (side, *sides), kernel = config.widths[::-1], config.sides[::-1], config.kernel
        features = widths[0] * side**2
        layers: list[nn.Module] = [
            nn.Linear(config.latent, features, bias=False),
            nn.BatchNorm1d(features),
            nn.ReLU(),
            nn.Unflatten(1, (widths[0], side, side)),
        ]
        for (width_in, width), doubled in zip(pairwise(widths), sides[:-1], strict=True):
            layers += [_doubling(width_in, width, kernel, doubled), nn.BatchNorm2d(width), nn.ReLU()]
        self.net = nn.Sequential(*layers, _doubling(widths[-1], config.shape[0], kernel, sides[-1]))
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
    """Images (n, *shape) to logits (n,) of their being real: convolutions with the stride 2, LeakyReLU, one linear output.

    Batch norm follows each convolution but the first: in training, a logit depends on the batch that its image stands in.
    """

    def __init__(self, config: DCGANConfig, width: int) -> None:
        super().__init__()
        widths = [width << stage for stage in range(len(config.widths))]
        layers: list[nn.Module] = [_halving(config.shape[0], width, config.kernel), nn.LeakyReLU(_SLOPE)]
        for width_in, width_out in pairwise(widths):
            layers += [_halving(width_in, width_out, config.kernel), nn.BatchNorm2d(width_out), nn.LeakyReLU(_SLOPE)]
        layers += [nn.Flatten(), nn.Linear(widths[-1] * config.sides[-1] ** 2, 1, bias=False), nn.Flatten(0)]
        self.net = nn.Sequential(*layers)
        _initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.net(x)
        return logits


def _doubling(width_in: int, width: int, kernel: int, side: int) -> nn.Module:
    """To maps of that ``side``, which if it is odd is twice the side before, less one."""
    odd = kernel % 2 - side % 2
    return nn.ConvTranspose2d(width_in, width, kernel, stride=2, padding=(kernel - 1) // 2, output_padding=odd, bias=False)


def _halving(width_in: int, width: int, kernel: int) -> nn.Module:
    return nn.Conv2d(width_in, width, kernel, stride=2, padding=(kernel - 1) // 2, bias=False)


def _initialise(net: nn.Module) -> None:
    """Weights N(0, 0.02^2), those of batch norm N(1, 0.02^2), biases 0."""
    for name, parameter in net.named_parameters():
        if name.endswith("bias"):
            nn.init.zeros_(parameter)
        else:
            nn.init.normal_(parameter, 1.0 if parameter.ndim == 1 else 0.0, _STD)
