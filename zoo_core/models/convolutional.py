"""The generator of Radford et al. 2015 (arXiv:1511.06434), which several families train."""

from itertools import pairwise

from torch import Tensor, nn

from zoo_core.interfaces import Event, Rng
from zoo_core.models.config import UpsamplingConfig

__all__ = ["UpsamplingGenerator", "initialise"]

_STD = 0.02  # standard deviation of all initial weights; section 4


class UpsamplingGenerator(nn.Module):
    """x = tanh(net(z)), z ~ N(0, I): a projection to the coarsest feature maps, then convolutions with the stride 1/2 up to the image.

    Batch norm and ReLU follow each layer but the last; no layer has a bias of its own. The projection's batch norm is that of a fully
    connected layer, with statistics for each feature at each pixel. The paper draws z from a uniform distribution.

    Example:
        >>> from zoo_core.rng import ImageRng
        >>> net = UpsamplingGenerator(UpsamplingConfig(latent=8, width=4)).eval()
        >>> z = net.prior(ImageRng(0, range(2)))
        >>> z.shape, net.decode(z).shape
        (torch.Size([2, 8]), torch.Size([2, 1, 28, 28]))
    """

    def __init__(self, config: UpsamplingConfig) -> None:
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
        initialise(self)

    @property
    def event(self) -> Event:
        return Event(shape=self.config.shape, range=(-1.0, 1.0))

    def prior(self, rng: Rng) -> Tensor:
        return rng.normal(self.config.latent)

    def decode(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        x: Tensor = self.net(z)
        return x.to(z.dtype).tanh()


def _upsampling(width_in: int, width: int, kernel: int, side: int) -> nn.Module:
    """A transposed convolution with the stride 2 whose outputs have the side ``side``: twice that of its inputs, or 1 less."""
    padding = (kernel - 1) // 2
    return nn.ConvTranspose2d(width_in, width, kernel, stride=2, padding=padding, output_padding=kernel % 2 - side % 2, bias=False)


def initialise(net: nn.Module) -> None:
    """Sets weights to N(0, 0.02^2), those of batch norm to N(1, 0.02^2), and biases to 0."""
    for name, parameter in net.named_parameters():
        if name.endswith("bias"):
            nn.init.zeros_(parameter)
        else:
            nn.init.normal_(parameter, 1.0 if parameter.ndim == 1 else 0.0, _STD)
